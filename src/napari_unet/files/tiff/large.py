"""Large TIFF files, whose pixels are read only where they are asked for."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unet.engine.images.lazy import LazyView
from napari_unet.files.stores.told_array import ToldArray

LARGE_BYTES = 1 << 28
"""Smaller images are read as a whole, which every kind of TIFF can be."""

_LARGEST_CHUNK_BYTES = 1 << 27
"""What is packed in larger pieces would be unpacked again and again for small parts."""


def large_array(
    path: Path,
    series: tifffile.TiffPageSeries | tifffile.TiffPage | tifffile.TiffFrame,
    closing: ExitStack,
) -> Any | None:
    """Open the array of a series, if it is worth while and tifffile can read parts of it.

    Parameters
    ----------
    path : Path
    series : tifffile.TiffPageSeries
        Of that file, or a level of one; of a page by itself nothing is opened.
    closing : ExitStack
        The file is closed with it.
    """
    if not isinstance(series, tifffile.TiffPageSeries):
        return None
    if series.nbytes < LARGE_BYTES or series.parent is None:
        return None
    if any(page is None or page.parent is not series.parent for page in series._pages):
        return None
    place = _place_of(series)
    if place is None:
        return None
    number, level = place
    if series.dataoffset is not None and series.keyframe.is_memmappable:
        return tifffile.memmap(path, series=number, level=level, mode="r")
    import zarr  # takes half a second, and few read with it

    tiff = closing.enter_context(tifffile.TiffFile(path))
    if number >= len(tiff.series) or level >= len(tiff.series[number].levels):
        return None
    store = tiff.series[number].aszarr(level=level)
    array: Any = zarr.open(store, mode="r")
    is_same = isinstance(array, zarr.Array) and array.shape == series.shape
    if not is_same or np.prod(array.chunks) * array.dtype.itemsize > _LARGEST_CHUNK_BYTES:
        return None
    return LazyView(ToldArray(path, array))


def _place_of(series: tifffile.TiffPageSeries) -> tuple[int, int] | None:
    """Number of a series in its file, and of the level that it is."""
    assert series.parent is not None  # noqa: S101 - looked at before
    for number, each in enumerate(series.parent.series):
        for level, of_it in enumerate(each.levels):
            if of_it is series:
                return number, level
    return None
