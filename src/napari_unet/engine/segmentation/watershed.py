"""Seeds that share a piece grown until they meet: a watershed only of where they compete."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.connected import Runs

OUTSIDE = -1
"""Label of the rim around an image, which gives every pixel all of its neighbours."""

UNDECIDED = -2
"""Label, this or below, of a pixel that several seeds compete for."""

_LAST = np.iinfo(np.int64).max
_ONE = np.uint64(1)


class Canvas:
    """Labels with a rim around them, so that every pixel has all of its neighbours.

    Places in it are flat indices, and its pixels are in reading order, too.

    Parameters
    ----------
    shape : tuple of int
        Of the image.

    Attributes
    ----------
    labels : int32 array, one pixel larger on each side
        0 inside and OUTSIDE around.
    inner_labels : int32 array
        View of those of the image.
    beside, around : int array
        Steps from a pixel to those that share a face with it, and to all of
        its neighbours.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        # Zeros that are never written to take no memory: not a full array with zeros in it.
        self.labels = np.zeros([n + 2 for n in shape], np.int32)
        for axis in range(len(shape)):
            np.moveaxis(self.labels, axis, 0)[[0, -1]] = OUTSIDE
        self.inner_labels = self.labels[(slice(1, -1),) * len(shape)]
        strides = np.array(self.labels.strides) // self.labels.itemsize
        self.beside = np.concatenate((-strides, strides[::-1]))
        steps = np.indices((3,) * len(shape)).reshape(len(shape), -1) - 1
        self.around = strides @ steps[:, steps.any(axis=0)]
        self._strides = strides

    def places(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of pixels of the image, which are given in C order."""
        at = np.unravel_index(pixels, self.inner_labels.shape)
        places: NDArray[np.int64] = self._strides @ (np.stack(at) + 1)
        return places


def flood(
    canvas: Canvas,
    cell: NDArray[np.float32],
    runs: Runs,
    is_crowded: NDArray[np.bool_],
    seeds: Runs,
    is_grown: NDArray[np.bool_],
) -> None:
    """Give each undecided pixel to a neighbouring seed, in place, the highest score first.

    A pixel waits with the lowest score on the way to it; of several with the
    same score the one that was reached first goes first, and of those of the
    seeds themselves the heap chooses. Pixel by pixel this is what
    `skimage.segmentation.watershed` (0.26) makes of the rims of the seeds, in
    a sixth to a tenth of the time (benchmarks/instances.py).

    Parameters
    ----------
    canvas : Canvas
        Its labels are OUTSIDE, UNDECIDED, 0 or the number of a piece or seed.
    cell : float32 array of the image's shape, in C order
        Scores, not negative.
    runs, seeds : Runs
        The foreground, and the pixels of seeds.
    is_crowded, is_grown : (runs,) bool array
        Which of the runs belong to a piece with several seeds, and which of
        the seeds' lie in one and are large enough.
    """
    # The bits of floats that are not negative are in the same order as these.
    bits = cell.reshape(-1).view(np.int32)
    _flood(
        canvas.labels.reshape(-1),
        bits,
        (canvas.places(runs.starts[is_crowded]), runs.starts[is_crowded], runs.lengths[is_crowded]),
        (canvas.places(seeds.starts[is_grown]), seeds.starts[is_grown], seeds.lengths[is_grown]),
        canvas.beside,
        canvas.around,
    )


@numba.njit(cache=True, nogil=True)
def _flood(labels: Any, bits: Any, crowded: Any, seeds: Any, beside: Any, around: Any) -> None:
    """Do it; of runs there are the place in the canvas, that in the image, and the length."""
    most = _write_ranks(labels, bits, crowded)
    # A binary heap from index 1 on; in a key are rank and age.
    keys = np.full(most + 2, _LAST, np.int64)
    places = np.empty(most + 2, np.int64)
    count = 0
    for run in range(seeds[0].size):
        place, start, length = seeds[0][run], seeds[1][run], seeds[2][run]
        for i in range(length):
            # A pixel with seeds all around it meets nobody.
            if _has_strangers(labels, place + i, around):
                count += 1
                _push(keys, places, count, _key(_rank(bits[start + i]), 0), place + i)
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
def _write_ranks(labels: Any, bits: Any, crowded: Any) -> int:
    """Rank the undecided pixels in place of their label and count those of crowded pieces."""
    crowded_px = 0
    for run in range(crowded[0].size):
        place, start, length = crowded[0][run], crowded[1][run], crowded[2][run]
        crowded_px += length
        for i in range(length):
            if labels[place + i] == UNDECIDED:
                labels[place + i] = _rank(bits[start + i])
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
