"""The scores of one plane, kept, and made into cells again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import DeviceError
from napari_unet.engine.base.regions import Region, shared, sizes, within
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.images.resampling import nearest_index, restore_scores
from napari_unet.engine.labels.cell_list import (
    CellScores,
    ScoreMaps,
    Window,
    list_cells,
    score_maps,
)
from napari_unet.engine.labels.cell_types import CellTypes, cell_types
from napari_unet.engine.labels.classes import class_labels
from napari_unet.engine.networks.annotation import labels_are_classes
from napari_unet.engine.networks.class_roles import BACKGROUND, types_of
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.segmentation.rim import Side, cut_sides


@dataclass(frozen=True, slots=True, eq=False)
class PlaneScores:
    """The scores of a plane, or of part of it, from which cells are made again and again.

    Parameters
    ----------
    scores : (C, *box) float32 array
        At the model's scale; "background" is 1 where nothing was computed yet.
    class_roles : tuple of str
        What the channels of `scores` mean.
    shape, scaled_shape : tuple of int
        Of the plane in its own pixels, and at the model's scale.
    box : tuple of slice
        Where `scores` lie in the plane at the model's scale.
    wanted : tuple of slice, optional
        Only cells that reach into this part, in the plane's own pixels, count.
    voxel_volume_px : float, optional
        Of a volume whose scores are those of planes: of a voxel, in cubic pixels
        of these planes as the model reads them. Sizes are then those of discs.
    """

    scores: Scores
    class_roles: tuple[str, ...]
    shape: tuple[int, ...]
    scaled_shape: tuple[int, ...]
    box: Region
    wanted: Region | None = None
    voxel_volume_px: float | None = None

    @property
    def area(self) -> Region:
        """Where `labels` lie in the plane, in its own pixels."""
        return self.area_of(self.box)

    def area_of(self, box: Region) -> Region:
        """Own pixels whose nearest one at the model's scale lies in `box`."""
        ends = (
            np.searchsorted(index, (part.start, part.stop)).tolist()
            for part, index in zip(box, self._nearest(), strict=True)
        )
        return tuple(slice(*each) for each in ends)

    @property
    def gives_classes(self) -> bool:
        """Whether `labels` are classes, and not cells."""
        return labels_are_classes(self.class_roles)

    def labels(self, instances: InstanceSettings) -> LabelImage:
        """Cells in `area`, numbered from 1 in reading order, without gaps; or classes."""
        if self.gives_classes:
            return self._classes()
        if self.voxel_volume_px is not None:
            instances = sizes_of_balls(instances, self.voxel_volume_px)
        found = instances_from_scores(self.scores, self.class_roles, instances)
        is_resized, area = self.shape != self.scaled_shape, self.area
        if is_resized:
            found = np.ascontiguousarray(found[np.ix_(*self._nearest_in(area))])
        if self.wanted is not None:
            inside = found[within(shared(self.wanted, area), area)]
            reaches = np.bincount(inside.reshape(-1), minlength=int(found.max(initial=0)) + 1) > 0
            found = np.where(reaches[found], found, 0)
        # Between coarser pixels a cell can vanish, too.
        return _without_gaps(found) if is_resized or self.wanted is not None else found

    def types(self, labels: LabelImage) -> CellTypes | None:
        """Type of each cell of `area`, whatever their numbers; None if there are no types."""
        if not types_of(self.class_roles):
            return None
        return cell_types(self.nearest_scores(), self.class_roles, labels)

    def cell_scores(self, labels: LabelImage, *, window: Window | None = None) -> CellScores | None:
        """Score and doubt of the cells that lie in `area`; None of classes.

        Parameters
        ----------
        labels : integer array of `shape`
            Of the whole plane, whatever the numbers.
        window : Window, optional
            Where the plane lies in a stack.
        """
        if self.gives_classes or BACKGROUND not in self.class_roles:
            return None
        maps = score_maps(self.scores, self.class_roles)
        if self.scores.shape[1:] != self.shape:
            nearest = np.ix_(*self._nearest_in(self.area))
            maps = ScoreMaps(*(self._placed(each[nearest]) for each in (maps.score, maps.doubt)))
        cells = list_cells(labels, maps, window=window)
        first, last = np.array([(part.start, part.stop) for part in self.area]).T
        return CellScores.of(cells, ((cells.starts >= first) & (cells.stops <= last)).all(axis=1))

    def _classes(self) -> LabelImage:
        found = class_labels(self.nearest_scores(), self.class_roles)
        if self.wanted is None:
            return found
        inside, classes = within(shared(self.wanted, self.area), self.area), np.zeros_like(found)
        classes[inside] = found[inside]
        return classes

    def nearest_scores(self) -> Scores:
        """Scores of `area`, those of the nearest pixel each; a view if it can be."""
        if self.shape == self.scaled_shape:
            return self.scores
        places = np.ix_(*self._nearest_in(self.area))
        return np.stack([each[places] for each in self.scores])

    def cut_sides(self, instances: InstanceSettings) -> tuple[Side, ...]:
        """Sides of `box` at which it is too small for the cells that are wanted."""
        sides = [(axis, 0) for axis, part in enumerate(self.box) if part.start > 0]
        ends = zip(self.box, self.scaled_shape, strict=True)
        sides += [(axis, -1) for axis, (part, n) in enumerate(ends) if part.stop < n]
        if self.wanted is None or self.gives_classes:
            return ()
        wanted = self._nearest_in(self.wanted)
        return cut_sides(self.scores, self.class_roles, instances, sides=sides, wanted=wanted)

    def placed(self, labels: LabelImage) -> LabelImage:
        """Labels of the whole plane, from those of `area`."""
        return self._placed(labels)

    def _placed(self, part: NDArray[Any]) -> NDArray[Any]:
        if part.shape == self.shape:
            return part
        placed = np.zeros(self.shape, part.dtype)
        placed[self.area] = part
        return placed

    def part(self, area: Region, *, margin_px: int = 0) -> PlaneScores:
        """View the scores around an area given in the plane's own pixels."""
        box = []
        for part, own, index in zip(area, self.box, self._nearest(), strict=True):
            low = int(index[max(0, min(part.start, index.size - 1))]) - margin_px
            high = int(index[max(0, min(part.stop, index.size) - 1)]) + 1 + margin_px
            low = min(max(own.start, low), own.stop - 1)
            box.append(slice(low, max(low + 1, min(own.stop, high))))
        inside = within(tuple(box), self.box)
        return replace(self, scores=self.scores[(slice(None), *inside)], box=tuple(box))

    def on_own_grid(self) -> Scores:
        """Scores of the whole plane in its own pixels; background where none were computed."""
        scores = self.scores
        if scores.shape[1:] != self.scaled_shape:
            scores = _background(self.scaled_shape, self.class_roles)
            scores[(slice(None), *self.box)] = self.scores
        return restore_scores(scores, self.shape)

    def _nearest(self) -> list[NDArray[np.intp]]:
        return [nearest_index(n, m) for n, m in zip(self.shape, self.scaled_shape, strict=True)]

    def _nearest_in(self, area: Region) -> list[NDArray[np.intp]]:
        """For each axis, the pixels of `scores` nearest to those of an area of own pixels."""
        parts = zip(self._nearest(), area, self.box, strict=True)
        return [nearest[part] - box.start for nearest, part, box in parts]


def sizes_of_balls(instances: InstanceSettings, voxel_volume_px: float) -> InstanceSettings:
    """Take sizes of discs for those of balls that are as wide.

    Parameters
    ----------
    instances : InstanceSettings
    voxel_volume_px : float
        Volume of a voxel in cubic pixels of the discs.
    """

    def voxels(area_px: int) -> int:
        radius_px = math.sqrt(area_px / math.pi)
        return round(4 / 3 * math.pi * radius_px**3 / voxel_volume_px)

    least, seed = voxels(instances.min_size_px), voxels(instances.min_seed_px)
    return replace(instances, min_size_px=least, min_seed_px=seed)


def _background(shape: Sequence[int], class_roles: Sequence[str]) -> Scores:
    scores = np.zeros((len(class_roles), *shape), np.float32)
    if "background" in class_roles:
        scores[list(class_roles).index("background")] = 1
    return scores


def room_for(box: Region, class_roles: Sequence[str]) -> Scores:
    """Scores (C, *box) that are background everywhere.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    """
    try:
        return _background(sizes(box), class_roles)
    except MemoryError as error:
        gib = 4 * len(class_roles) * math.prod(sizes(box)) / 2**30
        raise DeviceError(
            f"The scores of this image need {gib:.1f} GiB of memory, which is not free; "
            "segment it in parts."
        ) from error


def scaled_box(box: Region, grid: Sequence[int], other_grid: Sequence[int]) -> Region:
    """The smallest box of another grid over the same image that holds a box."""
    return tuple(
        slice(math.floor(part.start * m / n), math.ceil(part.stop * m / n))
        for part, n, m in zip(box, grid, other_grid, strict=True)
    )


def _without_gaps(labels: LabelImage) -> LabelImage:
    """Number the labels anew, in the same order, if some were lost."""
    present = np.bincount(labels.reshape(-1)) > 0
    if present[1:].all():
        return labels
    present[0] = False
    numbers: NDArray[np.int32] = (np.cumsum(present) * present).astype(np.int32)
    return numbers[labels]
