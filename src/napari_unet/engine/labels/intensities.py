"""Intensities of cells, all at once from the runs of their pixels."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, ImageValueError
from napari_unet.engine.images.image import AnyImage

NAN_PIXELS = "nan_pixels_"
"""Begins the name of a column that is there only where any pixel is NaN."""


def real_numbers(image: AnyImage, name: str, shape: tuple[int, ...]) -> AnyImage:
    """Return intensities in one piece, in a dtype that numba knows.

    Raises
    ------
    ImageShapeError, ImageValueError
        If they have another shape than the labels, or are no real numbers.
    """
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
    return native(image)


def native(array: AnyImage) -> AnyImage:
    """Return an array in C order and in the byte order of this machine; itself if it is so."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def intensities(
    runs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    pixels: NDArray[np.float64],
    image: AnyImage,
    name: str,
    *,
    background: float | None,
) -> dict[str, NDArray[Any]]:
    """Measure the intensities of each cell in one image.

    Parameters
    ----------
    runs : three (runs,) int64 arrays
        Of the cells: places in C order, pixels, and the cell of each.
    pixels : (cells,) float64 array
        How many each cell has.
    image : array
        As of `real_numbers`.
    name : str
        Ends the names of the columns.
    background : float, optional
        Is taken from the intensities.

    Returns
    -------
    dict of str to (cells,) array
    """
    taken = 0.0 if background is None else background
    count = pixels.size
    found = np.zeros((count, 5))
    found[:, 3], found[:, 4] = np.inf, -np.inf
    shift = np.full(count, np.nan)
    _add_pixels(image.reshape(-1), *runs, shift, found)
    seen, sums, squares, lowest, highest = found.T
    empty = seen == 0
    counted = np.where(empty, np.nan, seen)
    mean = sums / counted
    with np.errstate(invalid="ignore"):  # of infinite intensities
        deviation = np.sqrt(np.maximum(squares / counted - mean**2, 0))
    mean = mean + shift
    columns: dict[str, NDArray[Any]] = {
        f"intensity_mean_{name}": mean - taken,
        f"intensity_min_{name}": np.where(empty, np.nan, lowest) - taken,
        f"intensity_max_{name}": np.where(empty, np.nan, highest) - taken,
        f"intensity_std_{name}": deviation,
        f"intensity_sum_{name}": np.where(empty, 0.0, (mean - taken) * seen),
    }
    if background is not None:
        columns[f"background_{name}"] = np.full(count, taken)
    left_out = pixels - seen
    if left_out.any():
        columns[f"{NAN_PIXELS}{name}"] = left_out.astype(np.int64)
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
