"""Netpbm pictures (PGM, PPM) with the numbers that stand in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    chosen_series,
    grey_of_colours,
    numbered_series,
)

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"\s*P([2356])" + _GAP + (rb"(\d+)" + _GAP) * 2 + rb"(\d+)\s")
_COMMENT = re.compile(rb"#[^\r\n]*")


class Netpbm(ImageFormat):
    """Grey and colour pictures of 8 and 16 bits, as text or binary.

    Pillow would stretch the numbers to 255 or 65535, and cut colours to 8 bits.
    """

    suffixes = (".pgm", ".ppm", ".pnm")

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return re.match(rb"P[2356][\s#]", start) is not None

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        file = self._file(path)
        return numbered_series([("", file.array.shape, file.axes)])

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        file = self._file(path)
        chosen_series(path, numbered_series([("", file.array.shape, file.axes)]), series)
        return file

    def _file(self, path: Path) -> ImageFile:
        frames = list(_pictures(path.read_bytes()))
        array = grey_of_colours(frames[0] if len(frames) == 1 else np.stack(frames))
        axes = ("Z" if len(frames) > 1 else "") + "YXC"
        return ImageFile(path, array, axes[: array.ndim])


def _pictures(content: bytes) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
    """Read the pictures of a file, which may hold several, one after the other."""
    start = 0
    while (header := _HEADER.match(content, start)) or start == 0:
        if header is None:
            raise ValueError
        kind, *numbers = (int(each) for each in header.groups())
        width, height, highest = numbers
        shape = (height, width, 3) if kind in (3, 6) else (height, width)
        count, dtype = math.prod(shape), np.dtype(">u2" if highest > 255 else "u1")
        if kind in (2, 3):
            # A picture as text is the only one of its file.
            values = _COMMENT.sub(b"", content[header.end() :]).split()
            yield np.array(values[:count], dtype.newbyteorder("=")).reshape(shape)
            return
        yield np.frombuffer(content, dtype, count, header.end()).reshape(shape)
        start = header.end() + count * dtype.itemsize
