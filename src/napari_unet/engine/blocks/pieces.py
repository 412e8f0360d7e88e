"""Pieces of foreground and background, and seeds: found in each block, and joined over faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.blocks.grid import Face, Key, face_of, opposite
from napari_unet.engine.blocks.plan import NOBODY, Plan
from napari_unet.engine.labels.components import Runs, cut_rows, joined
from napari_unet.engine.segmentation.foreground import Foreground
from napari_unet.engine.segmentation.watershed import all_seeds


def find_pieces(plan: Plan, key: Key) -> None:
    """Stage "pieces": number the pieces and the seeds of a block, from its scores."""
    foreground = plan.foreground(key)
    shape, runs = foreground.cell.shape, foreground.runs
    first = np.unique(foreground.pieces, return_index=True)[1]
    found: dict[str, NDArray[Any]] = {
        "is_cell": runs.values[first],
        "first": plan.grid.flat(key, runs.starts[first]),
    }
    pieces = painted(foreground.pieces, runs, shape)
    seeds = np.full(shape, NOBODY)
    if plan.instances.separate_touching:
        seed_runs, numbers = all_seeds(foreground, plan.instances)
        start = seed_runs.starts[np.unique(numbers, return_index=True)[1]]
        of_runs = painted(numbers, seed_runs, None)
        seeds.reshape(-1)[painted_places(seed_runs)] = of_runs
        found["seed_first"] = plan.grid.flat(key, start)
        found["seed_sizes"] = np.bincount(numbers, seed_runs.lengths).astype(np.int64)
        found["seed_piece"] = pieces.reshape(-1)[start]
    else:
        found |= {f"seed_{name}": np.empty(0, np.int64) for name in ("first", "sizes", "piece")}
    for axis, end in plan.grid.neighbours(key):
        found[f"piece{axis}{end}"] = face_of(pieces, (axis, end)).astype(np.int32)
        found[f"seed{axis}{end}"] = face_of(seeds, (axis, end)).astype(np.int32)
    plan.scratch.save("pieces", key, **found)


def painted(
    numbers: NDArray[np.int64], runs: Runs, shape: tuple[int, ...] | None
) -> NDArray[np.int64]:
    """The number of each pixel of some runs; as an image if they are all of one."""
    pixels = np.repeat(numbers, runs.lengths)
    return pixels if shape is None else pixels.reshape(shape)


def painted_places(runs: Runs) -> NDArray[np.int64]:
    """Every pixel of some runs, in their order."""
    before = np.cumsum(runs.lengths) - runs.lengths
    shift = np.repeat(runs.starts - before, runs.lengths)
    return shift + np.arange(shift.size)


def distinct(image: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Numbers in an image, without NOBODY, ascending, and labels: one more than their places."""
    runs = cut_rows(image)
    numbers, labels = np.unique(np.append(runs.values, NOBODY), return_inverse=True)
    return numbers[1:], painted(labels.reshape(-1)[:-1], runs, image.shape).astype(np.int32)


def join_pieces(plan: Plan) -> None:
    """Give pieces and seeds of all blocks the numbers that they have in the whole image.

    That is the place of their first pixel. Stage "joined": `pieces` (P,) of
    each piece of the block, `open`, whether it lies at a side of the block, and
    `seeds` (S,) of each seed, NOBODY for those that are too small.
    """
    scratch, keys = plan.scratch, plan.grid.keys
    pieces = {key: _AtSides.of(plan, key, "piece", ("first", "is_cell")) for key in keys}
    seeds = {key: _AtSides.of(plan, key, "seed", ("seed_first", "seed_sizes")) for key in keys}
    piece_union = _Union({key: each.columns["first"] for key, each in pieces.items()})
    seed_union = _Union({key: each.columns["seed_first"] for key, each in seeds.items()})
    for key in keys:
        for face, other in plan.grid.neighbours(key).items():
            if face[1] == 1:
                here, there = _meeting(plan, pieces, key, other, face, "piece")
                is_cell = pieces[key].columns["is_cell"][here]
                is_same = is_cell == pieces[other].columns["is_cell"][there]
                piece_union.meet(key, here[is_same], other, there[is_same])
                here, there = _meeting(plan, seeds, key, other, face, "seed")
                seed_union.meet(key, here, other, there)
    piece_numbers, seed_numbers = piece_union.numbers(), seed_union.numbers()
    totals = _totals(seed_numbers, {key: each.columns["seed_sizes"] for key, each in seeds.items()})
    for key in keys:
        with scratch.opened("pieces", key) as found:
            first, seed_first = found["first"], found["seed_first"]
            sizes = found["seed_sizes"]
        is_open = np.zeros(first.size, np.bool_)
        is_open[pieces[key].numbers] = True
        first[pieces[key].numbers] = piece_numbers[key]
        seed_first[seeds[key].numbers] = seed_numbers[key]
        sizes[seeds[key].numbers] = totals[key]
        large = np.where(sizes >= plan.instances.min_seed_px, seed_first, NOBODY)
        scratch.save("joined", key, pieces=first, open=is_open, seeds=large)


@dataclass(frozen=True, slots=True, eq=False)
class _AtSides:
    """Pieces or seeds of a block that lie at its sides; all others are whole within it."""

    numbers: NDArray[np.int64]
    """(N,) in the block, ascending."""
    columns: dict[str, NDArray[Any]]
    """(N,) What is known of each."""

    @classmethod
    def of(cls, plan: Plan, key: Key, kind: str, names: Sequence[str]) -> _AtSides:
        """Read those of a kind."""
        with plan.scratch.opened("pieces", key) as found:
            sides = [found[f"{kind}{axis}{end}"] for axis, end in plan.grid.neighbours(key)]
            at_sides = [side.reshape(-1).astype(np.int64) for side in sides]
            numbers = np.unique(np.concatenate([np.empty(0, np.int64), *at_sides]))
            numbers = numbers[numbers != NOBODY]
            return cls(numbers, {name: found[name][numbers] for name in names})


def _meeting(
    plan: Plan, known: Mapping[Key, _AtSides], key: Key, other: Key, face: Face, kind: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places among those at sides of what meets at a face; nobody meets nobody."""
    sides = [
        plan.scratch.read("pieces", block, f"{kind}{axis}{end}").reshape(-1)
        for block, (axis, end) in ((key, face), (other, opposite(face)))
    ]
    both = (sides[0] != NOBODY) & (sides[1] != NOBODY)
    pairs = zip((key, other), sides, strict=True)
    here, there = (np.searchsorted(known[block].numbers, side[both]) for block, side in pairs)
    return here, there


def _totals(
    numbers: Mapping[Key, NDArray[np.int64]], sizes: Mapping[Key, NDArray[np.int64]]
) -> dict[Key, NDArray[np.int64]]:
    """For each part of each block the size of the whole that it is of."""
    whole, place = np.unique(np.concatenate(list(numbers.values())), return_inverse=True)
    total = np.zeros(whole.size, np.int64)
    np.add.at(total, place, np.concatenate(list(sizes.values())))
    return {key: total[np.searchsorted(whole, each)] for key, each in numbers.items()}


class _Union:
    """Parts that lie in blocks, and which of them are one.

    Parameters
    ----------
    first : dict of arrays
        Of each block, the first pixel of each part.
    """

    def __init__(self, first: Mapping[Key, NDArray[np.int64]]) -> None:
        self._first = first
        counts = [each.size for each in first.values()]
        self._base = dict(zip(first, (np.cumsum(counts) - counts).tolist(), strict=True))
        self._pairs = [np.empty((0, 2), np.int64)]

    def meet(self, key: Key, here: NDArray[np.int64], other: Key, there: NDArray[np.int64]) -> None:
        """Note that parts of two blocks touch."""
        pairs = np.stack([here, there], axis=1).astype(np.int64)
        pairs += [self._base[key], self._base[other]]
        # Along a face the same two parts meet again and again.
        is_new = np.ones(len(pairs), np.bool_)
        is_new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        self._pairs.append(pairs[is_new])

    def numbers(self) -> dict[Key, NDArray[np.int64]]:
        """Of each part of each block, the first pixel of all that it is one with."""
        first = np.concatenate(list(self._first.values()))
        pairs = np.concatenate(self._pairs)
        whole = joined(pairs, np.ones(len(pairs), np.bool_), first.size)
        least = np.full(int(whole.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, whole, first)
        numbers = least[whole]
        return {
            key: numbers[base : base + self._first[key].size] for key, base in self._base.items()
        }


def find_crowds(
    plan: Plan, seeds: Callable[[Plan, Key], tuple[NDArray[Any], NDArray[Any]]]
) -> list[Key]:
    """Find the pieces in which several seeds compete.

    Stage "crowds": `crowded` (P,) bool of each piece of the block.

    Parameters
    ----------
    plan : Plan
    seeds : callable
        Of a block, the numbers of its seeds in the whole image, NOBODY for
        none, and the piece of the block in which each lies.

    Returns
    -------
    list of Key
        Blocks that have such pieces.
    """
    pairs = [np.empty((0, 2), np.int64)]
    for key in plan.grid.keys:
        apart, is_open = _apart(plan, key, seeds)
        pairs.append(apart[is_open])
    several = _several(np.unique(np.concatenate(pairs), axis=0))
    found = []
    for key in plan.grid.keys:
        apart, is_open = _apart(plan, key, seeds)
        numbers = plan.scratch.read("joined", key, "pieces")
        crowded = np.isin(numbers, several) | np.isin(numbers, _several(apart[~is_open]))
        plan.scratch.save("crowds", key, crowded=crowded)
        if crowded.any():
            found.append(key)
    return found


def _apart(
    plan: Plan, key: Key, seeds: Callable[[Plan, Key], tuple[NDArray[Any], NDArray[Any]]]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Each piece of a block with each of its seeds, and whether it goes on beyond the block."""
    seed, piece = seeds(plan, key)
    is_seed = seed != NOBODY
    with plan.scratch.opened("joined", key) as found:
        numbers, is_open = found["pieces"][piece[is_seed]], found["open"][piece[is_seed]]
    rows = np.stack([numbers, seed[is_seed]], axis=1)
    apart, first = np.unique(rows, axis=0, return_index=True)
    return apart, is_open[first]


def _several(apart: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pieces that have several seeds."""
    pieces, counts = np.unique(apart[:, 0], return_counts=True)
    return pieces[counts > 1]


def seeds_of_scores(plan: Plan, key: Key) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what `find_crowds` asks of the seeds of a block that the scores give."""
    numbers = plan.scratch.read("joined", key, "seeds")
    return numbers, plan.scratch.read("pieces", key, "seed_piece")


def seed_runs_of_scores(
    plan: Plan, key: Key, foreground: Foreground
) -> tuple[Runs, NDArray[np.int64]]:
    """Runs of the seeds of a block that are large enough, and the number of the seed of each."""
    numbers = plan.scratch.read("joined", key, "seeds")
    if not numbers.size:
        return Runs(*(np.empty(0, np.int64) for _ in range(4))), numbers
    runs, local = all_seeds(foreground, plan.instances)
    is_large = numbers[local] != NOBODY
    return Runs(runs.first, *(part[is_large] for part in runs[1:])), numbers[local[is_large]]
