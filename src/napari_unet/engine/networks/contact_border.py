"""Where cells meet, and the border class of tissue that is filled with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage

BorderKind: TypeAlias = Literal["rim", "even", "contact"]
"""What the border class is: the rim of each cell, with the gap in one of two that touch; the rim,
as much of both; or the pixels at which two cells meet."""

_LEAST_INSIDE = 1 / 8
"""Share of a cell that is left as its inside; one that would keep less gives no pixels away."""


def contact_border(labels: LabelImage) -> NDArray[np.bool_]:
    """Mark the pixel on each side wherever two cells share a face.

    So a border is as thin as it can be and the same on both sides, and a flood
    from the insides meets where the cells do. A cell that would keep less than
    an eighth of itself keeps everything, and its neighbours alone give pixels;
    of two such cells the larger gives them, of equal ones that with the higher
    number. Insides of two cells never share a face.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 is background; each positive value, at most the number of pixels, is one
        cell. What is negative is no cell.

    Returns
    -------
    bool array of the shape of `labels`

    Examples
    --------
    >>> contact_border(np.array([[1, 1, 1, 2, 2, 2, 0]])).astype(int)
    array([[0, 0, 1, 1, 0, 0, 0]])
    """
    cells = np.maximum(labels, 0)
    meets = np.zeros(cells.shape, np.bool_)
    for low, high, is_met in _faces(cells):
        meets[low] |= is_met
        meets[high] |= is_met
    sizes = np.bincount(cells.reshape(-1))
    inside = np.bincount(cells[~meets], minlength=sizes.size)
    is_thin = inside < np.maximum(1, _LEAST_INSIDE * sizes)
    border: NDArray[np.bool_] = meets & ~is_thin[cells]
    if not is_thin[1:].any():
        return border
    for low, high, is_met in _faces(cells):
        one, other = cells[low][is_met], cells[high][is_met]
        both = is_thin[one] & is_thin[other]
        larger = sizes[one] - sizes[other]
        one_gives = (larger > 0) | ((larger == 0) & (one > other))
        border[low][is_met] |= both & one_gives
        border[high][is_met] |= both & ~one_gives
    return border


def contact_counts(labels: LabelImage) -> NDArray[np.int64]:
    """Count the faces of cells' pixels towards other cells, and those towards background.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Faces towards what is negative, and towards the image's edge, do not count:
        nobody knows what is there.

    Returns
    -------
    (2,) int64 array
    """
    counts = np.zeros(2, np.int64)
    for axis in range(labels.ndim):
        low, high = _halves(labels.ndim, axis)
        one, other = labels[low], labels[high]
        between = (one != other) & (one > 0) & (other > 0)
        open_ = ((one > 0) & (other == 0)) | ((one == 0) & (other > 0))
        counts += (2 * np.count_nonzero(between), np.count_nonzero(open_))
    return counts


def _halves(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index all pixels but the last along an axis, and all but the first."""
    every = (slice(None),) * axis
    after = (slice(None),) * (ndim - axis - 1)
    return (*every, slice(None, -1), *after), (*every, slice(1, None), *after)


def _faces(
    cells: LabelImage,
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...], NDArray[np.bool_]]]:
    """Both sides of all faces along each axis, and at which of them two cells meet."""
    for axis in range(cells.ndim):
        low, high = _halves(cells.ndim, axis)
        one, other = cells[low], cells[high]
        yield low, high, (one != other) & (one > 0) & (other > 0)
