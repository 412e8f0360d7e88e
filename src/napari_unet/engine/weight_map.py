"""The pixel weight map that makes a U-Net learn the gaps between neighbouring cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.image import LabelImage, WeightMap

_LARGEST_NUMBER = (1 << 24) - 1
"""Cells that float32 can tell apart by number."""

_LEAST_TERM = 2.0**-26
"""Less than this does not change a weight in float32: class balance leaves at least 1/2."""


def boundary_weight_map(
    labels: LabelImage,
    *,
    w0: float = 10.0,
    border_sigma_px: float = 5.0,
    spacing: float | Sequence[float] | None = None,
    class_balance: bool = True,
    separate_touching: bool = True,
) -> WeightMap:
    """Weight each pixel by how narrow the gap between its two nearest cells is.

    w(x) = wc(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), where d1 and d2
    are the distances to the nearest and to the second nearest cell. The second
    term stands on background pixels; with fewer than two cells it is zero.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 is background; each positive value is one cell.
    w0 : float
        Weight added where two cells meet.
    border_sigma_px : float
        Distance over which that weight fades, in pixels, or in the unit of
        `spacing` where that is given.
    spacing : float or one float per axis, optional
        Size of a pixel along each axis, for anisotropic stacks. 1 by default.
    class_balance : bool
        wc(x) = pixels / (2 * pixels of the class of x), for background and
        cells, so that both weigh the same in total and the mean is 1. Off: wc
        is 1 everywhere.
    separate_touching : bool
        Carve a one-pixel gap between touching cells first, see
        `separate_touching_cells`; otherwise they have no background pixel
        between them that could weigh anything.

    Returns
    -------
    float32 array of the shape of `labels`
        Class-balance weight plus border term; exact to float32 rounding.

    Raises
    ------
    ImageShapeError
        If `labels` has neither two nor three axes.
    LabelsError
        If `labels` are not integers or are negative.
    SettingsError
        If `w0`, `border_sigma_px` or `spacing` are not positive.

    References
    ----------
    Ronneberger et al. (2015), Eq. 2. https://arxiv.org/abs/1505.04597

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import boundary_weight_map
    >>> labels = np.array([[1, 1, 0, 2, 2]])
    >>> boundary_weight_map(labels, class_balance=False).round(2)
    array([[ 1.  ,  1.  , 10.23,  1.  ,  1.  ]], dtype=float32)
    """
    ids = check_labels(labels)
    steps = _spacing(spacing, ids.ndim)
    if not (math.isfinite(w0) and w0 > 0):
        raise SettingsError(f"w0 is {w0:g}; use a positive weight, for example 10.")
    if not (math.isfinite(border_sigma_px) and border_sigma_px > 0):
        raise SettingsError(
            f"border_sigma_px is {border_sigma_px:g}; use a positive distance, for example 5."
        )
    if separate_touching:
        ids = separate_touching_cells(ids)
    weights = _class_weights(ids) if class_balance else np.ones(ids.shape, np.float32)
    if ids.size:
        # Where w0 * exp(-reach^2 / (2 sigma^2)) is the smallest term that counts.
        reach = border_sigma_px * math.sqrt(2 * max(0.0, math.log(w0 / _LEAST_TERM)))
        _add_border_term(ids, steps, w0, border_sigma_px, reach, weights)
    return weights


def check_labels(labels: LabelImage) -> NDArray[np.int32]:
    """Return `labels` as int32 with the same cells, or say why they are no labels.

    Numbers beyond the number of pixels are replaced by smaller ones, in the
    same order, so that tables by label stay small.

    Raises
    ------
    ImageShapeError, LabelsError
    """
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3):
        raise ImageShapeError(
            f"The labels have shape {labels.shape}; give (H, W) or (Z, H, W), "
            "with one integer per pixel."
        )
    if labels.dtype.kind not in "bui":
        raise LabelsError(
            f"The labels have dtype {labels.dtype}; give integers: 0 for background, "
            "1, 2, ... for cells."
        )
    if labels.size == 0:
        return labels.astype(np.int32)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise LabelsError(
            f"The labels hold negative values (down to {lowest}); give 0 for background and "
            "positive values for cells."
        )
    if highest > min(labels.size, _LARGEST_NUMBER):
        _, inverse = np.unique(labels, return_inverse=True)
        shift = 0 if lowest == 0 else 1
        return (inverse.reshape(labels.shape) + shift).astype(np.int32)
    return np.ascontiguousarray(labels, dtype=np.int32)


def separate_touching_cells(labels: LabelImage) -> LabelImage:
    """Turn one pixel into background wherever two cells meet.

    Of two cells that touch by a face, an edge or a corner the one with the
    higher number gives the pixel: a gap of exactly one pixel, which no path
    crosses. The paper uses morphological operations without saying which.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array, not negative

    Returns
    -------
    array of the same shape and dtype, a copy
    """
    separated = np.array(labels)
    volume = labels if labels.ndim == 3 else labels[np.newaxis]
    _carve(volume, separated if labels.ndim == 3 else separated[np.newaxis])
    return separated


def _spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    values = np.ones(ndim) if spacing is None else np.asarray(spacing, dtype=float)
    if values.ndim == 0:
        values = np.full(ndim, float(values))
    if values.shape != (ndim,) or not (np.isfinite(values) & (values > 0)).all():
        raise SettingsError(
            f"spacing is {spacing}; give one positive number, or one for each of the {ndim} axes."
        )
    return tuple(float(value) for value in values)


def _class_weights(ids: NDArray[np.int32]) -> WeightMap:
    cells = ids > 0
    cell_pixels = int(np.count_nonzero(cells))
    weights = np.ones(ids.shape, np.float32)
    if 0 < cell_pixels < ids.size:
        weights[cells] = ids.size / (2 * cell_pixels)
        weights[~cells] = ids.size / (2 * (ids.size - cell_pixels))
    return weights


def _add_border_term(
    ids: NDArray[np.int32],
    spacing: tuple[float, ...],
    w0: float,
    sigma: float,
    reach: float,
    weights: WeightMap,
) -> None:
    """Add the border term to `weights` in place, from exact distances.

    Separable: along the last axis two sweeps find the two nearest distinct
    labels of each pixel in its row; along each further axis every pixel looks
    outward and merges what its neighbours know. Exact because a label that is
    not among the two best of its row is beaten there by two others.
    """
    depth, height, width = ids.shape if ids.ndim == 3 else (1, *ids.shape)
    blocks = -(-width // _BLOCK)
    # One row of pixels is (near, near label, far, far label) x width; distances
    # are squared. `check_labels` keeps the numbers small enough for float32.
    state = np.empty((depth * height, 4, blocks * _BLOCK), np.float32)
    rows = ids.reshape(depth * height, width)
    _nearest_in_rows(rows, np.float32(spacing[-1]), state)
    if depth > 1:
        merged = np.empty_like(state)
        _merge_rows(state, merged, height, 1, np.float32(spacing[1]), np.float32(reach), is_last=0)
        state = merged
    axis_length, stride = (height, 1) if depth == 1 else (depth, height)
    step = spacing[-2] if depth == 1 else spacing[0]
    merged = np.empty_like(state)
    _merge_rows(state, merged, axis_length, stride, np.float32(step), np.float32(reach), is_last=1)
    _add_gaussian(rows, merged, w0, sigma, weights.reshape(depth * height, width))


_BLOCK = 64
"""Pixels merged at once: a compile-time length, so that the loops become vector code."""

_FAR = np.float32(1e30)
"""Squared distance to a cell that is not there."""


@numba.njit(cache=True, nogil=True)
def _carve(labels: Any, separated: Any) -> None:
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                label = labels[z, y, x]
                if label == 0:
                    continue
                for nz in range(max(0, z - 1), min(depth, z + 2)):
                    for ny in range(max(0, y - 1), min(height, y + 2)):
                        for nx in range(max(0, x - 1), min(width, x + 2)):
                            other = labels[nz, ny, nx]
                            if other != 0 and other < label:
                                separated[z, y, x] = 0


@numba.njit(cache=True, nogil=True)
def _nearest_in_rows(labels: Any, step: Any, state: Any) -> None:
    rows, width = labels.shape
    for row in range(rows):
        state[row, 0] = _FAR
        state[row, 1] = 0
        state[row, 2] = _FAR
        state[row, 3] = 0
        for direction in range(2):
            last, before = 0, 0  # the two distinct labels passed last
            last_at, before_at = 0, 0
            for i in range(width):
                x = i if direction == 0 else width - 1 - i
                label = labels[row, x]
                if label != 0:
                    if label != last:
                        before, before_at = last, last_at
                        last = label
                    last_at = x
                if last == 0:
                    continue
                distance = np.float32(abs(x - last_at)) * step
                _insert(state, row, x, distance * distance, last)
                if before != 0:
                    distance = np.float32(abs(x - before_at)) * step
                    _insert(state, row, x, distance * distance, before)


@numba.njit(cache=True, nogil=True, inline="always")
def _insert(state: Any, row: int, x: int, cost: Any, label: int) -> None:
    if label == state[row, 1, x]:
        state[row, 0, x] = min(state[row, 0, x], cost)
    elif cost < state[row, 0, x]:
        state[row, 2, x] = state[row, 0, x]
        state[row, 3, x] = state[row, 1, x]
        state[row, 0, x] = cost
        state[row, 1, x] = label
    elif cost < state[row, 2, x]:
        state[row, 2, x] = cost
        state[row, 3, x] = label


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _merge_rows(
    state: Any, merged: Any, length: int, stride: int, step: Any, reach: Any, is_last: int
) -> None:
    """Merge each row with those at `stride`, 2 `stride`, ... along an axis of `length` rows.

    A row farther than `reach` changes no float32 sum. In the last merge a
    pixel is also done once d1 + d2 must exceed `reach`.
    """
    rows, _, width = state.shape
    best = np.empty(4 * _BLOCK, np.float32)
    for row in range(rows):
        place = (row // stride) % length
        for start in range(0, width, _BLOCK):
            for part in range(4):
                for i in range(_BLOCK):
                    best[part * _BLOCK + i] = state[row, part, start + i]
            for k in range(1, length):
                distance = np.float32(k) * step
                cost = distance * distance
                if distance > reach or not _is_open(best, cost, distance, reach, is_last):
                    break
                if place >= k:
                    _merge_block(best, state[row - k * stride], start, cost)
                if place + k < length:
                    _merge_block(best, state[row + k * stride], start, cost)
            for part in range(4):
                for i in range(_BLOCK):
                    merged[row, part, start + i] = best[part * _BLOCK + i]


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _is_open(best: Any, cost: Any, distance: Any, reach: Any, is_last: int) -> bool:
    """Whether a row at `distance` can still change a pixel of this block."""
    count = 0
    if is_last:
        rest = (reach - distance) * (reach - distance)
        for i in range(_BLOCK):
            near = best[i]
            # Cells themselves (near = 0) get no border term. A pixel whose nearest
            # cell is settled (near <= cost) waits only for a second one within reach.
            wanted = (near > 0) & (best[2 * _BLOCK + i] > cost)
            count += wanted & (
                ((near > cost) & (distance * 2 <= reach)) | (near <= rest) & (near <= cost)
            )
    else:
        for i in range(_BLOCK):
            count += best[2 * _BLOCK + i] > cost
    return count > 0


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _merge_block(best: Any, other: Any, start: int, cost: Any) -> None:
    """Merge both candidates of another row into `best`, without branches."""
    for candidate in range(2):
        for i in range(_BLOCK):
            reached = other[2 * candidate, start + i] + cost
            label = other[2 * candidate + 1, start + i]
            near, near_id = best[i], best[_BLOCK + i]
            far, far_id = best[2 * _BLOCK + i], best[3 * _BLOCK + i]
            same, nearer, second = label == near_id, reached < near, reached < far
            best[i] = reached if nearer else near
            best[_BLOCK + i] = label if nearer else near_id
            pushed = near if nearer else (reached if second else far)
            pushed_id = near_id if nearer else (label if second else far_id)
            best[2 * _BLOCK + i] = far if same else pushed
            best[3 * _BLOCK + i] = far_id if same else pushed_id


@numba.njit(cache=True, nogil=True)
def _add_gaussian(labels: Any, state: Any, w0: float, sigma: float, weights: Any) -> None:
    rows, width = labels.shape
    for row in range(rows):
        for x in range(width):
            if labels[row, x] == 0 and state[row, 2, x] < _FAR:
                gap = math.sqrt(state[row, 0, x]) + math.sqrt(state[row, 2, x])
                weights[row, x] += w0 * math.exp(-gap * gap / (2 * sigma * sigma))
