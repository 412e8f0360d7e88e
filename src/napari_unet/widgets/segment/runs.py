"""What the Segment form has done in a worker's thread: cells found, and found again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import DeviceError, LabelsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, PlaneIndex, Region
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import METADATA_KEY, new_labels_layer, new_scores_layer, provenance
from napari_unet.widgets.segment.recipe import Recipe

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.engine.segmentation.segmentation import PlaneScores, SegmentationReport
    from napari_unet.viewer.label_canvas import LabelCanvas

_NO_SCORES = "The scores take too much memory to be kept, so changed thresholds need another Run."

MEMORY_SHARE_OF_SCORES = 0.25
"""Of the free memory, that scores may take for the thresholds to move without another run."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A run has begun to fill a layer.

    Parameters
    ----------
    canvas : LabelCanvas
    layer : napari Labels layer, optional
        To be added to the viewer; None where an earlier one is filled.
    score_layers : tuple of napari Image layers
        To be added to the viewer.
    kept_edited : bool
        The earlier layer was edited, and so it is left as it is.
    """

    canvas: LabelCanvas
    layer: Labels | None
    score_layers: tuple[Image, ...] = ()
    kept_edited: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run is, in tiles of the present slice and in slices."""

    tile: int
    tiles: int
    slice_index: int
    slices: int

    @property
    def done(self) -> int:
        """Tiles that are finished, in all slices."""
        return self.slice_index * self.tiles + self.tile

    @property
    def text(self) -> str:
        """What is being done."""
        is_last = self.tile == self.tiles
        text = "telling cells apart" if is_last else f"tile {self.tile + 1} of {self.tiles}"
        if self.slices > 1:
            text = f"slice {self.slice_index + 1} of {self.slices}, {text}"
        return text


@dataclass(frozen=True, slots=True)
class Drawn:
    """Labels changed.

    Parameters
    ----------
    index : PlaneIndex
        In this plane.
    is_whole : bool
        All cells of the plane are final.
    """

    index: PlaneIndex
    is_whole: bool


@dataclass(slots=True, eq=False)
class KeptScores:
    """What lets cells be found again without the network.

    Parameters
    ----------
    canvas : LabelCanvas
    planes : list of (PlaneIndex, PlaneScores)
    cells : dict
        Cells of each plane, by its position in `planes`.
    """

    canvas: LabelCanvas
    planes: list[tuple[PlaneIndex, PlaneScores]] = field(default_factory=list)
    cells: dict[int, int] = field(default_factory=dict)

    @property
    def plane_ndim(self) -> int:
        """Axes of a plane."""
        return sum(isinstance(part, slice) for part in self.planes[0][0])


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """All cells are found.

    Parameters
    ----------
    cells : int
    notes : tuple of str
        The engine's, about anything that went another way than asked for.
    provenance : dict
        For the layer's metadata.
    instances : InstanceSettings
    diameter_px : float, optional
        Median diameter of the cells of the last plane, in pixels of the image.
    kept : KeptScores, optional
        None if the scores take too much memory.
    """

    cells: int
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    instances: InstanceSettings
    diameter_px: float | None
    kept: KeptScores | None


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """All cells are made anew.

    Parameters
    ----------
    cells : int
    edited_slices : int
        Slices that a person edited, left as they are.
    """

    cells: int
    edited_slices: int = 0

    @property
    def text(self) -> str:
        """How it went, as a sentence or two."""
        text = f"{cell_count(self.cells)} with these settings."
        if self.edited_slices:
            were = "1 slice was" if self.edited_slices == 1 else f"{self.edited_slices} slices were"
            text += f" {were} edited and left alone."
        return text


@dataclass(frozen=True, slots=True)
class Edited:
    """A person edited all of the labels; they were left as they are."""


def cell_count(cells: int) -> str:
    """So many cells, in words."""
    return "1 cell" if cells == 1 else f"{cells} cells"


def find_cells(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> Iterator[Opened | Step | Drawn | Found]:
    """Segment, and fill a layer tile by tile.

    Parameters
    ----------
    image : LayerImage
    recipe : Recipe
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
        recipe.network,
        settings=settings,
        instances=recipe.instances,
        device=recipe.device,
        intensity_reference=image.intensity_reference(),
        near=image.near,
    )

    def made(cells: int) -> dict[str, Any]:
        return provenance(
            image,
            recipe.model,
            source=recipe.source,
            file_hash=recipe.file_hash,
            guesses=recipe.guesses,
            cells=cells,
            settings=settings,
            instances=recipe.instances,
            checksums={} if run is None else run.canvas.checksums,
        )

    planes = image.planes()
    run: _Filling | None = None
    begun = -1
    for report in reports:
        # Nothing is opened before the first tile: an error must leave the viewer as it is.
        if run is None:
            run, opened = _open(image, recipe, earlier, scores)
            if opened.layer is not None:
                opened.layer.metadata[METADATA_KEY] = made(0)
            yield opened
        index = planes[report.slice_index]
        if report.slice_index != begun:
            begun = report.slice_index
            run.canvas.begin(index)
        yield Step(report.tile, report.tiles, report.slice_index, report.slices)
        if run.draw(report, index, recipe.instances):
            yield Drawn(index, is_whole=report.labels is not None)
    assert run is not None  # noqa: S101 - there is at least one plane
    cells = sum(run.kept.cells.values())
    kept = run.kept if run.kept.planes else None
    yield Found(cells, run.notes, made(cells), recipe.instances, run.diameter_px, kept)


def _open(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> tuple[_Filling, Opened]:
    from napari_unet.viewer.label_canvas import LabelCanvas

    edited = earlier is not None and any(earlier.is_edited(index) for index in image.planes())
    layer = None
    if earlier is not None and not edited:
        canvas = earlier
    else:
        canvas = LabelCanvas(_zeros(image, np.int32))
        layer = new_labels_layer(canvas.array, image, recipe.model)
    added = []
    if recipe.shows_scores:
        for role in recipe.network.description.class_roles:
            if role != "background" and role not in scores:
                scores[role] = _zeros(image, np.float32)
                added.append(new_scores_layer(scores[role], image, recipe.model, role))
    else:
        scores = {}
    # A part of an image, or one slice of many, goes in beside cells that have their numbers; and
    # so do all slices, one after the other, beside those of an earlier run.
    is_part = image.has_slices and (image.extent != "stack" or layer is None)
    keeps_numbers = image.region is not None or is_part
    return _Filling(canvas, scores, keeps_numbers=keeps_numbers), Opened(
        canvas, layer, tuple(added), edited
    )


def _zeros(image: LayerImage, dtype: type[np.generic]) -> NDArray[Any]:
    shape = image.labels_shape
    try:
        return np.zeros(shape, dtype)
    except MemoryError as error:
        gib = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        raise DeviceError(
            f"A layer of the size of '{image.name}' needs {gib:.1f} GiB of memory, which is not "
            "free; save a part of the image as a file of its own and open that."
        ) from error


class _Filling:
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


def find_again(
    kept: KeptScores, instances: InstanceSettings, shown: PlaneIndex, visible: Region | None
) -> Iterator[Drawn | Edited | FoundAgain]:
    """Make the cells anew from kept scores: what is in view first, then all of them.

    Parameters
    ----------
    kept : KeptScores
    instances : InstanceSettings
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
    edited = 0
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
            yield Drawn(index, is_whole=True)
        else:
            edited += 1
            kept.cells[number] = np.unique(canvas.array[index][canvas.array[index] > 0]).size
    all_edited = edited == len(order)
    yield Edited() if all_edited else FoundAgain(sum(kept.cells.values()), edited)


def _is_small(visible: Region, plane: PlaneScores) -> bool:
    """Whether a part is so much less than the plane that it is worth a pass of its own."""
    pixels = np.prod([part.stop - part.start for part in visible])
    return bool(pixels < 0.5 * np.prod(plane.shape))
