"""Checksums of label planes, by which they are known to be as they were written."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from napari_unet.engine.images.image import LabelImage, PlaneIndex, plane_key

Checksums: TypeAlias = dict[str, list[int]]
"""For each plane that was written, by `plane_key`, one number for each strip of rows."""

STRIP_ROWS = 256


def strips_of(plane: LabelImage) -> list[LabelImage]:
    """Cut a plane into strips of `STRIP_ROWS` rows; nothing is copied."""
    return [plane[start : start + STRIP_ROWS] for start in range(0, len(plane), STRIP_ROWS)]


def checksum(strip: LabelImage) -> int:
    """Return the number that tells a strip from any other of its shape and type."""
    start = zlib.crc32(f"{strip.dtype}{strip.shape}".encode())
    return zlib.crc32(np.ascontiguousarray(strip).data.cast("B"), start)


def plane_checksums(labels: LabelImage, *, plane_ndim: int) -> Checksums:
    """Return those of every plane of labels that have just been made.

    Parameters
    ----------
    labels : int32 array
    plane_ndim : int
        Axes of a plane, the last ones.
    """
    stack = labels.shape[: labels.ndim - plane_ndim]
    planes = [(*index, *(slice(None),) * plane_ndim) for index in np.ndindex(*stack)]
    return {plane_key(each): list(map(checksum, strips_of(labels[each]))) for each in planes}


def is_as_written(plane: LabelImage, known: object) -> bool:
    """Whether a plane has the checksums that a layer or a file tells, which may hold anything."""
    # As it is in layers: files hold labels in the smallest type that fits.
    return list(map(checksum, strips_of(plane.astype(np.int32, copy=False)))) == known


def are_as_written(labels: LabelImage, known: object) -> bool:
    """Whether every plane that has checksums is as it was written; False where none has any."""
    if not isinstance(known, Mapping) or not known:
        return False
    try:
        indices = {key: _index(key) for key in known}
        return all(is_as_written(labels[index], known[key]) for key, index in indices.items())
    except (IndexError, ValueError):  # of other axes, or a plane that is not there
        return False


def _index(key: str) -> PlaneIndex:
    return tuple(slice(None) if part == ":" else int(part) for part in key.split(","))
