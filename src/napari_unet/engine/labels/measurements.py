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

from napari_unet.engine.base.errors import (
    ImageShapeError,
    ImageValueError,
    LabelsError,
    SettingsError,
)
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.cell_scores import CellScores
from napari_unet.engine.labels.components import cut_rows
from napari_unet.engine.labels.look_over import list_cells
from napari_unet.engine.labels.outlines import hull_areas, perimeters
from napari_unet.engine.labels.runs import boxes_of, ends_of_runs

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Length of a pixel along each axis, (Z,) Y, X, and its unit, as it stands in column names.

    Raises
    ------
    SettingsError
        If a length is not positive and finite.
    """

    lengths: tuple[float, ...]
    unit: str

    def __post_init__(self) -> None:
        """Check the lengths."""
        if not all(0 < length < math.inf for length in self.lengths):
            raise SettingsError(
                f"A pixel is {' x '.join(f'{each:g}' for each in self.lengths)} {self.unit} long; "
                "lengths are positive. Measure in pixels where they are not known."
            )


def measure_cells(
    labels: LabelImage,
    images: Mapping[str, AnyImage] | None = None,
    *,
    pixel_size: PixelSize | None = None,
    background: Mapping[str, float] | None = None,
    cell_scores: CellScores | None = None,
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
        Is taken from the intensities of an image; see `background_level`.
    cell_scores : CellScores, optional
        What the network said of the cells, as `segment` returns it.

    Returns
    -------
    dict of str to (cells,) array
        Columns with the names of `skimage.measure.regionprops_table`, with the unit behind them:
        label, area or volume, centroid, equivalent diameter, axes, touches_border; in 2-D also
        eccentricity, solidity and, where pixels are square, perimeter. Intensities have the name
        of their image behind them: mean, min, max, std, sum, and what was taken as background.
        With `cell_scores` also score and doubt, which are NaN for cells that were changed since.

    Raises
    ------
    LabelsError
        If labels are no whole numbers, have neither two nor three axes, or are beyond 2**63.
    ImageShapeError, ImageValueError
        If an image has another shape, or values that are no real numbers.
    SettingsError
        If `pixel_size` has fewer lengths than `labels` has axes.
    """
    labels = _countable(labels)
    if pixel_size is not None and len(pixel_size.lengths) < labels.ndim:
        raise SettingsError(
            f"The size of a pixel is told along {len(pixel_size.lengths)} axes and the labels have "
            f"{labels.ndim}; give one length for each, or measure in pixels."
        )
    intensities = {
        name: _real_numbers(image, name, labels.shape) for name, image in (images or {}).items()
    }
    cells = _Cells.of(labels)
    columns: dict[str, Column] = {"label": cells.numbers}
    columns |= _sizes(cells, labels, pixel_size)
    for name, image in intensities.items():
        taken = None if background is None else background.get(name)
        columns |= _intensities(cells, image, name, taken)
    if cell_scores is not None:
        columns |= cell_scores.columns_of(list_cells(labels))
    return columns


def background_level(labels: LabelImage, image: AnyImage) -> float:
    """Median intensity where no cell is, for `background`; 0 if cells are everywhere.

    Raises
    ------
    ImageShapeError, ImageValueError
        As `measure_cells`.
    """
    outside = _real_numbers(image, "The image", labels.shape)[np.asarray(labels) <= 0]
    outside = outside[np.isfinite(outside)]
    return float(np.median(outside)) if outside.size else 0.0


def cell_boxes(labels: LabelImage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Box around each cell, in the order of the rows of `measure_cells`.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array

    Returns
    -------
    starts, stops : (cells, D) int64 array
        In pixels.
    """
    labels = _countable(labels)
    runs = cut_rows(labels)
    is_cell = runs.values > 0
    _, rows = np.unique(runs.values[is_cell], return_inverse=True)
    ends = ends_of_runs(runs.starts[is_cell], runs.lengths[is_cell], labels.shape)
    return boxes_of(*ends, rows)


def prepare_measurements() -> None:
    """Compile what measures cells, some seconds once, so that the first table need not wait."""
    labels = np.ones((4, 4), np.int32)
    images = {kind: np.zeros(labels.shape, kind) for kind in ("uint8", "uint16", "float32")}
    measure_cells(labels, images)


def _countable(labels: LabelImage) -> LabelImage:
    """Labels as integers in one piece, of two or three axes."""
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3):
        raise LabelsError(
            f"The labels have shape {labels.shape}; cells are measured in an image or a stack, "
            "with two or three axes. Take one time point or channel at a time."
        )
    labels = _native(whole_numbers(labels))
    if labels.dtype == np.uint64 and labels.max(initial=0) > np.iinfo(np.int64).max:
        raise LabelsError(
            f"Labels go up to {labels.max()}, beyond {np.iinfo(np.int64).max}; number the cells "
            "afresh."
        )
    return labels


def _real_numbers(image: AnyImage, name: str, shape: tuple[int, ...]) -> AnyImage:
    """Intensities in one piece, in a dtype that numba knows."""
    image = np.asarray(image)
    if image.shape != shape:
        raise ImageShapeError(
            f"'{name}' is {' x '.join(map(str, image.shape))} and the labels are "
            f"{' x '.join(map(str, shape))}; measure on an image of the same grid."
        )
    if image.dtype.kind not in "buif":
        raise ImageValueError(
            f"'{name}' holds values of dtype {image.dtype}; intensities are real numbers. Convert "
            "it, for example with np.abs(image)."
        )
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    elif image.dtype.kind == "f" and image.dtype.itemsize not in (4, 8):
        image = image.astype(np.float32 if image.dtype.itemsize < 4 else np.float64)
    return _native(image)


def _native(array: AnyImage) -> AnyImage:
    """Return an array in C order and in the byte order of this machine; itself if it is so."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


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
        runs, number = (cells.starts, cells.lengths, cells.rows), cells.numbers.size
        if np.allclose(lengths, lengths[0]):
            outlines = perimeters(labels, *runs, cells=number)
            columns[f"perimeter_{unit}"] = outlines * lengths[0]
        hulls = hull_areas(*runs, cells=number, width=cells.shape[2])
        columns["solidity"] = count / np.maximum(hulls, 1)
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
    values: NDArray[np.float64] = np.maximum(np.linalg.eigvalsh(tensor)[:, ::-1], 0)
    return values


def _intensities(
    cells: _Cells, image: AnyImage, name: str, background: float | None
) -> dict[str, Column]:
    taken = 0.0 if background is None else background
    count = cells.numbers.size
    found = np.zeros((count, 5))
    found[:, 3], found[:, 4] = np.inf, -np.inf
    shift = np.full(count, np.nan)
    _add_pixels(image.reshape(-1), cells.starts, cells.lengths, cells.rows, shift, found)
    seen, sums, squares, lowest, highest = found.T
    empty = seen == 0
    counted = np.where(empty, np.nan, seen)
    mean = sums / counted
    with np.errstate(invalid="ignore"):  # of infinite intensities
        deviation = np.sqrt(np.maximum(squares / counted - mean**2, 0))
    mean = mean + shift
    columns: dict[str, Column] = {
        f"intensity_mean_{name}": mean - taken,
        f"intensity_min_{name}": np.where(empty, np.nan, lowest) - taken,
        f"intensity_max_{name}": np.where(empty, np.nan, highest) - taken,
        f"intensity_std_{name}": deviation,
        f"intensity_sum_{name}": np.where(empty, 0.0, (mean - taken) * seen),
    }
    if background is not None:
        columns[f"background_{name}"] = np.full(count, taken)
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
                shift[cell] = value if math.isfinite(value) else 0.0
            away = value - shift[cell]
            row[0] += 1
            row[1] += away
            row[2] += away * away
            row[3] = min(row[3], value)
            row[4] = max(row[4], value)
