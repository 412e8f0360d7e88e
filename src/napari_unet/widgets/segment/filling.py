"""Fills the arrays of the layers with what a run of the engine reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.widgets.segment.reports import KeptScores

if TYPE_CHECKING:
    from napari_unet.engine.segmentation.planes import PlaneScores
    from napari_unet.engine.segmentation.segmentation import SegmentationReport
    from napari_unet.viewer.label_canvas import LabelCanvas

_NO_SCORES = "The scores take too much memory to be kept, so changed thresholds need another Run."

MEMORY_SHARE_OF_SCORES = 0.25
"""Of the free memory, that scores may take for the thresholds to move without another run."""


class Filling:
    """Writes what a run reports into the arrays of the layers."""

    def __init__(self, canvas: LabelCanvas, scores: dict[str, Any], *, keeps_numbers: bool) -> None:
        self.canvas = canvas
        self.kept = KeptScores(canvas)
        self._keeps_scores = True
        self._engine_notes: tuple[str, ...] = ()
        self.diameter_px: float | None = None
        self._scores = scores
        self._keeps_numbers = keeps_numbers

    @property
    def notes(self) -> tuple[str, ...]:
        """What did not go as asked for."""
        return self._engine_notes if self._keeps_scores else (*self._engine_notes, _NO_SCORES)

    def draw(
        self, report: SegmentationReport, index: PlaneIndex, instances: InstanceSettings
    ) -> bool:
        """Write what is new; return whether anything was."""
        plane = report.plane
        if plane is None:
            return False
        if report.labels is not None:
            self._finish(report.labels, plane, index, report.slice_index)
            self._engine_notes = report.notes
            return True
        # A plane of one tile is whole in a moment.
        if report.area is None or report.tiles == 1:
            return False
        self._check(self.canvas.preview(index, plane, report.area, instances))
        return True

    def _check(self, is_written: bool) -> None:  # noqa: FBT001 - what the canvas says
        if not is_written:
            raise LabelsError(
                "The labels were changed by something else while they were filled, so they stay "
                "as they are; Run again puts the cells into a new layer."
            )

    def _finish(
        self, labels: LabelImage, plane: PlaneScores, index: PlaneIndex, number: int
    ) -> None:
        self._check(self.canvas.finish(index, plane, labels, keeps_numbers=self._keeps_numbers))
        sizes = np.bincount(labels.reshape(-1))[1:]
        sizes = sizes[sizes > 0]
        self.kept.cells[number] = int(sizes.size)
        if sizes.size and len(plane.shape) == 2:
            self.diameter_px = float(np.sqrt(4 / np.pi * np.median(sizes)))
        if self._scores:
            own = plane.on_own_grid()
            for role, target in self._scores.items():
                target[index] = own[plane.class_roles.index(role)]
        self._keep(plane, index)

    def _keep(self, plane: PlaneScores, index: PlaneIndex) -> None:
        import torch

        from napari_unet.engine.base.device import free_memory_bytes

        if not self._keeps_scores:
            return
        self.kept.planes.append((index, plane))
        size = sum(each.scores.nbytes for _, each in self.kept.planes)
        free = free_memory_bytes(torch.device("cpu"))
        if size > MEMORY_SHARE_OF_SCORES * (free + size):
            self._keeps_scores = False
            self.kept.planes.clear()
