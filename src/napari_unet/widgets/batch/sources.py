"""What a person adds to a queue: files, folders and image layers, as files that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.viewer.layers import as_array, full_resolution, lengths, pixel_size_um
from napari_unet.viewer.results import is_made_up

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_LAYERS = "layers"
"""Folder of images that were layers without a file."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerSource:
    """An image layer, free of napari.

    Parameters
    ----------
    name : str
        The layer's.
    file : Path, optional
        That napari says it was read from.
    array : array
        May be lazy.
    axes : str
        As in `ImageFile`.
    pixel_size_um : tuple of float, optional
    """

    name: str
    file: Path | None
    array: Any
    axes: str
    pixel_size_um: tuple[float, ...] | None


def image_layers(viewer: ViewerModel) -> list[LayerSource]:
    """All image layers that show something to be segmented, from the lowest up."""
    from napari.layers import Image

    found = [each for each in viewer.layers if isinstance(each, Image) and not is_made_up(each)]
    return [_source(layer) for layer in found]


def _source(layer: Image) -> LayerSource:
    from napari_unet.files.tiff.writer import fitting_axes

    array = full_resolution(layer)
    names = "".join(str(label)[:1].upper() for label in layer.axis_labels)
    is_named = re.fullmatch("T?C?Z?C?YX", names) and names.count("C") < 2
    axes = names if is_named and len(names) == layer.ndim else fitting_axes(None, layer.ndim)
    sizes = lengths(layer, 2) if pixel_size_um(layer) else None
    if sizes is not None and "Z" in axes and layer.ndim > 2:
        sizes = lengths(layer, 3) or sizes
    if sizes is not None:
        scale = float((1 * layer.units[-1]).to("micrometer").magnitude)
        sizes = tuple(size * scale for size in sizes)
    path = layer.source.path
    return LayerSource(
        str(layer.name),
        Path(path) if path else None,
        array,
        f"{axes}C" if layer.rgb else axes,
        sizes,
    )


def listed(paths: Iterable[Path]) -> list[Path]:
    """List the files, and the images of folders; a file that is not there is found at its turn.

    Raises
    ------
    FileError
        If a folder holds no image.
    """
    from napari_unet.files.finding import find_images

    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(find_images([path]) if path.is_dir() else [path]))
    return list(found)


def layer_file(source: LayerSource, folder: Path) -> Path:
    """Return the file of a layer; one that has none is written into the folder of the results.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    from napari_unet.files.images import file_holds, read_image, write_image
    from napari_unet.script.words import file_stem

    shape = tuple(int(n) for n in source.array.shape)
    if source.file is not None and file_holds(source.file, shape):
        return source.file
    pixels = np.asarray(as_array(source.array))
    stem, number = file_stem(source.name), 1
    while True:
        name = f"{stem}.tif" if number == 1 else f"{stem}_{number}.tif"
        path = folder / _LAYERS / name
        if not path.exists():
            write_image(path, pixels, source.axes, pixel_size_um=source.pixel_size_um)
            return path
        if _holds(read_image(path).array, pixels):
            return path
        number += 1


def _holds(written: Any, pixels: Any) -> bool:
    return bool(np.array_equal(written, pixels.astype(written.dtype, copy=False)))
