"""Cells as polygons, and the pixels in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage

Ring: TypeAlias = NDArray[Any]
"""(N, 2) corners as (x, y), the last one joined to the first. (0, 0) is the image's corner, so that
the first pixel has its centre at (0.5, 0.5), as in ImageJ and QuPath."""

Polygon: TypeAlias = Sequence[Ring]
"""Its outline, and the outlines of its holes."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A cell in one plane.

    Parameters
    ----------
    number : int, optional
        Of the cell; None where a file does not say it.
    plane : tuple of int, optional
        Index along the axes before Y and X; None for every plane.
    polygons : sequence of Polygon
        More than one where the cell is in parts.
    name : str
        What the file calls it, or its type.
    """

    number: int | None
    plane: tuple[int, ...] | None
    polygons: Sequence[Polygon]
    name: str = ""


def pixels_inside(
    polygon: Polygon, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Find the pixels whose centres lie in a polygon.

    Parameters
    ----------
    polygon : sequence of (N, 2) array
        A point in a ring within a ring lies outside (even-odd rule).
    shape : (H, W)
        Of the image; what lies beyond it is left out.

    Returns
    -------
    region : tuple of slice
        The box around it.
    inside : bool array
        Of this box.
    """
    rings = [np.asarray(ring, np.float64) for ring in polygon]
    begin, end = np.concatenate(rings), np.concatenate([np.roll(ring, -1, 0) for ring in rings])
    # Pixels from the first to before the last, along X and Y.
    low = np.clip(np.ceil(begin.min(axis=0) - 0.5), 0, shape[::-1]).astype(np.int64)
    high = np.clip(np.ceil(begin.max(axis=0) - 0.5), 0, shape[::-1]).astype(np.int64)
    width, height = np.maximum(high - low, 0).tolist()
    lines = np.clip(np.ceil(np.sort([begin[:, 1], end[:, 1]], axis=0) - 0.5), low[1], high[1])
    first, last = lines.astype(np.int64)
    repeats = np.maximum(last - first, 0)
    # Downwards, so that cells with a common edge find the same points on it.
    is_upward = (begin[:, 1] > end[:, 1])[:, np.newaxis]
    begin, end = np.where(is_upward, end, begin), np.where(is_upward, begin, end)
    edge = np.repeat(np.arange(repeats.size), repeats)
    row = first[edge] + np.arange(edge.size) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(x - 0.5), low[0], high[0]).astype(np.int64) - low[0]
    # An edge changes outside to inside for all pixels to its right.
    place = (row - low[1]) * (width + 1) + column
    changes = np.bincount(place, minlength=height * (width + 1)).reshape(height, width + 1)
    inside = (np.cumsum(changes, axis=1) % 2 == 1)[:, :width]
    return (slice(low[1], low[1] + height), slice(low[0], low[0] + width)), inside


def extent(cells: Sequence[Outline]) -> tuple[int, int]:
    """Height and width of the smallest image from (0, 0) that holds all polygons, 1 x 1 for none.

    Parameters
    ----------
    cells : sequence of Outline
    """
    rings = [ring for cell in cells for polygon in cell.polygons for ring in polygon]
    size = np.ceil(np.max([ring.max(axis=0) for ring in rings], axis=0)) if rings else (1, 1)
    width, height = (max(1, int(each)) for each in size)
    return height, width


def painted(
    cells: Sequence[Outline], shape: tuple[int, ...]
) -> tuple[LabelImage, list[int], list[str]]:
    """Paint cells into a label image, the smaller ones over the larger.

    Parameters
    ----------
    cells : sequence of Outline
        Those without a number get the next one after the highest.
    shape : tuple of int

    Returns
    -------
    labels : int32 or int64 array of this shape
    numbers : list of int
        Of each of `cells`.
    remarks : list of str
        What of them was lost, in sentences.
    """
    highest = max((cell.number or 0 for cell in cells), default=0)
    numbers = []
    for cell in cells:
        highest += cell.number is None
        numbers.append(cell.number or highest)
    labels = np.zeros(shape, np.int32 if highest <= np.iinfo(np.int32).max else np.int64)
    masks, size = [], (shape[-2], shape[-1])
    for cell, number in zip(cells, numbers, strict=True):
        parts = [pixels_inside(polygon, size) for polygon in cell.polygons]
        masks.append((sum(int(inside.sum()) for _, inside in parts), number, cell, parts))
    overlaps = beyond = empty = 0
    for pixels, number, cell, parts in sorted(masks, key=lambda each: -each[0]):
        is_there = all(at < count for at, count in zip(cell.plane or (), shape, strict=False))
        empty += pixels == 0 and is_there
        beyond += not is_there or _reaches_beyond(cell, shape)
        for region, inside in parts if is_there else ():
            view = labels[(*(cell.plane if cell.plane is not None else (...,)), *region)]
            under = view[..., inside]
            overlaps += bool(np.any((under != 0) & (under != number)))
            view[..., inside] = number
    counts = {
        "overlap others; where they do, a pixel is of the smaller cell": overlaps,
        "are left out, because no pixel has its centre in them": empty,
        "reach beyond the image, and are cut there": beyond,
    }
    remarks = [f"{n} of {len(cells)} cells {what}." for what, n in counts.items() if n]
    return labels, numbers, remarks


def _reaches_beyond(cell: Outline, shape: tuple[int, ...]) -> bool:
    corners = np.concatenate([ring for polygon in cell.polygons for ring in polygon])
    return bool((corners < 0).any() or (corners > shape[:-3:-1]).any())
