"""Pictures of the weight map while cells are painted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import napari
from PIL import Image

from pictures.window import (
    WEIGHT_MAP,
    open_sample,
    open_widget,
    photograph,
    picture,
    settle,
    wait_for,
    window,
)

_CANVAS_PX = (400, 270)
_GAP_PX = 6
_IN_A_ROW = 3


@picture
def weight_map() -> Image.Image:
    """Photograph the weight map over crowded nuclei, after two discs were painted."""
    with _painting() as (viewer, widget, labels):
        for column in (60, 84):
            _stroke(widget, labels, int(labels.data.max()) + 1, (60, column))
        return photograph(viewer)


@picture
def weight_map_painting() -> Image.Image:
    """Photograph the canvas while two cells are painted, come together and become one."""
    with _painting() as (viewer, widget, labels):
        viewer.scene.camera.center, viewer.scene.camera.zoom = (60, 75), 6.5
        one, other = (int(labels.data.max()) + n for n in (1, 2))
        taken = []
        for label, column in ((one, 62), (other, 92), (other, 87), (other, 84), (other, 80)):
            _stroke(widget, labels, label, (60, column))
            taken.append(_canvas(viewer))
        labels.fill((60, 60), other)
        _wait_for_map(widget)
        taken.append(_canvas(viewer))
        return _row(taken)


@contextmanager
def _painting() -> Iterator[tuple[napari.Viewer, Any, Any]]:
    """Open crowded nuclei with their true outlines and their weight map, the brush in hand."""
    with window() as viewer:
        open_sample(viewer, "crowded")
        labels = viewer.layers["crowded truth"]
        labels.visible, labels.contour = True, 1
        viewer.layers.selection.active = labels
        widget = open_widget(viewer, WEIGHT_MAP)
        widget.button.click()
        _wait_for_map(widget)
        labels.mode = "paint"
        yield viewer, widget, labels


def _stroke(widget: Any, labels: Any, label: int, point: tuple[int, int]) -> None:
    labels.brush_size = 20
    labels.paint(point, label)
    _wait_for_map(widget)


def _wait_for_map(widget: Any) -> None:
    settle(0.1)
    wait_for(lambda: not widget.live.is_busy, "the map")


def _canvas(viewer: napari.Viewer) -> Image.Image:
    """Take a picture of the middle of the canvas."""
    settle()
    shot = Image.fromarray(viewer.screenshot(canvas_only=True, flash=False)[..., :3])
    left, top = (shot.width - _CANVAS_PX[0]) // 2, (shot.height - _CANVAS_PX[1]) // 2
    return shot.crop((left, top, left + _CANVAS_PX[0], top + _CANVAS_PX[1]))


def _row(pictures: list[Image.Image]) -> Image.Image:
    """Put pictures of one size side by side, three in a row."""
    width, height = (n + _GAP_PX for n in pictures[0].size)
    rows = -(-len(pictures) // _IN_A_ROW)
    canvas = Image.new("RGB", (_IN_A_ROW * width - _GAP_PX, rows * height - _GAP_PX), "white")
    for number, taken in enumerate(pictures):
        canvas.paste(taken, (number % _IN_A_ROW * width, number // _IN_A_ROW * height))
    return canvas
