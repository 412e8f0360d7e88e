"""Cells follow the thresholds at once, from the scores of the last run."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import PlaneIndex, Region
from napari_unet.viewer.results import METADATA_KEY, note_origin
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.runs import Drawn, Edited, FoundAgain, KeptScores, find_again


class LiveLabels(QObject):
    """Makes the cells of a layer anew whenever their settings change.

    Parameters
    ----------
    view : callable
        Says which plane of a layer is shown and which part of it, for `find_again`; it is given
        the layer and the number of axes of a plane.

    Attributes
    ----------
    counted : Signal
        Carries the number of cells after a change, and of slices that were edited and so stay.
    refused : Signal
        The labels were edited, so they stay as they are.
    failed : Signal
        Carries the exception.
    """

    counted = Signal(int, int)
    refused = Signal()
    failed = Signal(object)

    def __init__(self, view: Callable[[Labels, int], tuple[PlaneIndex, Region | None]]) -> None:
        super().__init__()
        self._view = view
        self._kept: KeptScores | None = None
        self._layer: Labels | None = None
        self._job = Job(self)

    @property
    def is_ready(self) -> bool:
        """Whether there are scores to make cells from."""
        return self._kept is not None

    @property
    def is_busy(self) -> bool:
        """Whether a change is on its way."""
        return self._job.is_running

    def keep(self, kept: KeptScores, layer: Labels) -> None:
        """Follow the settings with this layer from now on."""
        self.forget()
        self._kept, self._layer = kept, layer

    def forget(self) -> None:
        """Drop the scores; the layer stays as it is."""
        if self.is_busy and self._kept is not None:
            self._job.stop()
            self._kept.canvas.close()
            self._note({"stopped": True})
        self._kept = self._layer = None

    def forget_missing(self, layers: Container[Layer]) -> None:
        """Drop the scores if their layer is not among these."""
        if self._layer is not None and self._layer not in layers:
            self.forget()

    def update(self, instances: InstanceSettings) -> None:
        """Make the cells anew; an earlier change that is still on its way is dropped."""
        if self._kept is None or self._layer is None:
            return
        self._job.stop()
        if self._layer.data is not self._kept.canvas.array:
            self._refuse()
            return
        # Its own for each change: a thread that winds up must not write into the next one's.
        self._kept = replace(self._kept, canvas=self._kept.canvas.reopened())
        shown, visible = self._view(self._layer, self._kept.plane_ndim)
        self._job.start(
            partial(find_again, self._kept, instances, shown, visible),
            on_report=self._on_reported,
            on_result=partial(self._on_finished, instances),
            on_error=self._on_failed,
        )

    def _on_reported(self, report: Drawn | Edited | FoundAgain) -> None:
        if isinstance(report, Drawn) and self._layer is not None:
            self._layer.refresh(extent=False, highlight=False, thumbnail=report.is_whole)

    def _on_finished(self, instances: InstanceSettings, last: Drawn | Edited | FoundAgain) -> None:
        if isinstance(last, FoundAgain):
            self._note({"cells": last.cells, "instances": asdict(instances)})
            self.counted.emit(last.cells, last.edited_slices)
        else:
            self._refuse()

    def _note(self, changes: dict[str, Any]) -> None:
        """Tell in the layer how its labels came about, and what they were when they did."""
        if self._layer is None or self._kept is None:
            return
        made = self._layer.metadata.get(METADATA_KEY, {})
        canvas = self._kept.canvas
        made = {**made, "checksums": canvas.checksums, **changes}
        note_origin(self._layer, made, canvas.predictions)

    def _refuse(self) -> None:
        self.forget()
        self.refused.emit()

    def _on_failed(self, error: Exception) -> None:
        self._note({"stopped": True})
        self.failed.emit(error)
