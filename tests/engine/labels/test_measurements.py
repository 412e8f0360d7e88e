"""Measurements, with scikit-image as the referee."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops_table

from napari_unet.engine.base.errors import (
    ImageShapeError,
    ImageValueError,
    LabelsError,
    SettingsError,
)
from napari_unet.engine.base.regions import around
from napari_unet.engine.labels.cell_list import CellScores, list_cells
from napari_unet.engine.labels.measurements import (
    PixelSize,
    background_level,
    measure_cells,
    measure_changed,
)

TWO = {
    "area": "area_{unit}2",
    "centroid-0": "centroid_y_{unit}",
    "centroid-1": "centroid_x_{unit}",
    "equivalent_diameter_area": "equivalent_diameter_{unit}",
    "axis_major_length": "axis_major_{unit}",
    "axis_minor_length": "axis_minor_{unit}",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "perimeter": "perimeter_{unit}",
}
THREE = {
    "area": "volume_{unit}3",
    "centroid-0": "centroid_z_{unit}",
    "centroid-2": "centroid_x_{unit}",
    "equivalent_diameter_area": "equivalent_diameter_{unit}",
    "axis_major_length": "axis_major_{unit}",
}
INTENSITIES = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")


def blobs(seed: int, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Numbered pieces of any form, some at the border, some with holes, numbers with gaps."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), sigma)
    labels, count = ndimage.label(smooth > np.quantile(smooth, 0.55))
    parts = rng.integers(0, 3, count + 1)
    return np.where(labels > 0, 7 * labels + parts[labels], 0).astype(np.int32)


def compare(labels, names, image, spacing, unit, pixel_size):
    wanted = {name.partition("-")[0] for name in names}
    theirs = regionprops_table(
        labels, image, properties=("label", *wanted, *INTENSITIES), spacing=spacing
    )
    ours = measure_cells(labels, {"dapi": image}, pixel_size=pixel_size)
    assert np.array_equal(ours["label"], theirs["label"])
    for name, own in names.items():
        found = ours[own.format(unit=unit)]
        assert found == pytest.approx(theirs[name], rel=1e-6, abs=1e-6, nan_ok=True), name
    for name in INTENSITIES:
        assert ours[f"{name}_dapi"] == pytest.approx(theirs[name], rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(8, 60), st.integers(8, 60), st.floats(0.5, 3))
def test_cells_of_an_image_measure_as_scikit_image_measures_them(seed, height, width, sigma):
    labels = blobs(seed, (height, width), sigma)
    image = np.random.default_rng(seed).integers(0, 65536, labels.shape).astype(np.uint16)
    compare(labels, TWO, image, (1, 1), "px", None)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.8, 2))
def test_cells_of_a_volume_too_in_its_own_unit(seed, sigma):
    labels = blobs(seed, (9, 20, 24), sigma)
    image = np.random.default_rng(seed).random(labels.shape).astype(np.float32)
    spacing = (2.0, 0.5, 0.25)
    compare(labels, THREE, image, spacing, "um", PixelSize(spacing, "um"))


def test_sizes_are_in_the_unit_that_their_names_tell():
    labels = np.zeros((20, 20), int)
    labels[2:6, 2:12] = 3
    table = measure_cells(labels, pixel_size=PixelSize((0.5, 0.5), "um"))
    assert table["area_um2"] == [10]
    assert table["centroid_x_um"] == [3.25]
    assert "perimeter_um" in table
    assert "perimeter_um" not in measure_cells(labels, pixel_size=PixelSize((0.5, 0.2), "um"))


def test_the_border_is_that_of_the_image_and_in_a_volume_also_of_the_stack():
    labels = np.zeros((3, 8, 8), int)
    labels[1, 2:4, 2:4], labels[0, 5:7, 5:7], labels[1, 0:2, 5:7] = 1, 2, 3
    assert measure_cells(labels)["touches_border"].tolist() == [False, True, True]
    assert measure_cells(labels[1])["touches_border"].tolist() == [False, True]


def test_pixels_without_a_number_are_left_out_and_counted():
    labels = np.array([[1, 1, 2, 2, 0]])
    image = np.array([[1.0, np.nan, np.nan, np.nan, 5.0]])
    table = measure_cells(labels, {"a": image})
    assert table["intensity_mean_a"][0] == 1
    assert np.isnan(table["intensity_max_a"][1])
    assert table["intensity_sum_a"].tolist() == [1, 0]
    assert table["nan_pixels_a"].tolist() == [1, 2]


def test_background_is_taken_off():
    labels = np.array([[1, 1, 0, 0, 0]])
    image = np.array([[12, 14, 2, 3, np.nan]])
    level = background_level(labels, image)
    table = measure_cells(labels, {"a": image}, background={"a": level})
    assert level == 2.5
    assert table["intensity_mean_a"] == [10.5]
    assert table["intensity_sum_a"] == [21]
    assert table["background_a"] == [2.5]
    assert background_level(np.ones((2, 2), int), np.ones((2, 2))) == 0


@pytest.mark.parametrize("number", [1, 2**31, 2**40])
def test_no_one_and_very_high_numbers(number):
    labels = np.zeros((5, 5), np.int64)
    assert all(column.size == 0 for column in measure_cells(labels, {"a": labels}).values())
    labels[1:3, 1:3] = number
    table = measure_cells(labels)
    assert table["label"].tolist() == [number]
    assert table["solidity"] == [1]


def test_an_image_of_another_grid_is_refused():
    with pytest.raises(ImageShapeError, match="'a' is 4 x 5 and the labels are 5 x 5"):
        measure_cells(np.zeros((5, 5), int), {"a": np.zeros((4, 5))})


def test_pixels_that_are_not_square_measure_as_in_scikit_image():
    labels = blobs(3, (30, 40), 1.5)
    names = {key: own for key, own in TWO.items() if key != "perimeter"}
    image = np.random.default_rng(0).random(labels.shape)
    compare(labels, names, image, (2.0, 0.5), "um", PixelSize((2.0, 0.5), "um"))


def test_an_image_takes_the_last_lengths_of_a_pixel_and_a_stack_needs_all():
    labels = np.ones((4, 4), int)
    assert measure_cells(labels, pixel_size=PixelSize((9, 2, 2), "um"))["area_um2"] == [64]
    assert "perimeter_um" in measure_cells(labels, pixel_size=PixelSize((9, 2, 2), "um"))
    with pytest.raises(SettingsError, match="along 2 axes and the labels have 3"):
        measure_cells(np.ones((2, 4, 4), int), pixel_size=PixelSize((1, 1), "um"))
    with pytest.raises(SettingsError, match="A pixel is 0 x 1 um long"):
        PixelSize((0, 1), "um")


@pytest.mark.parametrize("dtype", [bool, "float16", ">f4", ">u2", "int64", "longdouble"])
def test_whatever_real_numbers_and_cuts_an_array_has_its_values_count(dtype):
    labels, image = blobs(1, (20, 24), 1), np.arange(20 * 24).reshape(20, 24).astype(dtype)
    plain = measure_cells(labels, {"a": image.astype(float)})
    for cut in (lambda array: array, np.asfortranarray, lambda array: array.repeat(2, 1)[:, ::2]):
        found = measure_cells(cut(labels).astype(">i4"), {"a": cut(image)})
        for name, column in plain.items():
            assert found[name] == pytest.approx(column), name


@pytest.mark.parametrize("dtype", [complex, object, "datetime64[s]"])
def test_what_is_no_real_number_is_refused(dtype):
    with pytest.raises(ImageValueError, match=r"'a' holds values of dtype .* real numbers"):
        measure_cells(np.ones((2, 2), int), {"a": np.zeros((2, 2)).astype(dtype)})


def test_labels_that_are_none_are_refused():
    with pytest.raises(LabelsError, match="not whole"):
        measure_cells(np.full((2, 2), 0.5))
    with pytest.raises(LabelsError, match="with two or three axes"):
        measure_cells(np.ones((2, 2, 2, 2), int))
    with pytest.raises(LabelsError, match="number the cells afresh"):
        measure_cells(np.full((2, 2), 2**63, np.uint64))
    assert measure_cells(np.ones((2, 2), np.float32))["label"] == [1]


def test_infinite_intensities_are_told_as_they_are():
    table = measure_cells(np.array([[1, 1, 2]]), {"a": np.array([[np.inf, 1, 2]])})
    assert table["intensity_mean_a"].tolist() == [np.inf, 2]
    assert table["intensity_max_a"].tolist() == [np.inf, 2]


@given(st.integers(0, 10_000), st.integers(2, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_has_changed_is_measured_as_if_all_was_to_the_last_bit(seed, ndim, is_float):
    rng = np.random.default_rng(seed)
    shape = (5, 20, 24)[3 - ndim :]
    before = blobs(seed, shape, 1.2)
    image = rng.integers(0, 65536, shape).astype(np.uint16)
    if is_float:
        image = rng.normal(size=shape).astype(np.float32)
    options = {"images": {"a": image}, "pixel_size": PixelSize((2.0, 0.3, 0.3)[3 - ndim :], "um")}
    options["background"] = {"a": 3.7}
    after = before.copy()
    corner = [int(rng.integers(0, n)) for n in shape]
    stroke = tuple(slice(at, at + int(rng.integers(1, 7))) for at in corner)
    after[stroke] = rng.choice([0, int(before.max()) + 3, *np.unique(before)])

    was, now = list_cells(before), list_cells(after)
    changed = now.changed_since(was)
    boxes = [was.box_around(changed), now.box_around(changed)]
    box = around([each for each in boxes if each is not None] or [stroke])
    known = measure_cells(before, **options)

    updated = measure_changed(known, changed, box, after, **options)

    wanted = measure_cells(after, **options)
    assert updated is not None
    assert list(updated) == list(wanted)
    for name, column in wanted.items():
        assert np.array_equal(updated[name], column), name
    part = list_cells(np.where(np.isin(after, changed), after, 0))
    joined = was.with_part(part, changed)
    for name in ("numbers", "areas", "starts", "stops", "prints"):
        assert np.array_equal(getattr(joined, name), getattr(now, name))


def test_a_first_pixel_that_is_nan_asks_for_all_cells():
    labels = np.array([[1, 1, 0, 2, 2]])
    image = np.array([[1.0, 2.0, 3.0, np.nan, 5.0]])
    known = measure_cells(labels[:, :3], {"a": image[:, :3]})
    box = (slice(0, 1), slice(3, 5))
    assert measure_changed(known, np.array([2]), box, labels, {"a": image}) is None


def test_score_and_doubt_are_columns_of_cells_that_are_as_they_were_found():
    labels = np.array([[1, 1, 0, 2, 2], [0, 0, 0, 2, 0]])
    cells = list_cells(labels)
    known = CellScores(cells.numbers, cells.prints, np.array([0.9, 0.8]), np.array([0.1, 0.2]))
    assert measure_cells(labels, cell_scores=known)["score"].tolist() == [0.9, 0.8]
    labels[1, 4] = 2
    table = measure_cells(labels, cell_scores=known)
    assert np.array_equal(table["score"], [0.9, np.nan], equal_nan=True)
    assert np.array_equal(table["doubt"], [0.1, np.nan], equal_nan=True)
