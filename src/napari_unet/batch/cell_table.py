"""The table of the cells of a label image, with the intensities in each channel of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.images.image import AnyImage, without_alpha
from napari_unet.engine.labels.cell_list import Window, list_cells
from napari_unet.engine.labels.measurements import (
    Column,
    PixelSize,
    background_level,
    measure_cells,
)
from napari_unet.files.image_file import ImageFile
from napari_unet.files.label_notes import noted_scores
from napari_unet.files.measurements import joined_tables
from napari_unet.files.pairs import channels_last

_COLOURS = ("red", "green", "blue")
_AXES = {"T": "frame", "Z": "slice"}
"""Names of the columns that count along axes before those of a cell."""


def cell_table(
    labels: ImageFile,
    images: Mapping[str, ImageFile],
    *,
    ndim: int,
    pixel_size: PixelSize | None,
    takes_background: bool = False,
) -> dict[str, Column]:
    """Measure each cell; of a stack of planes, plane by plane.

    Parameters
    ----------
    labels : ImageFile
        If its notes tell score and doubt of the cells, these are columns, empty for cells that
        were changed since.
    images : mapping of str to ImageFile
        On the grid of the labels; their names are in those of the columns.
    ndim : int
        Axes of a cell: 2, or 3 in a volume.
    pixel_size : PixelSize, optional
        Without it, sizes are in pixels.
    takes_background : bool
        Take the median intensity where no cell is from the intensities.

    Raises
    ------
    ImageShapeError
        If an image is not on the grid of the labels.
    """
    channels = dict(_channels(images, labels))
    tables: list[dict[str, Column]] = []
    known, stack = noted_scores(labels.notes), labels.array.shape[:-ndim]
    for index in np.ndindex(stack):
        part = labels.array[index]
        parts = {name: image[index] for name, image in channels.items()}
        taken = None
        if takes_background:
            taken = {name: background_level(part, image) for name, image in parts.items()}
        table = measure_cells(part, parts, pixel_size=pixel_size, background=taken)
        if known is not None:
            window = Window.of_plane(index, labels.array.shape)
            table |= known.columns_of(list_cells(part, window=window))
        places = zip(labels.axes[:-ndim], index, strict=True)
        rows = table["label"].size
        front = {_AXES.get(axis, axis): np.full(rows, at + 1) for axis, at in places}
        tables.append({**front, **table})
    return tables[0] if len(tables) == 1 else _arrays(joined_tables(tables))


def size_along(file: ImageFile, ndim: int) -> PixelSize | None:
    """Return the size of a pixel as a file says it; None if not along so many axes."""
    known = file.pixel_size_um
    return None if known is None or len(known) < ndim else PixelSize(known, "um")


def _arrays(table: Mapping[str, list[Any]]) -> dict[str, Column]:
    return {name: np.array(column, object) for name, column in table.items()}


def _channels(files: Mapping[str, ImageFile], labels: ImageFile) -> Iterator[tuple[str, AnyImage]]:
    """The images on the grid of the labels, each channel under a name of its own."""
    shape = labels.array.shape
    for name, file in files.items():
        array = np.asarray(channels_last(file, shape))
        if array.shape[: len(shape)] != shape or array.ndim > len(shape) + 1:
            raise ImageShapeError(
                f"'{file.path}' is {' x '.join(map(str, file.array.shape))} and its labels are "
                f"{' x '.join(map(str, shape))}; measure on an image of the same grid."
            )
        if array.ndim == len(shape):
            yield name, array
            continue
        is_colour = file.channel_axis == file.array.ndim - 1 and array.shape[-1] in (3, 4)
        channels = np.moveaxis(array, -1, 0)
        channels = without_alpha(channels) if is_colour else channels
        for number, channel in enumerate(channels):
            yield f"{name}_{_COLOURS[number] if is_colour else number + 1}", channel
