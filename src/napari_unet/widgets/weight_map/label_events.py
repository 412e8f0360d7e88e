"""What napari tells of a labels layer while its map is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel

_EDITS = ("paint", "labels_update", "set_data", "data")
"""What napari says when labels may have changed; an undo only says `set_data`."""

_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units")
"""What napari says when a layer is put elsewhere."""


class LabelEvents(QObject):
    """Follows one labels layer and the overlay over it.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject

    Attributes
    ----------
    edited : Signal
        The labels may have changed, or another part of them is shown.
    moved : Signal
        They were scaled, given a unit or put elsewhere.
    removed : Signal
        Carries the name of the layer that is gone.
    """

    edited = Signal()
    moved = Signal()
    removed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: tuple[Labels, Image] | None = None

    def follow(self, labels: Labels, overlay: Image) -> None:
        """Tell of these layers from now on."""
        self._layers = labels, overlay
        for event, slot in self._connections(labels):
            event.connect(slot)

    def leave(self) -> None:
        """Tell of them no more."""
        if self._layers is not None:
            for event, slot in self._connections(self._layers[0]):
                event.disconnect(slot)
        self._layers = None

    def _connections(self, labels: Labels) -> list[tuple[Any, Callable[[Any], None]]]:
        dims = self._viewer.dims.events
        edits = [*(getattr(labels.events, name) for name in _EDITS), dims.current_step, dims.order]
        moves = [getattr(labels.events, name) for name in _MOVES]
        return [
            *((each, self._on_edited) for each in edits),
            *((each, self._on_moved) for each in moves),
            (self._viewer.layers.events.removed, self._on_removed),
        ]

    # napari's signals outlive this object until Python collects it.

    def _on_edited(self, _event: Any = None) -> None:
        if isalive(self):
            self.edited.emit()

    def _on_moved(self, _event: Any = None) -> None:
        if isalive(self):
            self.moved.emit()

    def _on_removed(self, _event: Any = None) -> None:
        for layer in self._layers or ():
            if isalive(self) and layer not in self._viewer.layers:
                self.removed.emit(str(layer.name))
                return
