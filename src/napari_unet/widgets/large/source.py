"""The file that an image layer comes from: whether it holds what the layer shows, and what else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.layers import full_resolution

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

LABELS_ENDING = "_labels.ome.zarr"


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A layer and the file that napari says it was read from.

    Parameters
    ----------
    layer : str
        Its name.
    path : Path
    shape : tuple of int
        Of the layer at full resolution.
    number : int
        Which of the layers of this file and shape it is, counted from 0.
    """

    layer: str
    path: Path
    shape: tuple[int, ...]
    number: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the header of a file says.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the image, without channels and axes of one pixel.
    channels : int
        1 without an axis of channels.
    channel_axis : int, optional
        Of the layer, if that holds the channels.
    pixel_size_um : tuple of float, optional
    likely_channel : int, optional
        The one that the layer shows, counted from 1; None for all.
    """

    path: Path
    shape: tuple[int, ...]
    channels: int
    channel_axis: int | None
    pixel_size_um: tuple[float, ...] | None
    likely_channel: int | None


def layer_file(layer: Image, viewer: ViewerModel) -> LayerFile:
    """Return the file of a layer.

    Raises
    ------
    UNetError
        If napari knows of none.
    """
    if not layer.source.path:
        raise UNetError(
            f"Layer '{layer.name}' comes from no file, and blocks are read from one; save it as "
            "TIFF or OME-Zarr, and open that."
        )
    shape = tuple(int(n) for n in full_resolution(layer).shape)
    alike = [
        each.unique_id
        for each in viewer.layers
        if each.source.path == layer.source.path and full_resolution(each).shape == shape
    ]
    path = Path(layer.source.path).absolute()
    return LayerFile(str(layer.name), path, shape, alike.index(layer.unique_id))


def look_at(file: LayerFile) -> FileFacts:
    """Compare a layer with its file, for a worker's thread.

    Raises
    ------
    FileError
        If the file cannot be read.
    UNetError
        If it holds something else than the layer shows.
    """
    from napari_unet.files.opened import opened_image

    with opened_image(file.path) as image:
        shape, axis = tuple(map(int, image.array.shape)), image.channel_axis
        sizes = image.pixel_size_um
    channels = 1 if axis is None else shape[axis]
    plain = shape if axis is None else (*shape[:axis], *shape[axis + 1 :])
    shown, likely, layer_axis = _long(file.shape), None, None
    if shown == _long(plain) and channels > 1:
        likely = min(file.number, channels - 1) + 1
    elif shown == _long(shape) and channels > 1:
        layer_axis = _axis_in(file.shape, shape, axis)
    elif shown != _long(plain):
        raise UNetError(
            f"Layer '{file.layer}' has {_words(file.shape)} pixels, and its file '{file.path}' "
            f"{_words(shape)}; save the layer as a file of its own, and open that."
        )
    return FileFacts(file.path, _long(plain), channels, layer_axis, sizes, likely)


def labels_beside(image: Path) -> Path:
    """Where the labels of an image are proposed to lie."""
    from napari_unet.files.image_file import image_stem

    return image.with_name(f"{image_stem(image)}{LABELS_ENDING}")


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of one pixel, which some readers leave out."""
    return tuple(n for n in shape if n > 1)


def _axis_in(layer: tuple[int, ...], file: tuple[int, ...], axis: int | None) -> int | None:
    """Where an axis of the file is in a layer that may have more axes of one pixel."""
    if axis is None:
        return None
    before = len(_long(file[:axis]))
    return [at for at, n in enumerate(layer) if n > 1][before]


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
