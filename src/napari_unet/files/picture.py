"""Pictures as cameras, screens and presentations have them: PNG, JPEG, what Pillow reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    chosen_series,
    dots_scale,
    grey_of_colours,
    numbered_series,
)

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")

_JPEG_START = b"\xff\xd8\xff"

_PNG_HEADER = slice(24, 26)
"""Bits of a channel and kind of colours in a PNG (its first chunk has a fixed place)."""

_PNG_GREY, _PNG_CHANNELS = 0, {2: 3, 4: 2, 6: 4}


class Picture(ImageFormat):
    """What Pillow reads, and imagecodecs where Pillow would cut to 8 bits.

    It also says what files of no known kind are.
    """

    suffixes = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pbm", ".jp2")

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return True

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        shape: tuple[int, ...]
        with _opened(path) as picture:
            frames, bands = getattr(picture, "n_frames", 1), picture.getbands()
            axes, shape = "YX", (picture.height, picture.width)
        if len(bands) > 2 or bands[0] == "P":
            shape, axes = (*shape, max(3, len(bands))), "YXC"
        if frames > 1:
            shape, axes = (frames, *shape), "Z" + axes
        return numbered_series([("", shape, axes)])

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        if series is not None:
            chosen_series(path, self.series(path), series)
        with _opened(path) as picture:
            deep = _deep_array(path, picture, as_labels=as_labels)
            frames = [deep] if deep is not None else []
            if deep is None:
                frames += [
                    _frame_array(frame, palette_numbers=as_labels)
                    for frame in ImageSequence.Iterator(picture)
                ]
            dpi = picture.info.get("dpi")
        array = frames[0] if len(frames) == 1 else np.stack(frames)
        axes = ("Z" if len(frames) > 1 else "") + ("YXC" if frames[0].ndim == 3 else "YX")
        sizes = [25400.0 / float(density) if density else None for density in (dpi or (0, 0))[::-1]]
        return ImageFile(path, array, axes, dots_scale(sizes) if len(frames) == 1 else None)

    @override
    def holds_whole(self, path: Path, shape: tuple[int, ...]) -> bool:
        with _opened(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            size = (picture.height, picture.width)
        # Which pictures have how many colours is napari's and Pillow's own affair.
        return frames == 1 and len(shape) in (2, 3) and shape[:2] == size

    @override
    def problem(self, error: Exception, start: bytes) -> str:
        if isinstance(error, UnidentifiedImageError):
            if start.startswith(_JPEG_START):
                return (
                    "is a JPEG of a kind that is not read here (more than 8 bits, or lossless), or "
                    "damaged; save the image as TIFF or PNG."
                )
            kind = "a text file" if _is_text(start) else "no image of a known kind"
            return f"is {kind}, whatever its name says; export the image again as TIFF or PNG."
        if isinstance(error, Image.DecompressionBombError):
            return "is too large for a picture format; save it as TIFF."
        if isinstance(error, ImportError):
            return (
                "has more than 8 bits for a colour, which needs the package imagecodecs; run "
                "'pip install imagecodecs', or save the image as TIFF."
            )
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as picture:
            yield picture


def _deep_array(path: Path, picture: Image.Image, *, as_labels: bool) -> NDArray[Any] | None:
    """Read with imagecodecs what Pillow would cut or stretch; None if it reads it as it is."""
    if picture.format not in ("JPEG2000", "PNG"):
        return None
    content = path.read_bytes()
    if picture.format == "JPEG2000":
        # Pillow stretches what has other than 8 or 16 bits, and cuts colours.
        import imagecodecs

        array = imagecodecs.jpeg2k_decode(content)
        return grey_of_colours(array[..., 0] if array.shape[2:] == (2,) else array)
    bits, colours = content[_PNG_HEADER]
    if bits == 16 and colours in _PNG_CHANNELS:
        import imagecodecs

        if getattr(picture, "n_frames", 1) > 1:
            raise FileError(
                f"'{path}' is an animation with 16 bits for a colour, which is not read here; "
                "save its pictures as TIFF."
            )
        # Without what a colour named as transparent adds.
        array = imagecodecs.png_decode(content)[..., : _PNG_CHANNELS[colours]]
        return grey_of_colours(array[..., 0] if array.shape[2] == 2 else array)
    if as_labels and colours == _PNG_GREY and bits in (2, 4):
        # Pillow stretches 0 to 3 and 0 to 15 to 0 to 255.
        return _frame_array(picture, palette_numbers=True) // np.uint8(255 // (2**bits - 1))
    return None


def _frame_array(frame: Image.Image, *, palette_numbers: bool) -> NDArray[Any]:
    is_plain = frame.mode in ("1", "L", "I", "F", "RGB", "RGBA") or frame.mode.startswith("I;")
    if frame.mode == "LA":
        frame = frame.getchannel(0)
    elif not is_plain and not (frame.mode == "P" and palette_numbers):
        frame = frame.convert("RGBA" if frame.mode == "PA" else "RGB")
    array = np.asarray(frame)
    return grey_of_colours(array) if array.ndim == 3 else array


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and sum(byte < 9 or 13 < byte < 32 for byte in start) == 0
