"""What happens to the labels of a layer, told apart: painted, altered in other ways, replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.viewer.label_edits import painted_parts
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


class LayerChanges(QObject):
    """Follows one labels layer."""

    painted = Signal(object)
    """Carries a list of `Painted`: one step of undo was made."""
    altered = Signal()
    """Labels may be others, as after an undo, of which napari says no more."""
    replaced = Signal()
    """The layer has another array, or is another one; see `layer`."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._seen: tuple[Any, ...] = ()

    @property
    def layer(self) -> Labels | None:
        """The layer that is followed."""
        return self._layer

    def follow(self, layer: Labels | None) -> None:
        """Tell of this layer from now on, and of none before."""
        for event, slot in self._connections():
            event.disconnect(slot)
        self._layer = layer
        for event, slot in self._connections():
            event.connect(slot)
        self._on_replaced()

    def _connections(self) -> list[tuple[Any, Callable[..., None]]]:
        if self._layer is None:
            return []
        events = self._layer.events
        return [
            (events.paint, self._on_painted),
            (events.set_data, self._on_shown),
            (events.data, self._on_replaced),
            (events.editable, self._on_replaced),
        ]

    @while_alive
    def _on_painted(self, event: Any) -> None:
        parts = painted_parts(event)
        if parts:
            self.painted.emit(parts)

    @while_alive
    def _on_shown(self, _event: Any = None) -> None:
        """Tell of it if not merely another slice is shown."""
        seen, before = self._view(), self._seen
        self._seen = seen
        if seen == before:
            self.altered.emit()

    @while_alive
    def _on_replaced(self, _event: Any = None) -> None:
        self._seen = self._view()
        self.replaced.emit()

    def _view(self) -> tuple[Any, ...]:
        dims = self._viewer.dims
        return dims.current_step, dims.order, dims.ndisplay
