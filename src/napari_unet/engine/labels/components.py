"""The connected pieces of a label image: where each number lies, and what it encloses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage, Region

NOBODY, OPEN = -1, -2
"""Whom a piece of background has around it: no cell, or an edge, or more than one cell."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelPieces:
    """Connected pixels of equal numbers, in reading order of their first pixel.

    Pixels of a cell that share a corner are connected; those of background, so
    that no cell leaks, must share a face.

    Parameters
    ----------
    shape : tuple of int
        Of the label image.
    numbers : (P,) int64 array
        Number of each piece; 0 is background.
    sizes : (P,) int64 array
        In pixels.
    starts, stops : (P, D) int64 array
        The box around each piece.
    owners : (P,) int64 array
        For a hole the only piece around it; `NOBODY` or `OPEN` for any other.
    touches : (P,) bool array
        Whether a cell shares a face with a cell of another number.
    run_pieces, run_lengths : (runs,) int array
        The image, row by row, as runs of pixels of one piece.
    """

    shape: tuple[int, ...]
    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    owners: NDArray[np.int64]
    touches: NDArray[np.bool_]
    run_pieces: NDArray[np.int64]
    run_lengths: NDArray[np.int64]

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
        ends = zip(starts.min(axis=0), stops.max(axis=0), strict=True)
        return tuple(slice(int(low), int(high)) for low, high in ends)


def label_pieces(labels: LabelImage) -> LabelPieces:
    """Find the connected pieces of every number in a label image.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Pieces of background and of negative numbers are found as well.

    Returns
    -------
    LabelPieces
    """
    shape = labels.shape
    height, width = shape[-2:]
    rows = np.require(labels, np.int64, ["C"]).reshape(math.prod(shape[:-1]), width)
    first, starts, stops, values = _cut(rows)
    parents = np.arange(values.size)
    owners = np.full(values.size, NOBODY)
    touches = np.zeros(values.size, np.bool_)
    _walk(first, starts, stops, values, height, parents, owners, touches, _JOIN)
    pieces, count = _number(parents)
    owners, touches = owners[:count], touches[:count]
    _walk(first, starts, stops, values, height, pieces, owners, touches, _COMPARE)
    numbers, sizes, low, high = _measure(first, starts, stops, values, height, pieces, count)
    extent = np.array((1, *shape)[-3:])
    _open_at_edges(numbers, low, high, extent, owners)
    return LabelPieces(
        tuple(shape),
        numbers,
        sizes,
        low[:, -len(shape) :],
        high[:, -len(shape) :],
        owners,
        touches,
        pieces,
        stops - starts,
    )


_JOIN, _COMPARE = 0, 1


@numba.njit(cache=True, nogil=True)
def _cut(rows: Any) -> Any:
    """Cut each row where the number changes."""
    count = rows.shape[0] if rows.shape[1] else 0
    for y in range(rows.shape[0]):
        for x in range(1, rows.shape[1]):
            count += rows[y, x] != rows[y, x - 1]
    first = np.zeros(rows.shape[0] + 1, np.int64)
    starts = np.empty(count, np.int64)
    stops = np.empty(count, np.int64)
    values = np.empty(count, np.int64)
    run = 0
    for y in range(rows.shape[0]):
        first[y] = run
        begin = 0
        for x in range(1, rows.shape[1] + 1):
            if x == rows.shape[1] or rows[y, x] != rows[y, begin]:
                starts[run], stops[run], values[run] = begin, x, rows[y, begin]
                run += 1
                begin = x
    first[rows.shape[0]] = run
    return first, starts, stops, values


@numba.njit(cache=True, nogil=True)
def _walk(
    first: Any,
    starts: Any,
    stops: Any,
    values: Any,
    height: int,
    pieces: Any,
    owners: Any,
    touches: Any,
    task: int,
) -> None:
    """Visit all runs that meet: join those of one number, or compare the others."""
    for row in range(first.size - 1):
        if task == _COMPARE:
            for run in range(first[row] + 1, first[row + 1]):
                _compare(values, run - 1, run, pieces, owners, touches)
        # The row above, and the three rows of the plane before that lie beside this one.
        for step in range(4):
            other = row - 1 if step == 0 else row - height + step - 2
            if other < 0 or (step == 0 and row % height == 0):
                continue
            if step > 0 and other // height != row // height - 1:
                continue
            _meet(first, starts, stops, values, row, other, pieces, owners, touches, task, step)


@numba.njit(cache=True, nogil=True)
def _meet(
    first: Any,
    starts: Any,
    stops: Any,
    values: Any,
    row: int,
    other: int,
    pieces: Any,
    owners: Any,
    touches: Any,
    task: int,
    step: int,
) -> None:
    is_beside = step == 0 or step == 2
    begin = first[other]
    for a in range(first[row], first[row + 1]):
        while stops[begin] < starts[a]:
            begin += 1
        for b in range(begin, first[other + 1]):
            if starts[b] > stops[a]:
                break
            by_face = is_beside and starts[b] < stops[a] and stops[b] > starts[a]
            if values[a] == values[b]:
                if task == _JOIN and (by_face or values[a] != 0):
                    _join(pieces, a, b)
            elif task == _COMPARE and by_face:
                _compare(values, a, b, pieces, owners, touches)


@numba.njit(cache=True, nogil=True)
def _compare(values: Any, a: int, b: int, pieces: Any, owners: Any, touches: Any) -> None:
    """Note that two runs of different numbers share a face."""
    if values[a] > 0 and values[b] > 0:
        touches[pieces[a]] = True
        touches[pieces[b]] = True
    if values[b] == 0:
        a, b = b, a
    if values[a] == 0:
        owner, hole = pieces[b], pieces[a]
        if owners[hole] == NOBODY and values[b] > 0:
            owners[hole] = owner
        elif owners[hole] != owner:
            owners[hole] = OPEN


@numba.njit(cache=True, nogil=True)
def _join(parents: Any, a: int, b: int) -> None:
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)


@numba.njit(cache=True, nogil=True)
def _root(parents: Any, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@numba.njit(cache=True, nogil=True)
def _number(parents: Any) -> Any:
    """Number of the piece of each run, and how many pieces there are."""
    pieces = np.empty(parents.size, np.int64)
    count = 0
    for run in range(parents.size):
        root = _root(parents, run)
        if root == run:
            pieces[run] = count
            count += 1
        else:
            pieces[run] = pieces[root]
    return pieces, count


@numba.njit(cache=True, nogil=True)
def _measure(
    first: Any, starts: Any, stops: Any, values: Any, height: int, pieces: Any, count: int
) -> Any:
    """Number, size and box of each piece."""
    numbers = np.empty(count, np.int64)
    sizes = np.zeros(count, np.int64)
    low = np.full((count, 3), np.iinfo(np.int64).max)
    high = np.zeros((count, 3), np.int64)
    for row in range(first.size - 1):
        z, y = row // height, row % height
        for run in range(first[row], first[row + 1]):
            piece = pieces[run]
            numbers[piece] = values[run]
            sizes[piece] += stops[run] - starts[run]
            low[piece, 0] = min(low[piece, 0], z)
            low[piece, 1] = min(low[piece, 1], y)
            low[piece, 2] = min(low[piece, 2], starts[run])
            high[piece, 0] = max(high[piece, 0], z + 1)
            high[piece, 1] = max(high[piece, 1], y + 1)
            high[piece, 2] = max(high[piece, 2], stops[run])
    return numbers, sizes, low, high


def _open_at_edges(
    numbers: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    shape: NDArray[np.int64],
    owners: NDArray[np.int64],
) -> None:
    """A piece of background at the edge of the image is no hole; nor is a cell one."""
    axes = slice(0, 3) if shape[0] > 1 else slice(1, 3)  # one plane has no slices beyond it
    at_edge = (low[:, axes] == 0) | (high[:, axes] == shape[axes])
    owners[at_edge.any(axis=1) | (numbers != 0)] = OPEN
