"""The Evaluate widget: errors in figures, colours and rows, which follow the labels."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_labels import grid, with_errors
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_unet.viewer.gestures import LEFT, Click
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.evaluate import widget as module
from napari_unet.widgets.evaluate.widget import EvaluateWidget


@pytest.fixture
def truth(viewer: ViewerModel) -> Labels:
    viewer.add_image(grid().astype(np.uint8), name="dapi")
    return viewer.add_labels(grid(), name="truth")


@pytest.fixture
def found(viewer: ViewerModel, truth: Labels) -> Labels:
    return viewer.add_labels(with_errors(grid()), name="cells")


@pytest.fixture
def widget(viewer: ViewerModel, found: Labels, shown: Callable[..., Any]) -> EvaluateWidget:
    return shown(EvaluateWidget(viewer))


def press(widget: EvaluateWidget, qtbot: QtBot) -> None:
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)


def wait(widget: EvaluateWidget, qtbot: QtBot) -> None:
    def is_over() -> bool:
        return not widget.job.is_running and not any(each.are_settling for each in widget.edits)

    qtbot.waitUntil(is_over, timeout=60_000)


def compare(widget: EvaluateWidget, qtbot: QtBot) -> str:
    press(widget, qtbot)
    wait(widget, qtbot)
    return str(widget.sentence.message)


def column(widget: EvaluateWidget, name: str) -> list[str]:
    model = widget.table.cells
    names = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())]
    at = names.index(name)
    return [str(model.data(model.index(row, at))) for row in range(model.rowCount())]


def errors_of(viewer: ViewerModel, name: str = "cells: errors") -> Labels:
    layer: Labels = viewer.layers[name]
    return layer


def test_a_press_tells_figures_and_shows_and_lists_every_error(
    viewer: ViewerModel, widget: EvaluateWidget, qtbot: QtBot
) -> None:
    assert [layer.name for layer in widget.form.pair if layer is not None] == ["truth", "cells"]
    assert compare(widget, qtbot) == "4 errors; 25 true cells, 25 found."
    assert column(widget, "kind") == ["merged", "missed", "split", "false"]
    assert column(widget, "true") == ["2, 3", "1", "4", ""]
    assert column(widget, "found") == ["2", "", "4, 100", "101"]
    assert column(widget, "IoU") == ["0.375", "0", "0.667", "0"]
    assert column(widget, "pixels") == ["96", "36", "36", "9"]
    text = widget.figures.text()
    assert "<b>0.88</b>" in text
    assert "0.70 to 0.96" in text  # Wilson's interval of 22 of 25
    assert widget.note.message == ""

    shown = errors_of(viewer)
    assert [int(shown.data[place]) for place in ((3, 3), (3, 20), (2, 33), (48, 48), (13, 3))] == [
        *(2, 4, 5, 3, 1)
    ]
    # Between the two true cells in the merged one nothing is taken away, as they do not touch.
    assert shown.data[6, 33] == 5
    assert shown.data[4, 33] == 0  # between the two found cells in the split one
    assert not viewer.layers["truth"].visible
    assert viewer.layers.selection.active == shown
    # Nobody is offered it where cells are asked for.
    assert widget.form.found_choice.count() == 2


def test_the_curve_is_that_of_the_scores(widget: EvaluateWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    qtbot.waitUntil(lambda: widget.curve.has_plots, timeout=60_000)
    x, y = widget.curve._lines["ap"].getOriginalDataset()
    assert x[0] == 0.5
    assert len(x) == 10
    assert y[0] == pytest.approx(22 / 28)  # 22 right, 3 missed, 3 extra
    assert y[-1] == pytest.approx(21 / 29)  # the split one is not right any more
    low, high = (edge.getOriginalDataset()[1][0] for edge in widget.curve._edges)
    assert low < 22 / 28 < high


def test_a_row_leads_to_its_error_and_a_cell_to_its_row(
    viewer: ViewerModel, widget: EvaluateWidget, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    place = widget.table.visualRect(widget.table.cells.index(3, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((48, 48))

    widget.gestures.clicked.emit(Click((3.4, 2.6), 2, LEFT))
    assert widget.table.chosen == 2
    assert camera.center[-2:] == pytest.approx((48, 48))
    for nowhere in ((13, 3), (-3, 3), (3, 99)):  # a right cell, and outside of the labels
        widget.gestures.clicked.emit(Click(nowhere, 1, LEFT))
        assert widget.table.chosen == 2

    cells = viewer.layers["cells"]
    viewer.layers.selection.active = cells
    cells.visible, cells.mode = True, "paint"
    widget.gestures.clicked.emit(Click((48, 48), 3, LEFT))
    assert widget.table.chosen == 2  # who paints is not led away


def test_labels_that_are_painted_are_compared_anew_after_a_pause(
    viewer: ViewerModel, widget: EvaluateWidget, found: Labels, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    found.data_setitem(np.nonzero(grid() == 1), 1)
    assert widget.sentence.message.startswith("The labels have changed; what is shown is of those")
    assert len(column(widget, "kind")) == 4
    wait(widget, qtbot)
    assert column(widget, "kind") == ["merged", "split", "false"]
    assert errors_of(viewer).data[3, 3] == 1
    assert widget.sentence.message.startswith("3 errors")

    viewer.layers.remove("cells: errors")
    viewer.layers["truth"].data = np.where(grid() == 4, 0, grid())
    wait(widget, qtbot)
    assert column(widget, "kind") == ["merged", "false", "false", "false"]
    # It was taken away, and comes back when it is asked for.
    assert "cells: errors" not in viewer.layers
    compare(widget, qtbot)
    assert errors_of(viewer).data[2, 33] == 3


def test_what_is_right_is_judged_again_at_another_overlap(
    widget: EvaluateWidget, found: Labels, qtbot: QtBot
) -> None:
    found.data = np.where(grid() == 4, 0, grid())
    found.data_setitem((np.arange(11, 17), np.full(6, 1)), 0)  # 30 of 36 pixels are left of cell 6
    assert compare(widget, qtbot).startswith("1 error;")
    widget.form.iou_box.setValue(0.85)
    wait(widget, qtbot)
    assert column(widget, "kind") == ["missed", "poor outline"]
    assert widget.sentence.message.startswith("2 errors;")


def test_layers_that_cannot_be_compared_are_told_in_one_sentence(
    viewer: ViewerModel, widget: EvaluateWidget, qtbot: QtBot
) -> None:
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    assert widget.sentence.message == "There is nothing to report yet; press Compare."
    viewer.add_labels(np.zeros((20, 50), int), name="small")
    widget.form.truth_choice.choose("small")
    assert compare(widget, qtbot) == (
        "'small' has 20 x 50 pixels and 'cells' 50 x 50; choose labels of the same image."
    )
    assert widget.button.text() == "Compare"
    widget.form.truth_choice.choose("cells")
    assert compare(widget, qtbot).startswith("The truth and the result are two labels layers")
    viewer.layers.clear()
    assert compare(widget, qtbot).startswith("The truth and the result are two labels layers")


def test_a_mask_and_no_cells_at_all_are_told(
    viewer: ViewerModel, widget: EvaluateWidget, truth: Labels, found: Labels, qtbot: QtBot
) -> None:
    found.data = (grid() > 0).astype(np.int32)
    compare(widget, qtbot)
    assert widget.note.message.startswith("'cells' is a mask: 25 separate pieces have the one")
    assert widget.note.message.endswith("so they count as one cell.")

    truth.data, found.data = np.zeros((2, 50, 50), np.int32)
    wait(widget, qtbot)
    assert widget.sentence.message == "There are no cells, neither true nor found."
    assert widget.note.message == ""
    assert not widget.curve.isVisible()
    assert "too few for scores" in widget.figures.text()
    assert not errors_of(viewer).data.any()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets comparing wait until this is set."""
    go_on, own = threading.Event(), module.compare

    def compare(*given: Any) -> Any:
        go_on.wait(20)
        return own(*given)

    monkeypatch.setattr(module, "compare", compare)
    yield go_on
    go_on.set()


def test_a_layer_that_goes_while_it_is_compared_is_told(
    viewer: ViewerModel, widget: EvaluateWidget, held: threading.Event, found: Labels, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    assert widget.button.text() == "Stop"
    found.name = "renamed"
    viewer.layers.remove(found)
    held.set()
    wait(widget, qtbot)
    assert widget.sentence.message == "'renamed' was removed."
    assert widget.button.text() == "Compare"
    assert [layer.name for layer in viewer.layers] == ["dapi", "truth"]


def test_a_press_while_it_compares_stops(
    viewer: ViewerModel, widget: EvaluateWidget, held: threading.Event, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    press(widget, qtbot)
    held.set()
    wait(widget, qtbot)
    assert widget.sentence.message == "Stopped; what is shown is as it was."
    assert "cells: errors" not in viewer.layers


def test_other_layers_take_what_is_shown_away(
    viewer: ViewerModel, widget: EvaluateWidget, found: Labels, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    viewer.add_labels(grid(), name="other")
    assert "cells: errors" in viewer.layers
    widget.form.found_choice.choose("other")
    assert "cells: errors" not in viewer.layers
    assert widget.table.cells.rowCount() == 0
    assert not widget.figures.isVisible()
    assert compare(widget, qtbot).startswith("No error;")
    found.data = grid()
    assert "have changed" not in widget.sentence.message  # it is not looked at any more


def test_a_stack_is_a_volume_or_slices_and_a_film_is_slices(
    viewer: ViewerModel, widget: EvaluateWidget, qtbot: QtBot
) -> None:
    assert not widget.form.slice_box.isVisible()
    truth = np.stack([grid()] * 3)
    found = truth.copy()
    found[1] = with_errors(grid())
    for name, data in (("3d truth", truth), ("3d cells", found)):
        viewer.add_labels(data, name=name)
    widget.form.truth_choice.choose("3d truth")
    widget.form.found_choice.choose("3d cells")
    assert widget.form.slice_box.isVisible()
    assert compare(widget, qtbot).endswith("25 true cells, 27 found.")
    qtbot.mouseClick(widget.form.slice_box, Qt.MouseButton.LeftButton)
    wait(widget, qtbot)
    assert widget.sentence.message == "4 errors; 75 true cells, 75 found."
    viewer.dims.set_point(0, 2)
    widget.table.cell_chosen.emit(4)
    assert viewer.dims.point[0] == 1

    viewer.layers["3d cells"].axis_labels = ("t", "y", "x")
    widget.form.slice_box.setChecked(False)
    widget.form.found_choice.choose("cells")
    widget.form.found_choice.choose("3d cells")
    assert widget.form.slice_box.isChecked()
    for name in ("4d truth", "4d cells"):
        viewer.add_labels(truth[np.newaxis], name=name)
    widget.form.slice_box.setChecked(False)
    widget.form.truth_choice.choose("4d truth")
    widget.form.found_choice.choose("4d cells")
    assert "has 4 axes, and a cell at most 3; tick 'Each slice by itself'" in compare(widget, qtbot)


def test_the_report_is_saved_as_what_was_compared(
    widget: EvaluateWidget,
    found: Labels,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare(widget, qtbot)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "r"), ""))
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "The report is in" in widget.sentence.message, timeout=60_000)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "25 true cells, 25 found. At IoU 0.5, 22 of 25 found, 3 extra." in page
    assert page.count("<img") == 1
    assert "<dt>image</dt><dd>dapi</dd>" in page
    assert widget.save_button.isEnabled()

    below_a_file = str(tmp_path / "r.html" / "r.html")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (below_a_file, ""))
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "The report is in" not in widget.sentence.message, timeout=20_000)
    assert below_a_file in widget.sentence.message


def test_an_image_of_another_grid_is_told_and_left_out(
    viewer: ViewerModel, widget: EvaluateWidget
) -> None:
    assert widget.form.image_below() is not None
    viewer.add_image(np.zeros((9, 9)), name="other")
    widget.form.image_choice.choose("other")
    assert widget.form.image_below() is None
    assert widget.form.image_note.message.startswith("'other' is on another grid")


def test_what_a_model_has_found_is_the_result_whatever_the_order(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    widget = EvaluateWidget(PublicOnlyProxy(viewer))
    qtbot.addWidget(widget)
    result = viewer.add_labels(grid(), name="dapi: nuclei", metadata={METADATA_KEY: {}})
    truth = viewer.add_labels(grid(), name="mine")
    assert widget.form.pair == (truth, result)


def test_nothing_is_followed_after_the_widget_is_closed(
    widget: EvaluateWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    widget.close()
    assert [each.layer for each in widget.edits] == [None, None]
    assert not [each for each in viewer.mouse_drag_callbacks if hasattr(each, "__self__")]


def test_the_form_is_copied_as_python_and_as_a_command(
    viewer: ViewerModel, widget: EvaluateWidget
) -> None:
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    widget.form.iou_box.setValue(0.7)
    widget.script_button.python_action.trigger()
    assert widget.sentence.message == "The Python lines are in the clipboard."
    assert "truth = viewer.layers['truth'].data" in clipboard.text()
    assert "find_errors(truth, cells, right_iou=0.7)" in clipboard.text()
    widget.script_button.command_action.trigger()
    assert clipboard.text().splitlines()[1] == (
        "napari-unet evaluate truth.tif cells.tif --right-iou 0.7 --report cells_evaluation.html "
        "--images dapi.tif"
    )
    viewer.layers.remove("truth")
    widget.script_button.python_action.trigger()
    assert widget.sentence.message.startswith("The truth and the result are two labels layers")
