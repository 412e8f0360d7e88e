"""The form around the tools: the live count, the keys, and whose the mouse is."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot

from napari_unet.session import Session
from napari_unet.viewer.gestures import Gestures
from napari_unet.widgets.cell_types.widget import CellTypesWidget
from napari_unet.widgets.correct.tools import DELETE, FILL, SMOOTH, SPLIT, TOOLS
from napari_unet.widgets.correct.widget import CorrectWidget

# -- the count -----------------------------------------------------------------------------------


def test_the_count_follows_every_change(
    viewer: ViewerModel, hand: Any, labels: Labels, qtbot: QtBot
) -> None:
    assert hand.counted() == "3 cells"
    hand.take(DELETE)
    hand.click(10, 10)
    assert hand.counted() == "2 cells"
    labels.undo()
    assert hand.counted() == "3 cells"
    labels.data = np.ones((8, 8), np.int32)
    assert hand.counted() == "1 cell"
    labels.brush_size = 1
    labels.selected_label = 9
    labels.mode = "paint"
    labels.paint((4, 4), 9)
    assert hand.counted() == "2 cells"
    viewer.add_labels(np.zeros((3, 4, 4), int))
    assert hand.counted() == "0 cells"
    viewer.dims.set_current_step(0, 2)
    assert not hand.widget.count.is_busy


def test_large_labels_give_no_number_before_they_are_counted(
    hand: Any, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.correct.live_count._AT_ONCE_PX", 100)
    labels.data = labels.data.copy()
    hand.take(SPLIT)
    assert "still being counted" in hand.drag((0, 10), (20, 10))
    assert hand.counted() == "3 cells"
    labels.paint((30, 20), 40)
    hand.drag((0, 10), (20, 10))
    assert hand.cells_in(labels.data) == {1, 2, 3, 40, 41}


# -- buttons, keys and the mouse -----------------------------------------------------------------


def test_keys_press_the_buttons_while_the_widget_is_open(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    taken = {str(key) for key in Labels.class_keymap}
    assert not taken & {tool.key for tool in TOOLS}
    assert len({tool.key for tool in TOOLS}) == len(TOOLS)
    keys = {str(key): key for key in labels.keymap}
    for tool in TOOLS:
        labels.keymap[keys[tool.key]](labels)
        assert hand.widget.tools.tool is tool
        assert tool.key in hand.widget.tools.buttons[tool].text()
        assert tool.gesture in hand.widget.tools.buttons[tool].toolTip()
    labels.keymap[keys[FILL.key]](labels)
    assert hand.widget.tools.tool is None
    other = viewer.add_labels(np.zeros((4, 4), int))
    assert not labels.keymap
    assert other.keymap
    hand.widget.close()
    assert not other.keymap
    third = viewer.add_labels(np.zeros((4, 4), int))
    assert not third.keymap
    hand.widget.show()
    assert third.keymap


def test_a_key_that_was_someone_elses_is_theirs_again(
    viewer: ViewerModel, qtbot: QtBot, session: Session
) -> None:
    layer = viewer.add_labels(np.zeros((4, 4), int))
    theirs = layer.bind_key("S", lambda _layer: None) or dict(layer.keymap)
    widget = CorrectWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.close()
    assert dict(layer.keymap) == theirs


def test_the_mouse_is_napari_s_again_when_a_tool_ends(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    drags = list(viewer.mouse_drag_callbacks)
    doubles = list(viewer.mouse_double_click_callbacks)
    hand.take(DELETE)
    assert labels.mouse_pan
    assert "double_click_to_zoom" not in [
        each.__name__ for each in viewer.mouse_double_click_callbacks
    ]
    # Of two quick clicks the second comes as a double click.
    viewer.mouse_double_click_callbacks[-1](viewer, hand.event((10, 35), 1))
    assert hand.cells_in(labels.data) == {1, 3}
    hand.drag((10, 10), (40, 40))
    assert hand.cells_in(labels.data) == {1, 3}
    hand.widget.tools.choose(None)
    assert viewer.mouse_drag_callbacks == drags
    assert viewer.mouse_double_click_callbacks == doubles


def test_of_two_forms_only_one_has_the_mouse(
    viewer: ViewerModel, hand: Any, labels: Labels, qtbot: QtBot
) -> None:
    types = CellTypesWidget(viewer)
    qtbot.addWidget(types)
    types.button.click()
    hand.take(DELETE)
    assert not types.button.isChecked()
    types.button.click()
    assert hand.widget.tools.tool is None
    types.close()


def test_who_looks_on_is_told_of_clicks_only_while_there_is_no_tool(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    seen: list[int] = []
    onlooker = Gestures(viewer, hand.widget)
    onlooker.clicked.connect(lambda click: seen.append(click.label))
    hand.take(SMOOTH)
    onlooker.start(labels, yields=True)
    assert hand.widget.tools.tool is SMOOTH
    hand.click(10, 35)
    assert seen == []
    hand.widget.tools.choose(None)
    hand.drag((10, 35))
    labels.mode = "paint"
    hand.drag((10, 35))
    labels.mode = "pan_zoom"
    hand.drag((10, 10))
    assert seen == [2, 1]
    viewer.layers.remove(labels)
    assert onlooker.layer is None
