"""Measurements of cells: a row for each, equal to those of `skimage.measure.regionprops_table`.

scikit-image looks at one cell after the other; here all are measured at once, from the runs of
equal pixels. `benchmarks/measuring.py` holds both against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.labels.components import cut_rows

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Length of a pixel along each axis, (Z,) Y, X, and its unit."""

    lengths: tuple[float, ...]
    unit: str

    @property
    def is_isotropic(self) -> bool:
        """Whether pixels are as long along each axis."""
        return bool(np.allclose(self.lengths, self.lengths[0]))


def measure_cells(
    labels: LabelImage,
    images: Mapping[str, AnyImage] | None = None,
    *,
    pixel_size: PixelSize | None = None,
    background: Mapping[str, float] | None = None,
) -> dict[str, Column]:
    """Measure each cell.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 and negative numbers are no cells.
    images : mapping of str to array, optional
        Intensities of the shape of `labels`, by name. Pixels that are NaN are left out and
        counted.
    pixel_size : PixelSize, optional
        Sizes are in its unit then, which the names of the columns tell; pixels without it.
    background : mapping of str to float, optional
        Is taken from the intensities of an image.

    Returns
    -------
    dict of str to (cells,) array
        Columns with the names of `skimage.measure.regionprops_table`, with the unit behind them:
        label, area or volume, centroid, equivalent diameter, axes, touches_border; in images also
        eccentricity, perimeter and solidity. Intensities have the name of their image behind them.

    Raises
    ------
    LabelsError
        If an image has another shape.
    """
    images = images or {}
    for name, image in images.items():
        if image.shape != labels.shape:
            raise LabelsError(
                f"'{name}' is {' x '.join(map(str, image.shape))} and the labels are "
                f"{' x '.join(map(str, labels.shape))}; measure on an image of the same grid."
            )
    cells = _Cells.of(labels)
    columns: dict[str, Column] = {"label": cells.numbers}
    columns |= _sizes(cells, labels, pixel_size)
    for name, image in images.items():
        taken = 0.0 if background is None else background.get(name, 0.0)
        columns |= _intensities(cells, np.ascontiguousarray(image), name, taken)
    return columns


def background_level(labels: LabelImage, image: AnyImage) -> float:
    """Median intensity where no cell is, for `background`; 0 if cells are everywhere."""
    outside = np.asarray(image)[labels <= 0]
    outside = outside[np.isfinite(outside)]
    return float(np.median(outside)) if outside.size else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Runs of cells, in reading order."""

    shape: tuple[int, int, int]
    """(Z, H, W); one plane for a 2-D image."""
    ndim: int
    numbers: NDArray[np.int64]
    """(cells,) in ascending order."""
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]
    """`starts`, `lengths`, `rows`: (runs,). Places in C order, and the row of `numbers`."""
    sums: NDArray[np.float64] = field(repr=False)
    """(cells, 10): pixels; sums of z, y, x; of zz, yy, xx, zy, zx, yx, from `origins`."""
    origins: NDArray[np.int64]
    """(cells, 3): the first pixel."""
    edges: NDArray[np.bool_]
    """(cells,) bool. At the border of the image."""

    @classmethod
    def of(cls, labels: LabelImage) -> _Cells:
        runs = cut_rows(labels)
        is_cell = runs.values > 0
        values = runs.values[is_cell].astype(np.int64)
        numbers, rows = np.unique(values, return_inverse=True)
        depth = 1 if labels.ndim == 2 else labels.shape[0]
        shape = (depth, labels.shape[-2], labels.shape[-1])
        starts, lengths = runs.starts[is_cell], runs.lengths[is_cell]
        sums, origins = np.zeros((numbers.size, 10)), np.full((numbers.size, 3), -1)
        edges = np.zeros(numbers.size, np.bool_)
        _add_runs(starts, lengths, rows, shape, labels.ndim == 3, sums, origins, edges)
        return cls(shape, labels.ndim, numbers, starts, lengths, rows, sums, origins, edges)


@numba.njit(cache=True, nogil=True)
def _add_runs(
    starts: Any, lengths: Any, rows: Any, shape: Any, is_volume: bool,  # noqa: FBT001
    sums: Any, origins: Any, edges: Any,
) -> None:  # fmt: skip
    depth, height, width = shape
    for run in range(starts.size):
        cell, length = rows[run], lengths[run]
        x = starts[run] % width
        line = starts[run] // width
        y, z = line % height, line // height
        at_edge = y == 0 or y == height - 1 or x == 0 or x + length == width
        edges[cell] |= at_edge or (is_volume and (z == 0 or z == depth - 1))
        if origins[cell, 0] < 0:
            origins[cell, 0], origins[cell, 1], origins[cell, 2] = z, y, x
        dz, dy = z - origins[cell, 0], y - origins[cell, 1]
        first = x - origins[cell, 2]
        # Sums of n whole numbers from `first` on, and of their squares.
        linear = length * first + length * (length - 1) // 2
        square = length * first * first + first * length * (length - 1)
        square += (length - 1) * length * (2 * length - 1) // 6
        row = sums[cell]
        row[0] += length
        row[1] += length * dz
        row[2] += length * dy
        row[3] += linear
        row[4] += length * dz * dz
        row[5] += length * dy * dy
        row[6] += square
        row[7] += length * dz * dy
        row[8] += dz * linear
        row[9] += dy * linear


def _sizes(cells: _Cells, labels: LabelImage, pixel_size: PixelSize | None) -> dict[str, Column]:
    ndim = cells.ndim
    lengths = np.ones(ndim) if pixel_size is None else np.array(pixel_size.lengths[-ndim:], float)
    unit = "px" if pixel_size is None else pixel_size.unit
    count = cells.sums[:, 0]
    mean = cells.sums[:, 1:4] / np.maximum(count, 1)[:, np.newaxis]
    centroid = (cells.origins + mean)[:, -ndim:]
    area = count * lengths.prod()
    columns: dict[str, Column] = {
        f"area_{unit}2" if ndim == 2 else f"volume_{unit}3": area,
        **{
            f"centroid_{axis}_{unit}": centroid[:, i] * lengths[i]
            for i, axis in enumerate("zyx"[-ndim:])
        },
        f"equivalent_diameter_{unit}": (2 * ndim * area / math.pi) ** (1 / ndim),
    }
    values = _eigenvalues(cells, mean, lengths)
    if ndim == 2:
        major, minor = 4 * np.sqrt(values[:, 0]), 4 * np.sqrt(values[:, 1])
    else:
        largest, middle, least = values.T
        major = np.sqrt(np.maximum(10 * (largest + middle - least), 0))
        minor = np.sqrt(np.maximum(10 * (middle + least - largest), 0))
    columns |= {f"axis_major_{unit}": major, f"axis_minor_{unit}": minor}
    if ndim == 2:
        ratio = np.divide(values[:, 1], values[:, 0], np.ones(len(values)), where=values[:, 0] > 0)
        columns["eccentricity"] = np.sqrt(1 - ratio)
        if pixel_size is None or pixel_size.is_isotropic:
            columns[f"perimeter_{unit}"] = _perimeters(cells, labels) * lengths[0]
        columns["solidity"] = count / np.maximum(_hull_areas(cells), 1)
    columns["touches_border"] = cells.edges
    return columns


def _eigenvalues(
    cells: _Cells, mean: NDArray[np.float64], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(cells, D) of the inertia tensor of each cell, the largest first."""
    ndim, count = cells.ndim, np.maximum(cells.sums[:, 0], 1)
    second = np.empty((len(count), 3, 3))
    for place, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        value = cells.sums[:, 4 + place] / count - mean[:, i] * mean[:, j]
        second[:, i, j] = second[:, j, i] = value
    second = second[:, -ndim:, -ndim:] * np.outer(lengths, lengths)
    diagonal = np.einsum("nii->ni", second)
    tensor = -second
    axes = np.arange(ndim)
    tensor[:, axes, axes] = diagonal.sum(axis=1, keepdims=True) - diagonal
    values: NDArray[np.float64] = np.linalg.eigvalsh(tensor)[:, ::-1]
    return np.maximum(values, 0)


def _perimeters(cells: _Cells, labels: LabelImage) -> NDArray[np.float64]:
    lengths = np.zeros(cells.numbers.size)
    image = np.ascontiguousarray(labels)
    # A pixel of the rim is told by its neighbours of the rim: Benkrid and Crookes (2000).
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    _add_rims(image, cells.starts, cells.lengths, cells.rows, weights, lengths)
    return lengths


@numba.njit(cache=True, nogil=True)
def _is_rim(labels: Any, y: int, x: int, value: int) -> bool:
    height, width = labels.shape
    if labels[y, x] != value:
        return False
    if y == 0 or x == 0 or y == height - 1 or x == width - 1:
        return True
    return (
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


def _hull_areas(cells: _Cells) -> NDArray[np.int64]:
    """Pixels whose centres lie in the convex hull of a cell's pixels, taken as diamonds."""
    order = np.argsort(cells.rows, kind="stable")
    starts, lengths, rows = cells.starts[order], cells.lengths[order], cells.rows[order]
    ends = np.searchsorted(rows, np.arange(cells.numbers.size + 1))
    areas = np.zeros(cells.numbers.size, np.int64)
    _count_hulls(starts, lengths, ends, cells.shape[2], areas)
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


def _intensities(cells: _Cells, image: AnyImage, name: str, background: float) -> dict[str, Column]:
    count = cells.numbers.size
    found = np.zeros((count, 5))
    found[:, 3], found[:, 4] = np.inf, -np.inf
    shift = np.full(count, np.nan)
    _add_pixels(image.reshape(-1), cells.starts, cells.lengths, cells.rows, shift, found)
    seen, sums, squares, lowest, highest = found.T
    empty = seen == 0
    counted = np.where(empty, np.nan, seen)
    mean = sums / counted
    deviation = np.sqrt(np.maximum(squares / counted - mean**2, 0))
    mean = mean + shift
    columns: dict[str, Column] = {
        f"intensity_mean_{name}": mean - background,
        f"intensity_min_{name}": np.where(empty, np.nan, lowest) - background,
        f"intensity_max_{name}": np.where(empty, np.nan, highest) - background,
        f"intensity_std_{name}": deviation,
        f"intensity_sum_{name}": np.where(empty, 0.0, (mean - background) * seen),
    }
    left_out = cells.sums[:, 0] - seen
    if left_out.any():
        columns[f"nan_pixels_{name}"] = left_out.astype(np.int64)
    return columns


@numba.njit(cache=True, nogil=True)
def _add_pixels(pixels: Any, starts: Any, lengths: Any, rows: Any, shift: Any, found: Any) -> None:
    """Count, sum, sum of squares (both from the first pixel), minimum and maximum."""
    for run in range(starts.size):
        cell = rows[run]
        row = found[cell]
        for place in range(starts[run], starts[run] + lengths[run]):
            value = float(pixels[place])
            if math.isnan(value):
                continue
            if math.isnan(shift[cell]):
                shift[cell] = value
            away = value - shift[cell]
            row[0] += 1
            row[1] += away
            row[2] += away * away
            row[3] = min(row[3], value)
            row[4] = max(row[4], value)
