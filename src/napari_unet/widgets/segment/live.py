"""Cells follow the thresholds at once, from the scores of the last run."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.regions import Region
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.engine.labels.cell_list import CellScores, joined_scores
from napari_unet.engine.labels.cell_types import CellTypes, joined_types
from napari_unet.engine.labels.linking.discs import KnownCells
from napari_unet.engine.labels.linking.slices import link_slices
from napari_unet.viewer.cells.cell_scores import keep_cell_scores
from napari_unet.viewer.cells.cell_types import show_types
from napari_unet.viewer.layers import shown_plane, visible_box
from napari_unet.viewer.results import METADATA_KEY, note_origin
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.reports import Drawn, Edited, FoundAgain, KeptScores, Step
from napari_unet.widgets.segment.runs import scores_in

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.segmentation.planes import PlaneScores


_LINKING = ("volume", "link_overlap", "link_gaps")


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
        self._settings = SegmentationSettings()
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
    def image_id(self) -> str | None:
        """Id of the image layer whose cells these are."""
        if self._layer is None:
            return None
        image_id: str | None = self._layer.metadata.get(METADATA_KEY, {}).get("image_id")
        return image_id

    @property
    def is_busy(self) -> bool:
        """Whether a change is on its way."""
        return self._job.is_running

    def keep(self, kept: KeptScores, layer: Labels, settings: SegmentationSettings) -> None:
        """Follow the settings with this layer from now on; it was made with these."""
        self.forget()
        self._kept, self._layer, self._settings = kept, layer, settings

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

    def update(
        self, instances: InstanceSettings, settings: SegmentationSettings | None = None
    ) -> None:
        """Make the cells anew; an earlier change that is still on its way is dropped.

        Classes are as they are, whatever makes cells of scores, and scores of planes
        are none of a volume, nor the reverse.

        Parameters
        ----------
        settings : SegmentationSettings, optional
            Says whether slices are linked, and how; as before if left out.
        """
        settings = settings or self._settings
        if self._kept is None or self._layer is None or self._kept.gives_classes:
            return
        if self._kept.is_volume != (settings.volume == "three_planes"):
            return
        self._job.stop()
        if self._layer.data is not self._kept.canvas.array:
            self._refuse()
            return
        # Its own for each change: a thread that winds up must not write into the next one's.
        self._kept = replace(self._kept, canvas=self._kept.canvas.reopened())
        shown, visible = self._in_view(self._layer, self._kept.plane_ndim)
        was_linked = self._settings.volume == "linked"
        self._settings = settings
        again: Callable[[], Iterator[Any]] = partial(
            find_again, self._kept, instances, shown, visible, keeps_numbers=not was_linked
        )
        if settings.volume == "linked":
            again = partial(link_again, self._kept, instances, settings, shown)
        self._job.start(
            again,
            on_report=self._on_reported,
            on_result=partial(self._on_finished, instances, settings),
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

    def _on_reported(self, report: Step | Drawn | Edited | FoundAgain) -> None:
        if isinstance(report, Drawn) and self._layer is not None:
            self._layer.refresh(extent=False, highlight=False, thumbnail=report.is_whole)

    def _on_finished(
        self,
        instances: InstanceSettings,
        settings: SegmentationSettings,
        last: Drawn | Edited | FoundAgain,
    ) -> None:
        if isinstance(last, FoundAgain):
            self._note({"cells": last.cells, "instances": asdict(instances)}, settings)
            if self._layer is not None:
                keep_cell_scores(self._layer, last.cell_scores)
            if last.types is not None and self._layer is not None:
                show_types(self._layer, last.types, keeps_others=last.edited_slices > 0)
            self.told.emit(last.text)
        else:
            self._refuse()

    def _note(self, changes: dict[str, Any], settings: SegmentationSettings | None = None) -> None:
        """Tell in the layer how its labels came about, and what they were when they did."""
        if self._layer is None or self._kept is None:
            return
        made = self._layer.metadata.get(METADATA_KEY, {})
        canvas = self._kept.canvas
        made = {**made, "checksums": canvas.checksums, **changes}
        if settings is not None and "settings" in made:
            linking = {name: getattr(settings, name) for name in _LINKING}
            made["settings"] = {**made["settings"], **linking}
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
    kept: KeptScores,
    instances: InstanceSettings,
    shown: PlaneIndex,
    visible: Region | None,
    *,
    keeps_numbers: bool = True,
) -> Iterator[Drawn | Edited | FoundAgain]:
    """Make the cells anew from kept scores: what is in view first, then all of them.

    Parameters
    ----------
    shown : PlaneIndex
        The plane in view.
    visible : tuple of slice, optional
        The part of it that is in view.
    keeps_numbers : bool
        Give cells the numbers of those that they lie on: not where several slices
        share them.

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
    above = 0 if keeps_numbers else int(canvas.array.max(initial=0))
    for number in order:
        index, plane = kept.planes[number]
        is_ours = not canvas.is_edited(index)
        in_view_first = index == shown and visible is not None and _is_small(visible, plane)
        in_view_first &= keeps_numbers
        if is_ours and in_view_first and visible is not None:
            is_ours = canvas.preview(index, plane, visible, instances)
            yield Drawn(index, is_whole=False)
        if is_ours:
            labels = plane.labels(instances)
            kept.cells[number] = int(labels.max(initial=0))
            if not keeps_numbers:
                labels = np.where(labels > 0, labels + above, 0).astype(np.int32)
                above = max(above, int(labels.max(initial=0)))
            is_ours = canvas.finish(index, plane, labels, keeps_numbers=keeps_numbers)
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


def link_again(
    kept: KeptScores,
    instances: InstanceSettings,
    settings: SegmentationSettings,
    shown: PlaneIndex,
) -> Iterator[Step | Drawn | Edited | FoundAgain]:
    """Make the cells of all slices anew from kept scores, and link them.

    A slice that a person edited cannot be linked without changing it: then all stay.

    Parameters
    ----------
    shown : PlaneIndex
        The plane in view, of which alone is told that it was drawn.

    Yields
    ------
    Step, Drawn, Edited or FoundAgain
        Last one of the last two.
    """
    from napari_unet.engine.segmentation.instances import keep_numbers

    canvas = kept.canvas
    if any(canvas.is_edited(index) for index, _ in kept.planes):
        yield Edited()
        return
    discs = np.zeros(canvas.array.shape, np.int32)
    for number, (index, plane) in enumerate(kept.planes):
        discs[index] = plane.placed(plane.labels(instances))
        yield Step(1, 1, number, len(kept.planes))
    linked = link_slices(discs, link_overlap=settings.link_overlap, link_gaps=settings.link_gaps)
    # Colours stay.
    numbers = keep_numbers(linked, canvas.array)
    known = KnownCells(linked=True)
    for index, plane in kept.planes:
        here = numbers[index]
        if not canvas.finish(index, plane, here[plane.area], keeps_numbers=False):
            yield Edited()
            return
        if index == shown:
            yield Drawn(index, is_whole=True)
        known.add(here, scores_in(canvas.array, plane, index), plane.types(here[plane.area]))
    cells = int(linked.max(initial=0))
    yield FoundAgain(cells, types=known.types, cell_scores=known.scores)


def _is_small(visible: Region, plane: PlaneScores) -> bool:
    """Whether a part is so much less than the plane that it is worth a pass of its own."""
    pixels = np.prod([part.stop - part.start for part in visible])
    return bool(pixels < 0.5 * np.prod(plane.shape))
