"""Which cells of all blocks are kept, and their numbers, in reading order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.blocks.cells import judged_cells
from napari_unet.engine.blocks.grid import Grid, Key
from napari_unet.engine.blocks.plan import NOBODY, Plan
from napari_unet.engine.segmentation.instances import are_kept

_LAST = np.iinfo(np.int64).max


def number_cells(plan: Plan) -> int:
    """Choose and number the cells of all blocks, in reading order, and count them.

    Stage "final": `numbers` of each cell of a block, 0 for those that are
    dropped, and `holes`, of each piece, the number of the cell that it is a
    hole of. In memory are what lies at the sides of blocks, and one row of
    blocks: cells that begin in it have lower numbers than all that begin later.
    """
    at_sides = _AtSides(plan)
    count, row_axes = 0, len(plan.grid.stack) + 1
    for _, row in groupby(plan.grid.keys, lambda key: key[:row_axes]):
        blocks = {key: _Block(plan, key) for key in row}
        firsts = [each.first[each.is_kept] for each in blocks.values()]
        beginning = at_sides.beginning_before(_end_of_row(plan.grid, next(iter(blocks))))
        ends = np.cumsum([each.size for each in firsts])
        firsts.append(at_sides.first[beginning])
        in_order = np.argsort(np.concatenate(firsts))
        numbers = np.empty(in_order.size, np.int64)
        numbers[in_order] = np.arange(count + 1, count + in_order.size + 1)
        *within, at_sides.numbers[beginning] = np.split(numbers, ends)
        count += in_order.size
        for (key, block), own in zip(blocks.items(), within, strict=True):
            _save(plan, key, block, own, at_sides)
    return count


def _end_of_row(grid: Grid, key: Key) -> int:
    """Place in the whole stack that follows a row of blocks."""
    plane = 0
    for index, n in zip(grid.plane(key), grid.stack, strict=True):
        plane = plane * n + index
    stop: int = grid.box(key)[0].stop
    return (plane * grid.shape[0] + stop) * math.prod(grid.shape[1:])


class _Block:
    """What is known of a block: of its cells, and of the pieces of background that may be holes."""

    def __init__(self, plan: Plan, key: Key) -> None:
        with plan.scratch.opened("cells", key) as found:
            table = {name: found[name] for name in found.files}
        self.cells: NDArray[np.int64] = table["cells"]
        self.first: NDArray[np.int64] = table["first"]
        self.is_open: NDArray[np.bool_] = table["open"]
        self.at_edge: NDArray[np.bool_] = table["at_edge"]
        self.sizes, self.sums, self.seen = table["sizes"], table["sums"], table["seen"]
        self.owners = self.goes_on = np.empty(0, np.int64)
        self.pieces: dict[str, NDArray[Any]] = {}
        if plan.instances.fill_holes:
            with plan.scratch.opened("joined", key) as found:
                pieces, goes_on = found["pieces"], found["open"]
            names = ("low", "high", "is_open", "hole_sizes", "hole_sums", "hole_seen")
            self.pieces = {name: table[name][goes_on] for name in names}
            self.pieces["numbers"] = pieces[goes_on]
            self.owners = np.where(goes_on, NOBODY, _owners(table))
            self.goes_on = np.flatnonzero(goes_on)
            self._fill(table)
        self.is_kept = _are_kept(plan, self) & ~self.is_open

    def _fill(self, table: dict[str, NDArray[Any]]) -> None:
        """Count the holes that lie within the block to their cells."""
        is_hole = self.owners != NOBODY
        at = np.searchsorted(self.cells, self.owners[is_hole])
        _add(self, at, *(table[f"hole_{name}"][is_hole] for name in ("sizes", "sums", "seen")))


def _owners(pieces: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """The only cell around each piece of background; NOBODY where it is no hole."""
    is_hole = (pieces["low"] == pieces["high"]) & ~pieces["is_open"]
    return np.where(is_hole, pieces["low"], NOBODY)


def _add(
    cells: _Block | _AtSides,
    at: NDArray[np.int64],
    sizes: NDArray[np.int64],
    sums: NDArray[np.int64],
    seen: NDArray[np.bool_],
) -> None:
    np.add.at(cells.sizes, at, sizes)
    np.add.at(cells.sums, at, sums)
    np.logical_or.at(cells.seen, at, seen)


def _are_kept(plan: Plan, cells: _Block | _AtSides) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = are_kept(cells.sizes, cells.sums, plan.instances) & cells.seen
    return kept & ~cells.at_edge if plan.instances.drop_border_cells else kept


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of tables of all blocks, of things that lie in several of them."""

    parts: dict[str, list[NDArray[Any]]]

    def add(self, **columns: NDArray[Any]) -> None:
        """Take rows in."""
        for name, column in columns.items():
            self.parts.setdefault(name, []).append(column)

    def column(self, name: str) -> NDArray[Any]:
        """One of them, of all blocks."""
        return np.concatenate(self.parts[name])


class _AtSides:
    """The cells at sides of blocks, measured over all blocks, with their holes.

    Attributes
    ----------
    cells : (N,) int64 array
        Ascending.
    first : (N,) int64 array
        Their first pixels.
    numbers : (N,) int64 array
        That they get; 0 before, and for those that are dropped.
    """

    def __init__(self, plan: Plan) -> None:
        cells, pieces = _Rows({}), _Rows({})
        names = ("cells", "first", "at_edge", "sizes", "sums", "seen")
        for key in plan.grid.keys:
            block = _Block(plan, key)
            cells.add(**{name: getattr(block, name)[block.is_open] for name in names})
            pieces.add(**block.pieces)
        self.cells, place = np.unique(cells.column("cells"), return_inverse=True)
        n = self.cells.size
        self.first, self.numbers = np.full(n, _LAST), np.zeros(n, np.int64)
        self.sizes, self.sums = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.seen, self.at_edge = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        np.minimum.at(self.first, place, cells.column("first"))
        np.logical_or.at(self.at_edge, place, cells.column("at_edge"))
        _add(self, place, *(cells.column(name) for name in ("sizes", "sums", "seen")))
        self._pieces, self._owners = np.empty(0, np.int64), np.empty(0, np.int64)
        if pieces.parts:
            self._fill(pieces)
        kept = np.flatnonzero(_are_kept(plan, self))
        self._in_order = kept[np.argsort(self.first[kept])]
        self._begun = 0

    def _fill(self, rows: _Rows) -> None:
        """Count the holes that lie in several blocks to their cells."""
        self._pieces, place = np.unique(rows.column("numbers"), return_inverse=True)
        n = self._pieces.size
        low, high = np.full(n, _LAST), np.full(n, NOBODY, np.int64)
        is_open = np.zeros(n, np.bool_)
        np.minimum.at(low, place, rows.column("low"))
        np.maximum.at(high, place, rows.column("high"))
        np.logical_or.at(is_open, place, rows.column("is_open"))
        self._owners = _owners({"low": low, "high": high, "is_open": is_open})
        is_hole = self._owners[place] != NOBODY
        at = np.searchsorted(self.cells, self._owners[place][is_hole])
        names = ("hole_sizes", "hole_sums", "hole_seen")
        _add(self, at, *(rows.column(name)[is_hole] for name in names))

    def beginning_before(self, place: int) -> NDArray[np.int64]:
        """Those kept cells that begin before a place, and were not returned yet."""
        firsts = self.first[self._in_order]
        begun, self._begun = self._begun, int(np.searchsorted(firsts, place))
        return self._in_order[begun : self._begun]

    def numbers_of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of some of the cells."""
        return self.numbers[np.searchsorted(self.cells, cells)]

    def owners_of(self, pieces: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell that each of some pieces is a hole of, or NOBODY."""
        return self._owners[np.searchsorted(self._pieces, pieces)]


def _save(
    plan: Plan, key: Key, block: _Block, within: NDArray[np.int64], at_sides: _AtSides
) -> None:
    """Write the numbers of a block: those of the cells that are kept within it are given."""
    numbers = np.zeros(block.cells.size, np.int64)
    numbers[block.is_kept] = within
    numbers[block.is_open] = at_sides.numbers_of(block.cells[block.is_open])
    holes = np.zeros(block.owners.size, np.int64)
    is_hole = block.owners != NOBODY
    holes[is_hole] = numbers[np.searchsorted(block.cells, block.owners[is_hole])]
    if block.pieces:
        owners = at_sides.owners_of(block.pieces["numbers"])
        of_sides = owners != NOBODY
        holes[block.goes_on[of_sides]] = at_sides.numbers_of(owners[of_sides])
    raw = judged_cells(plan, key, plan.scratch.read("labels", key, "cells"))
    places = np.searchsorted(block.cells, raw)
    plan.scratch.save("final", key, numbers=numbers[places], holes=holes)
