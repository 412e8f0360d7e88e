"""The whole way in a real napari window: sample, dock, Run, labels, Stop, close."""

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt, QTimer

from napari_unet import worker
from napari_unet.engine.evaluation import evaluate
from napari_unet.sample_data import DEMO_SAMPLE, load_sample
from napari_unet.widgets.segment import SegmentWidget

pytestmark = pytest.mark.viewer

_PLUGIN = "napari-unet-cells"
_LARGE = 6
"""Copies of the demo image along each axis: seconds of work on any processor."""


def dock(viewer: Any, qtbot: QtBot) -> SegmentWidget:
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=30_000)
    return widget


def click(qtbot: QtBot, widget: SegmentWidget) -> None:
    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)


def click_and_wait(qtbot: QtBot, widget: SegmentWidget) -> None:
    click(qtbot, widget)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)


def engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "napari-unet"]


def results(viewer: Any) -> list[Labels]:
    return [layer for layer in viewer.layers if "napari_unet" in layer.metadata]


def add_large_image(viewer: Any) -> None:
    image = load_sample(DEMO_SAMPLE).image
    viewer.add_image(np.tile(image, (_LARGE, _LARGE)), name="large")


@pytest.mark.parametrize(("sample", "goal"), [("fluorescence", 0.8), ("histology", 0.4)])
def test_a_sample_is_segmented_as_a_person_sees_it(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot, sample: str, goal: float
) -> None:
    viewer = make_napari_viewer()
    image, truth = viewer.open_sample(_PLUGIN, sample)
    viewer.layers.selection.active = image
    widget = dock(viewer, qtbot)

    click_and_wait(qtbot, widget)

    (labels,) = results(viewer)
    assert widget.panel.message.startswith(f"{labels.data.max()} cells in '{sample}' (")
    assert evaluate(truth.data, labels.data).pooled(0.5).average_precision > goal
    assert not truth.visible


def test_stop_in_the_middle_answers_at_once_and_adds_nothing(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_large_image(viewer)
    widget = dock(viewer, qtbot)
    click(qtbot, widget)
    qtbot.waitUntil(lambda: widget.panel.bar.maximum() > 0, timeout=60_000)

    start = time.perf_counter()
    click(qtbot, widget)
    answered = time.perf_counter() - start
    qtbot.waitUntil(lambda: not engine_threads(), timeout=5000)
    ended = time.perf_counter() - start

    assert answered < 0.2
    assert ended < 1.0
    assert widget.panel.message == "Stopped; the layers are as they were."
    assert results(viewer) == []


def test_the_window_answers_while_the_network_works(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_large_image(viewer)
    widget = dock(viewer, qtbot)
    click(qtbot, widget)
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)

    qtbot.wait(1500)

    assert widget.panel.is_running
    # A frozen window is a gap of seconds; the rest allows for a busy machine.
    assert np.diff(ticks).max() < 0.3
    click(qtbot, widget)


def test_closing_the_dock_while_running_ends_the_thread(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_large_image(viewer)
    widget = dock(viewer, qtbot)
    click(qtbot, widget)
    assert engine_threads()

    viewer.window.remove_dock_widget(widget)

    qtbot.waitUntil(lambda: not engine_threads(), timeout=5000)
    assert results(viewer) == []


def test_closing_napari_while_running_ends_the_thread(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_large_image(viewer)
    click(qtbot, dock(viewer, qtbot))
    assert engine_threads()

    viewer.close()
    del viewer
    gc.collect()

    qtbot.waitUntil(lambda: not engine_threads(), timeout=5000)
    assert worker.stop_all()


def test_the_layers_menu_opens_the_widget(make_napari_viewer: Callable[[], Any]) -> None:
    viewer = make_napari_viewer()
    menus = {action.text(): action.menu() for action in viewer.window.layers_menu.actions()}
    entries = {action.text(): action for action in menus["Segment"].actions()}

    entries["Segment cells (U-Net)"].trigger()

    (widget,) = viewer.window.dock_widgets.values()
    assert isinstance(widget, SegmentWidget)
