"""Between napari's layers and arrays: what is segmented, and where the labels go."""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.engine.errors import ImageShapeError
from napari_unet.engine.image import AnyImage, LabelImage

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Labels

    from napari_unet.engine.segmentation import Segmentation

METADATA_KEY = "napari_unet"
"""Where a layer's metadata say how its labels came about."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerImage:
    """The part of an image layer that is segmented, free of napari.

    Parameters
    ----------
    name : str
        The layer's.
    layer_id : str
        Stays the same when the layer is renamed.
    array : array
        All of the layer at full resolution: spatial axes, and a last one with
        the channels if `is_rgb`. It may be lazy (dask, zarr).
    is_rgb : bool
    every_slice : bool
        Whether the first axis counts slices that are segmented one by one.
    plane : tuple of int or slice
        What is segmented, in the layer's spatial axes.
    pixel_size_um : float, optional
        In the plane, if the layer's units are lengths.
    """

    name: str
    layer_id: str
    array: AnyImage
    is_rgb: bool
    every_slice: bool
    plane: tuple[int | slice, ...]
    pixel_size_um: float | None = None

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Spatial shape of the layer in pixels."""
        return tuple(int(n) for n in self.array.shape[: len(self.plane)])

    @property
    def pixels(self) -> AnyImage:
        """What is segmented; reading it from a lazy array can take long."""
        whole = all(isinstance(index, slice) for index in self.plane)
        return self.array if whole else self.array[self.plane]


@dataclass(frozen=True, slots=True, eq=False)
class LayerLabels:
    """Labels made ready for a layer.

    Parameters
    ----------
    labels : integer array of the layer's spatial shape
    cells : int
        How many were found in this run.
    notes : tuple of str
        The engine's, about anything that went another way than asked for.
    replaces : str
        `unique_id` of the layer that they go into; empty for a new one.
    provenance : dict
        Kept in the layer's metadata.
    """

    labels: LabelImage
    cells: int
    notes: tuple[str, ...]
    replaces: str
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class EarlierResult:
    """What the layer of an earlier run holds; compared off the Qt thread.

    Parameters
    ----------
    layer_id : str
    labels : integer array
        The layer's own array, not a copy.
    checksum : int
        Of the labels as they were written.
    """

    layer_id: str
    labels: LabelImage
    checksum: int

    @property
    def is_edited(self) -> bool:
        """Whether anyone changed the labels since; reads the whole array."""
        return labels_checksum(self.labels) != self.checksum


def has_slices(layer: Image, network_ndim: int) -> bool:
    """Whether a layer has more spatial axes than a network reads at once."""
    return bool(layer.ndim > network_ndim)


def read_layer(layer: Image, dims: Dims, *, network_ndim: int, every_slice: bool) -> LayerImage:
    """Take from an image layer what a network is to segment; nothing is copied.

    Parameters
    ----------
    layer : napari Image layer
        Of a multiscale layer the full resolution is taken.
    dims : napari Dims
        The viewer's; says which slice is shown.
    network_ndim : int
        Spatial axes that the network reads at once.
    every_slice : bool
        Every slice of a stack, not only the one that is shown.

    Returns
    -------
    LayerImage

    Raises
    ------
    ImageShapeError
        If the layer has too few axes, or too many for every slice.
    """
    array = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(n) for n in array.shape[: layer.ndim])
    if layer.ndim < network_ndim:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {shape}; this model reads {network_ndim}-D images. "
            f"Choose a layer with {network_ndim} axes, or another model."
        )
    stacked = has_slices(layer, network_ndim)
    if stacked and every_slice and layer.ndim > network_ndim + 1:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {shape}; 'every slice' takes {network_ndim + 1} axes. "
            "Untick it to segment the slice that is shown."
        )
    plane: tuple[int | slice, ...] = (slice(None),) * layer.ndim
    if stacked and not every_slice:
        plane = shown_plane(layer, dims, network_ndim)
    return LayerImage(
        name=str(layer.name),
        layer_id=str(layer.unique_id),
        array=array,
        is_rgb=bool(layer.rgb),
        every_slice=stacked and every_slice,
        plane=plane,
        pixel_size_um=pixel_size_um(layer),
    )


def pixel_size_um(layer: Image) -> float | None:
    """Size of a pixel in the plane in micrometres; None if the layer's units are no lengths."""
    sizes = [
        (float(scale) * unit).to("micrometer").magnitude
        for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True)
        if unit.is_compatible_with("micrometer")
    ]
    return math.sqrt(math.prod(sizes)) if len(sizes) == 2 else None


def shown_plane(layer: Image, dims: Dims, network_ndim: int) -> tuple[int | slice, ...]:
    """Index of the slice that the viewer shows, in the layer's spatial axes."""
    # A layer with fewer axes than the viewer has the viewer's last ones.
    missing = dims.ndim - layer.ndim
    order = [axis - missing for axis in dims.order if axis >= missing]
    world = layer.world_to_data(dims.point[missing:])
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    return tuple(
        slice(None)
        if axis in order[-network_ndim:]
        else int(np.clip(round(float(world[axis])), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
    )


def earlier_result(viewer: ViewerModel, image: LayerImage, model: str) -> EarlierResult | None:
    """Find the layer of the last run on the same image layer with the same model."""
    for layer in reversed(viewer.layers):
        provenance = layer.metadata.get(METADATA_KEY, {})
        same = (provenance.get("image_id"), provenance.get("model")) == (image.layer_id, model)
        if same and tuple(layer.data.shape) == image.layer_shape:
            checksum = int(provenance.get("checksum", -1))
            return EarlierResult(str(layer.unique_id), layer.data, checksum)
    return None


def place_labels(
    result: Segmentation, image: LayerImage, earlier: EarlierResult | None, model: str
) -> LayerLabels:
    """Fit the labels of a run into the shape of the layer; for the worker's thread.

    Parameters
    ----------
    result : Segmentation
        Of `image.pixels`.
    image : LayerImage
    earlier : EarlierResult, optional
        It is replaced, and its other slices are kept, unless it was edited.
    model : str
        Name of the network.

    Returns
    -------
    LayerLabels
    """
    kept = None if earlier is None or earlier.is_edited else earlier
    labels = result.labels
    if labels.shape != image.layer_shape:
        labels = np.zeros(image.layer_shape, np.int32) if kept is None else kept.labels.copy()
        labels[image.plane] = result.labels
    provenance = {
        "image": image.name,
        "image_id": image.layer_id,
        "model": model,
        "cells": result.cell_count,
        "settings": asdict(result.settings),
        "instances": asdict(result.instances),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "checksum": labels_checksum(labels),
    }
    replaces = "" if kept is None else kept.layer_id
    return LayerLabels(labels, result.cell_count, result.notes, replaces, provenance)


def labels_checksum(labels: LabelImage) -> int:
    """Tell two label arrays apart; also by their dtype and shape."""
    start = zlib.crc32(f"{labels.dtype}{labels.shape}".encode())
    return zlib.crc32(np.ascontiguousarray(labels).data.cast("B"), start)


def show_labels(viewer: ViewerModel, image_layer: Image, result: LayerLabels) -> Labels:
    """Put labels into their layer, or a new one on the grid of the image layer.

    Parameters
    ----------
    viewer : napari viewer
    image_layer : napari Image layer
        Lends the new layer its place in the world.
    result : LayerLabels

    Returns
    -------
    napari Labels layer
    """
    for layer in viewer.layers:
        if result.replaces and str(layer.unique_id) == result.replaces:
            layer.data = result.labels
            layer.metadata = {**layer.metadata, METADATA_KEY: result.provenance}
            return layer
    return viewer.add_labels(
        result.labels,
        name=f"{image_layer.name}: {result.provenance['model']}",
        metadata={METADATA_KEY: result.provenance},
        scale=image_layer.scale,
        translate=image_layer.translate,
        rotate=image_layer.rotate,
        shear=image_layer.shear,
        affine=np.asarray(image_layer.affine.affine_matrix),
        units=image_layer.units,
        axis_labels=image_layer.axis_labels,
    )
