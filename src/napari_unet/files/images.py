"""Image files read as they are, and written so that nothing is lost.

A new format is a file with a class derived from `ImageFormat`, and its place in `FORMATS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.engine.base.whole_file import system_reason, whole_file, write_problem
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.files.image_file import ImageFile, ImageFormat
from napari_unet.files.picture import Picture
from napari_unet.files.tiff import Tiff, write_tiff

FORMATS: tuple[ImageFormat, ...] = (Tiff(), Picture())
"""The first that knows a file's content reads it; the last is asked for whatever no other knows."""

IMAGE_SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)


def read_image(path: str | Path) -> ImageFile:
    """Read an image and what its file says about axes and scale.

    What counts is the content of the file, not the ending of its name.

    Raises
    ------
    FileError
        If there is no such file, or it is no image, is cut short or damaged.
    """
    return _read(Path(path), palette_numbers=False)


def read_labels(path: str | Path) -> ImageFile:
    """Read a label image: integers, 0 for background and one number for each cell.

    Whole numbers stored as floats come back as integers; a palette picture
    gives its palette numbers.

    Raises
    ------
    FileError
        As `read_image`.
    LabelsError
        If the file holds colours or numbers that are not whole.
    """
    file = _read(Path(path), palette_numbers=True)
    array = file.array
    if file.axes.endswith("C"):
        raise LabelsError(
            f"'{file.path}' is a colour picture with {array.shape[-1]} channels; labels need one "
            "number for each pixel. Save them as 16-bit greyscale TIFF or PNG."
        )
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (np.abs(array) <= np.iinfo(np.int32).max)
        whole &= np.trunc(array) == array
        if not whole.all():
            raise LabelsError(
                f"'{file.path}' holds numbers that are not whole; labels are 0 for background "
                "and 1, 2, ... for cells. Is it an image rather than labels?"
            )
        array = array.astype(np.int32)
    elif array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype.kind not in "ui":
        raise LabelsError(
            f"'{file.path}' has dtype {array.dtype}; labels are whole numbers: 0 for background "
            "and 1, 2, ... for cells."
        )
    # Planes that some programs call channels are slices here.
    return ImageFile(file.path, array, file.axes.replace("C", "Z"), file.pixel_size_um)


def _read(path: Path, *, palette_numbers: bool) -> ImageFile:
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise FileError(_read_problem(path, error)) from error
    format_ = next(each for each in FORMATS if each.holds(start))
    try:
        file = format_.read(path, palette_numbers=palette_numbers)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes its parser raise nearly anything
        problem = _content_problem(start) or format_.problem(error, start)
        problem = problem or "is damaged or cut short; copy or export it again."
        raise FileError(f"'{path}' {problem}") from error
    return replace(file, array=file.array.astype(file.array.dtype.newbyteorder("="), copy=False))


def _read_problem(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return missing_file(path)
    if path.is_dir():
        return f"'{path}' is a folder; name one image file."
    return f"Cannot read '{path}' ({system_reason(error)})."


def missing_file(path: Path) -> str:
    """Say that there is nothing under a name."""
    return f"There is no file or folder '{path}'; check its name and where it lies."


def _content_problem(start: bytes) -> str:
    """Say what is wrong with a file that no format could hold, judging by its first bytes."""
    if not start:
        return "is empty (0 bytes); copy or export it again."
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return (
            "is a web page, not an image; the download went wrong. Open its address in a browser "
            "and save the image itself."
        )
    return ""


def file_holds(path: str | Path, shape: tuple[int, ...]) -> bool:
    """Whether a script that reads a file gets an array of this shape; only its header is read.

    napari names a file for layers that hold more than it, or a part of it, too: several files
    stacked, one channel of many.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
        return next(each for each in FORMATS if each.holds(start)).holds_whole(path, tuple(shape))
    except Exception:  # a folder, a damaged file: parsers raise nearly anything
        return False


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only once it is complete.

    Raises
    ------
    FileError
        If `path` exists and `overwrite` is off, or cannot be written.
    """
    if path.is_dir():
        raise FileError(f"'{path}' is a folder; name a file to write.")
    if path.exists() and not overwrite:
        raise FileError(
            f"'{path}' exists already; choose another name, or allow replacing it (overwrite=True)."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(write_problem(path, error)) from error
    with whole_file(path, refused=FileError) as partial, partial.open("wb") as stream:
        yield stream


def smallest_label_dtype(labels: LabelImage) -> np.dtype[Any]:
    """Return the narrowest unsigned integer type that holds every label.

    Raises
    ------
    LabelsError
        If labels are negative, no integers, or above 2**32 - 1.
    """
    if labels.dtype.kind not in "bui":
        raise LabelsError(f"Labels have dtype {labels.dtype}; integers are needed.")
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if lowest < 0:
        raise LabelsError(f"Labels go down to {lowest}; 0 is background, cells are positive.")
    if highest > np.iinfo(np.uint32).max:
        raise LabelsError(f"Labels go up to {highest}, beyond 32 bits; number the cells afresh.")
    return np.min_scalar_type(highest)


def write_labels(
    path: Path,
    labels: LabelImage,
    *,
    axes: str | None = None,
    pixel_size_um: Sequence[float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels as compressed TIFF, in the smallest type that holds them.

    Parameters
    ----------
    path : Path
    labels : integer array
    axes : str, optional
        Letters as in `ImageFile.label_axes`; "YX" or "ZYX" by default.
    pixel_size_um : sequence of float, optional
        As in `ImageFile`. Written so that Fiji and napari show it.
    overwrite : bool

    Raises
    ------
    FileError
        If the file exists or cannot be written; then nothing has changed.
    LabelsError
        If the labels fit no unsigned type of up to 32 bits.
    """
    array = labels.astype(smallest_label_dtype(labels), copy=False)
    display = (0, max(1, int(array.max()) if array.size else 1))
    with replacing(path, overwrite=overwrite) as stream:
        write_tiff(stream, array, axes, pixel_size_um, display=display)


def write_float_image(
    path: Path,
    image: NDArray[np.floating[Any]],
    *,
    axes: str | None = None,
    pixel_size_um: Sequence[float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a weight map or another image of real numbers as compressed float32 TIFF."""
    array = image.astype(np.float32, copy=False)
    display = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    with replacing(path, overwrite=overwrite) as stream:
        write_tiff(stream, array, axes, pixel_size_um, display=display)


def write_scores(
    path: Path,
    scores: Scores,
    class_roles: Sequence[str],
    *,
    axes: str | None = None,
    pixel_size_um: Sequence[float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write scores as float32 TIFF with one named channel for each class.

    Parameters
    ----------
    path : Path
    scores : (C, *spatial) float array
    class_roles : sequence of str
        One for each channel.
    axes : str, optional
        Of the spatial axes, as for `write_labels`. In the file the channels
        stand just before Y, as Fiji wants it: (Z, C, Y, X).
    pixel_size_um, overwrite
        As for `write_labels`.
    """
    planes = np.moveaxis(scores.astype(np.float32, copy=False), 0, -3)
    spatial = axes or "ZYX"[-(scores.ndim - 1) :]
    axes, names = f"{spatial[:-2]}C{spatial[-2:]}", list(class_roles) * math.prod(planes.shape[:-3])
    with replacing(path, overwrite=overwrite) as stream:
        write_tiff(stream, planes, axes, pixel_size_um, display=(0.0, 1.0), plane_names=names)


def write_picture(path: Path, picture: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write an (H, W, 3) picture as PNG."""
    with replacing(path, overwrite=overwrite) as stream:
        Image.fromarray(picture).save(stream, format="PNG")
