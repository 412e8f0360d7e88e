"""The Model form itself: its buttons, tooltips and width."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.viewer.commands import dock_of
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.segment.widget import SegmentWidget


def test_without_a_window_there_is_no_way_to_another_dock(widget: ModelWidget) -> None:
    assert not widget.segment_button.isVisible()


@pytest.mark.viewer
def test_the_button_opens_the_segment_widget_beside_this_one(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Model")
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=30_000)
    assert widget.segment_button.isVisible()

    for _ in range(2):
        qtbot.mouseClick(widget.segment_button, Qt.MouseButton.LeftButton)
        forms = viewer.window.dock_widgets.values()
        (segment,) = [form for form in forms if isinstance(form, SegmentWidget)]
        dock = dock_of(segment)
        assert dock is not None
        qtbot.waitUntil(dock.isVisible)
        dock.hide()
    qtbot.waitUntil(lambda: not segment.model_choice.is_loading, timeout=30_000)


def test_everything_that_can_be_used_says_what_it_does(widget: ModelWidget) -> None:
    for child in (
        widget.model_choice.box,
        widget.model_choice.file_button,
        widget.model_choice.recent_button,
        widget.device_choice,
        widget.fit,
        widget.text,
        widget.save_button,
        widget.segment_button,
    ):
        assert len(child.toolTip()) > 20, child


def test_long_names_and_sentences_do_not_widen_the_dock(
    viewer: ViewerModel, widget: ModelWidget
) -> None:
    viewer.add_image(np.zeros((8, 8)), name="a_very_long_name_of_a_layer" * 5)
    widget.sentence.show_error("There is no model '/somewhere/" + "a-folder/" * 30 + "model'.")

    assert widget.minimumSizeHint().width() <= 300


def test_numbers_stay_whole_where_a_sentence_wraps(widget: ModelWidget) -> None:
    widget.sentence.show_text("/a/b.c needs 20.6 GB.")

    assert "20.6" in widget.sentence.text()
    assert "/\u200ba" in widget.sentence.text()
