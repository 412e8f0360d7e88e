"""The pixel weight map that makes a U-Net learn the gaps between neighbouring cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.images.image import LabelImage, WeightMap, looks_like_picture
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.weight_map.formula import weight_formula
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.two_nearest import MOST_CELLS, weigh

_ENOUGH_PIXELS = 1000
_ALIKE_IN_CELLS = 0.3
"""Of pixels of cells, so many have a left neighbour of the same cell, even in the smallest."""

Pixel = TypeVar("Pixel", bound=np.generic)

IGNORED = -1
"""What `check_labels` makes of a pixel that is to be ignored."""


def boundary_weight_map(
    labels: LabelImage,
    *,
    settings: WeightMapSettings | None = None,
    spacing: float | Sequence[float] | None = None,
    workers: int = 1,
    **options: Any,
) -> WeightMap:
    """Weight each pixel by how narrow the gap between its two nearest cells is.

    w(x) = wc(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), where d1 and d2
    are the distances to the nearest and to the second nearest cell. The second
    term stands on background pixels; with fewer than two cells it is zero. In
    sum over the image wc gives background and cells the same weight, 1 on
    average: wc(x) = pixels / (2 * pixels of the class of x).

    With `variant="fiji"` background weighs v + w0 * exp(-(d1 + d2)^2 /
    (2 sigma^2)) + (1 - v) * exp(-d1^2 / (2 sigma1^2)) and cells weigh 1, where
    v is `background_weight` and sigma1 is `background_sigma_px`; w0 is 50 and
    sigma 6 then.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Each positive value is one cell; 0 and what is negative is background.
        Floats will do if they are whole.
    settings : WeightMapSettings, optional
    spacing : float or one float per axis, optional
        Size of a pixel along each axis, for anisotropic stacks; the sigmas are
        in its unit then. 1 by default.
    workers : int
        Threads.
    **options
        Fields of `WeightMapSettings`, given one by one: `w0`,
        `border_sigma_px`, `variant` and so on.

    Returns
    -------
    float32 array of the shape of `labels`
        Exact to float32 rounding.

    Raises
    ------
    ImageShapeError
        If `labels` has neither two nor three axes.
    LabelsError
        If `labels` hold numbers that are not whole.
    SettingsError
        If `w0`, a sigma or `spacing` are not positive.

    References
    ----------
    Ronneberger et al. (2015), Eq. 2. https://arxiv.org/abs/1505.04597
    Falk et al. (2019). https://doi.org/10.1038/s41592-018-0261-2

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import boundary_weight_map
    >>> labels = np.array([[1, 1, 0, 2, 2]])
    >>> boundary_weight_map(labels, w0=10, border_sigma_px=5, class_balance=False).round(2)
    array([[ 1.  ,  1.  , 10.23,  1.  ,  1.  ]], dtype=float32)
    """
    if settings is None:
        settings = WeightMapSettings.of(options.pop("variant", "paper"), **options)
    else:
        settings = replace(settings, **options)
    ids = volume(check_labels(labels, ignore_label=settings.ignore_label))
    steps = volume_spacing(spacing, np.ndim(labels))
    if settings.separate_touching:
        ids = carve(ids)
    cell_px = int(np.count_nonzero(ids > 0)) if settings.class_balance else 0
    background_px = ids.size - int(np.count_nonzero(ids)) if settings.class_balance else 0
    weights = np.empty(ids.shape, np.float32)
    formula = weight_formula(settings, background_px=background_px, cell_px=cell_px)
    weigh(ids, weights, formula, spacing=steps, workers=workers)
    return weights.reshape(np.shape(labels))


def check_labels(labels: LabelImage, *, ignore_label: int | None = None) -> NDArray[np.int32]:
    """Return `labels` as int32 with the same cells, or say why they are no labels.

    What is negative is no cell and becomes 0. Numbers beyond the number of
    pixels are replaced by smaller ones, in the same order, so that tables by
    label stay small. Pixels with `ignore_label`, which may be any number,
    become `IGNORED`.

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
    if looks_like_picture(labels):
        raise ImageShapeError(
            f"The labels have shape {labels.shape}, as a colour picture has; "
            "give one number for each pixel."
        )
    return check_numbers(labels, ignore_label=ignore_label)


def check_numbers(labels: LabelImage, *, ignore_label: int | None = None) -> NDArray[np.int32]:
    """Do what `check_labels` does with the numbers, whatever the shape.

    Raises
    ------
    LabelsError
    """
    labels = whole_numbers(labels)
    if labels.size == 0:
        return labels.astype(np.int32)
    if ignore_label is not None:
        ignored = labels == ignore_label
        checked = check_numbers(np.where(ignored, labels.dtype.type(0), labels))
        checked[ignored] = IGNORED
        return checked
    labels = np.maximum(labels, 0) if int(labels.min()) < 0 else labels
    highest = int(labels.max())
    if highest > min(labels.size, MOST_CELLS):
        return _renumbered(labels)
    return np.ascontiguousarray(labels, dtype=np.int32)


def separate_touching_cells(labels: LabelImage) -> LabelImage:
    """Turn one pixel into background wherever two cells meet.

    Of two cells that touch by a face, an edge or a corner the one with the
    higher number gives the pixel: a gap of exactly one pixel, which no path
    crosses. The paper uses morphological operations without saying which.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        What is negative is no cell and stays.

    Returns
    -------
    array of the same shape and dtype, a copy
    """
    labels = np.asarray(labels)
    carved = carve(volume(check_labels(labels))).reshape(labels.shape) == 0
    return np.where(carved & (labels > 0), labels.dtype.type(0), labels)


def why_no_border(labels: LabelImage) -> str | None:
    """Say why there is no gap between cells to weigh, in one sentence; None if there is one."""
    if _looks_like_picture(labels):
        return (
            "Hardly any two neighbouring pixels of the labels have the same number, as in an image "
            "and not as in cells; choose the labels that belong to the image."
        )
    lowest, highest = _extreme_numbers(labels)
    if highest == 0:
        return "The labels hold no cell, so the border term is zero everywhere."
    if lowest < highest:
        return None
    if not looks_like_mask(labels):
        return "The labels hold one cell; a gap needs two, so the border term is zero everywhere."
    return (
        f"The labels are a mask: every cell has the number {highest}, so that all are one object "
        "and there is no gap between them; number its connected pieces first, which takes cells "
        "that touch for one."
    )


def looks_like_mask(labels: LabelImage) -> bool:
    """Whether all cells have the same number, though they are several pieces."""
    lowest, highest = _extreme_numbers(labels)
    return highest > 0 and lowest == highest and int(number_pieces(labels).max()) > 1


def number_pieces(labels: LabelImage, *, axes: int | None = None) -> NDArray[np.int32]:
    """Give each connected piece of the cells a number of its own, from 1.

    Parameters
    ----------
    labels : integer array of two or more axes
        A mask: what is above 0 is cell. Pixels that share a corner are connected.
    axes : int, optional
        Along how many of the last axes: 2 for each slice of a stack by
        itself, whose numbers go on where those of the slice before ended. All
        without it.

    Returns
    -------
    int32 array of the same shape
    """
    labels = np.asarray(labels)
    axes = labels.ndim if axes is None else min(axes, labels.ndim)
    # Neighbours along the last axes, not along those before.
    structure = np.zeros((3,) * labels.ndim, np.bool_)
    structure[(1,) * (labels.ndim - axes)] = True
    return ndimage.label(labels > 0, structure)[0].astype(np.int32, copy=False)


def _extreme_numbers(labels: LabelImage) -> tuple[int, int]:
    """Lowest and highest number of a cell; 0 and 0 if there is none."""
    labels = np.asarray(labels)
    highest = int(labels.max(initial=0))
    lowest = int(np.min(labels, where=labels > 0, initial=highest)) if highest else 0
    return lowest, highest


def _looks_like_picture(labels: LabelImage) -> bool:
    """Whether nearly every pixel would be a cell of its own."""
    labels = np.asarray(labels)
    is_cell = labels[..., 1:] > 0
    count = int(np.count_nonzero(is_cell))
    if count < _ENOUGH_PIXELS:
        return False
    alike = np.count_nonzero((labels[..., 1:] == labels[..., :-1]) & is_cell)
    return bool(alike < _ALIKE_IN_CELLS * count)


def _renumbered(labels: LabelImage) -> NDArray[np.int32]:
    """Number cells from 1, in the same order; background stays 0."""
    flat = labels.reshape(-1)
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    # Of runs of equal numbers, as there are far fewer of them.
    numbers, ranks = np.unique(flat[starts], return_inverse=True)
    if numbers.size > MOST_CELLS:
        raise LabelsError(
            f"The labels hold {numbers.size:,} cells; more than {MOST_CELLS:,} cannot be told "
            "apart. Split the image."
        )
    if numbers[0] != 0:
        ranks = ranks + 1
    lengths = np.diff(starts, append=flat.size)
    return np.repeat(ranks.astype(np.int32), lengths).reshape(labels.shape)


def volume(plane: NDArray[Pixel]) -> NDArray[Pixel]:
    """View (H, W) as (1, H, W)."""
    return plane if plane.ndim == 3 else plane[np.newaxis]


def volume_spacing(
    spacing: float | Sequence[float] | None, ndim: int
) -> tuple[float, float, float]:
    """Return the size of a pixel along Z, Y and X, whatever way it was given.

    Raises
    ------
    SettingsError
        If it is not positive, or not one number for each of `ndim` axes.
    """
    values = np.ones(ndim) if spacing is None else np.asarray(spacing, dtype=float)
    if values.ndim == 0:
        values = np.full(ndim, float(values))
    if values.shape != (ndim,) or not (np.isfinite(values) & (values > 0)).all():
        raise SettingsError(
            f"spacing is {spacing}; give one positive number, or one for each of the {ndim} axes."
        )
    depth = float(values[0])  # of no account where there is one slice
    return depth, float(values[-2]), float(values[-1])


def carve(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return (Z, Y, X) ids with background where a cell meets one with a lower number."""
    carved = np.empty_like(ids)
    _carve(ids.reshape(-1), ids.shape, carved.reshape(-1))
    return carved


@numba.njit(cache=True, nogil=True)
def _carve(ids: Any, shape: Any, carved: Any) -> None:
    depth, height, width = shape
    # The least number of the three rows and slices around, less 1 so that 0 becomes the largest.
    least = np.empty(width + 2, np.uint32)
    for z in range(depth):
        for y in range(height):
            least[:] = 0xFFFFFFFF
            for near_z in range(max(0, z - 1), min(depth, z + 2)):
                for near_y in range(max(0, y - 1), min(height, y + 2)):
                    _take_least(ids, (near_z * height + near_y) * width, least, width)
            _carve_row(ids, (z * height + y) * width, least, width, carved)


@numba.njit(cache=True, nogil=True)
def _take_least(ids: Any, place: int, least: Any, width: int) -> None:
    start, one = np.uint64(place), np.uint64(1)
    for x in range(np.uint64(width)):
        number = np.uint32(ids[start + x] - 1)
        least[x + one] = number if number < least[x + one] else least[x + one]


@numba.njit(cache=True, nogil=True)
def _carve_row(ids: Any, place: int, least: Any, width: int, carved: Any) -> None:
    start, one, two = np.uint64(place), np.uint64(1), np.uint64(2)
    for x in range(np.uint64(width)):
        number = ids[start + x]
        around = least[x] if least[x] < least[x + one] else least[x + one]
        around = around if around < least[x + two] else least[x + two]
        meets = (number > 0) & (around < np.uint32(number - 1))
        carved[start + x] = np.int32(0 if meets else number)
