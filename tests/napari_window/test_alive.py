"""Whatever is closed while a segmentation runs: no thread, no warning of Qt, no crash is left."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject, QtMsgType, qInstallMessageHandler
from qtpy.QtGui import QOpenGLContext

from napari_unet.files.samples import DEMO_SAMPLE, load_sample
from napari_unet.widgets.segment.widget import SegmentWidget

pytestmark = pytest.mark.viewer

_PLUGIN = "napari-unet-cells"
_COPIES = 5
"""Of the demo image along each axis: seconds of work on any processor."""


@pytest.fixture
def qt_messages() -> Iterator[list[str]]:
    """What Qt complains of."""
    texts: list[str] = []

    def note(kind: QtMsgType, _context: object, text: str) -> None:
        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg):
            texts.append(text)

    before = qInstallMessageHandler(note)
    yield texts
    qInstallMessageHandler(before)


def engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "napari-unet"]


def result_layers(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if "napari_unet" in layer.metadata]


def running(viewer: Any, qtbot: QtBot, moment: str) -> SegmentWidget:
    """Dock the widget beside a large image and click Run; return at that moment of the run."""
    image = np.tile(load_sample(DEMO_SAMPLE).image, (_COPIES, _COPIES))
    viewer.add_image(image, name="image")
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=60_000)
    widget.panel.button.click()
    if moment == "network":
        qtbot.waitUntil(lambda: widget.panel.bar.maximum() > 1, timeout=60_000)
    elif moment == "first cells":
        qtbot.waitUntil(lambda: bool(result_layers(viewer)), timeout=60_000)
    assert widget.panel.is_running
    assert engine_threads()
    return widget


def close_viewer(viewer: Any, _widget: SegmentWidget) -> None:
    viewer.close()


def remove_image(viewer: Any, _widget: SegmentWidget) -> None:
    viewer.layers.remove("image")


def remove_all_layers(viewer: Any, _widget: SegmentWidget) -> None:
    viewer.layers.clear()


def remove_dock(viewer: Any, widget: SegmentWidget) -> None:
    viewer.window.remove_dock_widget(widget)


def click_stop(_viewer: Any, widget: SegmentWidget) -> None:
    widget.panel.button.click()


@pytest.mark.parametrize("moment", ["start", "network", "first cells"])
@pytest.mark.parametrize(
    "close", [close_viewer, remove_image, remove_all_layers, remove_dock, click_stop]
)
def test_closing_while_it_runs_leaves_nothing_behind(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    qt_messages: list[str],
    close: Callable[[Any, SegmentWidget], None],
    moment: str,
) -> None:
    viewer = make_napari_viewer()
    widget = running(viewer, qtbot, moment)

    close(viewer, widget)

    qtbot.waitUntil(lambda: not engine_threads(), timeout=10_000)
    qtbot.wait(1)
    assert qt_messages == []


def test_a_run_right_after_stop_waits_for_nobody_and_finds_all_cells(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot, qt_messages: list[str]
) -> None:
    viewer = make_napari_viewer()
    widget = running(viewer, qtbot, "network")

    widget.panel.button.click()
    viewer.layers["image"].data = load_sample(DEMO_SAMPLE).image
    widget.panel.button.click()

    assert widget.panel.is_running
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)
    assert widget.panel.message.startswith(f"{result_layers(viewer)[-1].data.max()} cells")
    qtbot.waitUntil(lambda: not engine_threads(), timeout=10_000)
    assert qt_messages == []


def test_a_warning_of_qt_would_be_seen(qtbot: QtBot, qt_messages: list[str]) -> None:
    thread = threading.Thread(target=QObject().startTimer, args=(1,))
    thread.start()
    thread.join()

    assert len(qt_messages) == 1


_LEAVING = """
import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from napari_unet.files.samples import load_sample

viewer = napari.Viewer()
viewer.add_image(np.tile(load_sample().image, (5, 5)))
_, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment cells")
leave = {leave}

def look():
    if not widget.model_choice.is_loading and not widget.panel.is_running:
        widget.panel.button.click()
        print("running", flush=True)
    elif widget.panel.is_running and {is_time}:
        timer.stop()
        leave()

timer = QTimer()
timer.timeout.connect(look)
timer.start(10)
napari.run()
print("left")
"""


@pytest.mark.parametrize(
    "leave", ["viewer.close", "QApplication.quit", "QApplication.closeAllWindows"]
)
@pytest.mark.parametrize(
    "is_time", ["True", "widget.panel.bar.maximum() > 1", "len(viewer.layers) > 1"]
)
def test_leaving_napari_while_it_runs_ends_the_process_in_peace(leave: str, is_time: str) -> None:
    program = _LEAVING.format(leave=leave, is_time=is_time)

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["running", "left"]


def test_a_layer_goes_while_the_context_of_the_canvas_is_current(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    # Else the next picture crashed in some drivers: after Keep, of a training with a preview.
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((40, 40)))
    cells = viewer.add_labels(np.eye(40, dtype=int))
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=60_000)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.waitUntil(canvas.isValid, timeout=10_000)
    canvas.doneCurrent()
    assert QOpenGLContext.currentContext() is None

    viewer.layers.remove(cells)

    assert QOpenGLContext.currentContext() == canvas.context()
