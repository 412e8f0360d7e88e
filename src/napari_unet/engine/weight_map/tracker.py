"""The boundary weight map kept up to date while its labels are painted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.regions import (
    Region,
    around,
    around_true,
    clipped,
    grown,
    shared,
    shifted,
    sizes,
    whole,
    within,
)
from napari_unet.engine.images.image import LabelImage, WeightMap
from napari_unet.engine.weight_map.formula import WeightFormula, reach_px, weight_formula
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.two_nearest import Box, weigh
from napari_unet.engine.weight_map.weight_map import (
    carve,
    check_labels,
    check_numbers,
    volume,
    volume_spacing,
)

_CELL, _IGNORED = -1.0, -2.0
"""What stands instead of a border term, which is not negative."""

_COMPARED_ROWS = 64
_MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class PixelWeight:
    """What a pixel weighs and why.

    Parameters
    ----------
    near, far : float
        Distance to the nearest and to the second nearest cell, in pixels or in
        the unit of the spacing; infinite beyond the reach of the map.
    weight : float
    """

    near: float
    far: float
    weight: float


class WeightMapTracker:
    """A boundary weight map that follows edits of its labels.

    An edit changes the map only nearby, see `reach_px`, and only there it is
    computed again, to the same bits as `boundary_weight_map` of all labels.
    A copy of the labels is kept, so that they may be edited meanwhile; the
    methods are for one thread at a time.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Looked at again at each `update`, so give the array that is edited.
    settings : WeightMapSettings, optional
    spacing : float or one float per axis, optional
        As in `boundary_weight_map`.
    workers : int
        Threads for computing the whole map.

    Raises
    ------
    ImageShapeError, LabelsError, SettingsError
        As `boundary_weight_map`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import WeightMapTracker
    >>> labels = np.zeros((200, 200), int)
    >>> labels[50:60, 50:60] = 1
    >>> tracker = WeightMapTracker(labels)
    >>> labels[50:60, 62:72] = 2
    >>> tracker.update((slice(50, 60), slice(62, 72)))
    (slice(18, 92, None), slice(30, 104, None))
    >>> pixel = tracker.distances_at((55, 61))
    >>> pixel.near, pixel.far
    (1.0, 2.0)
    """

    def __init__(
        self,
        labels: LabelImage,
        settings: WeightMapSettings | None = None,
        *,
        spacing: float | Sequence[float] | None = None,
        workers: int = 1,
    ) -> None:
        self._labels = np.asarray(labels)
        self._spacing = volume_spacing(spacing, self._labels.ndim)
        self._workers = workers
        self._kept = np.array(labels)
        self._weights = np.empty(self._kept.shape, np.float32)
        self._stale: Region | None = None
        self.change_settings(settings or WeightMapSettings())

    @property
    def settings(self) -> WeightMapSettings:
        """What the map is computed with."""
        return self._settings

    @property
    def weights(self) -> WeightMap:
        """The map, float32 of the shape of the labels: one array, changed in place.

        With class balance an edit changes the weights everywhere, a little.
        That is caught up on here, so this takes a few milliseconds for each
        million pixels then.
        """
        if self._stale is not None:
            self._catch_up(self._stale)
            self._stale = None
        return self._weights

    @property
    def reach_px(self) -> tuple[int, ...]:
        """How many pixels away from an edit, along each axis, the map may change."""
        carved = int(self._settings.separate_touching)
        steps = reach_px(self._formula(), self._spacing)[3 - self._kept.ndim :]
        return tuple(step + carved for step in steps)

    def change_settings(self, settings: WeightMapSettings) -> None:
        """Compute the whole map with other settings.

        Raises
        ------
        LabelsError
            If a label is not whole.
        """
        check_labels(self._kept, ignore_label=settings.ignore_label)
        self._settings = settings
        self._has_balance = settings.class_balance and settings.variant == "paper"
        self._terms = np.empty_like(self._weights) if self._has_balance else self._weights
        everywhere = whole(self._kept.shape)
        self._compute(everywhere, workers=self._workers)
        self._cell_px, self._background_px = self._count(everywhere)
        self._stale = everywhere if self._has_balance else None

    def update(self, box: Region) -> Region | None:
        """Follow an edit of the labels.

        Parameters
        ----------
        box : tuple of slice
            Where the labels may have changed: one slice for each axis.

        Returns
        -------
        tuple of slice or None
            Where the map may have changed, apart from the class balance; None
            if the labels have not.

        Raises
        ------
        LabelsError
            If a label is not whole; the map is left as it was.
        """
        box = clipped(box, self._kept.shape)
        fresh = np.array(self._labels[box])
        found = around_true(fresh != self._kept[box])
        if found is None:
            return None
        check_numbers(fresh, ignore_label=self._settings.ignore_label)
        changed = shifted(found, [part.start for part in box])
        self._kept[changed] = fresh[found]
        return self._recompute(changed)

    def update_from(self, labels: LabelImage) -> Region | None:
        """Follow labels that changed anywhere, or that are another array now.

        Parameters
        ----------
        labels : integer array of the same shape
            From now on `update` looks here.

        Returns
        -------
        tuple of slice or None
            As `update`.

        Raises
        ------
        ImageShapeError
            If the labels have another shape; make a new tracker then.
        LabelsError
            If they are not whole numbers; the map is left as it was.
        """
        labels = np.asarray(labels)
        if labels.shape != self._kept.shape:
            raise ImageShapeError(
                f"The labels now have shape {labels.shape} instead of {self._kept.shape}; "
                "start the weight map anew."
            )
        check_numbers(labels[:0])
        parts = list(_changed_parts(labels, self._kept))
        fresh = [np.array(labels[part]) for part in parts]
        for numbers in fresh:
            check_numbers(numbers, ignore_label=self._settings.ignore_label)
        self._labels = labels
        if labels.dtype != self._kept.dtype:
            self._kept = self._kept.astype(labels.dtype)
        for part, numbers in zip(parts, fresh, strict=True):
            self._kept[part] = numbers
        for part in _joined(parts, self.reach_px, self._kept.shape):
            self._recompute(part)
        return grown(around(parts), self.reach_px, self._kept.shape) if parts else None

    def distances_at(self, point: Sequence[int]) -> PixelWeight | None:
        """Tell the weight of a pixel and the distances it comes from; None outside the image."""
        if not all(0 <= n < size for n, size in zip(point, self._kept.shape, strict=True)):
            return None
        here = tuple(slice(n, n + 1) for n in point)
        near = grown(here, self.reach_px, self._kept.shape)
        ids = self._ids(near)
        # (cells' pixels, axes)
        away = np.argwhere(ids > 0) - (
            [0] * (3 - len(point)) + [n - part.start for n, part in zip(point, near, strict=True)]
        )
        distances = np.sqrt(((away * self._spacing) ** 2).sum(axis=1))
        numbers = ids[ids > 0]
        within = distances <= self._formula().reach
        distances, numbers = distances[within], numbers[within]
        if not distances.size:
            return PixelWeight(math.inf, math.inf, self._weight_at(here))
        nearest = int(distances.argmin())
        others = distances[numbers != numbers[nearest]]
        return PixelWeight(
            float(distances[nearest]), float(others.min(initial=math.inf)), self._weight_at(here)
        )

    # -- the map -----------------------------------------------------------------

    def _formula(self) -> WeightFormula:
        formula = weight_formula(replace(self._settings, class_balance=False))
        if self._has_balance:
            return replace(formula, background=0.0, cell=_CELL, ignored=_IGNORED)
        return formula

    def _ids(self, part: Region) -> NDArray[np.int32]:
        ids = check_numbers(self._kept[part], ignore_label=self._settings.ignore_label)
        return carve(volume(ids)) if self._settings.separate_touching else volume(ids)

    def _compute(self, area: Region, *, workers: int = 1) -> None:
        """Compute the terms of an area from the labels within reach of it."""
        source = grown(area, self.reach_px, self._kept.shape)
        weigh(
            self._ids(source),
            volume(self._terms),
            self._formula(),
            spacing=self._spacing,
            box=_box(within(area, source)),
            corner=tuple(part.start for part in _box(source)),
            workers=workers,
        )

    def _recompute(self, changed: Region) -> Region:
        area = grown(changed, self.reach_px, self._kept.shape)
        before = self._count(area)
        self._compute(area)
        if self._has_balance:
            after = self._count(area)
            self._cell_px += after[0] - before[0]
            self._background_px += after[1] - before[1]
            if before != after:
                self._stale = whole(self._kept.shape)
            else:
                self._stale = around([area, self._stale or area])
        return area

    def _count(self, area: Region) -> tuple[int, int]:
        """Pixels of cells, and of background, where they are counted."""
        if not self._has_balance:
            return 0, 0
        terms = self._terms[area]
        return int(np.count_nonzero(terms == _CELL)), int(np.count_nonzero(terms >= 0))

    def _balance(self) -> tuple[np.float32, np.float32]:
        formula = weight_formula(
            self._settings, background_px=self._background_px, cell_px=self._cell_px
        )
        return np.float32(formula.background), np.float32(formula.cell)

    def _catch_up(self, area: Region) -> None:
        background, cell = self._balance()
        _add_balance(volume(self._terms[area]), volume(self._weights[area]), background, cell)

    def _weight_at(self, here: Region) -> float:
        if self._has_balance:
            self._catch_up(here)
        return float(self._weights[here].item())


def prepare_weight_maps() -> None:
    """Compile what computes weight maps, some seconds once, so that the first need not wait."""
    labels = np.zeros((8, 8), np.int32)
    labels[3, 2], labels[3, 5] = 1, 2
    tracker = WeightMapTracker(labels)
    tracker.update((slice(3, 4), slice(2, 3)))
    tracker.weights.any()  # they catch up when they are asked for


@numba.njit(cache=True, nogil=True)
def _add_balance(terms: Any, weights: Any, background: Any, cell: Any) -> None:
    depth, height, width = terms.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                term = terms[z, y, x]
                weight = cell if term == _CELL else np.float32(background + term)
                weights[z, y, x] = np.float32(0) if term == _IGNORED else weight


def _box(part: Region) -> Box:
    """Along Z, Y and X."""
    return (part[0], part[1], part[2]) if len(part) == 3 else (slice(0, 1), part[0], part[1])


def _changed_parts(fresh: LabelImage, kept: LabelImage) -> Iterator[Region]:
    """Boxes of what differs, found in bands of rows that stay in the cache."""
    planes = [(slice(n, n + 1),) for n in range(fresh.shape[0])] if fresh.ndim == 3 else [()]
    for plane in planes:
        for start in range(0, fresh.shape[-2], _COMPARED_ROWS):
            rows = slice(start, min(start + _COMPARED_ROWS, fresh.shape[-2]))
            band = (*plane, rows, slice(0, fresh.shape[-1]))
            differs = fresh[band] != kept[band]
            found = around_true(differs) if differs.any() else None
            if found is not None:
                yield shifted(found, [part.start for part in band])


def _joined(
    boxes: Sequence[Region], margins: Sequence[int], shape: tuple[int, ...]
) -> list[Region]:
    """Join boxes whose surroundings overlap, so that nothing is computed twice."""
    if len(boxes) > _MOST_PARTS:
        return [around(boxes)]
    both_margins = [2 * margin for margin in margins]
    joined: list[Region] = []
    for box in boxes:
        apart = box
        while True:
            reached = grown(apart, both_margins, shape)
            near = [other for other in joined if 0 not in sizes(shared(reached, other))]
            if not near:
                break
            joined = [other for other in joined if other not in near]
            apart = around([apart, *near])
        joined.append(apart)
    return joined
