"""Cells of all blocks: measured, chosen, numbered and written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.exact_sums import sums_by
from napari_unet.engine.base.regions import shared, sizes, within
from napari_unet.engine.blocks.grid import Face, Grid, Key, face_of
from napari_unet.engine.blocks.pieces import painted
from napari_unet.engine.blocks.plan import NOBODY, Plan, type_name
from napari_unet.engine.labels.cell_types import CellTypes, types_of_sums
from napari_unet.engine.labels.components import cut_rows

_LAST = np.iinfo(np.int64).max


class LabelTarget(Protocol):
    """Where labels are written to: arrays of NumPy, zarr or h5py are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As the image has it, without channels."""

    @property
    def dtype(self) -> Any:
        """Whole numbers."""

    def __getitem__(self, where: Any) -> Any:
        """Read a part."""

    def __setitem__(self, where: Any, labels: Any) -> None:
        """Write a part."""


def measure_cells(plan: Plan, key: Key) -> None:
    """Stage "cells": measure what a block holds of each cell, and of each piece of background.

    Of its cells, by their numbers in the whole image: `sizes`, `sums` of
    background scores, `first` pixels, whether they lie `at_edge` of the image,
    at a side of the block that is `open`, and are `seen` in its own pixels. Of
    its pieces the same, and the lowest and the highest number of the cells
    beside them, `low` and `high`, of which neither is a cell beside the edge of
    the image.
    """
    settings = plan.instances
    with plan.scratch.opened("labels", key) as found:
        labels, raw = found["labels"], found["cells"]
    numbers = np.append(NOBODY, judged_cells(plan, key, raw))
    cells, place = np.unique(numbers[1:], return_inverse=True)
    index = np.append(-1, place.reshape(-1)).astype(np.int64)[labels]
    with plan.scratch.opened("scores", key) as scores:
        background = scores["background"]
    seen = _seen(plan, key)
    inside = index >= 0
    runs = cut_rows(index)
    first = np.full(cells.size, _LAST)
    is_cell = runs.values >= 0
    np.minimum.at(first, runs.values[is_cell], plan.grid.flat(key, runs.starts[is_cell]))
    at_edge = _touch(index, cells.size, plan.grid.edges(key))
    table: dict[str, NDArray[Any]] = {
        "cells": cells,
        "first": first,
        "at_edge": at_edge,
        "open": _touch(index, cells.size, plan.grid.neighbours(key)),
        "sizes": np.bincount(index[inside], minlength=cells.size),
        "seen": np.bincount(index[inside & seen], minlength=cells.size) > 0,
        "sums": sums_by(index[inside], background[inside], cells.size),
    }
    if settings.fill_holes:
        image = numbers[labels]
        beyond = {
            face: _face_beyond(plan, other, face)
            for face, other in plan.grid.neighbours(key).items()
        }
        table |= _holes(plan, key, image, beyond, background, seen)
    plan.scratch.save("cells", key, **table)


def _touch(index: NDArray[np.int64], count: int, faces: Iterable[Face]) -> NDArray[np.bool_]:
    """Which of so many things, of which an image holds the places, lie at some sides."""
    touch = np.zeros(count, np.bool_)
    for face in faces:
        pixels = face_of(index, face)
        touch[pixels[pixels >= 0]] = True
    return touch


def judged_cells(plan: Plan, key: Key, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of cells of a block once basins are joined."""
    if not plan.is_judged:
        return cells
    with plan.scratch.opened("judged", key) as found:
        basins, joined = found["basins"], found["cells"]
    if not basins.size:
        return cells
    at = np.minimum(np.searchsorted(basins, cells), basins.size - 1)
    numbers: NDArray[np.int64] = np.where(basins[at] == cells, joined[at], cells)
    return numbers


def _face_beyond(plan: Plan, other: Key, face: tuple[int, int]) -> NDArray[np.int64]:
    axis, end = face
    return judged_cells(
        plan, other, plan.scratch.read("labels", other, f"face{axis}{1 - end}").reshape(-1)
    )


def _seen(plan: Plan, key: Key) -> NDArray[np.bool_]:
    """Where a pixel at the model's scale is the nearest one to a pixel of the image."""
    box = plan.grid.box(key)
    parts = []
    for axis, part in enumerate(box):
        along = np.zeros(plan.grid.shape[axis], np.bool_)
        along[plan.nearest(axis)] = True
        parts.append(along[part])
    seen = np.ones([part.stop - part.start for part in box], np.bool_)
    for axis, along in enumerate(parts):
        seen &= along.reshape([-1 if n == axis else 1 for n in range(len(box))])
    return seen


def _holes(
    plan: Plan,
    key: Key,
    image: NDArray[np.int64],
    beyond: dict[tuple[int, int], NDArray[np.int64]],
    background: NDArray[np.float32],
    seen: NDArray[np.bool_],
) -> dict[str, NDArray[Any]]:
    """Measure the pieces of background of a block, and name what lies beside them."""
    foreground = plan.foreground(key)
    pieces = painted(foreground.pieces, foreground.runs, image.shape)
    count = int(foreground.pieces.max()) + 1
    low, high = np.full(count, _LAST), np.full(count, NOBODY, np.int64)
    for axis in range(image.ndim):
        before = [slice(None)] * image.ndim
        after = list(before)
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        for one, other in ((before, after), (after, before)):
            _note(pieces[tuple(one)], image[tuple(one)], image[tuple(other)], low, high)
    for face, numbers in beyond.items():
        own = face_of(image, face)
        _note(face_of(pieces, face), own, numbers.reshape(own.shape), low, high)
    hole = image == NOBODY
    return {
        "low": low,
        "high": high,
        "is_open": _touch(pieces, count, plan.grid.edges(key)),
        "hole_sizes": np.bincount(pieces[hole], minlength=count),
        "hole_seen": np.bincount(pieces[hole & seen], minlength=count) > 0,
        "hole_sums": sums_by(pieces[hole], background[hole], count),
    }


def _note(
    pieces: NDArray[np.int64],
    own: NDArray[np.int64],
    beside: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    """Take the cells beside background into the lowest and highest ones of its pieces."""
    meets = (own == NOBODY) & (beside != NOBODY)
    np.minimum.at(low, pieces[meets], beside[meets])
    np.maximum.at(high, pieces[meets], beside[meets])


def parts_of(plan: Plan, out: LabelTarget) -> Grid:
    """Parts in which labels are written: no two of them share a shard or a chunk of `out`.

    They may be written at once. Each is about as large as a block is in the image's own pixels;
    where `out` has neither shards nor chunks, it is that block.
    """
    stored = getattr(out, "shards", None) or getattr(out, "chunks", None)
    units = tuple(stored)[-plan.grid.ndim :] if stored else (1,) * plan.grid.ndim
    part = [
        max(1, round(block * own / n / unit)) * unit
        for block, own, n, unit in zip(
            plan.grid.block, plan.own_shape, plan.grid.shape, units, strict=True
        )
    ]
    return Grid(plan.grid.stack, plan.own_shape, tuple(part))


def write_part(plan: Plan, parts: Grid, key: Key, out: LabelTarget) -> None:
    """Stage "written": write the labels of a part, unless they are there.

    That is known from one of them, `place` and `number`: what is written to may
    be another array than before. Of `cells` (N,) in it, by their numbers, `sums`
    (N, K) of the scores of each type.
    """
    if plan.scratch.has("written", key):
        with plan.scratch.opened("written", key) as found:
            place, number = tuple(found["place"].tolist()), int(found["number"])
        if place and int(out[place]) == number:
            return
    box = parts.box(key)
    nearest = [plan.nearest(axis)[part] for axis, part in enumerate(box)]
    region = tuple(slice(int(index[0]), int(index[-1]) + 1) for index in nearest)
    image = np.zeros(sizes(region), out.dtype)
    for block in plan.grid.reached(key, region):
        own = plan.grid.box(block)
        both = shared(own, region)
        image[within(both, region)] = _numbered(plan, block, image.dtype)[within(both, own)]
    places = np.ix_(*(index - part.start for index, part in zip(nearest, region, strict=True)))
    image = image[places]
    out[(*parts.plane(key), *box)] = image
    some = np.argwhere(image)[:1]
    offset = [part.start for part in box]
    first = [(*parts.plane(key), *(each + offset).tolist()) for each in some]
    number = int(image[tuple(some[0])]) if first else 0
    cells, index = np.unique(image[image > 0], return_inverse=True)
    sums = np.zeros((cells.size, len(plan.types)), np.int64)
    for type_number in range(len(plan.types)):
        scores = plan.around("scores", type_name(type_number), key, region)[places]
        sums[:, type_number] = sums_by(index, scores[image > 0], cells.size)
    plan.scratch.save(
        "written",
        key,
        place=np.array(first, np.int64).reshape(-1),
        number=np.array(number),
        cells=cells.astype(np.int64),
        sums=sums,
    )


def known_types(plan: Plan, parts: Grid, count: int) -> CellTypes | None:
    """Types of so many cells, from all parts that are written; None if there are no types."""
    if not plan.types:
        return None
    sums = np.zeros((count, len(plan.types)), np.int64)
    for key in parts.keys:
        with plan.scratch.opened("written", key) as found:
            sums[found["cells"] - 1] += found["sums"]
    return types_of_sums(np.arange(1, count + 1), plan.types, sums)


def _numbered(plan: Plan, key: Key, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Labels of a block, holes filled."""
    with plan.scratch.opened("labels", key) as found:
        labels = found["labels"]
    with plan.scratch.opened("final", key) as found:
        numbers, holes = found["numbers"].astype(dtype), found["holes"].astype(dtype)
    image: NDArray[Any] = np.append(np.zeros(1, dtype), numbers)[labels]
    if holes.any():
        foreground = plan.foreground(key)
        pieces = painted(foreground.pieces, foreground.runs, image.shape)
        image = np.where(labels == 0, holes[pieces], image)
    return image


def check_planes(plan: Plan, out: LabelTarget) -> None:
    """Raise if several planes of a stack lie in one chunk, which several workers would write to.

    Raises
    ------
    SettingsError
        If they do.
    """
    stored = getattr(out, "shards", None) or getattr(out, "chunks", None)
    if stored and max(tuple(stored)[: len(plan.grid.stack)], default=1) > 1:
        found = " x ".join(map(str, stored))
        raise SettingsError(
            f"The labels are stored in chunks of {found} pixels, and workers cannot write several "
            "planes to one chunk; give an array with chunks of one plane."
        )
