"""Corrections of single cells: split, merge, delete, add, fill and smooth.

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
from skimage.segmentation import watershed

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import Region, around, clipped, grown, sizes, within
from napari_unet.engine.images.image import LabelImage

Point = Sequence[float]
"""Position in pixels, one number for each axis of the labels."""

_FIRST_PX = 32
"""Half the window in which a cell is looked for first; it is doubled until the cell lies inside."""

_CORRIDOR = 0.15
"""Half the width, in diameters of the cell, of the corridor in which a cut may leave the stroke."""

_GAP_PX = 3
"""Two cells that are no further apart are one piece once they are merged."""

_ADD_SHARE = 0.5
"""Of the score of the peak near a click: what is above belongs to the cell that is proposed."""

_PEAK_PX = 3
"""How far from a click the peak is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class CellEdit:
    """Labels of a box before and after a correction.

    Parameters
    ----------
    region : Region
        The box in the labels.
    before, after : integer arrays of the shape of the box
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
    place = _pixel(labels, at)
    number = int(labels[place])
    if number <= 0:
        raise LabelsError("There is no cell at this place; point at one.")
    window = tuple(slice(n, n + 1) for n in place)
    half = _FIRST_PX
    while True:
        wider = grown(window, [half] * labels.ndim, labels.shape)
        (box,) = ndimage.find_objects((labels[wider] == number).astype(np.int8))
        found = tuple(
            slice(part.start + start.start, part.stop + start.start)
            for part, start in zip(box, wider, strict=True)
        )
        is_inside = all(
            (part.start > low.start or low.start == 0) and (part.stop < low.stop or low.stop == n)
            for part, low, n in zip(found, wider, labels.shape, strict=True)
        )
        if is_inside:
            return found
        half *= 2


def split_cell(
    labels: LabelImage,
    stroke: NDArray[np.float64],
    *,
    landscape: NDArray[np.floating] | None = None,
    new_number: int,
) -> CellEdit:
    """Cut a cell in two along a stroke, without a gap.

    The stroke says where about; within a corridor around it the cut follows
    what is lowest in `landscape`. In a volume it goes through all slices.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    stroke : (P, D) array
        Points in pixels, two or more. The cell that holds most of it is cut.
    landscape : array of the shape of `labels`, optional
        Low between cells: scores of "cell", or intensities. Without it the
        cut is the stroke.
    new_number : int
        Of the smaller part; the larger keeps its number.

    Returns
    -------
    CellEdit

    Raises
    ------
    LabelsError
        If the stroke lies outside of all cells or does not cross one.

    References
    ----------
    Meyer (1994), Topographic distance and watershed lines. Signal Processing 38.
    """
    path = _drawn(stroke, labels.shape)
    under = labels[path]
    cells, counts = np.unique(under[under > 0], return_counts=True)
    if not cells.size:
        raise LabelsError("The stroke lies outside of all cells; draw it across the one to split.")
    number = int(cells[counts.argmax()])
    inside = int(np.flatnonzero(under == number)[0])
    cell_box = cell_region(labels, [axis[inside] for axis in path])
    box = grown(cell_box, [1] * labels.ndim, labels.shape)
    before = labels[box].copy()
    mask = before == number
    seeds = _sides(mask, _barrier(stroke, box, mask))
    if seeds is None:
        raise LabelsError(
            f"The stroke does not cross cell {number} from side to side; begin and end it outside."
        )
    heights = np.zeros(mask.shape) if landscape is None else -landscape[box].astype(np.float64)
    sides = watershed(heights, seeds, mask=mask)
    parts = np.bincount(sides.reshape(-1), minlength=3)[1:3]
    smaller = 1 + int(parts[1] <= parts[0])
    after = before.copy()
    after[sides == smaller] = new_number
    return CellEdit(box, before, after, (number, new_number))


def _drawn(stroke: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """Pixels of a stroke, in its order; those outside of the image are left out."""
    points = np.rint(np.asarray(stroke, float)).astype(int)
    pieces = [
        np.stack(line(*a[-2:], *b[-2:])) for a, b in itertools.pairwise(points)
    ]
    plane = np.concatenate(pieces, axis=1) if pieces else points[:, -2:].T
    fixed = [np.full(plane.shape[1], n) for n in points[0][:-2]]
    path = np.stack([*fixed, *plane])
    is_inside = ((path >= 0) & (path < np.array(shape)[:, np.newaxis])).all(axis=0)
    return tuple(path[:, is_inside])


def _barrier(
    stroke: NDArray[np.float64], box: Region, mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The stroke, gone on with straight at both ends, in the plane of the box."""
    points = np.asarray(stroke, float)[:, -2:] - [part.start for part in box[-2:]]
    reach = float(np.hypot(*mask.shape[-2:]))
    for end, before in ((0, min(len(points), 5) - 1), (-1, -min(len(points), 5))):
        way = points[end] - points[before]
        length = float(np.hypot(*way))
        if length > 0:
            beyond = points[end] + way / length * reach
            points = np.concatenate(
                [beyond[np.newaxis], points] if end == 0 else [points, beyond[np.newaxis]]
            )
    barrier = np.zeros(mask.shape[-2:], bool)
    barrier[_drawn(points, barrier.shape)] = True
    # Without a gap at corners, through which a side could leak into the other.
    return ndimage.binary_dilation(barrier, iterations=1)


def _sides(mask: NDArray[np.bool_], barrier: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """Both sides of a cell, 1 and 2, beside a corridor around the stroke; None if it has one."""
    diameter = 2 * np.sqrt(mask.reshape(-1, *barrier.shape).any(axis=0).sum() / np.pi)
    away = ndimage.distance_transform_edt(~barrier)
    for half in (_CORRIDOR * diameter, _CORRIDOR * diameter / 2, 0.0):
        labelled, count = ndimage.label(mask & (away > half))
        if count < 2:
            continue
        area = np.bincount(labelled.reshape(-1))[1:]
        first, second = np.argsort(-area, kind="stable")[:2] + 1
        seeds: NDArray[np.int32] = (labelled == first) + 2 * (labelled == second).astype(np.int32)
        return seeds
    return None


def merge_cells(labels: LabelImage, places: Sequence[Point]) -> CellEdit:
    """Make one cell of those at some places, with the number of the largest.

    Cells that are close and do not touch are joined.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    places : sequence of points
        Two or more; those without a cell count for nothing.

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
        place = _pixel(labels, at)
        number = int(labels[place])
        if number > 0 and number not in found:
            found[number] = cell_region(labels, place)
    if len(found) < 2:
        raise LabelsError("Fewer than two cells are there; drag from one cell to another.")
    box = grown(around(found.values()), [_GAP_PX] * labels.ndim, labels.shape)
    before = labels[box].copy()
    mask = np.isin(before, list(found))
    number = max(found, key=lambda each: int((before == each).sum()))
    after = np.where(mask, number, before)
    if ndimage.label(mask)[1] > 1:
        ball = ndimage.iterate_structure(ndimage.generate_binary_structure(labels.ndim, 1), _GAP_PX)
        closed = ndimage.binary_closing(np.pad(mask, _GAP_PX), ball)
        inner = tuple(slice(_GAP_PX, -_GAP_PX) for _ in before.shape)
        after = np.where(closed[inner] & (before == 0), number, after)
    return CellEdit(box, before, after, (number,))


def delete_cell(labels: LabelImage, at: Point) -> CellEdit:
    """Turn the cell at a place into background.

    Raises
    ------
    LabelsError
        If there is none.
    """
    box = cell_region(labels, at)
    before = labels[box].copy()
    number = labels[_pixel(labels, at)]
    return CellEdit(box, before, np.where(before == number, 0, before), ())


def fill_cell(labels: LabelImage, at: Point) -> CellEdit:
    """Fill the holes of the cell at a place; other cells in them stay.

    Raises
    ------
    LabelsError
        If there is none.
    """
    box = cell_region(labels, at)
    before = labels[box].copy()
    number = int(labels[_pixel(labels, at)])
    filled = ndimage.binary_fill_holes(before == number)
    return CellEdit(box, before, np.where(filled & (before <= 0), number, before), (number,))


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
    number = int(labels[_pixel(labels, at)])
    margin = int(np.ceil(2 * sigma_px))
    box = grown(cell_region(labels, at), [margin] * labels.ndim, labels.shape)
    before = labels[box].copy()
    mask = before == number
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), sigma_px, mode="nearest") > 0.5
    if not smooth.any():
        raise LabelsError(
            f"Cell {number} is too small to be smoothed over {sigma_px:g} pixels; use less."
        )
    after = np.where(mask & ~smooth, 0, before)
    return CellEdit(box, before, np.where(smooth & (before <= 0), number, after), (number,))


def add_cell(
    labels: LabelImage,
    scores: NDArray[np.floating],
    at: Point,
    *,
    new_number: int,
    share: float = _ADD_SHARE,
    largest_px: int = 1 << 20,
) -> CellEdit:
    """Propose the outline of a cell that was missed, from the scores around a click.

    It is what hangs together with the peak near the click and is above a share
    of its score; other cells stay as they are.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    scores : array of that shape
        Of "cell" or foreground, high inside of cells.
    at : sequence of float
    new_number : int
    share : float
        Less makes the cell larger.
    largest_px : int
        More pixels are no cell.

    Returns
    -------
    CellEdit

    Raises
    ------
    LabelsError
        If a cell is there already, or nothing around it looks like one.
    """
    place = _pixel(labels, at)
    if labels[place] > 0:
        raise LabelsError(
            f"Cell {int(labels[place])} is there already; click where one is missing."
        )
    near = clipped(tuple(slice(n - _PEAK_PX, n + _PEAK_PX + 1) for n in place), labels.shape)
    free = np.where(labels[near] <= 0, scores[near], -np.inf)
    offset = np.unravel_index(int(free.argmax()), free.shape)
    peak = tuple(int(n) + part.start for n, part in zip(offset, near, strict=True))
    level = float(scores[peak]) * share
    window, half = tuple(slice(n, n + 1) for n in peak), _FIRST_PX
    while True:
        box = grown(window, [half] * labels.ndim, labels.shape)
        pieces, _ = ndimage.label((scores[box] >= level) & (labels[box] <= 0))
        here = pieces == pieces[within(window, box)].item()
        rims = [np.take(here, end, axis) for axis in range(here.ndim) for end in (0, -1)]
        if here.sum() > largest_px or sizes(box) == labels.shape:
            break
        if not any(rim.any() for rim in rims):
            break
        half *= 2
    if level <= 0 or here.sum() > largest_px:
        raise LabelsError("Nothing around this place looks like one cell; paint it instead.")
    before = labels[box].copy()
    filled = ndimage.binary_fill_holes(here)
    return CellEdit(
        box, before, np.where(filled & (before <= 0), new_number, before), (new_number,)
    )


def _pixel(labels: LabelImage, at: Point) -> tuple[int, ...]:
    place = tuple(round(float(n)) for n in at)
    if any(not 0 <= n < size for n, size in zip(place, labels.shape, strict=True)):
        raise LabelsError("This place lies outside of the labels; point into them.")
    return place
