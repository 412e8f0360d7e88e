"""Connected pieces of cells, seeds and background, from the runs of alike pixels in each row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

BACKGROUND, CELL, SEED = 0, 1, 2
"""The kinds of pixel; a seed is part of a cell, too."""


class Runs(NamedTuple):
    """Rows cut where the kind of pixel changes, all in reading order; a tuple as numba needs it.

    Parameters
    ----------
    first : (rows + 1,) int array
        The first run of each row; the last entry is the number of runs.
    places : (runs,) int array
        Where each begins in a canvas, see `cut_rows`.
    lengths : (runs,) int array
        In pixels; together they are all pixels of the image.
    kinds : (runs,) uint8 array
        BACKGROUND, CELL or SEED.
    """

    first: NDArray[np.int64]
    places: NDArray[np.int64]
    lengths: NDArray[np.int32]
    kinds: NDArray[np.uint8]


@numba.njit(cache=True, nogil=True)
def cut_rows(background: Any, cell: Any, below: Any, above: Any, row_places: Any) -> Runs:
    """Cut the rows of a score image into runs.

    Parameters
    ----------
    background, cell : (rows, width) float32 array
        Scores.
    below : float32
        A pixel belongs to a cell where the background score is below this,
    above : float32
        and to a seed where, besides, the cell score is above this.
    row_places : (rows,) int array
        Where each row begins in a flat canvas, which may be larger than the
        image.

    Returns
    -------
    Runs
    """
    rows, width = background.shape
    kind_at = np.empty((rows, width), np.uint8)
    count = rows
    for row in range(rows):
        for x in range(width):
            in_cell = background[row, x] < below
            kind_at[row, x] = np.uint8(in_cell) + np.uint8(in_cell & (cell[row, x] > above))
        for x in range(1, width):
            count += kind_at[row, x] != kind_at[row, x - 1]
    first = np.empty(rows + 1, np.int64)
    places = np.empty(count, np.int64)
    lengths = np.empty(count, np.int32)
    kinds = np.empty(count, np.uint8)
    run = 0
    for row in range(rows):
        first[row] = run
        begin = 0
        for x in range(1, width + 1):
            if x == width or kind_at[row, x] != kind_at[row, begin]:
                places[run] = row_places[row] + begin
                lengths[run] = x - begin
                kinds[run] = kind_at[row, begin]
                run += 1
                begin = x
    first[rows] = run
    return Runs(first, places, lengths, kinds)


@numba.njit(cache=True, nogil=True)
def join_runs(runs: Runs, height: int) -> tuple[Any, Any]:
    """Join the runs that touch by a face.

    Parameters
    ----------
    runs : Runs
    height : int
        Rows of one plane; the next ones belong to the plane behind it.

    Returns
    -------
    pieces : (runs,) int array
        For each run the first one of its piece, cell or background.
    seeds : (runs,) int array
        For each run of a seed the first one of this seed.
    """
    first, _, lengths, kinds = runs
    pieces = np.arange(lengths.size)
    seeds = np.arange(lengths.size)
    for row in range(first.size - 1):
        for run in range(first[row] + 1, first[row + 1]):
            if kinds[run] != BACKGROUND and kinds[run - 1] != BACKGROUND:
                _join(pieces, run - 1, run)
        if row % height:
            _join_rows(runs, row - 1, row, pieces, seeds)
        if row >= height:
            _join_rows(runs, row - height, row, pieces, seeds)
    for run in range(lengths.size):
        pieces[run] = pieces[pieces[run]]
        seeds[run] = seeds[seeds[run]]
    return pieces, seeds


@numba.njit(cache=True, nogil=True)
def _join_rows(runs: Runs, row: int, other_row: int, pieces: Any, seeds: Any) -> None:
    first, _, lengths, kinds = runs
    a, b = first[row], first[other_row]
    end_a, end_b = lengths[a], lengths[b]
    while True:
        if (kinds[a] == BACKGROUND) == (kinds[b] == BACKGROUND):
            _join(pieces, a, b)
            if kinds[a] == SEED and kinds[b] == SEED:
                _join(seeds, a, b)
        ends_first, ends_last = end_a <= end_b, end_b <= end_a
        if ends_first:
            a += 1
            if a == first[row + 1]:
                return
            end_a += lengths[a]
        if ends_last:
            b += 1
            end_b += lengths[b]


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
