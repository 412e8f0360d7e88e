"""Puts right in a layer what was found in its labels, as one step that undo takes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.viewer.label_edits import LabelEdit, edit_labels, label_edit, labels_in_memory
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.checks.finding import Finding

_MOST_PIXELS = 100_000
"""Written in one round of the event loop, which takes some hundredths of a second."""


class RepairJob(QObject):
    """Computes a repair in a worker and writes it in parts, so that the window stays alive.

    The brush is put away meanwhile. Whatever follows the labels is told
    once, as of a stroke of the brush.
    """

    repaired = Signal(object)
    """Carries the `Finding`."""
    failed = Signal(object)
    """Carries the exception; what was written by then is one step to undo."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: Labels | None = None
        self._finding: Finding | None = None
        self._labels: LabelImage | None = None
        self._mode = ""
        self._job = Job(self)
        self._parts: Iterator[LabelEdit] = iter(())
        self._step = ExitStack()
        self._next = single_shot(self, self._on_next_part)

    @property
    def is_busy(self) -> bool:
        """Whether a repair is under way; another one waits for its end."""
        return self._layer is not None

    def start(self, layer: Labels, finding: Finding, *planes: PlaneIndex) -> None:
        """Put right what was found in a layer.

        Parameters
        ----------
        *planes : tuple of int or slice
            The slice of each of the finding's parts, or that of the finding;
            the whole layer without any.

        Raises
        ------
        UNetError
            If the layer's labels cannot be written to, or another repair is
            under way.
        """
        if self.is_busy:
            raise UNetError("Another repair is under way; wait for its end.")
        labels = labels_in_memory(layer)
        self._layer, self._finding, self._labels = layer, finding, labels
        self._mode = str(layer.mode)
        # A layer that cannot be edited would forget what can be undone.
        layer.mode = "pan_zoom"
        self._job.start(
            partial(_repaired, labels, finding, *planes),
            on_result=self._on_computed,
            on_error=self._on_failed,
        )

    def stop(self) -> None:
        """Let go of what is not finished; what was written by then is one step to undo."""
        self._job.stop()
        self._end()

    def _on_computed(self, edit: LabelEdit) -> None:
        layer = self._layer
        if layer is None or self._is_replaced(layer):
            return
        if edit.values.size and edit.dtype != layer.data.dtype:
            layer.data = self._labels = layer.data.astype(edit.dtype)
        self._parts = edit.parts(_MOST_PIXELS)
        self._step.enter_context(layer.block_history())
        self._next.start()

    def _on_next_part(self) -> None:
        layer, part = self._layer, next(self._parts, None)
        if layer is None or self._is_replaced(layer):
            return
        if part is not None:
            edit_labels(layer, part, refreshes=False)
            self._next.start()
            return
        finding = self._finding
        self._end()
        layer.refresh()
        self.repaired.emit(finding)

    def _is_replaced(self, layer: Labels) -> bool:
        """Whether someone gave the layer other data, which ends the repair."""
        if layer.data is self._labels:
            return False
        self._on_failed(
            UNetError(f"'{layer.name}' was given other labels during the repair; look again.")
        )
        return True

    def _on_failed(self, error: Exception) -> None:
        self._end()
        self.failed.emit(error)

    def _end(self) -> None:
        self._next.stop()
        layer, self._layer = self._layer, None
        self._step.close()
        if layer is not None:
            layer.mode = self._mode
        self._finding = self._labels = None
        self._parts = iter(())


def _repaired(labels: LabelImage, finding: Finding, *planes: PlaneIndex) -> LabelEdit:
    from napari_unet.engine.checks.preflight import repair

    if not planes:
        return label_edit(labels, repair(labels, finding))
    found = zip(finding.parts or (finding,), planes, strict=True)
    parts = [repair(labels[plane], part) for part, plane in found]
    whole = labels.astype(np.result_type(labels, *parts))
    for plane, part in zip(planes, parts, strict=True):
        whole[plane] = part
    return label_edit(labels, whole)
