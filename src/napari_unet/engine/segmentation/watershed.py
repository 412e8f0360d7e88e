"""Seeds that share a piece grown until they meet: a watershed only of where they compete."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.components import Runs, cut_rows
from napari_unet.engine.segmentation.foreground import Foreground, components, paint

UNDECIDED = -2
"""Label, this or below, of a pixel that several seeds compete for."""

_LAST = np.iinfo(np.int64).max
_ONE = np.uint64(1)


def grow_seeds(foreground: Foreground, settings: InstanceSettings) -> None:
    """Split each piece with several seeds: every pixel goes to a seed, the highest score first.

    Seeds are connected pixels of the foreground whose score is above
    `seed_threshold`, at least `min_seed_px` of them. A piece with one seed is
    that cell; one without any is a faint cell, not background.

    A pixel waits with the lowest score on the way to it; of several with the
    same score the one that was reached first goes first, and of those of the
    seeds themselves the first in reading order. So each choice depends on what
    is around it alone, and part of an image has the cells of the whole. Where
    no scores are equal, this is pixel by pixel what
    `skimage.segmentation.watershed` (0.26) makes of the rims of the seeds, and
    several times as fast (benchmarks/instances.py).
    """
    seeds, numbers = large_seeds(foreground, settings)
    flood_from(foreground, seeds, numbers, foreground.cell)


def large_seeds(
    foreground: Foreground, settings: InstanceSettings
) -> tuple[Runs, NDArray[np.int64]]:
    """Runs of the seeds that are large enough, and the number of the seed of each."""
    cell = foreground.cell
    seeds = cut_rows(foreground.mask & (cell > np.float32(settings.seed_threshold)))
    numbers = components(seeds, cell.shape)
    sizes = np.bincount(numbers, seeds.lengths * seeds.values)
    is_large = seeds.values & (sizes >= max(1, settings.min_seed_px))[numbers]
    return Runs(seeds.first, *(part[is_large] for part in seeds[1:])), numbers[is_large]


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
    # The bits of floats that are not negative are in the same order as these.
    bits = landscape.reshape(-1).view(np.int32)
    in_crowd = (foreground.places[crowded], runs.starts[crowded], runs.lengths[crowded])
    _write_ranks(labels, bits, *in_crowd)
    # A binary heap from index 1 on; in a key are rank and age.
    most = int(runs.lengths[crowded].sum())
    heap = np.full(most + 2, _LAST, np.int64), np.empty(most + 2, np.int64)
    rivals = (places[compete], seeds.starts[compete], seeds.lengths[compete])
    _flood(labels, bits, *rivals, canvas.beside, canvas.around, *heap)
    return base


@numba.njit(cache=True, nogil=True)
def _flood(
    labels: Any,
    bits: Any,
    seed_places: Any,
    seed_starts: Any,
    seed_lengths: Any,
    beside: Any,
    around: Any,
    keys: Any,
    places: Any,
) -> None:
    """Give each undecided pixel to a neighbouring seed.

    Of the seeds' runs there are the places in the canvas, those in the image,
    and the lengths; `keys` and `places` are the room for the heap.
    """
    count = np.int64(0)  # a plain 0 has its own type at first, and all is compiled twice
    for run in range(seed_places.size):
        place, start, length = seed_places[run], seed_starts[run], seed_lengths[run]
        for i in range(length):
            # A pixel with seeds all around it meets nobody.
            if _has_strangers(labels, place + i, around):
                count += 1
                _push(keys, places, count, _key(_rank(bits[start + i]), count), place + i)
    age = count
    while count:
        key, place = keys[1], places[1]
        _pop(keys, places, count)
        count -= 1
        for step in beside:
            rank = labels[place + step]
            if rank <= UNDECIDED:
                labels[place + step] = labels[place]
                age += 1
                count += 1
                rank = max(rank, key >> 32)
                _push(keys, places, count, _key(rank, age), place + step)


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
def _key(rank: Any, age: Any) -> Any:
    return (np.int64(rank) << 32) + age


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
