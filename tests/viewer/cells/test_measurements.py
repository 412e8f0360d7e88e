"""Measurements in the features table of a Labels layer."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.labels.cell_list import CellScores, list_cells
from napari_unet.engine.labels.measurements import PixelSize
from napari_unet.viewer.cells.cell_types import give_type, types_of_layer
from napari_unet.viewer.cells.measurements import (
    Measured,
    Request,
    measure,
    table_of,
    write_features,
)
from napari_unet.viewer.label_edits import Painted


@pytest.fixture
def cells() -> Labels:
    array = np.zeros((10, 10), np.int32)
    array[1:3, 1:3], array[5:9, 5:9] = 2, 5
    return Labels(array, name="cells")


def measured(layer: Labels, **images: np.ndarray) -> Measured:
    found = measure(Request(layer.data, images, None, False))
    assert found is not None
    return found


def test_measurements_are_rows_of_the_features_by_napari_s_index(cells: Labels) -> None:
    write_features(cells, measured(cells, dapi=np.ones((10, 10))).columns)

    assert cells.features["index"].tolist() == [2, 5]
    assert cells.features["area_px2"].tolist() == [4, 16]
    assert list(table_of(cells))[:2] == ["label", "area_px2"]
    # In the status bar.
    (text,) = [each for each in cells._get_properties((2, 2)) if each.startswith("area_px2")]
    assert text == "area_px2: 4"


def test_other_columns_stay_and_old_measurements_go(cells: Labels) -> None:
    give_type(cells, 5, "mitotic")
    write_features(cells, measured(cells, dapi=np.ones((10, 10))).columns)
    assert types_of_layer(cells) == {5: "mitotic"}
    give_type(cells, 2, "other")
    assert cells.features["area_px2"].tolist() == [4, 16]

    write_features(cells, measured(cells).columns)
    table = table_of(cells)
    assert table["type"].tolist() == ["other", "mitotic"]
    assert list(table)[:3] == ["label", "type", "area_px2"]
    assert not [name for name in table if "dapi" in name]


def test_the_type_of_a_cell_that_is_gone_comes_back_with_it(cells: Labels) -> None:
    give_type(cells, 5, "mitotic")
    write_features(cells, measured(cells).columns)
    before = cells.data.copy()

    cells.data[cells.data == 5] = 0
    write_features(cells, measured(cells).columns)
    assert table_of(cells)["label"].tolist() == [2]
    assert types_of_layer(cells) == {5: "mitotic"}

    cells.data[:] = before
    write_features(cells, measured(cells).columns)
    assert table_of(cells)["type"].tolist() == ["", "mitotic"]
    assert table_of(cells)["touches_border"].tolist() == [False, False]


def test_a_table_of_others_without_an_index_is_by_number(cells: Labels) -> None:
    cells.features = {"score": [np.nan, np.nan, 0.5, np.nan, np.nan, 0.25]}
    assert table_of(cells) == {}
    write_features(cells, measured(cells).columns)
    assert table_of(cells)["score"].tolist() == [0.5, 0.25]


def paint(labels: np.ndarray, box: tuple[slice, ...], number: int) -> Painted:
    before = labels[box].reshape(-1).copy()
    labels[box] = number
    return Painted(box, before, np.array([number]))


def assert_as_if_all_were_new(found: Measured | None, request: Request) -> None:
    wanted = measure(request)
    assert found is not None
    assert wanted is not None
    assert list(found.table) == list(wanted.table)
    for name, column in wanted.table.items():
        assert np.array_equal(found.table[name], column, equal_nan=column.dtype.kind == "f"), name
    assert not found.cells.changed_since(wanted.cells).size
    for number in wanted.cells.numbers.tolist():
        assert found.box(number) == wanted.box(number)


@pytest.mark.parametrize("takes_background", [False, True])
def test_what_was_painted_is_measured_as_if_all_was(takes_background: bool) -> None:
    rng = np.random.default_rng(3)
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((10, 10), int)).astype(np.int32)
    labels[::10] = labels[:, ::10] = 0
    image = rng.integers(0, 99, labels.shape)
    cells = list_cells(labels)
    known_scores = CellScores(cells.numbers, cells.prints, *rng.random((2, cells.numbers.size)))
    request = Request(labels, {"dapi": image}, None, takes_background, known_scores)
    known = measure(request)
    # A corner, a piece of two, all of one, a new one.
    for box, number in (
        ((slice(0, 3), slice(0, 3)), 1),
        ((slice(15, 17), slice(8, 13)), 0),
        ((slice(20, 30), slice(20, 30)), 14),
        ((slice(49, 50), slice(49, 50)), 60),
    ):
        known = measure(request, known, [paint(labels, box, number)])
        assert_as_if_all_were_new(known, request)
    assert measure(request, known) is None
    assert known is not None
    assert known.without_score == 6


def test_what_an_undo_or_another_program_has_changed_is_found(cells: Labels) -> None:
    request = Request(cells.data, {}, None, False)
    first = measure(request)
    assert measure(request, first) is None
    for where, number in (((0, 0), 2), ((9, 9), 0), ((6, 6), 7)):
        cells.data[where] = number
        assert_as_if_all_were_new(measure(request, first), request)
    cells.data[...] = 0
    found = measure(request, first)
    assert found is not None
    assert found.columns["label"].size == 0


def test_other_choices_and_another_image_measure_all_cells(cells: Labels) -> None:
    image = np.ones((10, 10))
    known = measure(Request(cells.data, {"dapi": image}, None, False))
    assert measure(Request(cells.data, {"dapi": image}, None, False), known) is None
    for request in (
        Request(cells.data, {"dapi": image + 1}, None, False),
        Request(cells.data, {"gfp": image}, None, False),
        Request(cells.data, {"dapi": image}, None, True),
        Request(cells.data, {"dapi": image}, PixelSize((1, 1), "um"), False),
    ):
        assert_as_if_all_were_new(measure(request, known), request)


def test_each_cell_has_its_box(cells: Labels) -> None:
    found = measured(cells)
    assert found.box(5) == (slice(5, 9), slice(5, 9))
    assert found.box(3) is None
    assert found.box(6) is None


def test_background_is_taken_off_and_told(cells: Labels) -> None:
    image = np.where(cells.data > 0, 12.0, 2.0)
    found = measure(Request(cells.data, {"dapi": image}, None, True))
    assert found is not None
    assert found.columns["intensity_mean_dapi"].tolist() == [10, 10]
    assert found.columns["background_dapi"].tolist() == [2, 2]


def test_labels_of_another_machine_and_lazy_ones_are_measured(cells: Labels) -> None:
    import dask.array

    for labels in (cells.data.astype(">i4"), dask.array.from_array(cells.data)):
        found = measure(Request(labels, {"dapi": labels}, None, False))
        assert found is not None
        assert found.columns["intensity_max_dapi"].tolist() == [2, 5]


def test_labels_without_pixels_are_refused() -> None:
    with pytest.raises(LabelsError, match="have no pixels"):
        measure(Request(np.zeros((0, 5), np.int32), {}, None, False))
