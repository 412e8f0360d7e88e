"""The count of the cells in a layer, kept up to date beside the Qt thread, and new numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.cell_count import CellCount, iterate_count
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot, while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_WAIT_MS = 200
"""So long nothing may change before it is counted."""

_AT_ONCE_PX = 1 << 24
"""Labels of which the highest number is found in 10 ms or so."""


class LiveCount(QObject):
    """Counts the cells of one layer, again after each change of it."""

    counted = Signal(object)
    """Carries a `CellCount`; None while it is not known."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._count: CellCount | None = None
        self._highest_given = 0
        self._seen: tuple[Any, ...] = ()
        self._job = Job(self)
        self._soon = single_shot(self, self._on_due, after_ms=_WAIT_MS)

    @property
    def is_busy(self) -> bool:
        """Whether a count is on its way."""
        return self._soon.isActive() or self._job.is_running

    def follow(self, layer: Labels | None) -> None:
        """Count the cells of this layer from now on; of none without one."""
        if self._layer is None or layer != self._layer:
            self.stop()
            self._layer = layer
            for event, slot in self._connections():
                event.connect(slot)
        self._on_replaced()

    def stop(self) -> None:
        """Count no more."""
        for event, slot in self._connections():
            event.disconnect(slot)
        self._layer, self._count, self._highest_given = None, None, 0
        self._soon.stop()
        self._job.stop()

    def new_number(self, layer: Labels) -> int:
        """Return a number above all that the layer has, or had given out before.

        Raises
        ------
        UNetError
            If its labels are large and were not yet looked at.
        """
        if layer.data.size <= _AT_ONCE_PX:
            highest = int(np.max(layer.data, initial=0))
        elif self._count is None:
            raise UNetError(
                f"The cells of '{layer.name}' are still being counted, so a new one has no number "
                "yet; try again in a moment."
            )
        else:
            highest = self._count.highest
        # An undone cell may come back with its number.
        self._highest_given = max(highest, self._highest_given) + 1
        return self._highest_given

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
        """Note the numbers of a stroke, and count soon; the last of each part is what it wrote."""
        written = (int(np.max(part[-1], initial=0)) for part in event.value)
        self._highest_given = max(self._highest_given, *written)
        self._soon.start()

    @while_alive
    def _on_shown(self, _event: Any = None) -> None:
        """Count soon if not merely another slice is shown; of an undo napari says no more."""
        dims = self._viewer.dims
        seen = dims.current_step, dims.order, dims.ndisplay
        is_moved, self._seen = seen != self._seen, seen
        if not is_moved:
            self._soon.start()

    @while_alive
    def _on_replaced(self, _event: Any = None) -> None:
        self._count = None
        self.counted.emit(None)
        self._job.stop()
        dims = self._viewer.dims
        self._seen = dims.current_step, dims.order, dims.ndisplay
        self._soon.start()

    def _on_due(self) -> None:
        layer = self._layer
        if layer is not None and isinstance(layer.data, np.ndarray):
            self._job.start(partial(iterate_count, layer.data), on_result=self._on_counted)

    def _on_counted(self, count: CellCount) -> None:
        self._count = count
        self.counted.emit(count)
