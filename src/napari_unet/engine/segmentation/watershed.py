"""Seeds that share a piece grown until they meet: a watershed only of where they compete."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from napari_unet.engine.labels.connected import Runs

OUTSIDE = -1
"""Label of the rim around an image, which gives every pixel all of its neighbours."""

UNDECIDED = -2
"""Label, this or below, of a pixel that several seeds compete for."""

_LAST = np.iinfo(np.int64).max
_ONE = np.uint64(1)


@numba.njit(cache=True, nogil=True)
def flood(
    labels: Any, cell_bits: Any, runs: Runs, is_crowded: Any, beside: Any, around: Any
) -> None:
    """Give each undecided pixel to a neighbouring seed, in place, the highest score first.

    A pixel waits with the lowest score on the way to it; of several with the
    same score the one that was reached first goes first, and of those of the
    seeds themselves the heap chooses. Pixel by pixel this is what
    `skimage.segmentation.watershed` (0.26) makes of the rims of the seeds.

    Parameters
    ----------
    labels : flat int32 canvas
        OUTSIDE, UNDECIDED, 0 or the number of a seed.
    cell_bits : flat int32 array
        The bits of the cell scores of the image (float32, not negative): they
        are in the same order as the scores.
    runs : Runs
    is_crowded : (runs,) bool array
        Which of them belong to a piece with several seeds.
    beside, around : int array
        Steps in the canvas from a pixel to those that share a face with it,
        and to all of its neighbours.
    """
    most = _write_ranks(labels, cell_bits, runs, is_crowded)
    # A binary heap from index 1 on; in a key are rank and age.
    keys = np.full(most + 2, _LAST, np.int64)
    places = np.empty(most + 2, np.int64)
    count = 0
    begin = 0
    for run in range(is_crowded.size):
        place = runs.places[run]
        if is_crowded[run] and labels[place] > 0:
            for i in range(runs.lengths[run]):
                # A pixel with seeds all around it meets nobody.
                if _has_strangers(labels, place + i, around):
                    count += 1
                    _push(keys, places, count, _key(_rank(cell_bits[begin + i]), 0), place + i)
        begin += runs.lengths[run]
    age = 0
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
def _write_ranks(labels: Any, cell_bits: Any, runs: Runs, is_crowded: Any) -> int:
    """Rank the undecided pixels in place of their label and count those of crowded pieces."""
    crowded_px = 0
    begin = 0
    for run in range(is_crowded.size):
        place = runs.places[run]
        if is_crowded[run]:
            crowded_px += runs.lengths[run]
            if labels[place] == UNDECIDED:
                for i in range(runs.lengths[run]):
                    labels[place + i] = _rank(cell_bits[begin + i])
        begin += runs.lengths[run]
    return crowded_px


@numba.njit(cache=True, nogil=True)
def _rank(bits: Any) -> Any:
    """UNDECIDED or below; lower for a higher score."""
    return UNDECIDED - max(bits, 0)


@numba.njit(cache=True, nogil=True)
def _key(rank: Any, age: int) -> Any:
    return (np.int64(rank) << 32) + age


@numba.njit(cache=True, nogil=True)
def _has_strangers(labels: Any, place: int, around: Any) -> bool:
    """Whether a neighbour of a seed's pixel is not part of a seed."""
    for step in around:  # noqa: SIM110 - numba compiles no any()
        if labels[place + step] <= 0:
            return True
    return False


# The heap's indices are unsigned: numba would look at signed ones for negative numbers each time.


@numba.njit(cache=True, nogil=True)
def _push(keys: Any, places: Any, count: int, key: int, place: int) -> None:
    """Add to a heap that has `count` entries then."""
    at = np.uint64(count)
    while at > _ONE:
        parent = at >> _ONE
        if keys[parent] <= key:
            break
        keys[at], places[at] = keys[parent], places[parent]
        at = parent
    keys[at], places[at] = key, place


@numba.njit(cache=True, nogil=True)
def _pop(keys: Any, places: Any, count: int) -> None:
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
