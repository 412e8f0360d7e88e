"""Edits of the labels that were measured, told at once and again after a pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.viewer.label_edits import painted_parts
from napari_unet.widgets.shared.parts import single_shot, while_alive

_PAUSE_MS = 600
_EDITS = ("labels_update", "data")
"""What napari says when labels have changed."""


class LabelEdits(QObject):
    """Follows one labels layer."""

    edited = Signal()
    """The labels are other ones now."""
    painted = Signal(object)
    """Carries a list of `Painted`: a stroke, or whatever undo takes back in one step."""
    settled = Signal()
    """Nothing has happened for a moment; the labels may be other ones than before."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._layer: Labels | None = None
        self._pause = single_shot(self, self.settled.emit, after_ms=_PAUSE_MS)

    @property
    def layer(self) -> Labels | None:
        """The layer that is followed."""
        return self._layer

    @property
    def are_settling(self) -> bool:
        """Whether something has happened that `settled` has not told of yet."""
        return self._pause.isActive()

    def follow(self, layer: Labels | None) -> None:
        """Tell of this layer from now on, and of none before."""
        self._pause.stop()
        if self._layer is not None:
            for event, slot in self._connections(self._layer):
                event.disconnect(slot)
        self._layer = layer
        if layer is not None:
            for event, slot in self._connections(layer):
                event.connect(slot)

    def _connections(self, layer: Labels) -> list[tuple[Any, Callable[[Any], None]]]:
        edits = [(getattr(layer.events, name), self._on_edited) for name in _EDITS]
        # An undo says no more than that, and so does another slice.
        drawn = (layer.events.set_data, self._on_drawn)
        return [*edits, (layer.events.paint, self._on_painted), drawn]

    @while_alive
    def _on_painted(self, event: Any) -> None:
        self._on_edited()
        parts = painted_parts(event)
        if parts:
            self.painted.emit(parts)

    @while_alive
    def _on_edited(self, _event: Any = None) -> None:
        # In napari's own event: the brush must not wait.
        self._pause.start()
        self.edited.emit()

    @while_alive
    def _on_drawn(self, _event: Any = None) -> None:
        self._pause.start()
