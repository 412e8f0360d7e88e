"""Cells of all blocks: measured, chosen, numbered and written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.exact_sums import sums_by
from napari_unet.engine.base.regions import shared, sizes, within
from napari_unet.engine.blocks.grid import Grid, Key, face_of
from napari_unet.engine.blocks.pieces import painted
from napari_unet.engine.blocks.plan import NOBODY, Plan
from napari_unet.engine.labels.components import cut_rows
from napari_unet.engine.segmentation.instances import are_kept

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
    background scores, `first` pixels, whether they lie `at_edge` of the image
    and are `seen` in its own pixels. Of its pieces the same, and the lowest and
    the highest number of the cells beside them, `low` and `high`, of which
    neither is a cell beside the edge of the image.
    """
    settings = plan.instances
    with plan.scratch.opened("labels", key) as found:
        labels, raw = found["labels"], found["cells"]
    numbers = np.append(NOBODY, _judged(plan, raw))
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
    at_edge = np.zeros(cells.size, np.bool_)
    for face in plan.grid.edges(key):
        edge = face_of(index, face)
        at_edge[edge[edge >= 0]] = True
    table: dict[str, NDArray[Any]] = {
        "cells": cells,
        "first": first,
        "at_edge": at_edge,
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


def _judged(plan: Plan, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of cells once basins are joined."""
    if not plan.is_judged:
        return cells
    with plan.scratch.opened("judged", ()) as found:
        basins, joined = found["basins"], found["cells"]
    if not basins.size:
        return cells
    at = np.minimum(np.searchsorted(basins, cells), basins.size - 1)
    numbers: NDArray[np.int64] = np.where(basins[at] == cells, joined[at], cells)
    return numbers


def _face_beyond(plan: Plan, other: Key, face: tuple[int, int]) -> NDArray[np.int64]:
    axis, end = face
    return _judged(plan, plan.scratch.read("labels", other, f"face{axis}{1 - end}"))


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
    is_open = np.zeros(count, np.bool_)
    for face in plan.grid.edges(key):
        is_open[face_of(pieces, face)] = True
    for axis in range(image.ndim):
        before = [slice(None)] * image.ndim
        after = list(before)
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        for one, other in ((before, after), (after, before)):
            _note(pieces[tuple(one)], image[tuple(one)], image[tuple(other)], low, high)
    for face, numbers in beyond.items():
        _note(face_of(pieces, face), face_of(image, face), numbers, low, high)
    hole = image == NOBODY
    return {
        "low": low,
        "high": high,
        "is_open": is_open,
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


def number_cells(plan: Plan) -> int:
    """Choose and number the cells of all blocks, in reading order, and count them.

    Stage "final": `numbers` of each cell of a block, 0 for those that are
    dropped, and `holes`, of each piece, the number of the cell that it is a
    hole of.
    """
    keys = plan.grid.keys
    tables = {key: dict(_tables(plan, key)) for key in keys}
    cells, place = np.unique(
        np.concatenate([tables[key]["cells"] for key in keys]), return_inverse=True
    )
    gathered = _Gathered(cells.size, place.reshape(-1), [tables[key] for key in keys])
    owners = _owners(plan, tables) if plan.instances.fill_holes else {}
    for key, owner in owners.items():
        is_hole = owner != NOBODY
        table, at = tables[key], np.searchsorted(cells, owner[is_hole])
        np.add.at(gathered.sizes, at, table["hole_sizes"][is_hole])
        np.add.at(gathered.sums, at, table["hole_sums"][is_hole])
        np.logical_or.at(gathered.seen, at, table["hole_seen"][is_hole])
    kept = are_kept(gathered.sizes, gathered.sums, plan.instances) & gathered.seen
    if plan.instances.drop_border_cells:
        kept &= ~gathered.at_edge
    order = np.argsort(gathered.first)
    order = order[kept[order]]
    numbers = np.zeros(cells.size, np.int64)
    numbers[order] = np.arange(1, order.size + 1)
    for key in keys:
        holes = np.zeros(0, np.int64)
        if key in owners:
            is_hole = owners[key] != NOBODY
            holes = np.zeros(owners[key].size, np.int64)
            holes[is_hole] = numbers[np.searchsorted(cells, owners[key][is_hole])]
        raw = _judged(plan, plan.scratch.read("labels", key, "cells"))
        plan.scratch.save("final", key, numbers=numbers[np.searchsorted(cells, raw)], holes=holes)
    return int(order.size)


def _tables(plan: Plan, key: Key) -> Iterator[tuple[str, NDArray[Any]]]:
    with plan.scratch.opened("cells", key) as found:
        for name in found.files:
            yield name, found[name]


class _Gathered:
    """Measures of each cell, from all blocks in which it lies."""

    def __init__(
        self, count: int, place: NDArray[np.int64], tables: list[dict[str, NDArray[Any]]]
    ) -> None:
        columns = {
            name: np.concatenate([table[name] for table in tables])
            for name in ("sizes", "sums", "first", "seen", "at_edge")
        }
        self.sizes, self.sums = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.first = np.full(count, _LAST)
        self.seen, self.at_edge = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        np.add.at(self.sizes, place, columns["sizes"])
        np.add.at(self.sums, place, columns["sums"])
        np.minimum.at(self.first, place, columns["first"])
        np.logical_or.at(self.seen, place, columns["seen"])
        np.logical_or.at(self.at_edge, place, columns["at_edge"])


def _owners(plan: Plan, tables: dict[Key, dict[str, NDArray[Any]]]) -> dict[Key, NDArray[np.int64]]:
    """For each piece of each block the only cell around it; NOBODY where it is no hole."""
    numbers = {key: plan.scratch.read("joined", key, "pieces") for key in tables}
    pieces, place = np.unique(np.concatenate(list(numbers.values())), return_inverse=True)
    place = place.reshape(-1)
    low, high = np.full(pieces.size, _LAST), np.full(pieces.size, NOBODY, np.int64)
    is_open = np.zeros(pieces.size, np.bool_)
    columns = {
        name: np.concatenate([table[name] for table in tables.values()])
        for name in ("low", "high", "is_open")
    }
    np.minimum.at(low, place, columns["low"])
    np.maximum.at(high, place, columns["high"])
    np.logical_or.at(is_open, place, columns["is_open"])
    owners = np.where((low == high) & ~is_open, low, NOBODY)[place]
    ends = np.cumsum([each.size for each in numbers.values()])
    return dict(zip(numbers, np.split(owners, ends[:-1]), strict=True))


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
    be another array than before.
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
    image = image[
        np.ix_(*(index - part.start for index, part in zip(nearest, region, strict=True)))
    ]
    out[(*parts.plane(key), *box)] = image
    some = np.argwhere(image)[:1]
    offset = [part.start for part in box]
    first = [(*parts.plane(key), *(each + offset).tolist()) for each in some]
    number = int(image[tuple(some[0])]) if first else 0
    plan.scratch.save(
        "written", key, place=np.array(first, np.int64).reshape(-1), number=np.array(number)
    )


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
