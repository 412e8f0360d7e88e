"""Pieces of foreground and background, and seeds: found in each block, and joined over faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.blocks.grid import Key, face_of, opposite
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
    each piece of the block, and `seeds` (S,) of each seed, NOBODY for those that
    are too small.
    """
    scratch, keys = plan.scratch, plan.grid.keys
    tables = {key: dict(_tables(plan, key)) for key in keys}
    pieces = _Union({key: table["first"] for key, table in tables.items()})
    seeds = _Union({key: table["seed_first"] for key, table in tables.items()})
    for key in keys:
        for face, other in plan.grid.neighbours(key).items():
            if face[1] == 1:
                _meet(plan, pieces, seeds, tables, key, other, face)
    piece_numbers, seed_numbers = pieces.numbers(), seeds.numbers()
    size = np.concatenate([table["seed_sizes"] for table in tables.values()])
    whole, index = np.unique(np.concatenate(list(seed_numbers.values())), return_inverse=True)
    total = np.zeros(whole.size, np.int64)
    np.add.at(total, index, size)
    is_large = dict(zip(whole.tolist(), total >= plan.instances.min_seed_px, strict=True))
    for key in keys:
        large = np.array([is_large[n] for n in seed_numbers[key].tolist()], np.bool_)
        scratch.save(
            "joined",
            key,
            pieces=piece_numbers[key],
            seeds=np.where(large, seed_numbers[key], NOBODY),
        )


def _tables(plan: Plan, key: Key) -> Iterator[tuple[str, NDArray[Any]]]:
    with plan.scratch.opened("pieces", key) as found:
        for name in ("is_cell", "first", "seed_first", "seed_sizes"):
            yield name, found[name]


def _meet(
    plan: Plan,
    pieces: _Union,
    seeds: _Union,
    tables: Mapping[Key, Mapping[str, NDArray[Any]]],
    key: Key,
    other: Key,
    face: tuple[int, int],
) -> None:
    """Join what meets at the face between two blocks."""
    names = [f"{face[0]}{face[1]}", "{}{}".format(*opposite(face))]
    scratch = plan.scratch
    here, there = (
        scratch.read("pieces", block, f"piece{name}").reshape(-1)
        for block, name in zip((key, other), names, strict=True)
    )
    is_same = tables[key]["is_cell"][here] == tables[other]["is_cell"][there]
    pieces.meet(key, here[is_same], other, there[is_same])
    here, there = (
        scratch.read("pieces", block, f"seed{name}").reshape(-1)
        for block, name in zip((key, other), names, strict=True)
    )
    both = (here != NOBODY) & (there != NOBODY)
    seeds.meet(key, here[both], other, there[both])


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

    def meet(self, key: Key, here: NDArray[np.int32], other: Key, there: NDArray[np.int32]) -> None:
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


def find_crowds(plan: Plan, seeds: Mapping[Key, tuple[NDArray[Any], NDArray[Any]]]) -> list[Key]:
    """Find the pieces in which several seeds compete.

    Stage "crowds": `crowded` (P,) bool of each piece of the block.

    Parameters
    ----------
    plan : Plan
    seeds : dict of (numbers, pieces)
        Of each block, the numbers of its seeds in the whole image, NOBODY for
        none, and the piece of the block in which each lies.

    Returns
    -------
    list of Key
        Blocks that have such pieces.
    """
    numbers = {key: plan.scratch.read("joined", key, "pieces") for key in plan.grid.keys}
    pairs = [np.empty((0, 2), np.int64)]
    for key, (seed, piece) in seeds.items():
        is_seed = seed != NOBODY
        pairs.append(np.stack([numbers[key][piece[is_seed]], seed[is_seed]], axis=1))
    apart = np.unique(np.concatenate(pairs), axis=0)
    pieces, counts = np.unique(apart[:, 0], return_counts=True)
    several = pieces[counts > 1]
    found = []
    for key in plan.grid.keys:
        crowded = np.isin(numbers[key], several)
        plan.scratch.save("crowds", key, crowded=crowded)
        if crowded.any():
            found.append(key)
    return found


def seeds_of_scores(plan: Plan) -> dict[Key, tuple[NDArray[Any], NDArray[Any]]]:
    """Return what `find_crowds` asks of seeds that the scores give."""
    return {
        key: (
            plan.scratch.read("joined", key, "seeds"),
            plan.scratch.read("pieces", key, "seed_piece"),
        )
        for key in plan.grid.keys
    }


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
