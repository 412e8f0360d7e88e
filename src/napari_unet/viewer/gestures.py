"""Clicks and strokes of the mouse on a layer of cells, for a tool or for who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_PAN = "pan_zoom"
_STILL_PX = 4
"""Pixels of the screen that a hand moves in a click."""

LEFT, RIGHT = 1, 2
_ZOOMS = "double_click_to_zoom"
"""What napari does with a double click, by its name."""


@dataclass(frozen=True, slots=True)
class Click:
    """A button that went down and up at a place."""

    place: tuple[float, ...]
    """In pixels of the layer; where cells are shown as a volume, on the front of its box."""
    label: int
    """Of the cell under the mouse; 0 for background."""
    button: int
    """`LEFT` or `RIGHT`."""


class Gestures(QObject):
    """Listens to the mouse on the cells of one layer, from `start` to `stop`."""

    clicked = Signal(object)
    """Carries the `Click`; of two in quick succession each one."""
    drawing = Signal(object)
    """Carries the points of a stroke so far, in pixels of the canvas, (x, y) each."""
    drawn = Signal(object)
    """Carries a stroke, a (P, D) array in pixels of the layer."""
    interrupted = Signal()
    """It was stopped: the layer is gone, not the active one any more, or in another mode."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._draws = self._yields = False
        self._put_away: list[Callable[..., Any]] = []

    @property
    def layer(self) -> Labels | None:
        """The layer that it listens on; None while it does not listen."""
        return self._layer

    def start(self, layer: Labels, *, draws: bool = False, yields: bool = False) -> None:
        """Listen on this layer, which becomes the active one.

        Parameters
        ----------
        draws : bool
            Whether dragging draws a stroke; else it moves the image.
        yields : bool
            Whether it merely looks on, for as long as the layer is there: it
            tells nothing while there is a brush or another tool in the hand.
        """
        self.stop()
        self._layer, self._draws, self._yields = layer, draws, yields
        for other in () if yields else self._tools():
            other.stop()
            other.interrupted.emit()
        # A click would paint a dot.
        self._viewer.layers.selection.active = layer
        layer.mode = _PAN
        self._viewer.mouse_drag_callbacks.append(self._on_pressed)
        if not yields:
            self._take_mouse(layer)
        for event in self._ends(layer):
            event.connect(self._on_changed)

    def stop(self) -> None:
        """Listen no more."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        for event in self._ends(layer):
            event.disconnect(self._on_changed)
        self._viewer.mouse_drag_callbacks.remove(self._on_pressed)
        if self._yields:
            return
        doubles = self._viewer.mouse_double_click_callbacks
        doubles.remove(self._on_double_clicked)
        doubles.extend(self._put_away)
        self._put_away = []
        if layer.mode == _PAN:
            layer.mouse_pan, layer.cursor = True, "standard"

    def _take_mouse(self, layer: Labels) -> None:
        layer.mouse_pan = not self._draws
        layer.cursor = "cross"
        # Of two quick clicks the second comes as a double click.
        doubles = self._viewer.mouse_double_click_callbacks
        self._put_away = [each for each in doubles if getattr(each, "__name__", "") == _ZOOMS]
        for each in self._put_away:
            doubles.remove(each)
        doubles.append(self._on_double_clicked)

    def _tools(self) -> list[Gestures]:
        """Those of other forms that have the mouse: of one click two would each make something."""
        owners = [getattr(each, "__self__", None) for each in self._viewer.mouse_drag_callbacks]
        others = [each for each in owners if isinstance(each, Gestures) and each is not self]
        return [each for each in others if not each._yields]

    def _ends(self, layer: Labels) -> tuple[Any, ...]:
        layers = self._viewer.layers
        if self._yields:
            return (layers.events.removed,)
        return (
            *(layers.events.removed, layers.selection.events.active, layer.events.mode),
            self._viewer.dims.events.ndisplay,
        )

    def _on_changed(self, _event: Any = None) -> None:
        layer = self._layer
        if layer is None:
            return
        # A stroke has no depth.
        is_flat = not (self._draws and self._viewer.dims.ndisplay == 3)
        is_in_hand = self._yields or (self._is_in_hand(layer) and is_flat)
        if layer not in self._viewer.layers or not is_in_hand:
            self.stop()
            self.interrupted.emit()

    def _is_in_hand(self, layer: Labels) -> bool:
        """Whether the layer is the active one, and in the mode in which nobody paints."""
        return bool(self._viewer.layers.selection.active == layer) and layer.mode == _PAN

    def _on_pressed(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Wait for the button to go up, and tell what the hand did meanwhile."""
        if event.button not in (LEFT, RIGHT) or self._layer is None:
            return
        if self._yields and (self._tools() or self._layer.mode != _PAN):
            return
        button, draws = event.button, self._draws and event.button == LEFT
        layer = self._layer
        seen, places = [tuple(event.pos)], [layer.world_to_data(event.position)]
        is_dragged = False
        yield
        while event.type == "mouse_move":
            away = np.abs(np.subtract(event.pos, seen[0])).max()
            is_dragged |= bool(away > _STILL_PX)
            if draws and layer is self._layer:
                seen.append(tuple(event.pos))
                places.append(layer.world_to_data(event.position))
                self.drawing.emit(seen)
            yield
        self.drawing.emit([])
        # It may have been stopped while the button was down.
        if layer is not self._layer:
            return
        if not is_dragged:
            self.clicked.emit(self._click(layer, event, button))
        elif draws:
            self.drawn.emit(np.array(places, float))

    def _on_double_clicked(self, _viewer: Any, event: Any) -> None:
        if self._layer is not None and event.button in (LEFT, RIGHT):
            self.clicked.emit(self._click(self._layer, event, event.button))

    def _click(self, layer: Labels, event: Any, button: int) -> Click:
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        # Of a layer of several levels it is the level and the label.
        label = value[1] if isinstance(value, tuple) else value
        place = tuple(float(n) for n in layer.world_to_data(event.position))
        return Click(place, int(label or 0), button)
