"""The connected components of a label image, from the runs of equal pixels in each row.

Held against `skimage.measure.label` and `scipy.ndimage.label` by
benchmarks/instances.py: several times as fast, because there are far fewer
runs than pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.runs import boxes_of, ends_of_runs, run_starts


class Runs(NamedTuple):
    """An image as runs of equal pixels, none longer than its row, in reading order."""

    first: NDArray[np.int64]
    """(rows + 1,) int. The first run of each row; the last entry is the number of runs."""
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """`starts`, `lengths`: (runs,) int. In pixels in C order; together they are all pixels
    of the image."""
    values: NDArray[Any]
    """(runs,). Of the pixels of each."""


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
                # One by one: numba compiles a pair of numbers put into a row for three seconds.
                pairs[count, 0], pairs[count, 1] = run - 1, run
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
                        pairs[count, 0], pairs[count, 1] = b, a
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
    # Made here and not in the kernel, where it would be compiled on the first run.
    parents = np.arange(count)
    _find_parents(pairs, is_joined, parents)
    is_first = parents == np.arange(count)
    numbers: NDArray[np.int64] = (np.cumsum(is_first) - 1)[parents]
    return numbers


@numba.njit(cache=True, nogil=True)
def _find_parents(pairs: Any, is_joined: Any, parents: Any) -> None:
    """For each run the first one of its component: union-find, the earlier run on top."""
    for pair in range(len(pairs)):
        if is_joined[pair]:
            a, b = _root(parents, pairs[pair, 0]), _root(parents, pairs[pair, 1])
            parents[max(a, b)] = min(a, b)
    for run in range(parents.size):
        # The parent comes before it, so that its own is a root by now.
        parents[run] = parents[parents[run]]


@numba.njit(cache=True, nogil=True, inline="always")
def _root(parents: Any, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


NOBODY, OPEN = -1, -2
"""Whom a piece of background has around it: no cell, or an edge, or more than one cell."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelPieces:
    """Connected pixels of equal numbers, in reading order of their first pixel.

    Pixels of a cell that share a corner are connected; those of background, so
    that no cell leaks, must share a face.
    """

    shape: tuple[int, ...]
    """Of the label image."""
    numbers: NDArray[np.int64]
    """(P,) int64. Number of each piece; 0 is background."""
    sizes: NDArray[np.int64]
    """(P,) int64. In pixels."""
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    """`starts`, `stops`: (P, D) int64. The box around each piece."""
    owners: NDArray[np.int64]
    """(P,) int64. For a hole the only piece around it; `NOBODY` or `OPEN` for any other."""
    touches: NDArray[np.bool_]
    """(P,) bool. Whether a cell shares a face with a cell of another number."""
    run_pieces: NDArray[np.int64]
    run_lengths: NDArray[np.int64]
    """`run_pieces`, `run_lengths`: (runs,) int. The image, row by row, as runs of pixels of
    one piece."""

    def painted(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an image in which each piece has its one of the (P,) `values`."""
        return np.repeat(values[self.run_pieces], self.run_lengths).reshape(self.shape)

    def count_in(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the pixels of each piece where `mask`, of the image's shape, is true."""
        places = np.cumsum(self.run_lengths) - self.run_lengths
        if not places.size:
            return np.zeros(0, np.int64)
        in_runs = np.add.reduceat(mask.reshape(-1), places, dtype=np.int64)
        counts = np.bincount(self.run_pieces, in_runs, self.numbers.size)
        return counts.astype(np.int64)

    def box(self, pieces: NDArray[Any]) -> Region | None:
        """Return the box around some pieces, given as a mask or as indices."""
        starts, stops = self.starts[pieces], self.stops[pieces]
        if not len(starts):
            return None
        return tuple(map(slice, starts.min(axis=0).tolist(), stops.max(axis=0).tolist()))


def diameters_px(sizes: NDArray[Any], ndim: int) -> NDArray[np.float64]:
    """Of circles, or of balls, of so many pixels."""
    if ndim == 2:
        return np.asarray(2 * np.sqrt(sizes / math.pi))
    return np.asarray(2 * np.cbrt(3 * sizes / (4 * math.pi)))


def label_pieces(labels: LabelImage) -> LabelPieces:
    """Find the connected components of every number in a label image.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Pieces of background and of negative numbers are found as well.
    """
    runs = cut_rows(labels)
    pairs, by_face = meeting_runs(runs, labels.shape, corners=True)
    values = runs.values[pairs]
    is_same = values[:, 0] == values[:, 1]
    is_joined = is_same & (by_face | (values[:, 0] != 0))
    pieces = joined(pairs, is_joined, runs.starts.size)
    numbers = np.empty(int(pieces.max(initial=-1)) + 1, np.int64)
    numbers[pieces] = runs.values
    starts, stops = boxes_of(*ends_of_runs(runs.starts, runs.lengths, labels.shape), pieces)
    neighbours = pieces[pairs[by_face & ~is_same]]  # (M, 2)
    owners = _owners(numbers, neighbours)
    owners[_at_edge(starts, stops, labels.shape) | (numbers != 0)] = OPEN
    touches = np.zeros(numbers.size, np.bool_)
    touches[neighbours[(numbers[neighbours] > 0).all(axis=1)]] = True
    return LabelPieces(
        labels.shape,
        numbers,
        np.bincount(pieces, runs.lengths, numbers.size).astype(np.int64),
        starts,
        stops,
        owners,
        touches,
        pieces,
        runs.lengths,
    )


def _owners(numbers: NDArray[np.int64], neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Name the only cell beside each piece of background; it may still lie at an edge."""
    owners = np.full(numbers.size, NOBODY)
    for hole, other in (neighbours.T, neighbours[:, ::-1].T):
        is_hole = numbers[hole] == 0
        owners[hole[is_hole]] = other[is_hole]
    for hole, other in (neighbours.T, neighbours[:, ::-1].T):
        # Only one of several is noted above; what is ignored is no cell.
        owners[hole[(owners[hole] != other) | (numbers[other] < 0)]] = OPEN
    return owners


def _at_edge(
    starts: NDArray[np.int64], stops: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Whether the box of a piece reaches an edge of the image."""
    first = 1 if len(shape) == 3 and shape[0] == 1 else 0  # one plane has no slices beyond it
    at_edge = (starts == 0) | (stops == shape)
    reaches: NDArray[np.bool_] = at_edge[:, first:].any(axis=1)
    return reaches
