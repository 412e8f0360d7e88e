"""Pictures as cameras, screens and presentations have them: PNG, JPEG, what Pillow reads."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError
from typing_extensions import override

from napari_unet.files.image_file import ImageFile, ImageFormat, microscope_scale

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")


class Picture(ImageFormat):
    """What Pillow reads; it also says what files of no known kind are."""

    suffixes = (
        *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
        *(".pgm", ".ppm", ".pnm", ".jp2"),
    )

    @override
    def holds(self, start: bytes) -> bool:
        return True

    @override
    def read(self, path: Path, *, palette_numbers: bool) -> ImageFile:
        return read_frames(path, palette_numbers=palette_numbers, formats=_FORMATS)

    @override
    def holds_whole(self, path: Path, shape: tuple[int, ...]) -> bool:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            size = (picture.height, picture.width)
        # Which pictures have how many colours is napari's and Pillow's own affair.
        return frames == 1 and len(shape) in (2, 3) and shape[:2] == size

    @override
    def problem(self, error: Exception, start: bytes) -> str:
        if isinstance(error, UnidentifiedImageError):
            kind = "a text file" if _is_text(start) else "no image of a known kind"
            return f"is {kind}, whatever its name says; export the image again as TIFF or PNG."
        if isinstance(error, Image.DecompressionBombError):
            return "is too large for a picture format; save it as TIFF."
        return ""


def read_frames(path: Path, *, palette_numbers: bool, formats: tuple[str, ...]) -> ImageFile:
    """Read all frames of a picture with Pillow; see `ImageFormat.read`.

    Parameters
    ----------
    path : Path
    palette_numbers : bool
    formats : tuple of str
        Pillow's names of the formats that are tried.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats) as picture:
            frames = [
                _frame_array(frame, palette_numbers=palette_numbers)
                for frame in ImageSequence.Iterator(picture)
            ]
            dpi = picture.info.get("dpi")
    array = frames[0] if len(frames) == 1 else np.stack(frames)
    axes = ("Z" if len(frames) > 1 else "") + ("YXC" if frames[0].ndim == 3 else "YX")
    sizes = [25400.0 / float(density) if density else None for density in (dpi or (0, 0))[::-1]]
    return ImageFile(path, array, axes, microscope_scale(sizes) if len(frames) == 1 else None)


def _frame_array(frame: Image.Image, *, palette_numbers: bool) -> NDArray[Any]:
    is_plain = frame.mode in ("1", "L", "I", "F", "RGB", "RGBA") or frame.mode.startswith("I;")
    if frame.mode == "LA":
        frame = frame.getchannel(0)
    elif not is_plain and not (frame.mode == "P" and palette_numbers):
        frame = frame.convert("RGBA" if frame.mode == "PA" else "RGB")
    array = np.asarray(frame)
    is_grey = array.ndim == 3 and all(
        np.array_equal(array[..., first], array[..., second])
        for first, second in pairwise(range(3))
    )
    return np.ascontiguousarray(array[..., 0]) if is_grey else array


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and sum(byte < 9 or 13 < byte < 32 for byte in start) == 0
