"""Outlines of cells, all at once from the runs of their pixels: perimeters and convex hulls."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage


def hull_areas(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    cells: int,
    width: int,
) -> NDArray[np.int64]:
    """Count the pixels whose centres lie in the convex hull of each cell of a 2-D image.

    As in `skimage.measure.regionprops`, each pixel of a cell is a diamond.

    Parameters
    ----------
    starts, lengths, rows : (runs,) int64 array
        The runs of the cells: places in C order, pixels, and the cell of each.
    cells : int
    width : int
        Of the image, in pixels.

    Returns
    -------
    (cells,) int64 array
    """
    order = np.argsort(rows, kind="stable")
    ends = np.searchsorted(rows[order], np.arange(cells + 1))
    areas = np.zeros(cells, np.int64)
    _count_hulls(starts[order], lengths[order], ends, width, areas)
    return areas


@numba.njit(cache=True, nogil=True)
def _count_hulls(starts: Any, lengths: Any, ends: Any, width: int, areas: Any) -> None:
    for cell in range(ends.size - 1):
        first, last = ends[cell], ends[cell + 1]
        top, bottom = starts[first] // width, starts[last - 1] // width
        lines = 2 * (bottom - top) + 3
        # In half pixels, from half a pixel above: the outermost points of each line.
        left, right = np.full(lines, 1 << 40), np.full(lines, -(1 << 40))
        for run in range(first, last):
            line = 2 * (starts[run] // width - top) + 1
            low = 2 * (starts[run] % width)
            high = low + 2 * (lengths[run] - 1)
            for step, reach in ((-1, 0), (0, 1), (1, 0)):
                left[line + step] = min(left[line + step], low - reach)
                right[line + step] = max(right[line + step], high + reach)
        areas[cell] = _inside(left, right)


@numba.njit(cache=True, nogil=True)
def _inside(left: Any, right: Any) -> int:
    """Count the pixel centres (odd lines, even columns) between both sides of the hull."""
    low, high = _side(left, 1), _side(right, -1)
    count, a, b = 0, 0, 0
    for line in range(1, left.size - 1, 2):
        while low[a + 1] < line:
            a += 1
        while high[b + 1] < line:
            b += 1
        # Up and down to whole pixels, exactly.
        rise, run = left[low[a + 1]] - left[low[a]], low[a + 1] - low[a]
        begin = -((-(left[low[a]] * run + rise * (line - low[a]))) // (2 * run))
        rise, run = right[high[b + 1]] - right[high[b]], high[b + 1] - high[b]
        end = (right[high[b]] * run + rise * (line - high[b])) // (2 * run)
        count += max(0, end - begin + 1)
    return count


@numba.njit(cache=True, nogil=True)
def _side(at: Any, sign: int) -> Any:
    """Lines at which one side of the hull has its corners; each line is below the one before."""
    corners, count = np.empty(at.size, np.int64), 0
    for line in range(at.size):
        if abs(at[line]) >= 1 << 40:
            continue
        while count >= 2:
            a, b = corners[count - 2], corners[count - 1]
            turn = (at[b] - at[a]) * (line - a) - (at[line] - at[a]) * (b - a)
            if sign * turn < 0:
                break
            count -= 1
        corners[count] = line
        count += 1
    return corners[:count]


def perimeters(
    labels: LabelImage,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    cells: int,
) -> NDArray[np.float64]:
    """Estimate the length of the outline of each cell of a 2-D image, as `skimage.measure` does.

    Parameters
    ----------
    labels : (H, W) integer array
    starts, lengths, rows, cells
        As for `hull_areas`.

    Returns
    -------
    (cells,) float64 array
        In pixels.

    References
    ----------
    Benkrid and Crookes (2000), Design and FPGA Implementation of a Perimeter Estimator.
    """
    outlines = np.zeros(cells)
    # What a pixel of the rim adds is told by its neighbours of the rim.
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    _add_rims(labels, starts, lengths, rows, weights, outlines)
    return outlines


@numba.njit(cache=True, nogil=True)
def _is_rim(labels: Any, y: int, x: int, value: int) -> bool:
    height, width = labels.shape
    if labels[y, x] != value:
        return False
    if y == 0 or x == 0 or y == height - 1 or x == width - 1:
        return True
    return bool(
        labels[y - 1, x] != value
        or labels[y + 1, x] != value
        or labels[y, x - 1] != value
        or labels[y, x + 1] != value
    )


@numba.njit(cache=True, nogil=True)
def _add_rims(labels: Any, starts: Any, lengths: Any, rows: Any, weights: Any, out: Any) -> None:
    height, width = labels.shape
    for run in range(starts.size):
        y, first = starts[run] // width, starts[run] % width
        for x in range(first, first + lengths[run]):
            value = labels[y, x]
            if not _is_rim(labels, y, x, value):
                continue
            code = 1
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    ny, nx = y + dy, x + dx
                    if (dy == 0 and dx == 0) or not (0 <= ny < height and 0 <= nx < width):
                        continue
                    if _is_rim(labels, ny, nx, value):
                        code += 2 if dy == 0 or dx == 0 else 10
            out[rows[run]] += weights[code]
