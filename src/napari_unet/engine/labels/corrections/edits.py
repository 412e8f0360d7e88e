"""Corrections of single cells: merged, deleted, filled and smoothed; cut and added are beside.

Each looks at the box around the cells that it touches and at nothing else, so that it takes as long
in a large image as in a small one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import (
    Region,
    around,
    around_true,
    grown,
    shared,
    shifted,
    within,
)
from napari_unet.engine.images.image import LabelImage

Point = Sequence[float]
"""Position in pixels, one number for each axis of the labels."""

_FIRST_PX = 32
"""Half the window in which a cell is looked for first; it is doubled until the cell lies inside."""

_GAP_PX = 3
"""Two cells that are no further apart are one piece once they are merged."""


@dataclass(frozen=True, slots=True, eq=False)
class CellEdit:
    """Labels of a box before and after a correction.

    Parameters
    ----------
    region : Region
        The box in the labels.
    before, after : integer arrays of the shape of the box
        The dtype of `after` is a longer one where the labels' has no room for
        a new number.
    numbers : tuple of int
        Of the cells that were made or changed; empty where one was deleted.
    """

    region: Region
    before: LabelImage
    after: LabelImage
    numbers: tuple[int, ...]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Where in the box labels differ."""
        changed: NDArray[np.bool_] = self.before != self.after
        return changed


def number_at(labels: LabelImage, at: Point) -> int:
    """Return the number of the cell at a place.

    Raises
    ------
    LabelsError
        If there is none, or the place lies outside.
    """
    number = int(labels[pixel_at(labels, at)])
    if number <= 0:
        raise LabelsError("There is no cell at this place; point at one.")
    return number


def pixel_at(labels: LabelImage, at: Point) -> tuple[int, ...]:
    """Return the pixel that a place lies in.

    Raises
    ------
    LabelsError
        If the place lies outside of the labels.
    """
    place = tuple(round(float(n)) for n in at)
    if any(not 0 <= n < size for n, size in zip(place, labels.shape, strict=True)):
        raise LabelsError("This place lies outside of the labels; point into them.")
    return place


def cell_region(labels: LabelImage, at: Point) -> Region:
    """Box around the cell at a place.

    Pieces of the cell that lie further away than it is large may be left out.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    at : sequence of float

    Returns
    -------
    Region

    Raises
    ------
    LabelsError
        If there is no cell.
    """
    number, place = number_at(labels, at), pixel_at(labels, at)
    window = tuple(slice(n, n + 1) for n in place)
    half = _FIRST_PX
    while True:
        wider = grown(window, [half] * labels.ndim, labels.shape)
        box = around_true(labels[wider] == number)
        assert box is not None  # noqa: S101 - the place itself is in it
        found = shifted(box, [part.start for part in wider])
        is_inside = all(
            (part.start > low.start or low.start == 0) and (part.stop < low.stop or low.stop == n)
            for part, low, n in zip(found, wider, labels.shape, strict=True)
        )
        if is_inside:
            return found
        half *= 2


def stroke_pixels(
    stroke: NDArray[np.float64], shape: Sequence[int]
) -> tuple[NDArray[np.intp], ...]:
    """Pixels of a stroke in its order, without gaps; those outside of the image are left out.

    Parameters
    ----------
    stroke : (P, D) array
        Points in pixels. It is drawn along the last two axes, in the slice of its first point.
    shape : sequence of int
        Of the image.

    Returns
    -------
    tuple of (N,) integer arrays
        One for each axis, to index the image with.
    """
    points = np.rint(np.asarray(stroke, float)).astype(int)
    pieces = [np.stack(line(*a[-2:], *b[-2:])) for a, b in itertools.pairwise(points)]
    plane = np.concatenate(pieces, axis=1) if pieces else points[:, -2:].T
    fixed = [np.full(plane.shape[1], n) for n in points[0][:-2]]
    path = np.stack([*fixed, *plane])
    is_inside = ((path >= 0) & (path < np.array(shape)[:, np.newaxis])).all(axis=0)
    return tuple(path[:, is_inside])


def with_room(labels: LabelImage, number: int) -> LabelImage:
    """Copy labels, as a longer dtype if theirs has no room for a number.

    Raises
    ------
    LabelsError
        If no integer dtype has room for all of them.
    """
    if number <= np.iinfo(labels.dtype).max:
        return labels.copy()
    try:
        dtype = np.promote_types(labels.dtype, np.min_scalar_type(number))
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "ui":
        raise LabelsError(
            f"The cells have numbers up to the largest that {labels.dtype} can hold, so there is "
            "none left for a new cell; number the cells anew, from 1, first."
        )
    return labels.astype(dtype)


def merge_cells(labels: LabelImage, places: Sequence[Point]) -> CellEdit:
    """Make one cell of those at some places, with the number of the largest.

    Cells that are close and do not touch are joined.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    places : sequence of points
        Two or more in the labels; those without a cell count for nothing.

    Returns
    -------
    CellEdit

    Raises
    ------
    LabelsError
        If there are fewer than two cells.
    """
    found: dict[int, Region] = {}
    for at in places:
        place = pixel_at(labels, at)
        number = int(labels[place])
        if number > 0 and number not in found:
            found[number] = cell_region(labels, place)
    if not found:
        raise LabelsError("There is no cell here; drag from one cell to another.")
    if len(found) == 1:
        raise LabelsError(f"Only cell {next(iter(found))} is here; drag from it to another cell.")
    box = grown(around(found.values()), [_GAP_PX] * labels.ndim, labels.shape)
    before = labels[box].copy()
    largest = max(
        found, key=lambda each: np.count_nonzero(before[within(found[each], box)] == each)
    )
    mask = np.isin(before, list(found))
    after = np.where(mask, np.array(largest, before.dtype), before)
    for gap in _gaps(found, labels.shape):
        part = within(gap, box)
        after[part][_closed(mask[part]) & (before[part] == 0)] = largest
    return CellEdit(box, before, after, (largest,))


def _gaps(found: dict[int, Region], shape: Sequence[int]) -> list[Region]:
    """Boxes in which two cells may be close enough to be joined."""
    margin = [_GAP_PX] * len(shape)
    wider = [grown(each, margin, shape) for each in found.values()]
    boxes = [shared(one, other) for one, other in itertools.combinations(wider, 2)]
    full = [box for box in boxes if all(part.start < part.stop for part in box)]
    allowed = around(wider)
    return [shared(grown(box, margin, shape), allowed) for box in full]


def _closed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Closed by a ball; what is cut off at the rim closes nothing."""
    if ndimage.label(mask)[1] < 2:
        return mask
    ball = ndimage.iterate_structure(ndimage.generate_binary_structure(mask.ndim, 1), _GAP_PX)
    closed = ndimage.binary_closing(np.pad(mask, _GAP_PX), ball)
    inner: NDArray[np.bool_] = closed[tuple(slice(_GAP_PX, -_GAP_PX) for _ in mask.shape)]
    return inner


def delete_cell(labels: LabelImage, at: Point) -> CellEdit:
    """Turn the cell at a place into background.

    Raises
    ------
    LabelsError
        If there is none.
    """
    number, box = number_at(labels, at), cell_region(labels, at)
    before = labels[box].copy()
    after = before.copy()
    after[before == number] = 0
    return CellEdit(box, before, after, ())


def fill_cell(labels: LabelImage, at: Point) -> CellEdit:
    """Fill the holes of the cell at a place; other cells in them stay.

    Raises
    ------
    LabelsError
        If there is none.
    """
    number, box = number_at(labels, at), cell_region(labels, at)
    before = labels[box].copy()
    after = before.copy()
    after[ndimage.binary_fill_holes(before == number) & (before <= 0)] = number
    return CellEdit(box, before, after, (number,))


def smooth_cell(labels: LabelImage, at: Point, *, sigma_px: float = 2.0) -> CellEdit:
    """Smooth the outline of the cell at a place; it takes nothing from others.

    Parameters
    ----------
    sigma_px : float
        Details that are smaller go.

    Raises
    ------
    LabelsError
        If there is none, or nothing of it would be left.
    """
    number = number_at(labels, at)
    margin = int(np.ceil(2 * sigma_px))
    box = grown(cell_region(labels, at), [margin] * labels.ndim, labels.shape)
    before = labels[box].copy()
    mask = before == number
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), sigma_px, mode="nearest") > 0.5
    after = before.copy()
    after[mask & ~smooth] = 0
    after[smooth & (before <= 0)] = number
    if not (after == number).any():
        raise LabelsError(
            f"Cell {number} is too small to be smoothed over {sigma_px:g} pixels; use less."
        )
    return CellEdit(box, before, after, (number,))
