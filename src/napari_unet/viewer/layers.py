"""Between napari's image layers and arrays: what is segmented, and where it lies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.settings import scale_settings
from napari_unet.engine.images.image import AnyImage, PlaneIndex, without_alpha

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Layer

Extent: TypeAlias = Literal["slice", "stack", "view"]
"""The slice that is shown, every slice, or only the part of the slice that is in view."""

_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class LayerImage:
    """The part of an image layer that is segmented, free of napari."""

    name: str
    """The layer's."""
    layer_id: str
    """Stays the same when the layer is renamed."""
    array: AnyImage
    """All of the layer at full resolution. It may be lazy (dask, zarr)."""
    spatial_axes: tuple[int, ...]
    """Axes of `array` that the labels have, too."""
    channel_axis: int | None
    """Axis of `array` that counts channels."""
    channel: int | None
    """The only channel to read, counted from 0; all without it."""
    extent: Extent
    plane: PlaneIndex
    """The slice that is shown, in the axes of the labels."""
    region: tuple[int, ...] | None
    """Start and stop along each axis of the plane, in pixels: what is in view."""
    near: tuple[int, ...] | None
    """Pixel of the plane in the middle of the view."""
    pixel_size_um: float | None
    """In the plane, if the layer's units are lengths."""
    spacing: tuple[float, ...] | None
    """Size of a voxel along the last three spatial axes, in one unit; None if nobody has said
    how large voxels are."""
    place: dict[str, Any]
    """Scale, translate and the like, as napari takes them for a layer of labels."""

    @property
    def anisotropy(self) -> float | None:
        """Distance between slices in pixel sizes; None if it is not known."""
        return None if self.spacing is None else scale_settings(self.spacing)["anisotropy"]

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
        return without_alpha(np.moveaxis(pixels, axis, 0))

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


def find_layer(viewer: ViewerModel, layer_id: str) -> Layer | None:
    """Find a layer again by its id; None if it was removed."""
    return next((layer for layer in viewer.layers if str(layer.unique_id) == layer_id), None)


def full_resolution(layer: Layer) -> Any:
    """Data of a layer, of a multiscale one those of the finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def counts_time(layer: Layer, axis: int = 0) -> bool:
    """Whether an axis of a layer, the first one if left out, says that it is time."""
    is_named = str(layer.axis_labels[axis]).lower() in ("t", "time")
    return is_named or bool(layer.units[axis].is_compatible_with("second"))


def slice_axis(layer: Layer, channel_axis: int | None) -> int:
    """Axis of a stack along which its slices follow each other."""
    return max(axis for axis in range(layer.ndim - 2) if axis != channel_axis)


def counts_depth(layer: Layer) -> bool:
    """Whether the first axis of a layer says that it is depth."""
    is_named = str(layer.axis_labels[0]).lower() in ("z", "depth")
    return is_named or bool(layer.units[0].is_compatible_with("meter"))


def is_on_grid(image: Image, labels: Layer) -> bool:
    """Whether an image, without its colours, has as many pixels along each axis as labels."""
    shape = tuple(full_resolution(image).shape)
    return (shape[:-1] if image.rgb else shape) == tuple(full_resolution(labels).shape)


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
    channel_axis : int, optional
        Axis of the layer that counts channels; an RGB layer has its own.
    channel : int, optional
        The only channel to read, counted from 0.

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
    _check_axes(layer, axis, channel, spatial=len(kept), wanted=network_ndim)
    shown = shown_plane(layer, dims, network_ndim, without=channel_axis)
    # The engine takes slices from the front, whichever axes the viewer shows.
    front = tuple(
        part if isinstance(part, int) else 0 for part in shown[: len(kept) - network_ndim]
    )
    plane = front + (_ALL,) * network_ndim if extent == "stack" else shown
    sizes = [n for n, part in zip(shape, plane, strict=True) if isinstance(part, slice)]
    box = visible_box(layer, kept, plane, sizes, dims)
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
        near=None if box is None else _middle(layer, dims, box, plane, kept),
        pixel_size_um=pixel_size_um(layer),
        spacing=spacing_of(layer, kept),
        place=place_of(layer, kept),
    )


def _check_axes(
    layer: Image, axis: int | None, channel: int | None, *, spatial: int, wanted: int
) -> None:
    """Refuse a layer without pixels, with too few spatial axes, or without the wanted channel."""
    array = full_resolution(layer)
    if 0 in array.shape:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {tuple(map(int, array.shape))} and no pixels; choose "
            "another one."
        )
    if spatial < wanted:
        raise ImageShapeError(
            f"Layer '{layer.name}' has shape {tuple(map(int, array.shape))}; this model reads "
            f"{wanted}-D images. Choose a layer with {wanted} axes, or another model."
        )
    if axis is not None and channel is not None and channel >= array.shape[axis]:
        raise ImageShapeError(
            f"Layer '{layer.name}' has {array.shape[axis]} channels, so there is no channel "
            f"{channel + 1}; choose another one."
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


def pixel_size_um(layer: Image) -> float | None:
    """Size of a pixel in the plane in micrometres; None if the layer's units are no lengths."""
    in_plane = zip(layer.scale[-2:], layer.units[-2:], strict=True)
    sizes = [size_in(scale, unit, "micrometer") for scale, unit in in_plane]
    known = [size for size in sizes if size is not None]
    return math.sqrt(math.prod(known)) if len(known) == 2 else None


def spacing_of(layer: Image, axes: Iterable[int]) -> tuple[float, float, float] | None:
    """Size of a voxel along the last three of some axes, in the unit of the last one.

    None with fewer axes, units that do not fit each other, or a scale of 1 in pixels, which says
    only that nobody has set it.
    """
    last = list(axes)[-3:]
    unit = layer.units[last[-1]]
    sizes = [size_in(layer.scale[axis], layer.units[axis], unit) for axis in last]
    known = tuple(size for size in sizes if size is not None)
    is_unset = set(known) == {1.0} and not unit.is_compatible_with("meter")
    return (known[0], known[1], known[2]) if len(known) == 3 and not is_unset else None


def voxel_words(layer: Image, channel_axis: int | None = None) -> str:
    """Say how large voxels of a layer are: "2 x 0.5 x 0.5 µm, slices 4 pixels apart"."""
    axes = [axis for axis in range(layer.ndim) if axis != channel_axis]
    sizes = spacing_of(layer, axes)
    if sizes is None:
        return "size not known; set the layer's scale"
    unit = layer.units[axes[-1]]
    name = f" {unit:~P}" if unit.is_compatible_with("meter") else ""
    apart = scale_settings(sizes)["anisotropy"]
    return f"{' x '.join(f'{size:.3g}' for size in sizes)}{name}, slices {apart:.3g} pixels apart"


def lengths(layer: Layer, ndim: int) -> tuple[float, ...] | None:
    """Size of a pixel along the last axes, in the unit of the last one; None if it is no length."""
    unit = layer.units[-1]
    units = layer.units[-ndim:]
    if not all(each.is_compatible_with("meter") for each in units):
        return None
    return tuple(
        # Mirrored layers have a negative scale.
        abs(float((float(scale) * each).to(unit).magnitude))
        for scale, each in zip(layer.scale[-ndim:], units, strict=True)
    )


def size_in(scale: float, own: Any, unit: Any) -> float | None:
    """Step along an axis of a layer in another unit than its own; None if they do not fit."""
    # Mirrored layers have a negative scale.
    is_fit = own.is_compatible_with(unit)
    return abs(float((float(scale) * own).to(unit).magnitude)) if is_fit else None


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


def _middle(
    layer: Image, dims: Dims, box: tuple[int, ...], plane: PlaneIndex, axes: tuple[int, ...]
) -> tuple[int, ...]:
    """Pixel of a plane in the middle of the view: of a volume in the slice that is shown."""
    missing = dims.ndim - layer.ndim
    point = np.round(layer.world_to_data(dims.point[missing:]))
    spanned = [axis for axis, part in zip(axes, plane, strict=True) if isinstance(part, slice)]
    shown = [axis + missing in dims.displayed for axis in spanned]
    low, high = np.array(box[::2]), np.array(box[1::2])
    hidden = np.clip(point[spanned], low, high - 1)
    return tuple(np.where(shown, (low + high) // 2, hidden).astype(int).tolist())


def visible_box(
    layer: Image,
    axes: tuple[int, ...],
    plane: PlaneIndex,
    sizes: list[int],
    dims: Dims | None = None,
) -> tuple[int, ...] | None:
    """Start and stop along each axis of a plane of what the canvas shows; None if unknown.

    With `dims`, all slices of a volume that is shown slice by slice.
    """
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level]
    shown = [axis for axis, part in zip(axes, plane, strict=True) if isinstance(part, slice)]
    box: list[int] = []
    for axis, size in zip(shown, sizes, strict=True):
        if dims is not None and axis + dims.ndim - layer.ndim not in dims.displayed:
            box += [0, size]
            continue
        start = int(np.clip(math.floor(corners[0, axis]), 0, size))
        stop = int(np.clip(math.ceil(corners[1, axis]) + 1, 0, size))
        box += [start, stop]
    # napari fills the corners in when it draws; before, or out of view, they span nothing.
    spans = zip(box[::2], box[1::2], sizes, strict=True)
    return tuple(box) if all(high - low > 1 or n == 1 for low, high, n in spans) else None
