"""Between napari's layers and arrays: what is segmented, and where the labels go."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet import __version__
from napari_unet.engine.base.errors import ImageShapeError, UNetError
from napari_unet.engine.images.image import AnyImage, LabelImage, PlaneIndex

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.weight_map.settings import WeightMapSettings

METADATA_KEY = "napari_unet"
"""Where a layer's metadata say how its labels came about."""

PREDICTIONS_KEY = "napari_unet_predictions"
"""Where a layer's metadata keep its labels as they were predicted, plane by plane."""

PREVIEW_KEY = "napari_unet_preview"
"""Marks a layer that shows what a network in training sees."""

SCORES_KEY = "napari_unet_scores"
"""Where a layer's metadata say whose scores it shows."""

Extent: TypeAlias = Literal["slice", "stack", "view"]
"""The slice that is shown, every slice, or only the part of the slice that is in view."""

_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class LayerImage:
    """The part of an image layer that is segmented, free of napari.

    Parameters
    ----------
    name : str
        The layer's.
    layer_id : str
        Stays the same when the layer is renamed.
    array : array
        All of the layer at full resolution. It may be lazy (dask, zarr).
    spatial_axes : tuple of int
        Axes of `array` that the labels have, too.
    channel_axis : int, optional
        Axis of `array` that counts channels.
    channel : int, optional
        The only channel to read, counted from 0; all without it.
    extent : {"slice", "stack", "view"}
    plane : tuple of int or slice
        The slice that is shown, in the axes of the labels.
    region : tuple of int, optional
        Start and stop along each axis of the plane, in pixels: what is in view.
    near : tuple of int, optional
        Pixel of the plane in the middle of the view.
    pixel_size_um : float, optional
        In the plane, if the layer's units are lengths.
    place : dict
        Scale, translate and the like, as napari takes them for a layer of labels.
    """

    name: str
    layer_id: str
    array: AnyImage
    spatial_axes: tuple[int, ...]
    channel_axis: int | None
    channel: int | None
    extent: Extent
    plane: PlaneIndex
    region: tuple[int, ...] | None
    near: tuple[int, ...] | None
    pixel_size_um: float | None
    place: dict[str, Any]

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape in pixels of a layer of labels on the same grid."""
        return tuple(int(self.array.shape[axis]) for axis in self.spatial_axes)

    def result_name(self, model: str) -> str:
        """What tells the cells of a model from those of another one, or in another channel."""
        return model if self.channel is None else f"{model}, channel {self.channel + 1}"

    @property
    def has_slices(self) -> bool:
        """Whether the plane is one of several."""
        return any(not isinstance(part, slice) for part in self.plane)

    @property
    def is_lazy(self) -> bool:
        """Whether pixels are read or computed only when they are asked for."""
        return not isinstance(self.array, np.ndarray)

    def planes(self) -> list[PlaneIndex]:
        """Where the planes lie in the labels, in the order in which they are segmented."""
        if self.extent != "stack" or not self.has_slices:
            return [self.plane]
        front = sum(not isinstance(part, slice) for part in self.plane)
        stack = self.labels_shape[:front]
        return [(*map(int, index), *self.plane[front:]) for index in np.ndindex(*stack)]

    def pixels(self) -> tuple[AnyImage, int]:
        """Return what is segmented, and which of its axes is that of the channels.

        Nothing is read here from a lazy array.
        """
        whole = self.extent == "stack" or not self.has_slices
        return self._read(None if whole else self.plane)

    def intensity_reference(self) -> AnyImage | None:
        """Pixels on which intensities are measured; None for the segmented ones themselves.

        A slice of a stack in memory gets the stack's, so that it is segmented
        as it will be with all the others. To read a whole lazy stack for one
        slice would take too long.
        """
        if self.extent == "stack" or not self.has_slices or self.is_lazy:
            return None
        pixels, axis = self._read(None)
        colours = pixels.shape[axis] == 4
        return np.moveaxis(pixels, axis, 0)[:3] if colours else pixels

    def _read(self, plane: PlaneIndex | None) -> tuple[AnyImage, int]:
        array = as_array(self.array)
        parts: list[int | slice] = [_ALL] * array.ndim
        for axis, part in zip(self.spatial_axes, plane or (), strict=plane is not None):
            parts[axis] = part
        channels = self.channel_axis
        if channels is None or self.channel is not None:
            if channels is not None and self.channel is not None:
                parts[channels] = self.channel
            return array[tuple(parts)][np.newaxis], 0
        dropped = sum(not isinstance(part, slice) for part in parts[:channels])
        return array[tuple(parts)], channels - dropped


def as_array(array: Any) -> AnyImage:
    """Make anything that napari shows an array that can be cut like NumPy's; nothing is read."""
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        return cast("AnyImage", array)
    import dask.array

    chunks = getattr(array, "chunks", None) or "auto"
    return cast("AnyImage", dask.array.from_array(array, chunks=chunks))  # type: ignore[no-untyped-call]


def spatial_ndim(layer: Image, channel_axis: int | None) -> int:
    """Axes of a layer without that of the channels."""
    return int(layer.ndim) - (channel_axis is not None)


def full_resolution(layer: Layer) -> Any:
    """Data of a layer, of a multiscale one those of the finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def read_layer(
    layer: Image,
    dims: Dims,
    *,
    network_ndim: int,
    extent: Extent,
    channel_axis: int | None = None,
    channel: int | None = None,
) -> LayerImage:
    """Take from an image layer what a network is to segment; nothing is copied.

    Parameters
    ----------
    layer : napari Image layer
        Of a multiscale layer the full resolution is taken.
    dims : napari Dims
        The viewer's; says which slice is shown.
    network_ndim : int
        Spatial axes that the network reads at once.
    extent : {"slice", "stack", "view"}
    channel_axis : int, optional
        Axis of the layer that counts channels; an RGB layer has its own.
    channel : int, optional
        The only channel to read, counted from 0.

    Returns
    -------
    LayerImage

    Raises
    ------
    ImageShapeError
        If the layer has no pixels, too few axes, no such channel, or is out of view.
    """
    array = full_resolution(layer)
    if layer.rgb:
        axis: int | None = layer.ndim
        kept = tuple(range(layer.ndim))
    else:
        axis = channel_axis
        kept = tuple(each for each in range(layer.ndim) if each != channel_axis)
    shape = tuple(int(array.shape[each]) for each in kept)
    if 0 in array.shape:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {tuple(map(int, array.shape))} and no pixels; choose "
            "another one."
        )
    if len(kept) < network_ndim:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {tuple(map(int, array.shape))}; this model reads "
            f"{network_ndim}-D images. Choose a layer with {network_ndim} axes, or another model."
        )
    if axis is not None and channel is not None and channel >= array.shape[axis]:
        raise ImageShapeError(
            f"Layer '{layer.name}' has {array.shape[axis]} channels, so there is no channel "
            f"{channel + 1}; choose another one."
        )
    shown = shown_plane(layer, dims, network_ndim, without=channel_axis)
    # The engine takes slices from the front, whichever axes the viewer shows.
    front = tuple(
        part if isinstance(part, int) else 0 for part in shown[: len(kept) - network_ndim]
    )
    plane = front + (_ALL,) * network_ndim if extent == "stack" else shown
    sizes = [n for n, part in zip(shape, plane, strict=True) if isinstance(part, slice)]
    box = visible_box(layer, kept, plane, sizes)
    if extent == "view" and box is None:
        raise ImageShapeError(
            f"Nothing of layer '{layer.name}' is in view; move it into the canvas (its home button "
            "shows all layers), or segment the whole image."
        )
    return LayerImage(
        name=str(layer.name),
        layer_id=str(layer.unique_id),
        array=array,
        spatial_axes=kept,
        channel_axis=axis,
        channel=channel if axis is not None else None,
        extent=extent,
        plane=plane,
        region=box if extent == "view" else None,
        near=None
        if box is None
        else tuple((low + high) // 2 for low, high in zip(box[::2], box[1::2], strict=True)),
        pixel_size_um=pixel_size_um(layer),
        place=place_of(layer, kept),
    )


def place_of(layer: Layer, axes: tuple[int, ...]) -> dict[str, Any]:
    """Scale, translate and the like of some of a layer's axes."""
    columns = [*axes, layer.ndim]
    shear = np.asarray(layer.shear)
    if shear.ndim == 1:
        # napari gives those numbers above the diagonal.
        above = np.eye(layer.ndim)
        above[np.triu_indices(layer.ndim, k=1)] = shear
        shear = above
    return {
        "scale": np.asarray(layer.scale)[list(axes)],
        "translate": np.asarray(layer.translate)[list(axes)],
        "rotate": np.asarray(layer.rotate)[np.ix_(axes, axes)],
        "shear": shear[np.ix_(axes, axes)],
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_(columns, columns)],
        "units": tuple(layer.units[axis] for axis in axes),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in axes),
    }


def part_of_place(place: dict[str, Any], corner: Sequence[int]) -> dict[str, Any]:
    """Place of a part of a layer whose first pixel is at `corner`, from the place of the whole."""
    axes = len(corner)
    scaled = np.asarray(place["scale"]) * np.asarray(corner, float)
    turned = np.asarray(place["rotate"]) @ np.asarray(place["shear"]) @ scaled
    translate = np.asarray(place["translate"]) + turned
    return {**place, "translate": translate[:axes]}


def pixel_size_um(layer: Image) -> float | None:
    """Size of a pixel in the plane in micrometres; None if the layer's units are no lengths."""
    sizes = [
        # Mirrored layers have a negative scale.
        abs((float(scale) * unit).to("micrometer").magnitude)
        for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True)
        if unit.is_compatible_with("micrometer")
    ]
    return math.sqrt(math.prod(sizes)) if len(sizes) == 2 else None


def shown_plane(
    layer: Layer, dims: Dims, network_ndim: int, *, without: int | None = None
) -> PlaneIndex:
    """Index of the slice that the viewer shows, in the layer's axes but the one left out."""
    # A layer with fewer axes than the viewer has the viewer's last ones.
    missing = dims.ndim - layer.ndim
    order = [axis - missing for axis in dims.order if axis >= missing and axis - missing != without]
    world = layer.world_to_data(dims.point[missing:])
    shape = full_resolution(layer).shape
    return tuple(
        _ALL
        if axis in order[-network_ndim:]
        else int(np.clip(round(float(world[axis])), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
        if axis != without
    )


def visible_box(
    layer: Image, axes: tuple[int, ...], plane: PlaneIndex, sizes: list[int]
) -> tuple[int, ...] | None:
    """Start and stop along each axis of a plane of what the canvas shows; None if unknown."""
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level]
    shown = [axis for axis, part in zip(axes, plane, strict=True) if isinstance(part, slice)]
    box: list[int] = []
    for axis, size in zip(shown, sizes, strict=True):
        start = int(np.clip(math.floor(corners[0, axis]), 0, size))
        stop = int(np.clip(math.ceil(corners[1, axis]) + 1, 0, size))
        box += [start, stop]
    # napari fills the corners in when it draws; before, or out of view, they span nothing.
    spans = zip(box[::2], box[1::2], sizes, strict=True)
    return tuple(box) if all(high - low > 1 or n == 1 for low, high, n in spans) else None


def move_to(layer: Layer, place: dict[str, Any]) -> None:
    """Put a layer where `place_of` says, if it is not there."""
    now = place_of(layer, tuple(range(layer.ndim)))
    for name, value in place.items():
        is_there = now[name] == value if isinstance(value, tuple) else np.allclose(now[name], value)
        if not is_there:
            setattr(layer, name, value)


def find_result(viewer: ViewerModel, image: LayerImage, model: str) -> Labels | None:
    """Find the layer of the last run on the same image layer and channel with the same model."""
    channel = None if image.channel is None else image.channel + 1
    for layer in reversed(viewer.layers):
        made = layer.metadata.get(METADATA_KEY, {})
        found = [made.get(key) for key in ("image_id", "model", "channel", "layer_id")]
        # A copy that a person made of the layer has all of its metadata, too.
        same = found == [image.layer_id, model, channel, str(layer.unique_id)]
        if same and writable(layer) and layer.data.shape == image.labels_shape:
            return cast("Labels", layer)
    return None


def note_origin(
    layer: Layer, made: dict[str, Any], predictions: Mapping[str, LabelRuns] | None = None
) -> None:
    """Keep in a layer how its labels came about, for `find_result`.

    Parameters
    ----------
    layer : napari layer
    made : dict
    predictions : mapping of str to LabelRuns, optional
        Planes that were just predicted, by their keys; beside those of before.
    """
    own = {**made, "layer_id": str(layer.unique_id)}
    kept = {**layer.metadata.get(PREDICTIONS_KEY, {}), **(predictions or {})}
    layer.metadata = {**layer.metadata, METADATA_KEY: own, PREDICTIONS_KEY: kept}


def predictions_of(layer: Layer) -> dict[str, LabelRuns]:
    """What was predicted in each plane of a layer that Segment filled; empty for others.

    A copy that a person made of the layer is one of the others: it may be
    another image's by now.
    """
    made = layer.metadata.get(METADATA_KEY, {})
    is_own = made.get("layer_id") == str(layer.unique_id)
    return dict(layer.metadata.get(PREDICTIONS_KEY, {})) if is_own else {}


def writable(layer: Layer) -> bool:
    """Whether labels can be written into a layer's own memory."""
    data = layer.data
    return isinstance(data, np.ndarray) and data.dtype == np.int32 and bool(data.flags.writeable)


@dataclass(frozen=True, slots=True, eq=False)
class LabelEdit:
    """Pixels of a layer that get another label.

    Parameters
    ----------
    places : tuple of (pixels,) int array
        One for each axis.
    values : (pixels,) integer array
    dtype : data type
        That has room for all labels.
    """

    places: tuple[NDArray[np.intp], ...]
    values: LabelImage
    dtype: np.dtype[Any]

    def parts(self, most: int) -> Iterator[LabelEdit]:
        """Cut it into edits of at most so many pixels."""
        for start in range(0, self.values.size, most):
            part = slice(start, start + most)
            places = tuple(axis[part] for axis in self.places)
            yield LabelEdit(places, self.values[part], self.dtype)


def label_edit(before: LabelImage, after: LabelImage) -> LabelEdit:
    """Find what turns one label image into another of the same shape; any thread may."""
    places = np.nonzero(before != after)
    values = after[places]
    limits = np.iinfo(before.dtype)
    fits = not values.size or (limits.min <= values.min() and values.max() <= limits.max)
    return LabelEdit(places, values, before.dtype if fits else after.dtype)


def edit_labels(layer: Labels, edit: LabelEdit, *, refreshes: bool = True) -> None:
    """Write labels into a layer as one step that undo takes back.

    It is told like a stroke of the brush, so that whatever follows the labels
    follows this. A layer whose numbers are too short for the new ones gets
    longer ones first; what was painted before cannot be undone then. A million
    pixels take a quarter of a second.

    Parameters
    ----------
    layer : napari Labels layer
    edit : LabelEdit
    refreshes : bool
        Whether the layer is drawn anew.
    """
    if edit.values.size:
        if layer.data.dtype != edit.dtype:
            layer.data = layer.data.astype(edit.dtype)
        layer.data_setitem(edit.places, edit.values, refresh=refreshes)


def labels_in_memory(layer: Labels) -> LabelImage:
    """Return the array of a layer, into which labels can be written.

    Raises
    ------
    UNetError
        If its labels are not in memory or cannot be written to.
    """
    data = layer.data
    if not isinstance(data, np.ndarray) or not data.flags.writeable:
        raise UNetError(
            f"The labels of '{layer.name}' cannot be written to, as they are read from a file or "
            "computed; duplicate the layer as a NumPy array first."
        )
    return data


def find_scores(viewer: ViewerModel, image: LayerImage, model: str, role: str) -> Image | None:
    """Find the layer that shows the scores of one class."""
    key = [image.layer_id, image.result_name(model), role]
    for layer in reversed(viewer.layers):
        if layer.metadata.get(SCORES_KEY) == key and layer.data.shape == image.labels_shape:
            return cast("Image", layer)
    return None


def new_labels_layer(array: LabelImage, image: LayerImage, model: str) -> Labels:
    """Make a layer around `array`, on the grid of the image; any thread may."""
    from napari.layers import Labels

    return Labels(array, name=f"{image.name}: {image.result_name(model)}", **image.place)


def new_preview_layer(array: LabelImage, image: LayerImage, corner: Sequence[int]) -> Labels:
    """Make a layer of outlines around the part of an image that begins at `corner`; any thread may.

    Its name is that of the image, and nobody is offered it where labels are asked for.
    """
    from napari.layers import Labels

    layer = Labels(
        array,
        name=f"{image.name}: preview of training",
        metadata={PREVIEW_KEY: True},
        **part_of_place(image.place, corner),
    )
    layer.contour, layer.editable = 2, False
    return layer


_SCORE_COLOURS = {"cell": "green", "border": "magenta"}


def new_scores_layer(array: AnyImage, image: LayerImage, model: str, role: str) -> Image:
    """Make a layer for the scores of one class, 0 to 1, on the grid of the image."""
    from napari.layers import Image

    return Image(
        array,
        name=f"{image.name}: {image.result_name(model)}, {role} score",
        metadata={SCORES_KEY: [image.layer_id, image.result_name(model), role]},
        colormap=_SCORE_COLOURS.get(role, "gray"),
        blending="additive",
        contrast_limits=(0, 1),
        opacity=0.6,
        **image.place,
    )


def weight_limits(settings: WeightMapSettings) -> tuple[float, float]:
    """Weights between which colours change: the same for every image with these settings."""
    return 0.0, settings.w0


def new_weight_layer(array: AnyImage, labels: Labels, settings: WeightMapSettings) -> Image:
    """Make a layer for a weight map on the grid of its labels, to be seen through."""
    from napari.layers import Image

    return Image(
        array,
        name=f"{labels.name}: weight map",
        metadata={SCORES_KEY: [str(labels.unique_id), "", "weight map"]},
        colormap="inferno",
        blending="additive",
        contrast_limits=weight_limits(settings),
        **place_of(labels, tuple(range(labels.ndim))),
    )


def provenance(
    image: LayerImage,
    model: str,
    *,
    source: str,
    file_hash: str,
    guesses: Mapping[str, str],
    cells: int,
    settings: SegmentationSettings,
    instances: InstanceSettings,
    checksums: dict[str, list[int]],
) -> dict[str, Any]:
    """How a layer of labels came about, in plain values that can be written to a file."""
    return {
        "image": image.name,
        "image_id": image.layer_id,
        "extent": image.extent,
        "channel": None if image.channel is None else image.channel + 1,
        "model": model,
        "model_source": source,
        "model_sha256": file_hash,
        "model_guesses": dict(guesses),
        "cells": cells,
        "settings": asdict(settings),
        "instances": asdict(instances),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "checksums": checksums,
    }
