"""The napari window that pictures are taken of: opened, waited for, photographed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from napari_unet.files.samples import DEMO_SAMPLE
from pictures import ELSEWHERE

PLUGIN = "napari-unet-cells"
SEGMENT, MODEL, WEIGHT_MAP, TRAIN = "Segment cells", "Model", "Weight map", "Train"
CELL_TYPES, CORRECT, MEASURE = "Cell types", "Correct", "Measure"
EVALUATE, BATCH, LARGE, TRACKS = "Evaluate", "Batch", "Large images", "Tracks"
_WINDOW = (1240, 780)
_DOCK_WIDTH_PX = 300
_LONGEST_S = 1800  # of a training that ends by itself, on two cores
_SETTLE_S = 0.7
_MARGIN_PX = 12

PICTURES: dict[str, Callable[[], Image.Image]] = {}


def picture(take: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Mark a function as one that takes a picture; its name is the picture's."""
    PICTURES[take.__name__.replace("_", "-")] = take
    return take


@contextmanager
def window(*, theme: str = "dark", font_pt: int | None = None) -> Iterator[napari.Viewer]:
    """Open napari and close it."""
    appearance = get_settings().appearance
    usual_pt = appearance.font_size
    appearance.theme = theme
    appearance.font_size = font_pt or usual_pt
    viewer = napari.Viewer()
    viewer.window.resize(*_WINDOW)
    settle()
    try:
        yield viewer
    finally:
        viewer.close()
        appearance.font_size = usual_pt
        settle()


def open_sample(viewer: napari.Viewer, name: str = DEMO_SAMPLE) -> None:
    """Open a bundled image as `File > Open Sample` does."""
    viewer.open_sample(PLUGIN, name)
    settle()


def open_widget(viewer: napari.Viewer, name: str) -> Any:
    """Open a widget as its menu does, in a narrow dock, and wait for its model."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.show()
    dock.raise_()
    settle()
    # The docks of a column are as wide as its widest one.
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    right = [each for each in docks if each.isVisible() and each.x() > _WINDOW[0] // 2]
    viewer.window._qt_window.resizeDocks(
        right, [_DOCK_WIDTH_PX] * len(right), Qt.Orientation.Horizontal
    )
    model_choice = getattr(getattr(widget, "form", widget), "model_choice", None)
    if model_choice is not None:
        wait_for(lambda: not model_choice.is_loading, "the model")
    settle()
    return widget


def run(widget: Any) -> None:
    """Press Run, wait for the cells, and let napari draw them."""
    widget.run()
    wait_for(lambda: not widget.panel.is_running, "the cells")
    settle()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Let the window live until a condition holds."""
    last_s = time.monotonic() + _LONGEST_S
    while not condition():
        if time.monotonic() > last_s:
            raise TimeoutError(f"waited {_LONGEST_S} s for {what}")
        QApplication.processEvents()
        time.sleep(0.005)


def settle(seconds: float = _SETTLE_S) -> None:
    """Let everything that is under way be drawn."""
    end_s = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end_s, "time to pass")


def photograph(viewer: napari.Viewer, *, settles: bool = True) -> Image.Image:
    """Take a picture of the whole window."""
    if settles:
        settle()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    return Image.fromarray(pixels[..., :3])


def alone(widget: QWidget) -> Image.Image:
    """Take a picture of a widget in its dock, as high as it asks for."""
    settle()
    height = max(widget.sizeHint().height(), widget.minimumSizeHint().height())
    inner = getattr(widget, "form", None)  # scrolls where the screen is low
    scrolled = getattr(widget, "scrolled", None)
    if scrolled is not None:
        height = widget.height() - scrolled.parentWidget().height()
        height += max(scrolled.heightForWidth(scrolled.width()), scrolled.sizeHint().height())
    if inner is not None:
        height = inner.heightForWidth(widget.width() - 8) if inner.hasHeightForWidth() else 0
        height = max(height, inner.sizeHint().height()) + 16
    widget.setMinimumHeight(height)
    settle()
    return _without_empty_rows(grabbed(widget))


def grabbed(widget: QWidget) -> Image.Image:
    """Take a picture of a widget as it is drawn."""
    file = Path(ELSEWHERE.name, "widget.png")
    widget.grab().save(str(file))
    with Image.open(file) as opened:
        return opened.convert("RGB")


def _without_empty_rows(taken: Image.Image) -> Image.Image:
    """Cut off what is below the last row that shows anything."""
    pixels = np.asarray(taken)
    rows = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    below = min(taken.height, rows[-1] + _MARGIN_PX) if rows.size else taken.height
    return taken.crop((0, 0, taken.width, int(below)))
