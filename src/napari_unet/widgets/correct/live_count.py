"""The count of the cells in a layer, kept up to date beside the Qt thread, and new numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.cell_count import CellCount, iterate_count
from napari_unet.viewer.label_edits import Painted
from napari_unet.viewer.worker import Job
from napari_unet.widgets.correct.changes import LayerChanges
from napari_unet.widgets.shared.parts import single_shot

if TYPE_CHECKING:
    from napari.layers import Labels

_WAIT_MS = 200
"""So long nothing may change before it is counted."""

_AT_ONCE_PX = 1 << 24
"""Labels of which the highest number is found in 10 ms or so."""


class LiveCount(QObject):
    """Counts the cells of the layer that is followed, again after each change of it."""

    counted = Signal(object)
    """Carries a `CellCount`; None while it is not known."""

    def __init__(self, changes: LayerChanges, parent: QObject) -> None:
        super().__init__(parent)
        self._changes = changes
        self._layer: Labels | None = None
        self._count: CellCount | None = None
        self._highest_given = 0
        self._job = Job(self)
        self._soon = single_shot(self, self._on_due, after_ms=_WAIT_MS)
        changes.painted.connect(self._on_painted)
        changes.altered.connect(self._soon.start)
        changes.replaced.connect(self._on_replaced)

    @property
    def is_busy(self) -> bool:
        """Whether a count is on its way."""
        return self._soon.isActive() or self._job.is_running

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

    def _on_painted(self, parts: list[Painted]) -> None:
        """Note the numbers of a stroke, and count soon."""
        written = (int(np.max(part.after, initial=0)) for part in parts)
        self._highest_given = max(self._highest_given, *written)
        self._soon.start()

    def _on_replaced(self) -> None:
        layer, before = self._changes.layer, self._layer
        if layer is None or before is None or layer != before:
            self._layer, self._highest_given = layer, 0
        self._count = None
        self.counted.emit(None)
        self._job.stop()
        self._soon.start()

    def _on_due(self) -> None:
        layer = self._layer
        if layer is not None and isinstance(layer.data, np.ndarray):
            self._job.start(partial(iterate_count, layer.data), on_result=self._on_counted)

    def _on_counted(self, count: CellCount) -> None:
        self._count = count
        self.counted.emit(count)
