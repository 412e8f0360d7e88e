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
    LabelsError,
    SettingsError,
)
from napari_unet.engine.base.regions import Region, grown
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.cell_list import CellScores, Window, list_cells
from napari_unet.engine.labels.components import cut_rows
from napari_unet.engine.labels.intensities import NAN_PIXELS, intensities, native, real_numbers
from napari_unet.engine.labels.outlines import hull_areas, perimeters

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
    window = Window((0,) * labels.ndim, labels.shape)
    columns = _measured(labels, images or {}, window, pixel_size, background or {})
    if cell_scores is not None:
        columns |= cell_scores.columns_of(list_cells(labels))
    return columns


def measure_changed(
    known: Mapping[str, Column],
    changed: NDArray[np.int64],
    box: Region,
    labels: LabelImage,
    images: Mapping[str, AnyImage] | None = None,
    *,
    pixel_size: PixelSize | None = None,
    background: Mapping[str, float] | None = None,
) -> dict[str, Column] | None:
    """Measure only what has changed; the other options as in `measure_cells`.

    Parameters
    ----------
    known : mapping of str to (cells,) array
        What `measure_cells` returned, without scores, of the labels as they were.
    changed : (M,) int64 array
        Cells that have other pixels now, are new, or are gone.
    box : tuple of slice
        That holds all pixels of these cells.

    Returns
    -------
    dict of str to (cells,) array, or None
        As `measure_cells` would return of all cells, to the last bit; None if it would return
        other columns.
    """
    around = grown(box, [1] * labels.ndim, labels.shape)
    part = _countable(labels[around])
    part = np.where(np.isin(part, changed), part, 0)
    window = Window(tuple(side.start for side in around), labels.shape)
    parts = {name: image[around] for name, image in (images or {}).items()}
    found = _measured(part, parts, window, pixel_size, background or {})
    if list(found) != list(known) or any(name.startswith(NAN_PIXELS) for name in known):
        return None
    stays = ~np.isin(known["label"], changed)
    joined = {name: np.concatenate([known[name][stays], found[name]]) for name in known}
    order = np.argsort(joined["label"])
    return {name: column[order] for name, column in joined.items()}


def _measured(
    labels: LabelImage,
    images: Mapping[str, AnyImage],
    window: Window,
    pixel_size: PixelSize | None,
    background: Mapping[str, float],
) -> dict[str, Column]:
    """Measure the cells of a part of a label image as those of the whole."""
    if pixel_size is not None and len(pixel_size.lengths) < labels.ndim:
        raise SettingsError(
            f"The size of a pixel is told along {len(pixel_size.lengths)} axes and the labels have "
            f"{labels.ndim}; give one length for each, or measure in pixels."
        )
    real = {name: real_numbers(image, name, labels.shape) for name, image in images.items()}
    cells = _Cells.of(labels, window)
    columns: dict[str, Column] = {"label": cells.numbers}
    columns |= _sizes(cells, labels, pixel_size)
    runs = (cells.starts, cells.lengths, cells.rows)
    for name, image in real.items():
        taken = background.get(name)
        columns |= intensities(runs, cells.sums[:, 0], image, name, background=taken)
    return columns


def background_level(labels: LabelImage, image: AnyImage) -> float:
    """Median intensity where no cell is, for `background`; 0 if cells are everywhere.

    Raises
    ------
    ImageShapeError, ImageValueError
        As `measure_cells`.
    """
    outside = real_numbers(image, "The image", labels.shape)[np.asarray(labels) <= 0]
    outside = outside[np.isfinite(outside)]
    return float(np.median(outside)) if outside.size else 0.0


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
    labels = native(whole_numbers(labels))
    if labels.dtype == np.uint64 and labels.max(initial=0) > np.iinfo(np.int64).max:
        raise LabelsError(
            f"Labels go up to {labels.max()}, beyond {np.iinfo(np.int64).max}; number the cells "
            "afresh."
        )
    return labels


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Runs of cells, in reading order."""

    width: int
    """Of the part of the image that is looked at."""
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
    """(cells, 3): the first pixel, in the image."""
    edges: NDArray[np.bool_]
    """(cells,) bool. At the border of the image."""

    @classmethod
    def of(cls, labels: LabelImage, window: Window) -> _Cells:
        runs = cut_rows(labels)
        is_cell = runs.values > 0
        values = runs.values[is_cell].astype(np.int64)
        numbers, rows = np.unique(values, return_inverse=True)
        # (Z, H, W), of one plane for a 2-D image.
        part, whole, corner = (
            np.array((first,) * (3 - labels.ndim) + each, np.int64)
            for first, each in ((1, labels.shape), (1, window.shape), (0, window.corner))
        )
        starts, lengths = runs.starts[is_cell], runs.lengths[is_cell]
        sums, origins = np.zeros((numbers.size, 10)), np.full((numbers.size, 3), -1)
        edges = np.zeros(numbers.size, np.bool_)
        is_volume = labels.ndim == 3
        _add_runs(starts, lengths, rows, part, whole, corner, is_volume, sums, origins, edges)
        width = labels.shape[-1]
        return cls(width, labels.ndim, numbers, starts, lengths, rows, sums, origins, edges)


@numba.njit(cache=True, nogil=True)
def _add_runs(
    starts: Any, lengths: Any, rows: Any, part: Any, whole: Any, corner: Any,
    is_volume: bool, sums: Any, origins: Any, edges: Any,  # noqa: FBT001
) -> None:  # fmt: skip
    depth, height, width = whole
    for run in range(starts.size):
        cell, length = rows[run], lengths[run]
        x = corner[2] + starts[run] % part[2]
        line = starts[run] // part[2]
        y, z = corner[1] + line % part[1], corner[0] + line // part[1]
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
        hulls = hull_areas(*runs, cells=number, width=cells.width)
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
