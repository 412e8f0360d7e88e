"""Cells follow the thresholds at once, from the scores of the last run."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.regions import Region
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.engine.labels.cell_list import CellScores, joined_scores
from napari_unet.engine.labels.cell_types import CellTypes, joined_types
from napari_unet.viewer.cells.cell_scores import keep_cell_scores
from napari_unet.viewer.cells.cell_types import show_types
from napari_unet.viewer.layers import shown_plane, visible_box
from napari_unet.viewer.results import METADATA_KEY, note_origin
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.reports import Drawn, Edited, FoundAgain, KeptScores
from napari_unet.widgets.segment.runs import scores_in

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.segmentation.planes import PlaneScores


class LiveLabels(QObject):
    """Makes the cells of a layer anew whenever their settings change."""

    told = Signal(str)
    """Carries a sentence: how many cells there are after a change, or why they stay."""
    failed = Signal(object)
    """Carries the exception."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._kept: KeptScores | None = None
        self._layer: Labels | None = None
        self._job = Job(self)

    @property
    def is_ready(self) -> bool:
        """Whether there are scores to make cells from."""
        return self._kept is not None

    @property
    def kept(self) -> KeptScores | None:
        """The scores of the last run, as long as they are of use."""
        return self._kept

    @property
    def layer(self) -> Labels | None:
        """The layer that follows the settings."""
        return self._layer

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
        """Make the cells anew; an earlier change that is still on its way is dropped.

        Classes are as they are, whatever makes cells of scores.
        """
        if self._kept is None or self._layer is None or self._kept.gives_classes:
            return
        self._job.stop()
        if self._layer.data is not self._kept.canvas.array:
            self._refuse()
            return
        # Its own for each change: a thread that winds up must not write into the next one's.
        self._kept = replace(self._kept, canvas=self._kept.canvas.reopened())
        shown, visible = self._in_view(self._layer, self._kept.plane_ndim)
        self._job.start(
            partial(find_again, self._kept, instances, shown, visible),
            on_report=self._on_reported,
            on_result=partial(self._on_finished, instances),
            on_error=self._on_failed,
        )

    def _in_view(self, labels: Labels, plane_ndim: int) -> tuple[PlaneIndex, Region | None]:
        """Which plane of the labels is shown, and which part of it."""
        shown = shown_plane(labels, self._viewer.dims, plane_ndim)
        shape = zip(labels.data.shape, shown, strict=True)
        sizes = [n for n, part in shape if isinstance(part, slice)]
        box = visible_box(labels, tuple(range(labels.ndim)), shown, sizes)
        if box is None:
            return shown, None
        return shown, tuple(slice(*ends) for ends in np.reshape(box, (-1, 2)).tolist())

    def _on_reported(self, report: Drawn | Edited | FoundAgain) -> None:
        if isinstance(report, Drawn) and self._layer is not None:
            self._layer.refresh(extent=False, highlight=False, thumbnail=report.is_whole)

    def _on_finished(self, instances: InstanceSettings, last: Drawn | Edited | FoundAgain) -> None:
        if isinstance(last, FoundAgain):
            self._note({"cells": last.cells, "instances": asdict(instances)})
            if self._layer is not None:
                keep_cell_scores(self._layer, last.cell_scores)
            if last.types is not None and self._layer is not None:
                show_types(self._layer, last.types, keeps_others=last.edited_slices > 0)
            self.told.emit(last.text)
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
        self.told.emit(
            "The labels were edited, so they stay as they are; Run puts the cells with these "
            "settings into a new layer."
        )

    def _on_failed(self, error: Exception) -> None:
        self._note({"stopped": True})
        self.failed.emit(error)


def find_again(
    kept: KeptScores, instances: InstanceSettings, shown: PlaneIndex, visible: Region | None
) -> Iterator[Drawn | Edited | FoundAgain]:
    """Make the cells anew from kept scores: what is in view first, then all of them.

    Parameters
    ----------
    shown : PlaneIndex
        The plane in view.
    visible : tuple of slice, optional
        The part of it that is in view.

    Yields
    ------
    Drawn or Edited or FoundAgain
        Last one of the other two.
    """
    canvas = kept.canvas
    edited, are_cut = 0, False
    types: list[CellTypes] = []
    cell_scores: list[CellScores | None] = []
    order = sorted(range(len(kept.planes)), key=lambda number: kept.planes[number][0] != shown)
    for number in order:
        index, plane = kept.planes[number]
        is_ours = not canvas.is_edited(index)
        in_view_first = index == shown and visible is not None and _is_small(visible, plane)
        if is_ours and in_view_first and visible is not None:
            is_ours = canvas.preview(index, plane, visible, instances)
            yield Drawn(index, is_whole=False)
        if is_ours:
            labels = plane.labels(instances)
            kept.cells[number] = int(labels.max(initial=0))
            is_ours = canvas.finish(index, plane, labels, keeps_numbers=True)
        if is_ours:
            are_cut |= bool(plane.cut_sides(instances))
            found = plane.types(canvas.array[index][plane.area])
            types += [] if found is None else [found]
            yield Drawn(index, is_whole=True)
            # Last: who moves a threshold waits for the cells.
            cell_scores.append(scores_in(canvas.array, plane, index))
        else:
            edited += 1
            kept.cells[number] = np.unique(canvas.array[index][canvas.array[index] > 0]).size
    all_edited = edited == len(order)
    if all_edited:
        yield Edited()
    else:
        cells = sum(kept.cells.values())
        known = joined_scores(cell_scores)
        yield FoundAgain(cells, edited, are_cut, joined_types(types), known)


def _is_small(visible: Region, plane: PlaneScores) -> bool:
    """Whether a part is so much less than the plane that it is worth a pass of its own."""
    pixels = np.prod([part.stop - part.start for part in visible])
    return bool(pixels < 0.5 * np.prod(plane.shape))
