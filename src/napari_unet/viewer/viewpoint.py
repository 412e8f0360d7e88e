"""Brings a part of a layer before the eyes: the slice, the middle of the view and the zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_LEAST_SHARE, _USUAL_SHARE, _LARGEST_SHARE = 0.1, 0.3, 0.7
"""Of the canvas that the part takes up: the zoom stays while it is between the outer two."""

_USUAL_CANVAS_PX = 600


def look_at(viewer: ViewerModel, layer: Layer, box: Region) -> None:
    """Move the camera to a part of a layer, and show the slice that it lies in.

    The zoom stays as it is unless the part would be tiny or cut off.

    Parameters
    ----------
    viewer : napari viewer
        Or what a plugin gets of it.
    box : tuple of slices
        In pixels of the layer's last axes; along axes before these the slice
        stays as it is.
    """
    ndim = len(box)
    missing = viewer.dims.ndim - ndim
    # Pixels are centred on whole numbers.
    corners = [[part.start - 0.5, part.stop - 0.5] for part in box]
    first, last = (_in_world(layer, [corner[side] for corner in corners]) for side in (0, 1))
    middle, size = (first + last) / 2, np.abs(last - first)
    shown = [axis - missing for axis in viewer.dims.displayed]
    for axis in range(ndim):
        if axis not in shown:
            # The slice of a pixel, not the edge between two.
            viewer.dims.set_point(missing + axis, float(_slice_middle(layer, box, axis)))
    camera = _camera(viewer)
    centre = np.array(camera.center, float)
    for place, axis in enumerate(reversed(shown), start=1):
        if axis >= 0:
            centre[-place] = middle[axis]
    camera.center = tuple(centre)
    extent = max(float(size[axis]) for axis in shown if axis >= 0)
    side_px = _canvas_side_px(viewer)
    if not _LEAST_SHARE <= extent * camera.zoom / side_px <= _LARGEST_SHARE:
        camera.zoom = _USUAL_SHARE * side_px / extent


def box_in_layer(box: Region, plane: PlaneIndex | None) -> Region:
    """Return a box of a plane as one of the layer that the plane is cut from."""
    if plane is None:
        return box
    parts = iter(box)
    return tuple(
        next(parts) if isinstance(index, slice) else slice(index, index + 1) for index in plane
    )


def _in_world(layer: Layer, corner: list[float]) -> np.ndarray[Any, Any]:
    """Bring a place in the last axes of a layer into the world."""
    place = [0.0] * (layer.ndim - len(corner)) + corner
    return np.asarray(layer.data_to_world(place), float)[-len(corner) :]


def _slice_middle(layer: Layer, box: Region, axis: int) -> float:
    middles = [float((part.start + part.stop - 1) // 2) for part in box]
    return float(_in_world(layer, middles)[axis])


def _camera(viewer: ViewerModel) -> Any:
    # It moved to the scene in napari 0.9.
    return getattr(viewer, "scene", viewer).camera


def _canvas_side_px(viewer: ViewerModel) -> float:
    # A viewer tells the size of its canvas since napari 0.9.
    canvas = getattr(viewer, "canvas", None)
    return float(_USUAL_CANVAS_PX if canvas is None else max(1, min(canvas.size)))
