"""Clicks on cells, told as the labels under them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_PAN = "pan_zoom"
_STILL_PX = 4
"""Pixels of the screen that a hand moves in a click."""


class CellClicks(QObject):
    """Listens to clicks on the cells of a layer, which nobody can paint on meanwhile."""

    clicked = Signal(int)
    """Carries the label of the cell."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer whose cells are clicked; None while it does not listen."""
        return self._layer

    def start(self, layer: Labels) -> None:
        """Listen to clicks on this layer."""
        self.stop()
        self._layer = layer
        # A click would paint a dot.
        self._viewer.layers.selection.active = layer
        layer.mode = _PAN
        self._viewer.mouse_drag_callbacks.append(self._on_pressed)

    def stop(self) -> None:
        """Listen no more."""
        self._layer = None
        if self._on_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_pressed)

    def _on_pressed(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Wait for the button to go up: who drags moves the image."""
        if event.button != 1:
            return
        start, is_dragged = np.array(event.pos), False
        yield
        while event.type == "mouse_move":
            is_dragged |= bool(np.abs(np.array(event.pos) - start).max() > _STILL_PX)
            yield
        layer = self._layer
        if is_dragged or layer is None or layer not in self._viewer.layers:
            return
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        label = value[1] if isinstance(value, tuple) else value
        if label:
            self.clicked.emit(int(label))
