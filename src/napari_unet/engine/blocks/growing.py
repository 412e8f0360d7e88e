"""Labels that are being made, to be looked at: where cells are, and then their numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.blocks.cells import LabelTarget, parts_of
from napari_unet.engine.blocks.grid import Grid, Key
from napari_unet.engine.blocks.plan import Plan

FOREGROUND = 1
"""Stands in a block for every cell, as long as cells have no numbers."""

_PLANE_PX, _STACK_PX = 1 << 20, 1 << 25
"""Of the small picture: at most for a plane or volume, and for all planes together."""

_LOOK_BACK_S = 5.0
"""For as long as this, what was found before a stop is read again."""


class GrowingLabels:
    """What is known of labels, as an array that can be read while `segment_blocks` works.

    One thread works and another may read. Where labels are not written yet,
    their place is taken by a small picture in memory of where cells are.

    Attributes
    ----------
    shape : tuple of int
        That of the labels.
    changes : int
        How often something has been added.
    """

    dtype = np.dtype(np.int32)

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.changes = 0

    def begin(self, plan: Plan, out: LabelTarget) -> None:
        """Begin with nothing, or with what was found before a stop.

        Parameters
        ----------
        plan : Plan
        out : array
            Of whole numbers, that can be read where it is written.
        """
        parts = parts_of(plan, out)
        planes = math.prod(parts.stack)
        most = max(1, min(_PLANE_PX, _STACK_PX // max(1, planes)))
        step = math.ceil((math.prod(parts.shape) / most) ** (1 / parts.ndim))
        self._plan, self._out, self._parts, self._step = plan, out, parts, max(1, step)
        self._coarse = np.zeros(
            (*parts.stack, *(math.ceil(n / self._step) for n in parts.shape)), self.dtype
        )
        counts = (math.ceil(n / b) for n, b in zip(parts.shape, parts.block, strict=True))
        self._written = np.zeros((*parts.stack, *counts), bool)
        self._look_back(plan.grid, parts)
        self.shape = tuple(out.shape)
        self.changes += 1

    def _look_back(self, grid: Grid, parts: Grid) -> None:
        scratch, end = self._plan.scratch, time.monotonic() + _LOOK_BACK_S
        for stage, keys, note in (
            ("scores", grid.keys, self.scored),
            ("written", parts.keys, self.written),
        ):
            missing = set(scratch.missing(stage, keys))
            for key in keys:
                if key not in missing and time.monotonic() < end:
                    note(key)

    def scored(self, key: Key) -> None:
        """Note where cells are in a block whose scores are there."""
        plan = self._plan
        with plan.scratch.opened("scores", key) as scores:
            background = scores["background"]
        where: list[slice] = []
        pixels: list[NDArray[np.intp]] = []
        for axis, part in enumerate(plan.grid.box(key)):
            nearest = plan.nearest(axis)[:: self._step]
            low, high = np.searchsorted(nearest, (part.start, part.stop))
            where.append(slice(int(low), int(high)))
            pixels.append(nearest[low:high] - part.start)
        found = plan.is_foreground(background[np.ix_(*pixels)])
        place: tuple[int | slice, ...] = (*plan.grid.plane(key), *where)
        self._coarse[place] = found * FOREGROUND
        self.changes += 1

    def written(self, key: Key) -> None:
        """Note that a part of the labels is written."""
        parts, step = self._parts, self._step
        firsts = [slice(-(-each.start // step), -(-each.stop // step)) for each in parts.box(key)]
        taken = (slice(each.start * step, each.stop * step, step) for each in firsts)
        ends = (slice(*each.indices(n)) for each, n in zip(taken, parts.shape, strict=True))
        place: tuple[int | slice, ...] = (*parts.plane(key), *firsts)
        self._coarse[place] = self._out[(*parts.plane(key), *ends)]
        self._written[key] = True
        self.changes += 1

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Pixels."""
        return math.prod(self.shape)

    @property
    def levels(self) -> Sequence[Any]:
        """The labels at their own size, unless the small picture is that, and the small picture."""
        return [self._coarse] if self._step == 1 else [self, self._coarse]

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> NDArray[np.int32]:
        """Read a region: labels where they are written, the small picture elsewhere."""
        given = index if isinstance(index, tuple) else (index,)
        given = (*given, *(slice(None),) * (self.ndim - len(given)))
        cuts = [
            slice(*cut.indices(n)) if isinstance(cut, slice) else slice(int(cut), int(cut) + 1)
            for cut, n in zip(given, self.shape, strict=True)
        ]
        places = [np.arange(n)[cut] for cut, n in zip(cuts, self.shape, strict=True)]
        stack = (1,) * len(self._parts.stack)
        steps = (*stack, *(self._step,) * self._parts.ndim)
        labels: NDArray[np.int32] = self._coarse[_blown_up(places, steps)]
        is_written = self._written[_blown_up(places, (*stack, *self._parts.block))]
        if is_written.any():
            planes = self._read(cuts, is_written.shape)
            labels = np.where(is_written, planes, labels)
        whole = slice(None)
        read: NDArray[np.int32] = labels[
            tuple(whole if isinstance(each, slice) else 0 for each in given)
        ]
        return read

    def _read(self, cuts: Sequence[slice], shape: tuple[int, ...]) -> NDArray[np.int32]:
        return np.asarray(self._out[tuple(cuts)], self.dtype).reshape(shape)


def _blown_up(places: Sequence[NDArray[np.intp]], steps: Sequence[int]) -> Any:
    """Index of pixels in an array that has one for so many along each axis."""
    return np.ix_(*(each // step for each, step in zip(places, steps, strict=True)))
