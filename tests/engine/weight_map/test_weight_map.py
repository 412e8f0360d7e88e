"""The boundary weight map against hand-made values and the brute-force definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.ndimage import distance_transform_edt

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.weight_map import (
    boundary_weight_map,
    check_labels,
    looks_like_mask,
    number_pieces,
    separate_touching_cells,
    why_no_border,
)


def distances_by_definition(labels, spacing):
    """To the nearest and to the second nearest cell, one distance transform per cell."""
    cells = [value for value in np.unique(labels) if value > 0]
    far = [np.full(labels.shape, np.inf)] * 2
    transforms = [distance_transform_edt(labels != cell, sampling=spacing) for cell in cells]
    return np.sort(far + transforms, axis=0)[:2]


def border_term_by_definition(labels, w0, sigma, spacing):
    """The paper's Eq. 2."""
    near, far = distances_by_definition(labels, spacing)
    return np.where(labels == 0, w0 * np.exp(-((near + far) ** 2) / (2 * sigma**2)), 0)


def touching_by_definition(labels):
    """Cells without each pixel that shares at least a corner with a cell of a lower number."""
    separated = labels.copy()
    for place in np.argwhere(labels > 0):
        around = labels[tuple(slice(max(0, n - 1), n + 2) for n in place)]
        if ((around > 0) & (around < labels[tuple(place)])).any():
            separated[tuple(place)] = 0
    return separated


def test_one_pixel_gap_weighs_w0_at_distance_one_from_both():
    weights = boundary_weight_map(np.array([[1, 1, 0, 2, 2]]), class_balance=False)
    assert np.allclose(weights, [[1, 1, 1 + 10 * math.exp(-4 / 50), 1, 1]])


def test_narrower_gap_weighs_more():
    labels = np.zeros((3, 40), int)
    labels[:, :5], labels[:, 7:12], labels[:, 20:25] = 1, 2, 3
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights[1, 5] > weights[1, 15] > 1


def test_gap_between_touching_cells_weighs_most():
    labels = np.array([[0, 1, 1, 1, 2, 2, 2, 0, 0, 3]])
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights.argmax() == 4  # the pixel the second cell gave
    assert weights[0, 4] == pytest.approx(1 + 10 * math.exp(-4 / 50))


def test_touching_cells_left_together_have_no_gap_to_weigh():
    labels = np.array([[1, 1, 2, 2]])
    together = boundary_weight_map(labels, class_balance=False, separate_touching=False)
    assert np.array_equal(together, np.ones((1, 4)))


def test_carved_gap_is_one_pixel_and_uncrossable():
    labels = np.array(
        [
            [1, 1, 2, 2],
            [1, 1, 2, 2],
            [3, 3, 4, 4],
        ]
    )
    expected = np.array(
        [
            [1, 1, 0, 2],
            [1, 1, 0, 2],
            [0, 0, 0, 0],
        ]
    )
    assert np.array_equal(separate_touching_cells(labels), expected)
    assert labels[0, 2] == 2  # the labels given are not changed


def test_class_balance_gives_both_classes_the_same_total():
    labels = np.zeros((10, 10), int)
    labels[:2, :5] = 1
    weights = boundary_weight_map(labels)
    assert weights[labels > 0].sum() == pytest.approx(50)
    assert weights[labels == 0].sum() == pytest.approx(50)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((5, 5), int),
        np.ones((5, 5), int),
        np.pad(np.ones((2, 2), int), 3),
        np.zeros((0, 4), int),
        np.zeros((1, 1), np.uint8),
    ],
)
def test_fewer_than_two_cells_have_no_border_term(labels):
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, np.ones(labels.shape))


NUMBERS = [0, 0, 0, 0, 0, 1, 2, 70_000, 2**40]


def label_images(numbers=NUMBERS):
    """Noise, one-pixel cells and cells of several pieces; also one pixel wide, also empty."""
    shapes = st.one_of(
        npst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=24),
        npst.array_shapes(min_dims=3, max_dims=3, max_side=9),
    )
    return shapes.flatmap(
        lambda shape: npst.arrays(np.int64, shape, elements=st.sampled_from(numbers))
    )


@settings(deadline=None, max_examples=150)
@given(
    labels=label_images(),
    steps=st.one_of(
        st.lists(st.floats(0.3, 4), min_size=3, max_size=3), st.just([1, 1, 1]), st.just([2, 2, 2])
    ),
    w0=st.floats(0.1, 10),
    sigma=st.floats(0.5, 8),
    separate=st.booleans(),
)
def test_map_equals_its_definition(labels, steps, w0, sigma, separate):
    spacing = steps[: labels.ndim]
    weights = boundary_weight_map(
        labels,
        w0=w0,
        border_sigma_px=sigma,
        spacing=spacing,
        class_balance=False,
        separate_touching=separate,
    )
    cells = separate_touching_cells(labels) if separate else labels
    expected = 1 + border_term_by_definition(cells, w0, sigma, spacing)
    assert weights.shape == labels.shape
    assert np.abs(weights - expected).max(initial=0) <= 2e-6


@settings(deadline=None)
@given(labels=label_images([*NUMBERS, -1]))
def test_carving_takes_what_meets_a_lower_number_and_nothing_else(labels):
    assert np.array_equal(separate_touching_cells(labels), touching_by_definition(labels))


@settings(deadline=None)
@given(
    labels=label_images(),
    lambda_=st.floats(0.1, 50),
    sigma=st.floats(0.5, 6),
    background_sigma=st.floats(0.5, 10),
    background=st.floats(0, 1),
)
def test_fiji_map_equals_its_definition(labels, lambda_, sigma, background_sigma, background):
    weights = boundary_weight_map(
        labels,
        variant="fiji",
        w0=lambda_,
        border_sigma_px=sigma,
        background_weight=background,
        background_sigma_px=background_sigma,
    )
    cells = touching_by_definition(labels)
    near, _ = distances_by_definition(cells, None)
    expected = background + border_term_by_definition(cells, lambda_, sigma, None)
    expected += (1 - background) * np.exp(-(near**2) / (2 * background_sigma**2))
    # Rounding to float32 grows with the weights, which are up to 5 times those of w0 = 10.
    assert np.abs(weights - np.where(cells > 0, 1, expected)).max(initial=0) <= 1e-5


def test_fiji_variant_has_the_numbers_of_the_plugin():
    settings = WeightMapSettings.of("fiji")
    assert (settings.w0, settings.border_sigma_px) == (50, 6)
    assert (settings.background_weight, settings.background_sigma_px) == (0.1, 10)
    weights = boundary_weight_map(np.array([[1, 0, 0, 2]]), variant="fiji")
    expected = 0.1 + 50 * math.exp(-9 / 72) + 0.9 * math.exp(-1 / 200)
    assert weights == pytest.approx(np.array([[1, expected, expected, 1]]))
    assert np.array_equal(boundary_weight_map(np.array([[1, 0, 0, 2]]), settings=settings), weights)


def test_far_background_counts_a_tenth_with_fijis_numbers():
    labels = np.zeros((9, 200), int)
    labels[:, :3] = 1
    weights = boundary_weight_map(labels, variant="fiji")
    assert weights[4, 3] == pytest.approx(0.1 + 0.9 * math.exp(-1 / 200))
    assert np.all(np.diff(weights[4, 3:60]) < 0)
    assert weights[4, 199] == np.float32(0.1)


@settings(deadline=None)
@given(labels=label_images([0, 0, 0, 1, 2, 3, -1]), balanced=st.booleans())
def test_ignored_pixels_weigh_nothing_and_count_for_nothing(labels, balanced):
    weights = boundary_weight_map(labels, ignore_label=-1, class_balance=balanced)
    ignored = labels == -1
    cells = touching_by_definition(np.where(ignored, 0, labels))
    assert not weights[ignored].any()
    expected = 1 + border_term_by_definition(cells, 10, 5, None)
    background, inside = (cells == 0) & ~ignored, cells > 0
    if balanced and background.any() and inside.any():
        counted = background.sum() + inside.sum()
        expected[background] += counted / (2 * background.sum()) - 1
        expected[inside] += counted / (2 * inside.sum()) - 1
    # Class balance may lift weights far above 10.
    assert weights[~ignored] == pytest.approx(expected[~ignored], rel=3e-7, abs=2e-6)


def discs(shape, count, radius, seed=0):
    """Cells that may overlap, the later ones above the earlier."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        centre = [rng.uniform(0, n) for n in shape]
        grid = np.ogrid[tuple(slice(0, n) for n in shape)]
        labels[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2] = number
    return labels


@pytest.mark.parametrize(
    ("labels", "sigma", "spacing"),
    [
        (discs((300, 40), 30, 6), 5, None),  # several bands of rows
        (discs((40, 300), 3, 9), 12, None),
        (discs((90, 90), 12, 9), 60, None),  # a reach beyond the image
        (discs((40, 60, 50), 12, 6), 5, None),
        (discs((20, 60, 50), 12, 6), 5, (3, 1, 1)),
        (discs((300, 40), 30, 6), 0.5, (0.1, 0.2)),
        (discs((90, 90), 40, 3), 0.05, None),  # only neighbours count
    ],
)
def test_larger_images_equal_the_definition(labels, sigma, spacing):
    weights = boundary_weight_map(
        labels, border_sigma_px=sigma, spacing=spacing, class_balance=False
    )
    cells = separate_touching_cells(labels)
    expected = 1 + border_term_by_definition(cells, 10, sigma, spacing)
    assert np.abs(weights - expected).max() <= 2e-6


def test_threads_change_nothing():
    labels = discs((900, 1100), 200, 12)
    one = boundary_weight_map(labels)
    assert np.array_equal(boundary_weight_map(labels, workers=3), one)


def test_many_numbers_or_large_ones_change_nothing():
    labels = discs((200, 300), 80, 9)
    plain = boundary_weight_map(labels)
    for dtype, factor in ((np.uint16, 700), (np.int64, 10**12), (np.uint64, 2**56)):
        numbers = labels.astype(dtype) * dtype(factor)
        assert np.array_equal(boundary_weight_map(numbers), plain)
    # Beside so many numbers distances take more than 32 bits.
    big = np.zeros((1100, 1000), np.int32)
    big[:200, :300] = labels + 1_090_000 * (labels > 0)
    assert np.array_equal(
        boundary_weight_map(big, class_balance=False)[:160],
        boundary_weight_map(np.where(big > 0, big - 1_090_000, 0), class_balance=False)[:160],
    )


def test_a_map_without_class_balance_does_not_depend_on_what_lies_beyond_the_reach():
    labels = discs((200, 210), 60, 7)
    weights = boundary_weight_map(labels, class_balance=False)
    part = boundary_weight_map(labels[50:190, 60:200], class_balance=False)
    assert np.array_equal(part[33:-33, 33:-33], weights[83:157, 93:167])


@pytest.mark.parametrize("count", [2, 12, 150])
def test_distances_beyond_the_reach_change_nothing(count):
    rng = np.random.default_rng(count)
    labels = np.zeros((150, 170), np.uint16)
    for cell in range(1, count + 1):
        y, x = rng.integers(0, 150), rng.integers(0, 170)
        labels[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = cell
    expected = border_term_by_definition(separate_touching_cells(labels), 10, 5, None)
    weights = boundary_weight_map(labels, class_balance=False)
    assert np.abs(weights - 1 - expected).max() <= 2e-6


def test_disconnected_pieces_of_one_cell_are_one_cell():
    labels = np.array([[1, 0, 0, 1, 0, 2]])
    weights = boundary_weight_map(labels, class_balance=False)
    assert weights[0, 1] == pytest.approx(1 + 10 * math.exp(-((1 + 4) ** 2) / 50))


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (np.zeros((2, 2, 2, 2), int), {}, ImageShapeError, r"give \(H, W\) or \(Z, H, W\)"),
        (np.full((4, 4), 0.5), {}, LabelsError, "numbers that are not whole"),
        (np.zeros((64, 64, 3), np.uint8), {}, ImageShapeError, "as a colour picture has"),
        (np.zeros((4, 4), int), {"variant": "ours"}, SettingsError, "use 'paper' or 'fiji'"),
        (np.zeros((4, 4), int), {"background_weight": 2}, SettingsError, "from 0 to 1"),
        (np.zeros((4, 4), int), {"w0": math.nan}, SettingsError, "w0 is nan; use a positive"),
        (np.zeros((4, 4), int), {"w0": 0}, SettingsError, "w0 is 0; use a positive"),
        (np.zeros((4, 4), int), {"border_sigma_px": -1}, SettingsError, "use a positive distance"),
        (np.zeros((4, 4), int), {"spacing": (1, 2, 3)}, SettingsError, "each of the 2 axes"),
    ],
)
def test_bad_input_is_answered_with_one_sentence(labels, options, error, message):
    with pytest.raises(error, match=message):
        boundary_weight_map(labels, **options)


def test_numbers_below_0_are_background_and_whole_floats_are_labels():
    labels = np.array([[1, 1, 0, 2, 2, 0, 0, 0]])
    expected = boundary_weight_map(labels)
    for same in (np.where(labels == 0, -1, labels), labels.astype(float)):
        assert np.array_equal(boundary_weight_map(same), expected)
    marked = np.array([[1, 1, 0, 2, 2, -1, -2, -2]])
    weights = boundary_weight_map(marked, ignore_label=-1)
    assert weights[0, 5] == 0
    assert np.array_equal(
        weights, boundary_weight_map(np.maximum(marked, 0) + 9 * (marked == -1), ignore_label=9)
    )


def test_labels_without_a_gap_are_told_apart():
    mask = np.zeros((8, 8), np.uint8)
    assert why_no_border(mask) == (
        "The labels hold no cell, so the border term is zero everywhere."
    )
    mask[1:3, 1:3] = 255
    assert "The labels hold one cell; a gap needs two" in why_no_border(mask)
    assert not looks_like_mask(mask)
    mask[5:7, 5:7] = 255
    sentence = why_no_border(mask)
    assert "every cell has the number 255, so that all are one object" in sentence
    assert "number its connected pieces first, which takes cells that touch for one" in sentence
    assert looks_like_mask(mask)
    assert looks_like_mask(mask > 0)
    assert why_no_border(number_pieces(mask)) is None


def test_an_image_given_for_labels_is_told_apart_and_small_cells_are_not_taken_for_one():
    picture = np.random.default_rng(0).integers(0, 4000, (60, 60), np.uint16)
    assert why_no_border(picture).startswith("Hardly any two neighbouring pixels")
    tiny = np.zeros((80, 80), int)
    for y, x in np.ndindex(2, 2):
        tiny[y::4, x::4] = np.arange(1, 401).reshape(20, 20)
    assert why_no_border(tiny) is None


def test_pieces_of_each_slice_get_numbers_of_their_own():
    mask = np.zeros((2, 3, 5), int)
    mask[:, 0, :2] = mask[0, 2, 4] = mask[1, 0, 4] = 7

    assert number_pieces(mask, axes=2)[0].max() == 2
    assert sorted(np.unique(number_pieces(mask, axes=2)[1])) == [0, 3, 4]
    # Through the slices the first one is a single piece.
    assert number_pieces(mask).max() == 3


def test_pieces_of_a_mask_become_cells_and_those_that_touch_become_one():
    mask = np.array(
        [
            [255, 0, 0, 255],
            [0, 255, 0, 255],
        ]
    )
    assert np.array_equal(number_pieces(mask), [[1, 0, 0, 2], [0, 1, 0, 2]])
    assert np.array_equal(number_pieces(mask > 0), number_pieces(mask))


def test_numbers_beyond_the_pixels_are_replaced_in_the_same_order():
    assert np.array_equal(check_labels(np.array([[2**60, 0, 7, 7, 2**40]])), [[3, 0, 1, 1, 2]])
    assert np.array_equal(check_labels(np.array([[9, 7]])), [[2, 1]])
    labels = np.array([[3, 0, 250]])
    assert np.array_equal(check_labels(labels, ignore_label=250), [[3, 0, -1]])
