"""What a run of the Segment form does in a worker's thread: cells found, and layers filled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import shared, within
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.engine.labels.cell_list import CellScores, Window
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.engine.labels.classes import class_counts, shares_in_words
from napari_unet.engine.labels.linking.discs import DiscCount, KnownCells
from napari_unet.engine.segmentation.judgement import Judgement
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import METADATA_KEY, new_labels_layer, new_scores_layer, zeros_on
from napari_unet.viewer.warm_up import preparation
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import Drawn, Found, KeptScores, Opened, Step, Waiting

if TYPE_CHECKING:
    from napari_unet.engine.segmentation.planes import PlaneScores
    from napari_unet.engine.segmentation.segmentation import SegmentationReport
    from napari_unet.viewer.label_canvas import LabelCanvas


def find_cells(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> Iterator[Waiting | Opened | Step | Drawn | Found]:
    """Segment, and fill a layer tile by tile.

    Parameters
    ----------
    earlier : LabelCanvas, optional
        Over the labels of an earlier run: filled again, unless they were edited.
    scores : dict
        For each class role the array of the layer that shows its scores, as
        far as there is one.
    """
    from napari_unet.engine.segmentation.segmentation import iterate_planes

    pixels, channel_axis = image.pixels()
    settings = recipe.settings_for(image, channel_axis)
    reports = iterate_planes(
        pixels,
        recipe.networks,
        settings=settings,
        instances=recipe.instances,
        device=recipe.device,
        intensity_reference=image.intensity_reference(),
        near=image.near,
    )

    planes = image.planes()
    run: Filling | None = None
    begun = -1
    for report in reports:
        # Nothing is opened before the first tile: an error must leave the viewer as it is, and
        # what tells cells apart is compiled beside the network.
        if run is None:
            yield from map(Waiting, preparation.wait_for("cells"))
            run, opened = _open(image, recipe, earlier, scores)
            if opened.layer is not None:
                opened.layer.metadata[METADATA_KEY] = recipe.provenance(
                    image, settings, cells=0, checksums={}
                )
            yield opened
        index = planes[report.slice_index]
        # Linked cells of a slice come when the next one is on its way.
        if report.slice_index != begun and (report.labels is not None or not run.is_linked):
            begun = report.slice_index
            run.canvas.begin(index)
        if report.labels is None or not run.is_linked:
            noun = "slice" if recipe.settings.volume == "three_planes" else "tile"
            yield Step(report.tile, report.tiles, report.slice_index, report.slices, noun)
        if run.draw(report, index, recipe.instances):
            yield Drawn(index, is_whole=report.labels is not None)
    assert run is not None  # noqa: S101 - there is at least one plane
    cells = run.cells
    made = recipe.provenance(image, settings, cells=cells, checksums=run.canvas.checksums)
    kept = run.kept if run.kept.planes else None
    description = recipe.network.description
    classes = run.classes(description.class_roles) if description.gives_classes else ""
    doubt = run.judgement.doubt(description)
    diameter_px = run.diameter_px
    yield Found(
        *(cells, run.notes, made, diameter_px, kept, image, recipe, classes, doubt, run.types),
        run.cell_scores,
        None if run.discs is None else run.discs.linked,
    )


def _open(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> tuple[Filling, Opened]:
    from napari_unet.viewer.label_canvas import LabelCanvas

    edited = earlier is not None and any(earlier.is_edited(index) for index in image.planes())
    layer = None
    if earlier is not None and not edited:
        canvas = earlier
    else:
        canvas = LabelCanvas(zeros_on(image, np.int32))
        layer = new_labels_layer(canvas.array, image, recipe.model)
    added = []
    if recipe.shows_scores:
        for role in recipe.network.description.class_roles:
            if role != "background" and role not in scores:
                scores[role] = zeros_on(image, np.float32)
                added.append(new_scores_layer(scores[role], image, recipe.model, role))
    else:
        scores = {}
    # A part of an image, or one slice of many, goes in beside cells that have their numbers; and
    # so do all slices, one after the other, beside those of an earlier run.
    is_part = image.has_slices and (image.extent != "stack" or layer is None)
    keeps_numbers = image.region is not None or is_part
    from napari_unet.engine.segmentation.volumes.ways import disc_count

    stack = image.labels_shape[:-2] if image.extent == "stack" else ()
    discs = disc_count(stack, recipe.network.description, recipe.settings)
    is_linked = recipe.settings.volume == "linked"
    filling = Filling(canvas, scores, keeps_numbers=keeps_numbers, is_linked=is_linked, discs=discs)
    return filling, Opened(canvas, layer, tuple(added), edited)


_NO_SCORES = "The scores take too much memory to be kept, so changed thresholds need another Run."

MEMORY_SHARE_OF_SCORES = 0.25
"""Of the free memory, that scores may take for the thresholds to move without another run."""


def _wanted(plane: PlaneScores, labels: LabelImage) -> LabelImage:
    if plane.wanted is None:
        return labels
    return labels[within(shared(plane.wanted, plane.area), plane.area)]


def scores_in(array: LabelImage, plane: PlaneScores, index: PlaneIndex) -> CellScores | None:
    """Score and doubt of the cells of a plane of a layer, as they are there.

    None of classes, and of planes that lie across the stack.
    """
    front = sum(not isinstance(part, slice) for part in index)
    if any(not isinstance(part, slice) for part in index[front:]):
        return None
    place = tuple(part for part in index[:front] if not isinstance(part, slice))
    return plane.cell_scores(array[index], window=Window.of_plane(place, array.shape))


class Filling:
    """Writes what a run reports into the arrays of the layers."""

    def __init__(
        self,
        canvas: LabelCanvas,
        scores: dict[str, Any],
        *,
        keeps_numbers: bool,
        is_linked: bool = False,
        discs: DiscCount | None = None,
    ) -> None:
        self.canvas = canvas
        self.is_linked, self.discs = is_linked, discs
        # Slices that are still those of an earlier run must not share numbers with new ones.
        self._above = int(canvas.array.max(initial=0)) if is_linked else 0
        self._linked_cells = 0
        self.kept = KeptScores(canvas)
        self.judgement = Judgement()
        self._keeps_scores = True
        self._engine_notes: tuple[str, ...] = ()
        self.diameter_px: float | None = None
        self._scores = scores
        self._keeps_numbers = keeps_numbers and not is_linked
        self._class_counts: Any = 0
        self._known = KnownCells(linked=is_linked)

    @property
    def cells(self) -> int:
        """How many there are so far."""
        return self._linked_cells if self.is_linked else sum(self.kept.cells.values())

    def classes(self, class_roles: Sequence[str]) -> str:
        """Share of each class, in words."""
        return shares_in_words(self._class_counts, class_roles)

    @property
    def types(self) -> CellTypes | None:
        """The type of each cell, by its number in the layer."""
        return self._known.types

    @property
    def cell_scores(self) -> CellScores | None:
        """Score and doubt of each cell, by its number in the layer."""
        return self._known.scores

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
        # A plane of one tile is whole in a moment; linked cells have no numbers before that.
        if report.area is None or report.tiles == 1 or self.is_linked:
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
        if self.is_linked:
            self._linked_cells = max(self._linked_cells, int(labels.max(initial=0)))
            labels = np.where(labels > 0, labels + self._above, 0).astype(np.int32)
        self._check(self.canvas.finish(index, plane, labels, keeps_numbers=self._keeps_numbers))
        self.judgement.add(plane, labels)
        here = self.canvas.array[index]
        if self.discs is not None:
            self.discs.add(here)
        types = plane.types(here[plane.area])
        self._known.add(here, scores_in(self.canvas.array, plane, index), types)
        sizes = np.bincount(labels.reshape(-1))[1:]
        sizes = sizes[sizes > 0]
        if plane.gives_classes:
            self._class_counts += class_counts(_wanted(plane, labels), plane.class_roles)
            sizes = sizes[:0]
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
