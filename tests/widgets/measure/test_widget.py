"""The Measure widget: a table that is sorted, visited, saved, and follows the labels."""

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_unet.engine.labels.cell_list import CellScores, list_cells
from napari_unet.viewer.cells.cell_scores import keep_cell_scores
from napari_unet.viewer.cells.cell_types import give_type
from napari_unet.viewer.gestures import LEFT, Click
from napari_unet.widgets.measure import widget as module
from napari_unet.widgets.measure.widget import MeasureWidget


def press(widget: MeasureWidget, qtbot: QtBot) -> None:
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)


def wait(widget: MeasureWidget, qtbot: QtBot) -> None:
    def is_over() -> bool:
        return not widget.job.is_running and not widget.edits.are_settling

    qtbot.waitUntil(is_over, timeout=60_000)


def measure(widget: MeasureWidget, qtbot: QtBot) -> str:
    press(widget, qtbot)
    wait(widget, qtbot)
    return str(widget.sentence.message)


def header(widget: MeasureWidget) -> list[str]:
    model = widget.table.cells
    names = range(model.columnCount())
    return [str(model.headerData(at, Qt.Orientation.Horizontal)) for at in names]


def column(widget: MeasureWidget, name: str) -> list[str]:
    model, at = widget.table.cells, header(widget).index(name)
    return [str(model.data(model.index(row, at))) for row in range(model.rowCount())]


def tick(widget: MeasureWidget, row: int, *, on: bool) -> None:
    item = widget.form.image_list.item(row)
    assert item is not None
    item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def offered(widget: MeasureWidget) -> list[str]:
    return [item.text() for item in widget.form._items()]


def test_a_press_measures_into_the_table_and_the_features(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    assert widget.form.unit_box.text() == "In µm"
    assert measure(widget, qtbot) == "3 cells in 'cells'. Click a row, or a cell."
    assert column(widget, "label") == ["1", "2", "3"]
    assert column(widget, "area_um2") == ["25", "25", "25"]
    assert column(widget, "intensity_mean_dapi") == ["200", "200", "200"]
    assert column(widget, "touches_border") == ["no", "no", "no"]
    assert cells.features["area_um2"].tolist() == [25, 25, 25]

    widget.form.unit_box.setChecked(False)
    widget.form.background_box.setChecked(True)
    measure(widget, qtbot)
    assert column(widget, "area_px2") == ["100", "100", "100"]
    assert column(widget, "intensity_sum_dapi") == ["18000"] * 3
    tick(widget, 0, on=False)
    measure(widget, qtbot)
    assert not [name for name in header(widget) if "dapi" in name]


def test_images_of_the_grid_are_offered_and_colours_apart(
    viewer: ViewerModel, widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    tick(widget, 0, on=False)
    colours = np.zeros((*cells.data.shape, 4), np.uint8)
    colours[..., 1] = cells.data
    viewer.add_image(colours, rgb=True, name="he")
    viewer.add_image(np.zeros((3, 64, 80)), name="channels")
    viewer.add_image(np.zeros((64, 80)), name="scores", metadata={"napari_unet_scores": []})
    assert offered(widget) == ["dapi", "he"]
    assert widget.form.left_out.message.startswith("On another grid than the labels: 'channels'.")

    viewer.layers["dapi"].name = "renamed"
    assert offered(widget) == ["renamed", "he"]
    measure(widget, qtbot)
    assert column(widget, "intensity_mean_he green") == ["1", "2", "3"]
    assert "intensity_mean_he blue" in header(widget)
    assert not [name for name in header(widget) if "renamed" in name or "alpha" in name]


def test_rows_are_sorted_and_a_chosen_cell_stays_chosen(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    measure(widget, qtbot)
    widget.table.choose(1)
    widget.table.sortByColumn(header(widget).index("centroid_x_um"), Qt.SortOrder.DescendingOrder)
    assert column(widget, "label") == ["3", "2", "1"]
    assert widget.table.chosen == 1

    give_type(cells, 2, "b")
    give_type(cells, 3, "a")
    assert widget.table.chosen == 1
    widget.table.sortByColumn(header(widget).index("type"), Qt.SortOrder.AscendingOrder)
    assert column(widget, "type") == ["", "a", "b"]
    assert widget.table.chosen == 1


def test_a_row_leads_to_its_cell_and_a_cell_to_its_row(
    viewer: ViewerModel, widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    cells.mode = "paint"
    measure(widget, qtbot)
    assert cells.mode == "pan_zoom"
    place = widget.table.visualRect(widget.table.cells.index(2, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((22.25, 32.25))

    widget.gestures.clicked.emit(Click((0, 0), 2, LEFT))
    assert widget.table.chosen == 2
    assert camera.center[-2:] == pytest.approx((22.25, 32.25))
    qtbot.keyClick(widget.table, Qt.Key.Key_Up)
    assert widget.table.chosen == 1
    assert camera.center[-2:] == pytest.approx((4.75, 4.75))


def test_labels_that_are_painted_are_measured_anew_after_a_pause(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    measure(widget, qtbot)
    cells.mode = "paint"
    cells.data_setitem((np.array([20]), np.array([20])), 4)
    assert widget.sentence.message.startswith("The labels have changed; the table is of those")
    assert column(widget, "label") == ["1", "2", "3"]
    wait(widget, qtbot)
    assert column(widget, "label") == ["1", "2", "3", "4"]
    assert widget.sentence.message.startswith("4 cells in 'cells'")
    assert cells.mode == "paint"

    cells.undo()
    wait(widget, qtbot)
    assert column(widget, "label") == ["1", "2", "3"]

    cells.data = np.zeros((5, 5), np.int32)
    wait(widget, qtbot)
    assert column(widget, "label") == []
    assert widget.sentence.message.startswith("'cells' has no cells, its labels are all 0; run")


def test_a_stroke_measures_its_cells_alone_and_rows_stay_where_they_are(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(widget, qtbot)
    widget.table.sortByColumn(header(widget).index("area_um2"), Qt.SortOrder.DescendingOrder)
    widget.table.choose(2)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("all cells were measured")

    monkeypatch.setattr("napari_unet.engine.labels.measurements.measure_cells", refuse)
    first = tuple(np.array([n]) for n in np.argwhere(cells.data == 1)[0])
    cells.data_setitem(first, 0)
    cells.data_setitem((np.array([20, 20]), np.array([20, 21])), 4)
    # At once, not after the pause.
    qtbot.waitUntil(lambda: widget.table.cells.rowCount() == 4, timeout=20_000)
    assert widget.edits.are_settling
    # The smaller one has not gone down, and the new one is last.
    assert column(widget, "label") == ["1", "2", "3", "4"]
    assert column(widget, "area_um2") == ["24.75", "25", "25", "0.5"]
    assert widget.table.chosen == 2
    wait(widget, qtbot)
    cells.undo()
    cells.undo()
    wait(widget, qtbot)
    assert column(widget, "area_um2") == ["25", "25", "25"]
    assert widget.table.chosen == 2
    assert widget.sentence.message.startswith("3 cells in 'cells'")


def test_scores_are_columns_and_cells_that_were_changed_have_none(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    found = list_cells(cells.data)
    values = np.array([0.5, 0.75, 1])
    keep_cell_scores(cells, CellScores(found.numbers, found.prints, values, 1 - values))
    measure(widget, qtbot)
    assert column(widget, "score") == ["0.5", "0.75", "1"]
    assert column(widget, "doubt") == ["0.5", "0.25", "0"]

    first = tuple(np.array([n]) for n in np.argwhere(cells.data == 2)[0])
    cells.data_setitem(first, 0)
    wait(widget, qtbot)
    assert column(widget, "score") == ["0.5", "", "1"]
    assert widget.sentence.message.endswith(
        "1 was made or changed by hand: the model has given no score."
    )
    cells.undo()
    wait(widget, qtbot)
    assert column(widget, "score") == ["0.5", "0.75", "1"]
    assert widget.sentence.message == "3 cells in 'cells'. Click a row, or a cell."


def test_types_that_are_given_are_in_the_table_at_once(
    widget: MeasureWidget, cells: Labels, qtbot: QtBot
) -> None:
    measure(widget, qtbot)
    give_type(cells, 2, "mitotic")
    assert column(widget, "type") == ["", "mitotic", ""]
    assert column(widget, "area_um2") == ["25", "25", "25"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets measuring wait until this is set."""
    go_on, own = threading.Event(), module.measure

    def measure(*given: Any) -> Any:
        go_on.wait(20)
        return own(*given)

    monkeypatch.setattr(module, "measure", measure)
    yield go_on
    go_on.set()


def test_a_layer_that_goes_while_it_is_measured_is_told(
    viewer: ViewerModel,
    widget: MeasureWidget,
    cells: Labels,
    held: threading.Event,
    qtbot: QtBot,
) -> None:
    press(widget, qtbot)
    assert widget.button.text() == "Stop"
    cells.name = "renamed"
    viewer.layers.remove(cells)
    held.set()
    wait(widget, qtbot)
    assert widget.sentence.message == "'renamed' was removed."
    assert widget.button.text() == "Measure"
    assert "area_um2" not in cells.features


def test_data_that_is_replaced_while_it_is_measured_is_measured_anew(
    widget: MeasureWidget, cells: Labels, held: threading.Event, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    cells.data = np.pad(cells.data, 5)
    held.set()
    wait(widget, qtbot)
    assert column(widget, "centroid_y_um") == ["7.25", "7.25", "24.75"]
    assert widget.sentence.message.startswith("3 cells")
    assert widget.gestures.layer == cells


def test_cells_that_are_painted_while_they_are_measured_are_in_the_table(
    widget: MeasureWidget, cells: Labels, held: threading.Event, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    cells.data_setitem((np.array([20]), np.array([20])), 4)
    cells.name = "renamed"
    held.set()
    wait(widget, qtbot)
    assert column(widget, "label") == ["1", "2", "3", "4"]
    assert widget.sentence.message.startswith("4 cells in 'renamed'")


def test_a_press_while_it_measures_stops(
    widget: MeasureWidget, cells: Labels, held: threading.Event, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    press(widget, qtbot)
    held.set()
    wait(widget, qtbot)
    assert widget.sentence.message == "Stopped; the table is as it was."
    assert "area_um2" not in cells.features


def test_a_stack_is_measured_as_a_volume_and_a_film_is_refused(
    viewer: ViewerModel, widget: MeasureWidget, square_labels: NDArray[np.int32], qtbot: QtBot
) -> None:
    stack = np.stack([square_labels] * 4)
    options: dict[str, Any] = {"scale": (2, 1, 1), "units": ("um", "um", "um")}
    layer = viewer.add_labels(stack, name="stack", **options)
    measure(widget, qtbot)
    assert column(widget, "volume_um3") == ["800"] * 3
    viewer.dims.set_point(0, 6)
    widget.table.cell_chosen.emit(3)
    assert viewer.dims.point[0] == 2

    layer.axis_labels = ("t", "y", "x")
    assert "'stack' counts time along its first axis" in measure(widget, qtbot)
    viewer.add_labels(np.zeros((2, 2, 4, 4), int), name="four")
    assert "with two or three axes" in measure(widget, qtbot)
    assert header(widget) == []


def test_without_labels_one_sentence_says_what_to_do(
    widget: MeasureWidget, cells: Labels, viewer: ViewerModel, qtbot: QtBot
) -> None:
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    assert widget.sentence.message == "There is no table yet; press Measure."
    viewer.layers.clear()
    assert measure(widget, qtbot).startswith("There is no labels layer")
    assert widget.button.text() == "Measure"


def test_the_table_is_saved_with_the_types(
    widget: MeasureWidget,
    cells: Labels,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_type(cells, 2, "mitotic")
    measure(widget, qtbot)

    def save(name: str, kind: str = "") -> str:
        chosen = (str(tmp_path / name), kind)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
        widget.sentence.show_text()
        qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: bool(widget.sentence.message), timeout=20_000)
        return str(widget.sentence.message)

    assert save("t") == f"The table is in '{tmp_path / 't.csv'}'."
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["type"] for row in rows] == ["", "mitotic", ""]
    assert rows[0]["area_um2"] == "25"

    # The dialog offers a name that ends in .csv.
    assert save("t.csv", "Parquet (*.parquet)") == f"The table is in '{tmp_path / 't.parquet'}'."
    pyarrow = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.read_table(tmp_path / "t.parquet").to_pydict()
    assert table["area_um2"] == [25.0] * 3
    assert table["type"] == ["", "mitotic", ""]
    assert table["touches_border"] == [False] * 3

    below_a_file = str(tmp_path / "t.csv" / "t.csv")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (below_a_file, ""))
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "The table is in" not in widget.sentence.message, timeout=20_000)
    assert below_a_file in widget.sentence.message


def test_nothing_is_followed_after_the_widget_is_closed(
    widget: MeasureWidget, viewer: ViewerModel, cells: Labels, qtbot: QtBot
) -> None:
    measure(widget, qtbot)
    widget.close()
    assert widget.edits.layer is None
    assert not [each for each in viewer.mouse_drag_callbacks if hasattr(each, "__self__")]
