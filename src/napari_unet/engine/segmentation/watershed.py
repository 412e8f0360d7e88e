"""Seeds that share a piece grown until they meet: a watershed only of where they compete."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.components import Runs, cut_rows
from napari_unet.engine.segmentation.foreground import Canvas, Foreground, components, paint

UNDECIDED = -2
"""Label, this or below, of a pixel that several seeds compete for."""

_LAST = np.iinfo(np.int64).max
_ONE = np.uint64(1)


def grow_seeds(foreground: Foreground, settings: InstanceSettings) -> None:
    """Split each piece with several seeds: every pixel goes to a seed, the highest score first.

    Seeds are connected pixels of the foreground whose score is above
    `seed_threshold`, at least `min_seed_px` of them. A piece with one seed is
    that cell; one without any is a faint cell, not background. How the others
    are split, `flood` says; where no scores are equal, this is pixel by pixel
    what `skimage.segmentation.watershed` (0.26) makes of the rims of the seeds,
    and several times as fast (benchmarks/instances.py).
    """
    seeds, numbers = large_seeds(foreground, settings)
    flood_from(foreground, seeds, numbers, foreground.cell)


def large_seeds(
    foreground: Foreground, settings: InstanceSettings
) -> tuple[Runs, NDArray[np.int64]]:
    """Runs of the seeds that are large enough, and the number of the seed of each."""
    seeds, numbers = all_seeds(foreground, settings)
    is_large = (np.bincount(numbers, seeds.lengths) >= settings.min_seed_px)[numbers]
    return Runs(seeds.first, *(part[is_large] for part in seeds[1:])), numbers[is_large]


def all_seeds(foreground: Foreground, settings: InstanceSettings) -> tuple[Runs, NDArray[np.int64]]:
    """Runs of the seeds of any size, and the number of the seed of each, from 0."""
    cell = foreground.cell
    seeds = cut_rows(foreground.mask & (cell > np.float32(settings.seed_threshold)))
    numbers = components(seeds, cell.shape)
    # Components of what is no seed are numbered, too: leave them out.
    is_seed = np.zeros(int(numbers.max()) + 1, np.int64)
    is_seed[numbers[seeds.values]] = 1
    numbers = (np.cumsum(is_seed) - 1)[numbers[seeds.values]]
    return Runs(seeds.first, *(part[seeds.values] for part in seeds[1:])), numbers


def flood_from(
    foreground: Foreground,
    seeds: Runs,
    numbers: NDArray[np.int64],
    landscape: NDArray[np.float32],
) -> int:
    """Split each piece with several seeds, the pixels that are highest in a landscape first.

    Parameters
    ----------
    foreground : Foreground
        Its labels are changed.
    seeds : Runs
        In the foreground; `first` is not looked at.
    numbers : (runs,) int array
        Number of the seed of each run, from 0.
    landscape : float32 array of the image's shape, in C order
        Not negative.

    Returns
    -------
    int
        What the labels of the seeds that compete are above their numbers; it
        is above all other labels.
    """
    canvas, runs, pieces = foreground.canvas, foreground.runs, foreground.pieces
    labels = canvas.labels.reshape(-1)
    places = canvas.places(seeds.starts)
    # One run for each seed, to count them in each piece.
    one = np.unique(numbers, return_index=True)[1]
    seeds_in = np.bincount(labels[places[one]] - 1, minlength=int(pieces.max()) + 1)
    base = seeds_in.size + 1
    compete = seeds_in[labels[places] - 1] > 1
    crowded = np.flatnonzero(runs.values & (seeds_in > 1)[pieces])
    undecided = np.full(crowded.size, UNDECIDED, np.int32)
    paint(foreground.places[crowded], runs.lengths[crowded], undecided, labels)
    paint(
        places[compete], seeds.lengths[compete], (numbers[compete] + base).astype(np.int32), labels
    )
    rivals = Runs(seeds.first, places[compete], seeds.lengths[compete], seeds.starts[compete])
    contested = Runs(
        runs.first, foreground.places[crowded], runs.lengths[crowded], runs.starts[crowded]
    )
    flood(canvas, landscape, contested, rivals)
    return base


class Arrivals(NamedTuple):
    """Pixels that a flood has come to, and what it compares before it goes on from there."""

    places: NDArray[np.int64]
    """(N,) int64. Where they are in the flat canvas."""
    levels: NDArray[np.int32]
    """(N,) int32. Worst rank on the way; lower is better."""
    steps: NDArray[np.int32]
    """(N,) int32. Since it got as bad as that."""


_NO_ARRIVALS = Arrivals(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))


def flood(
    canvas: Canvas,
    landscape: NDArray[np.float32],
    contested: Runs,
    rivals: Runs,
    *,
    known: Arrivals | None = None,
    record: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give every contested pixel to the seed that comes to it best.

    The way to a pixel is as good as the lowest score on it; of ways as good as
    each other that one is better which took fewer steps since it fell to that
    score, and of equal ones that of the seed with the lowest label. Each pixel
    goes on the best way to any of its neighbours. That defines what every pixel
    gets, whatever is computed first, since ways only grow worse: a part of an
    image has the cells of the whole, once what comes in at its sides is known.

    Parameters
    ----------
    canvas : Canvas
        UNDECIDED where pixels are contested, and the labels of the seeds.
    landscape : float32 array of the image's shape, in C order
        Scores, not negative.
    contested, rivals : Runs
        What is contested, and those seeds: `starts` are places in the canvas
        and `values` pixels of the image.
    known : Arrivals, optional
        Labelled pixels that are no seeds and are not changed.
    record : bool
        Whether to tell how the flood came to pixels; it does where some are known.

    Returns
    -------
    levels, steps : int32 array
        How it came to each place of the flat canvas, as `Arrivals` have it; what
        is still UNDECIDED or below it was not reached. Empty if not recorded.
    """
    labels = canvas.labels.reshape(-1)
    # The bits of floats that are not negative are in the same order as these.
    bits = landscape.reshape(-1).view(np.int32)
    _write_ranks(labels, bits, contested.starts, contested.values, contested.lengths)
    places, at_level, after_steps = known or _NO_ARRIVALS
    order = np.lexsort((labels[places], after_steps, at_level))
    sources = places[order], at_level[order], after_steps[order]
    most = int(contested.lengths.sum()) + places.size
    heap = np.full(most + 2, _LAST, np.int64), np.empty(most + 2, np.int64)
    size = labels.size if record or known else 0
    levels, steps = np.zeros(size, np.int32), np.zeros(size, np.int32)
    seeds = rivals.starts, rivals.values, rivals.lengths
    line = np.empty(most, np.int64)
    _flood(labels, bits, *seeds, *sources, canvas.beside, canvas.around, *heap, line, levels, steps)
    return levels, steps


@numba.njit(cache=True, nogil=True)
def _flood(
    labels: Any,
    bits: Any,
    seed_places: Any,
    seed_starts: Any,
    seed_lengths: Any,
    known_places: Any,
    known_levels: Any,
    known_steps: Any,
    beside: Any,
    around: Any,
    keys: Any,
    places: Any,
    line: Any,
    levels: Any,
    steps: Any,
) -> None:
    """Give each undecided pixel to a neighbouring seed.

    Of the seeds' runs there are the places in the canvas, those in the image,
    and the lengths; what is known is in the order of its ways. `keys` and
    `places` are the room for the heap, which holds ways that have just become
    worse: by their level, then by their label. All others of a level wait in
    `line`, which is in their order by itself. `levels` and `steps` take down the
    ways; they may be empty where nothing is known.
    """
    count = np.int64(0)  # a plain 0 has its own type at first, and all is compiled twice
    for run in range(seed_places.size):
        place, start, length = seed_places[run], seed_starts[run], seed_lengths[run]
        for i in range(length):
            if levels.size:
                levels[place + i] = _rank(bits[start + i])
            # A pixel with seeds all around it meets nobody.
            if _has_strangers(labels, place + i, around):
                count += 1
                key = _key(_rank(bits[start + i]), labels[place + i])
                _push(keys, places, count, key, place + i)
    for i in range(known_places.size):
        steps[known_places[i]] = known_steps[i]
        if known_steps[i] == 0:
            count += 1
            key = _key(known_levels[i], labels[known_places[i]])
            _push(keys, places, count, key, known_places[i])
    at, known, records = np.int64(0), known_places.size, levels.size > 0
    head = tail = level = np.int64(0)
    while count or head < tail or at < known:
        if head == tail:
            level = keys[1] >> 32 if count else np.int64(known_levels[at])
            if at < known:
                level = min(level, np.int64(known_levels[at]))
            head = tail = np.int64(0)
        if count and keys[1] >> 32 == level:
            place = places[1]
            _pop(keys, places, count)
            count -= 1
        elif (
            at < known
            and known_levels[at] == level
            and (head == tail or _is_before(labels, steps, known_places[at], line[head]))
        ):
            place = known_places[at]
            at += 1
        else:
            place = line[head]
            head += 1
        label = labels[place]
        for way in beside:
            rank = labels[place + way]
            if rank <= UNDECIDED:
                labels[place + way] = label
                if rank > level:
                    count += 1
                    _push(keys, places, count, _key(rank, label), place + way)
                else:
                    line[tail] = place + way
                    tail += 1
                if records:
                    levels[place + way] = max(rank, level)
                    steps[place + way] = 0 if rank > level else steps[place] + 1


@numba.njit(cache=True, nogil=True, inline="always")
def _is_before(labels: Any, steps: Any, place: Any, other: Any) -> bool:
    """Whether the way to a place is better than that to another one of the same level."""
    if steps[place] != steps[other]:
        return bool(steps[place] < steps[other])
    return bool(labels[place] < labels[other])


@numba.njit(cache=True, nogil=True)
def _write_ranks(labels: Any, bits: Any, places: Any, starts: Any, lengths: Any) -> None:
    """Rank the undecided pixels of some runs in place of their label."""
    for run in range(places.size):
        for i in range(lengths[run]):
            if labels[places[run] + i] == UNDECIDED:
                labels[places[run] + i] = _rank(bits[starts[run] + i])


@numba.njit(cache=True, nogil=True, inline="always")
def _rank(bits: Any) -> Any:
    """UNDECIDED or below; lower for a higher score."""
    return UNDECIDED - max(bits, 0)


@numba.njit(cache=True, nogil=True, inline="always")
def _key(rank: Any, label: Any) -> Any:
    return (np.int64(rank) << 32) + label


@numba.njit(cache=True, nogil=True, inline="always")
def _has_strangers(labels: Any, place: int, around: Any) -> bool:
    """Whether a neighbour of a seed's pixel is not part of a seed."""
    for step in around:  # noqa: SIM110 - numba compiles no any()
        if labels[place + step] <= 0:
            return True
    return False


# The heap's indices are unsigned: numba would look at signed ones for negative numbers each time.


@numba.njit(cache=True, nogil=True, inline="always")
def _push(keys: Any, places: Any, count: Any, key: Any, place: Any) -> None:
    """Add to a heap that has `count` entries then."""
    at = np.uint64(count)
    while at > _ONE:
        parent = at >> _ONE
        if keys[parent] <= key:
            break
        keys[at], places[at] = keys[parent], places[parent]
        at = parent
    keys[at], places[at] = key, place


@numba.njit(cache=True, nogil=True, inline="always")
def _pop(keys: Any, places: Any, count: Any) -> None:
    """Take away the first of `count` entries."""
    last = np.uint64(count)
    key, place = keys[last], places[last]
    keys[last] = _LAST
    at = _ONE
    while at << _ONE < last:
        child = at << _ONE
        child += np.uint64(keys[child + _ONE] < keys[child])
        if keys[child] >= key:
            break
        keys[at], places[at] = keys[child], places[child]
        at = child
    keys[at], places[at] = key, place
