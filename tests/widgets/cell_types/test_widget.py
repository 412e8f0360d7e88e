"""The Cell types widget: types are given by clicks, and shown as colours with a legend."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.viewer.cells.cell_types import give_type, is_coloured_by_type, types_of_layer
from napari_unet.widgets.cell_types.widget import CellTypesWidget


@pytest.fixture
def widget(viewer: ViewerModel, shown: Callable[..., Any]) -> CellTypesWidget:
    return shown(CellTypesWidget(viewer))


@pytest.fixture
def labels(viewer: ViewerModel) -> Labels:
    array = np.zeros((20, 20), np.int32)
    array[2:8, 2:8], array[12:18, 12:18] = 1, 2
    return viewer.add_labels(array, name="cells", scale=(0.5, 0.5))


def listeners(viewer: ViewerModel) -> list[Any]:
    """What the widget listens to clicks with, beside napari's own functions."""
    return [each for each in viewer.mouse_drag_callbacks if hasattr(each, "__self__")]


def click(viewer: ViewerModel, y: float, x: float, *, drags: bool = False) -> None:
    """Press and let go on the canvas, as napari passes it on."""
    event: Any = SimpleNamespace(
        position=(y, x),
        view_direction=None,
        dims_displayed=[0, 1],
        button=1,
        pos=(100, 100),
        type="mouse_press",
    )
    for callback in listeners(viewer):
        steps = callback(viewer, event)
        next(steps, None)
        for kind in ["mouse_move", "mouse_release"]:
            event.type, event.pos = kind, (100 + 20 * drags, 102)
            next(steps, None)


def press(qtbot: QtBot, widget: CellTypesWidget) -> None:
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)


def test_clicked_cells_get_the_type_and_its_colour(
    viewer: ViewerModel, widget: CellTypesWidget, labels: Labels, qtbot: QtBot
) -> None:
    labels.mode = "paint"
    widget.type_box.setEditText("mitotic")
    press(qtbot, widget)
    assert labels.mode == "pan_zoom"

    click(viewer, 2, 2)
    click(viewer, 7, 7, drags=True)
    click(viewer, 0, 0)
    assert types_of_layer(labels) == {1: "mitotic"}
    assert widget.sentence.message == "Cell 1 is mitotic."
    assert widget.colour_box.isChecked()
    assert "mitotic: 1" in widget.legend.text()

    widget.type_box.setEditText("other")
    click(viewer, 7, 7)
    assert types_of_layer(labels) == {1: "mitotic", 2: "other"}
    widget.type_box.setEditText("")
    click(viewer, 2, 2)
    assert types_of_layer(labels) == {2: "other"}

    press(qtbot, widget)
    widget.type_box.setEditText("mitotic")
    click(viewer, 2, 2)
    assert types_of_layer(labels) == {2: "other"}
    assert np.array_equal(np.unique(labels.data), [0, 1, 2])


def test_the_legend_follows_the_features_and_the_layer(
    viewer: ViewerModel, widget: CellTypesWidget, labels: Labels
) -> None:
    assert widget.legend.text() == "No cell has a type yet."
    give_type(labels, 1, "a<b")
    assert "a&lt;b: 1" in widget.legend.text()
    assert widget.type_box.itemText(0) == "a<b"

    viewer.add_labels(np.zeros((4, 4), int), name="others")
    assert widget.layer_choice.layer is not None
    assert widget.layer_choice.layer.name == "others"
    assert widget.legend.text() == "No cell has a type yet."
    give_type(labels, 2, "c")
    assert widget.legend.text() == "No cell has a type yet."


def test_colours_are_switched_on_and_off(widget: CellTypesWidget, labels: Labels) -> None:
    widget.colour_box.setChecked(True)
    assert "No cell of 'cells' has a type" in widget.sentence.message
    assert not widget.colour_box.isChecked()

    give_type(labels, 1, "a")
    widget.colour_box.setChecked(True)
    assert is_coloured_by_type(labels)
    widget.colour_box.setChecked(False)
    assert not is_coloured_by_type(labels)


def test_nothing_can_be_given_without_labels(
    viewer: ViewerModel, widget: CellTypesWidget, qtbot: QtBot
) -> None:
    press(qtbot, widget)
    assert "There is no labels layer" in widget.sentence.message
    assert not widget.button.isChecked()
    assert not listeners(viewer)


def test_clicks_end_with_the_layer_and_with_the_widget(
    viewer: ViewerModel, widget: CellTypesWidget, labels: Labels, qtbot: QtBot
) -> None:
    press(qtbot, widget)
    viewer.add_labels(np.zeros((4, 4), int))
    assert not widget.button.isChecked()
    widget.layer_choice.choose_layer(labels)
    press(qtbot, widget)
    assert listeners(viewer)
    widget.close()
    assert not listeners(viewer)
