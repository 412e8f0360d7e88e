"""Pieces with several seeds, flooded block by block until nothing changes at any face.

A flood is the only answer to what it asks (see `watershed.flood`), and less knowledge of what comes
in only makes ways worse. So blocks that are flooded again, with the faces of their neighbours,
come to the flood of the whole image in a finite number of rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.blocks.grid import Face, Key, face_of, opposite
from napari_unet.engine.blocks.pieces import distinct, painted, seed_runs_of_scores
from napari_unet.engine.blocks.plan import NOBODY, Plan
from napari_unet.engine.labels.components import Runs, cut_rows
from napari_unet.engine.segmentation.foreground import Canvas, Foreground, paint
from napari_unet.engine.segmentation.watershed import UNDECIDED, Arrivals, flood

_NAMES = ("cells", "levels", "steps")
"""Of what a flood tells of pixels: the number of the seed or NOBODY, and its way."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """How a flood came to pixels of one shape."""

    cells: NDArray[np.int64]
    levels: NDArray[np.int32]
    steps: NDArray[np.int32]

    @classmethod
    def nowhere(cls, shape: tuple[int, ...]) -> _Ways:
        """No pixel that it came to."""
        nobody = np.full(shape, NOBODY, np.int64)
        return cls(nobody, np.zeros(shape, np.int32), np.zeros(shape, np.int32))

    @classmethod
    def read(cls, arrays: Mapping[str, Any], where: str) -> _Ways:
        """Those that `arrays` has under a name."""
        return cls(*(arrays[f"{where} {name}"] for name in _NAMES))

    def at(self, face: Face) -> _Ways:
        """Those of the outermost pixels at a side."""
        return _Ways(*(face_of(getattr(self, name), face) for name in _NAMES))

    def differ(self, other: _Ways) -> NDArray[np.bool_]:
        """Where they are others."""
        each = [getattr(self, name) != getattr(other, name) for name in _NAMES]
        different: NDArray[np.bool_] = each[0] | each[1] | each[2]
        return different

    def chosen(self, where: NDArray[np.bool_], other: _Ways) -> _Ways:
        """These where that is true, and those of another elsewhere."""
        both = ((getattr(self, name), getattr(other, name)) for name in _NAMES)
        return _Ways(*(np.where(where, mine, its) for mine, its in both))

    def named(self, where: str) -> Iterator[tuple[str, NDArray[Any]]]:
        """Arrays under a name, as `read` finds them."""
        return ((f"{where} {name}", getattr(self, name)) for name in _NAMES)


class _Block:
    """A block whose crowded pieces are flooded."""

    def __init__(self, plan: Plan, key: Key) -> None:
        self._plan, self._key = plan, key
        self.faces = plan.grid.neighbours(key)
        self.foreground: Foreground = plan.foreground(key)
        self.shape = self.foreground.cell.shape
        self.crowded: NDArray[np.bool_] = plan.scratch.read("crowds", key, "crowded")
        self.pieces = painted(self.foreground.pieces, self.foreground.runs, self.shape)

    def flooded(self, entries: Mapping[Face, _Ways], active: NDArray[np.bool_]) -> _Ways:
        """Flood some of the pieces, given what comes in at the sides."""
        shape = self.shape
        pads = [[int((axis, end) in self.faces) for end in (0, 1)] for axis in range(len(shape))]
        canvas = Canvas(tuple(n + sum(pad) for n, pad in zip(shape, pads, strict=True)))
        inner = tuple(slice(low, low + n) for n, (low, _) in zip(shape, pads, strict=True))
        landscape, mask = np.pad(self._landscape(), pads), np.pad(active[self.pieces], pads)
        runs = cut_rows(mask)
        contested = Runs(runs.first, *(part[runs.values] for part in runs[1:]))
        contested = _on(canvas, contested)
        seeds, numbers = self._seeds(active, inner, canvas.inner_labels.shape)
        rivals = _on(canvas, seeds)
        places, ways = _entered(entries, canvas, inner)
        cells = np.unique(np.concatenate([numbers, ways.cells]))
        labels = canvas.labels.reshape(-1)
        undecided = np.full(contested.starts.size, UNDECIDED, np.int32)
        paint(contested.starts, contested.lengths, undecided, labels)
        own = (np.searchsorted(cells, numbers) + 1).astype(np.int32)
        paint(rivals.starts, rivals.lengths, own, labels)
        labels[places] = np.searchsorted(cells, ways.cells) + 1
        known = Arrivals(places, ways.levels, ways.steps)
        reached = flood(canvas, landscape, contested, rivals, known=known, record=True)
        levels, steps = (
            each.reshape(canvas.labels.shape)[(slice(1, -1),) * len(shape)][inner]
            for each in reached
        )
        found = canvas.inner_labels[inner]
        is_found = found > 0
        numbered = np.append(NOBODY, cells)[np.maximum(found, 0)]
        nowhere = _Ways.nowhere(shape)
        return _Ways(numbered, levels, steps).chosen(is_found, nowhere)

    def _landscape(self) -> NDArray[np.float32]:
        if not self._plan.is_judged:
            return self.foreground.cell
        landscape: NDArray[np.float32] = self._plan.scratch.read("centres", self._key, "landscape")
        return landscape

    def _seeds(
        self, active: NDArray[np.bool_], inner: tuple[slice, ...], shape: tuple[int, ...]
    ) -> tuple[Runs, NDArray[np.int64]]:
        """Runs of the seeds of pieces that are flooded, in the padded block, and their numbers."""
        if self._plan.is_judged:
            starts = self._plan.scratch.read("centres", self._key, "starts")
            runs = Runs(starts, starts, np.ones_like(starts), starts)
            numbers = self._plan.grid.flat(self._key, starts)
        else:
            runs, numbers = seed_runs_of_scores(self._plan, self._key, self.foreground)
        is_active = active[self.pieces.reshape(-1)[runs.starts]]
        at = np.unravel_index(runs.starts[is_active], self.shape)
        padded = tuple(along + part.start for along, part in zip(at, inner, strict=True))
        starts = np.ravel_multi_index(padded, shape).astype(np.int64)
        lengths = runs.lengths[is_active]
        return Runs(starts, starts, lengths, starts), numbers[is_active]


def _on(canvas: Canvas, runs: Runs) -> Runs:
    """Runs as `flood` takes them: places in the canvas, and pixels of the image."""
    return Runs(runs.first, canvas.places(runs.starts), runs.lengths, runs.starts)


def _entered(
    entries: Mapping[Face, _Ways], canvas: Canvas, inner: tuple[slice, ...]
) -> tuple[NDArray[np.int64], _Ways]:
    """Places in the canvas of what comes in, and how it came so far."""
    places, parts = [np.empty(0, np.int64)], [_Ways.nowhere((0,))]
    shape = canvas.inner_labels.shape
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    for (axis, end), ways in entries.items():
        along = list(inner)
        along[axis] = slice(0, 1) if end == 0 else slice(shape[axis] - 1, shape[axis])
        pixels = numbers[tuple(along)].reshape(-1)
        is_there = (ways.cells != NOBODY).reshape(-1)
        places.append(canvas.places(pixels[is_there]))
        flat = [getattr(ways, name).reshape(-1)[is_there] for name in _NAMES]
        parts.append(_Ways(*flat))
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES)
    return np.concatenate(places), _Ways(*joined)


def flood_round(plan: Plan, key: Key, number: int, last: Mapping[Key, int]) -> list[Face]:
    """Stage "flood NUMBER": flood a block with what its neighbours' last rounds found.

    Only pieces at which something else comes in than before are flooded again.

    Parameters
    ----------
    plan : Plan
    key : Key
    number : int
        Of the round, from 1.
    last : dict of int
        The round before in which the block, and each of its neighbours, was
        flooded; those that were not are left out.

    Returns
    -------
    list of Face
        Sides at which something changed.
    """
    stage = f"flood {number}"
    if not plan.scratch.has(stage, key):
        plan.scratch.save(stage, key, **_next_round(plan, key, last))
    changed = plan.scratch.read(stage, key, "changed")
    return [(int(axis), int(end)) for axis, end in changed]


def _next_round(plan: Plan, key: Key, last: Mapping[Key, int]) -> dict[str, NDArray[Any]]:
    block = _Block(plan, key)
    entries = _entries(plan, block, last)
    active = block.crowded
    before: dict[str, NDArray[Any]] = {}
    if key in last:
        with plan.scratch.opened(f"flood {last[key]}", key) as arrays:
            before = {name: arrays[name] for name in arrays.files}
        active = np.zeros_like(block.crowded)
        for face, ways in entries.items():
            is_new = ways.differ(_Ways.read(before, f"in {face[0]}{face[1]}"))
            active[face_of(block.pieces, face)[is_new]] = True
        active &= block.crowded
    ways = block.flooded(entries, active)
    found: dict[str, NDArray[Any]] = {}
    changed = []
    for face, entry in entries.items():
        name = f"{face[0]}{face[1]}"
        mine, was = ways.at(face), _Ways.nowhere(entry.cells.shape)
        if before:
            was = _Ways.read(before, f"out {name}")
            mine = mine.chosen(active[face_of(block.pieces, face)], was)
        if mine.differ(was).any():
            changed.append(face)
        found |= {**dict(mine.named(f"out {name}")), **dict(entry.named(f"in {name}"))}
    found["changed"] = np.array(changed, np.int64).reshape(-1, 2)
    return found


def _entries(plan: Plan, block: _Block, last: Mapping[Key, int]) -> dict[Face, _Ways]:
    """What comes in at each side, as far as it is known."""
    entries = {}
    for face, other in block.faces.items():
        shape = face_of(block.pieces, face).shape
        entries[face] = _Ways.nowhere(shape)
        if other in last:
            axis, end = opposite(face)
            with plan.scratch.opened(f"flood {last[other]}", other) as arrays:
                entries[face] = _Ways.read(arrays, f"out {axis}{end}")
    return entries


class FloodRounds:
    """Which blocks are to be flooded, again and again, as long as a neighbour's face changes.

    Parameters
    ----------
    plan : Plan
    crowded : list of Key
        Blocks with crowded pieces.

    Attributes
    ----------
    last : dict of int
        The round in which each block was flooded last.
    """

    def __init__(self, plan: Plan, crowded: Sequence[Key]) -> None:
        self._grid, self._crowded = plan.grid, list(crowded)
        self._todo, self._following = list(crowded), set[Key]()
        self._number = 1
        self.last: dict[Key, int] = {}

    def work(self) -> list[tuple[Key, int, dict[Key, int]]]:
        """What `flood_round` takes, for each block of this round; they can be done in any order."""
        return [(key, self._number, self.around(key)) for key in self._todo]

    def around(self, key: Key) -> dict[Key, int]:
        """The last round of a block and of each of its neighbours that was flooded."""
        near = [key, *self._grid.neighbours(key).values()]
        return {other: self.last[other] for other in near if other in self.last}

    def note(self, key: Key, changed: Sequence[Face]) -> None:
        """Take in what `flood_round` gave back for a block."""
        neighbours = self._grid.neighbours(key)
        self._following |= {neighbours[face] for face in changed}

    def next(self) -> None:
        """Go on to the next round, when this one is done."""
        self.last |= dict.fromkeys(self._todo, self._number)
        self._todo = [key for key in self._crowded if key in self._following]
        self._following = set()
        self._number += 1


def label_block(plan: Plan, key: Key, last: Mapping[Key, int]) -> None:
    """Stage "labels": the cell of each pixel of a block, once all floods have come to rest.

    `labels` of the block's shape, 0 for background, else one more than a place
    in `cells`, the numbers that cells have in the whole image so far; and the
    numbers at each side, NOBODY for background.
    """
    block = _Block(plan, key)
    numbers = plan.scratch.read("joined", key, "pieces")
    runs = block.foreground.runs
    cells = np.where(runs.values, numbers[block.foreground.pieces], NOBODY)
    image = painted(cells, runs, block.shape)
    if block.crowded.any():
        ways = block.flooded(_entries(plan, block, last), block.crowded)
        image = np.where(block.crowded[block.pieces], ways.cells, image)
    found, labels = distinct(image)
    faces = {f"face{axis}{end}": face_of(image, (axis, end)) for axis, end in block.faces}
    plan.scratch.save("labels", key, labels=labels, cells=found, **faces)
