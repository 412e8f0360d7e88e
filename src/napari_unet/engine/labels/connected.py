"""Connected components, from the runs of equal pixels in each row.

Held against `skimage.measure.label` and `scipy.ndimage.label` by
benchmarks/instances.py: several times as fast, because there are far fewer
runs than pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.runs import run_starts


class Runs(NamedTuple):
    """An image as runs of equal pixels, none longer than its row, in reading order.

    Parameters
    ----------
    first : (rows + 1,) int array
        The first run of each row; the last entry is the number of runs.
    starts, lengths : (runs,) int array
        In pixels in C order; together they are all pixels of the image.
    values : (runs,) array
        Of the pixels of each.
    """

    first: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    values: NDArray[Any]


def cut_rows(image: NDArray[Any]) -> Runs:
    """Cut the rows of an image where the value changes.

    Parameters
    ----------
    image : (H, W) or (Z, H, W) array
    """
    flat = image.reshape(-1)
    starts = run_starts(image, by_row=True)
    rows = image.size // max(1, image.shape[-1])
    first = np.searchsorted(starts, np.arange(rows + 1) * image.shape[-1])
    return Runs(first, starts, np.diff(starts, append=image.size), flat[starts])


def meeting_runs(
    runs: Runs, shape: tuple[int, ...], *, corners: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """List every two runs that touch.

    Parameters
    ----------
    runs : Runs
    shape : tuple of int
        Of the image.
    corners : bool
        Whether those count that share an edge or a corner and no face.

    Returns
    -------
    pairs : (M, 2) int64 array
        Indices of runs.
    by_face : (M,) bool array
        Whether they share a face.
    """
    height, width = shape[-2:]
    cut = (runs.first, runs.starts, runs.lengths)
    pairs, by_face = np.empty((0, 2), np.int64), np.empty(0, np.bool_)
    count = _meet(cut, height, width, corners, pairs, by_face)
    pairs, by_face = np.empty((count, 2), np.int64), np.empty(count, np.bool_)
    _meet(cut, height, width, corners, pairs, by_face)
    return pairs, by_face


@numba.njit(cache=True, nogil=True)
def _meet(cut: Any, height: int, width: int, corners: Any, pairs: Any, by_face: Any) -> int:
    """Count the meetings, and write them down where there is room."""
    first, starts, lengths = cut
    reach, count = int(corners), 0
    for row in range(first.size - 1):
        for run in range(first[row] + 1, first[row + 1]):
            if count < len(pairs):
                pairs[count] = run - 1, run
                by_face[count] = True
            count += 1
        # The row before, and the rows of the plane before: beside the one behind, and that one.
        for step in range(4):
            other = row - 1 if step == 0 else row - height + step - 2
            plane = row // height if step == 0 else row // height - 1
            is_diagonal = step == 1 or step == 3
            if other < 0 or other // height != plane or (is_diagonal and not corners):
                continue
            shift = (row - other) * width
            begin = first[other]
            for a in range(first[row], first[row + 1]):
                start = starts[a] - shift
                stop = start + lengths[a]
                while starts[begin] + lengths[begin] + reach <= start:
                    begin += 1
                for b in range(begin, first[other + 1]):
                    if starts[b] >= stop + reach:
                        break
                    if count < len(pairs):
                        pairs[count] = b, a
                        overlap = starts[b] < stop and starts[b] + lengths[b] > start
                        by_face[count] = overlap and not is_diagonal
                    count += 1
    return count


def joined(pairs: NDArray[np.int64], is_joined: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Number the components that runs make up where some pairs of them are joined.

    Parameters
    ----------
    pairs : (M, 2) int64 array
    is_joined : (M,) bool array
    count : int
        Of runs.

    Returns
    -------
    (runs,) int64 array
        From 0, in the order of the components' first runs.
    """
    parents = _parents(pairs, is_joined, count)
    is_first = parents == np.arange(count)
    numbers: NDArray[np.int64] = (np.cumsum(is_first) - 1)[parents]
    return numbers


@numba.njit(cache=True, nogil=True)
def _parents(pairs: Any, is_joined: Any, count: int) -> Any:
    """For each run the first one of its component: union-find, the earlier run on top."""
    parents = np.arange(count)
    for pair in range(len(pairs)):
        if is_joined[pair]:
            a, b = _root(parents, pairs[pair, 0]), _root(parents, pairs[pair, 1])
            parents[max(a, b)] = min(a, b)
    for run in range(count):
        # The parent comes before it, so that its own is a root by now.
        parents[run] = parents[parents[run]]
    return parents


@numba.njit(cache=True, nogil=True)
def _root(parents: Any, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run
