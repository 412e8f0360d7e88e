"""A cell cut in two along a stroke, where it is darkest or least certain near it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import Region, grown
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.corrections.edits import (
    CellEdit,
    cell_region,
    stroke_pixels,
    with_room,
)

_CORRIDOR = 0.15
"""Half the width, in diameters of the cell, of the corridor in which a cut may leave the stroke."""

_LEAVING = 2.0
"""What it costs a cut to go along the rim of the corridor, in contrasts of the landscape.

Texture inside of cells is as deep as the lines between them.
"""

_RANGE = (1, 95)
"""Percentiles of the landscape in the cell that are its contrast."""

_LEAST_SHARE = 0.02
"""Of a cell; what a stroke parts from it is no cell if it is less."""

_DIRECTION_POINTS = 5
"""Of a stroke, that tell in which direction it goes on at its ends."""


class Landscape(Protocol):
    """Anything that gives the heights of a box of the labels, such as an array."""

    def __getitem__(self, box: Region, /) -> NDArray[Any]:
        """Heights of the box; low between cells."""


def split_cell(
    labels: LabelImage,
    stroke: NDArray[np.float64],
    *,
    new_number: int,
    landscape: Landscape | None = None,
) -> CellEdit:
    """Cut a cell in two along a stroke, without a gap.

    The stroke says where about; within a corridor around it the cut follows
    what is lowest in `landscape`. In a volume it goes through all slices.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    stroke : (P, D) array
        Points in pixels, two or more. The cell that holds most of it is cut.
    new_number : int
        Of the smaller part; the larger keeps its number.
    landscape : array of the shape of `labels`, optional
        Low between cells: scores of "cell", or intensities. Without it the
        cut is the stroke.

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
    path = stroke_pixels(stroke, labels.shape)
    under = labels[path]
    cells, counts = np.unique(under[under > 0], return_counts=True)
    if not cells.size:
        raise LabelsError("The stroke lies outside of all cells; draw it across the one to split.")
    number = int(cells[counts.argmax()])
    places = [axis[under == number] for axis in path]
    region = cell_region(labels, [axis[0] for axis in places])
    box = grown(region, [1] * labels.ndim, labels.shape)
    before = labels[box].copy()
    starts = [part.start for part in box]
    inside = tuple(axis - start for axis, start in zip(places, starts, strict=True))
    mask = _piece(before == number, inside)
    barrier = _barrier(np.asarray(stroke, float)[:, -2:] - starts[-2:], _flat(mask))
    away = ndimage.distance_transform_edt(~barrier) / (_CORRIDOR * _diameter_px(mask))
    seeds = _sides(mask, barrier, away)
    if seeds is None:
        raise LabelsError(
            f"The stroke does not part cell {number} in two; draw it from one side of the cell to "
            "the other."
        )
    heights = np.zeros(mask.shape)
    if landscape is not None:
        lows = _evened(np.asarray(landscape[box], np.float64), mask)
        heights = -lows - _LEAVING * np.minimum(away, 1) ** 2
    sides = watershed(heights, seeds, mask=mask)
    parts = np.bincount(sides.reshape(-1), minlength=3)[1:3]
    after = with_room(before, new_number)
    after[sides == 1 + int(parts[1] <= parts[0])] = new_number
    return CellEdit(box, before, after, (number, new_number))


def _flat(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Seen along all axes but the last two."""
    flat: NDArray[np.bool_] = np.any(mask.reshape(-1, *mask.shape[-2:]), axis=0)
    return flat


def _piece(mask: NDArray[np.bool_], at: tuple[NDArray[np.intp], ...]) -> NDArray[np.bool_]:
    """The piece of a cell that holds most of some of its pixels."""
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count == 1:
        return mask
    most = np.bincount(pieces[at]).argmax()
    piece: NDArray[np.bool_] = pieces == most
    return piece


def _barrier(points: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The stroke, gone on with straight at both ends until it leaves the cell."""
    few = min(len(points), _DIRECTION_POINTS)
    barrier = np.zeros(mask.shape, bool)
    barrier[stroke_pixels(points, mask.shape)] = True
    for end, earlier in ((points[0], points[few - 1]), (points[-1], points[-few])):
        way = end - earlier
        length = float(np.hypot(*way))
        if length == 0:
            continue
        beyond = end + way / length * float(np.hypot(*mask.shape))
        path = stroke_pixels(np.array([end, beyond]), mask.shape)
        outside = np.flatnonzero(~mask[path])
        # Another arm of a bent cell, further on, is not meant.
        stop = int(outside[0]) + 1 if outside.size else None
        barrier[tuple(axis[:stop] for axis in path)] = True
    # Without a gap at corners, through which a side could leak into the other.
    return ndimage.binary_dilation(barrier)


def _evened(heights: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Heights from 0 to 1 within the cell; where nothing is known they are high."""
    known = heights[mask & np.isfinite(heights)]
    low, high = np.percentile(known, _RANGE) if known.size else (0.0, 0.0)
    if high <= low:
        return np.ones(mask.shape)
    evened: NDArray[np.float64] = np.clip((heights - low) / (high - low), 0, 1)
    return np.nan_to_num(evened, nan=1.0)


def _diameter_px(mask: NDArray[np.bool_]) -> float:
    """Of the circle that is as large as the cell as it is seen in the plane of the stroke."""
    return 2 * float(np.sqrt(np.count_nonzero(_flat(mask)) / np.pi))


def _sides(
    mask: NDArray[np.bool_], barrier: NDArray[np.bool_], away: NDArray[np.float64]
) -> NDArray[np.int32] | None:
    """Both sides of a cell, 1 and 2, beside a corridor around the stroke; None if it has one.

    Parameters
    ----------
    away : float array of the shape of `barrier`
        Distance from it in half the widths of the corridor.
    """
    pieces, count = ndimage.label(mask & ~barrier)
    if count < 2:
        return None
    sizes = np.bincount(pieces.reshape(-1))[1:]
    first, second = np.argsort(-sizes, kind="stable")[:2] + 1
    if sizes[second - 1] < _LEAST_SHARE * np.count_nonzero(mask):
        return None
    sides: NDArray[np.int32] = (pieces == first) + 2 * (pieces == second).astype(np.int32)
    for half in (1.0, 0.5):
        seeds: NDArray[np.int32] = np.where(away > half, sides, 0)
        if (seeds == 1).any() and (seeds == 2).any():
            return seeds
    return sides
