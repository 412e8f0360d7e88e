"""Shapes that a person drew: regions as masks on the grid of labels, and the size of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_unet.engine.images.image import PlaneIndex

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes

_ROUND_CORNERS = 64
"""Corners of the polygon that stands for an ellipse."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRegion:
    """The outline of a rectangle, polygon or ellipse."""

    corners: NDArray[np.float64]
    """(N, D), in pixels of the labels."""


def drawn_regions(shapes: Shapes, labels: Layer) -> tuple[DrawnRegion, ...]:
    """Take the regions of a Shapes layer to the pixels of a layer of labels.

    Lines and paths enclose nothing and are left out.
    """
    regions = []
    for kind, corners in zip(shapes.shape_type, shapes.data, strict=True):
        if kind in ("line", "path"):
            continue
        points = np.asarray(corners, float)
        outline = _ellipse(points) if kind == "ellipse" else points
        world = np.array([shapes.data_to_world(point) for point in outline])
        # A flat drawing over a stack counts in every slice.
        missing = labels.ndim - world.shape[1]
        if missing > 0:
            world = np.concatenate([np.full((len(world), missing), np.nan), world], axis=1)
        regions.append(DrawnRegion(_to_pixels(world[:, -labels.ndim :], labels)))
    return tuple(regions)


def region_mask(
    regions: Sequence[DrawnRegion], plane: PlaneIndex, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Mark the pixels of a plane that lie in any region.

    Parameters
    ----------
    plane : PlaneIndex
        In labels of the shape `shape`.

    Returns
    -------
    bool array of the plane's shape
        Of a volume, every slice in which a region was drawn is marked.
    """
    sizes = [n for n, part in zip(shape, plane, strict=True) if isinstance(part, slice)]
    mask = np.zeros(sizes, bool)
    stack = mask.reshape(-1, *mask.shape[-2:])
    fixed = [part for part in plane if not isinstance(part, slice)]
    for region in regions:
        depths = region.corners[:, :-2]
        own = depths[:, : len(fixed)]
        if own.size and not _lies_in(own, fixed):
            continue
        drawn = _polygon(region.corners[:, -2:], mask.shape[-2:])
        for number, index in enumerate(np.ndindex(*mask.shape[:-2])):
            if _lies_in(depths[:, len(fixed) :], index):
                stack[number] |= drawn
    return mask


def _lies_in(depths: NDArray[np.float64], index: Sequence[int]) -> bool:
    """Whether an outline was drawn in a slice; one without a depth lies in all."""
    if not depths.size:
        return True
    slices = np.round(depths.mean(axis=0))
    return all(np.isnan(at) or at == wanted for at, wanted in zip(slices, index, strict=True))


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on the ellipse within four corners."""
    middle = box.mean(axis=0)
    one, other = (box[0] + box[1]) / 2 - middle, (box[1] + box[2]) / 2 - middle
    angles = np.linspace(0, 2 * np.pi, _ROUND_CORNERS, endpoint=False)[:, np.newaxis]
    outline: NDArray[np.float64] = middle + np.cos(angles) * one + np.sin(angles) * other
    return outline


def _to_pixels(world: NDArray[np.float64], labels: Layer) -> NDArray[np.float64]:
    unknown = np.isnan(world)
    known = np.where(unknown, 0, world)
    points = np.array([labels.world_to_data(point) for point in known], float)
    pixels: NDArray[np.float64] = np.where(unknown, np.nan, points)
    return pixels


def _polygon(corners: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = size
    picture = Image.new("1", (width, height))
    points = [(float(x), float(y)) for y, x in corners]
    if len(points) > 2:
        ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
    return np.asarray(picture, bool)


def drawn_diameter(corners: NDArray[np.floating[Any]], kind: str) -> float:
    """Diameter, in pixels, of the circle that is as large as what was drawn.

    Parameters
    ----------
    corners : (N, 2) array
        As napari keeps shapes: of an ellipse those of its box.
    kind : str
        napari's type of the shape.
    """
    if kind in ("line", "path"):
        return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())
    y, x = corners.T
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    if kind == "ellipse":
        return math.sqrt(area)
    return math.sqrt(4 * area / math.pi)
