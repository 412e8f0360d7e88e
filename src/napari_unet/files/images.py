"""Image files read as they are, and written so that nothing is lost.

A new format is a file with a class derived from `ImageFormat`, and its place in `FORMATS`; one that
holds labels alone is derived from `LabelFormat`, and has its place in `LABEL_FORMATS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.base.errors import FileError, LabelsError, UNetError
from napari_unet.engine.images.image import AnyImage, LabelImage, Scores
from napari_unet.engine.images.label_numbers import smallest_label_dtype, whole_numbers
from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    image_stem,
    read_problem,
    replacing,
)
from napari_unet.files.label_formats.cellpose import Cellpose
from napari_unet.files.label_formats.geojson import GeoJson
from napari_unet.files.label_formats.imagej_rois import ImageJRois
from napari_unet.files.label_formats.label_format import LabelFormat, Measurements
from napari_unet.files.label_formats.ome_zarr import OmeZarr
from napari_unet.files.label_notes import notes_line
from napari_unet.files.netpbm import Netpbm
from napari_unet.files.picture import Picture
from napari_unet.files.stores.hdf5 import Hdf5
from napari_unet.files.stores.ngff import is_zarr_group
from napari_unet.files.stores.npy import Npy
from napari_unet.files.stores.zarr_image import ZarrImage
from napari_unet.files.tiff.tiff import Tiff
from napari_unet.files.tiff.writer import fitting_axes, write_tiff
from napari_unet.files.vendor import Vendor

STORES: tuple[ImageFormat, ...] = (ZarrImage(), Hdf5(), Npy())
"""Of images of any size. They hold other things as well, so that they are named one by one."""

FORMATS: tuple[ImageFormat, ...] = (Tiff(), Netpbm(), *STORES, Vendor(), Picture())
"""The first that knows a file's content reads it; the last is asked for whatever no other knows."""

LABEL_FORMATS: tuple[LabelFormat, ...] = (OmeZarr(), ImageJRois(), GeoJson(), Cellpose())

LABEL_FILES = {
    "tiff": (".tif", ".tiff"),
    "ome-tiff": (".ome.tif", ".ome.tiff"),
    **{each.name: (each.ending, each.suffix) for each in LABEL_FORMATS},
}
"""Endings of what `write_labels` writes, by the name of the format."""

STORE_SUFFIXES = tuple(suffix for each in STORES for suffix in each.suffixes)
IMAGE_SUFFIXES = tuple(suffix for each in FORMATS if each not in STORES for suffix in each.suffixes)

Result = TypeVar("Result")


def image_series(path: str | Path, *, images_only: bool = False) -> tuple[SeriesInfo, ...]:
    """List the images that a file holds: its series, scenes or positions.

    Only headers are read, but for what says nothing of itself and looks by its
    size as if it were a smaller copy of another image.

    Parameters
    ----------
    path : str or Path
    images_only : bool
        List the images of a file that may hold labels of them as well, instead of these.

    Returns
    -------
    tuple of SeriesInfo
        At least one. Thumbnails, the smaller levels of a pyramid and pictures
        of a slide's label are none.

    Raises
    ------
    FileError
        As `read_image`.
    """
    return asked(Path(path), lambda format_, it: format_.series(it), has_labels=not images_only)


def read_image(path: str | Path, *, series: int | str | None = None) -> ImageFile:
    """Read an image and what its file says about axes, scale and time.

    What counts is the content of the file, not the ending of its name.

    Parameters
    ----------
    path : str or Path
    series : int or str, optional
        Which image of a file that holds several: its number, counted from 1,
        its name or its label; see `image_series`.

    Raises
    ------
    FileError
        If there is no such file, or it is no image, is cut short or damaged,
        or cannot be read at its full depth. `SeriesError` if it holds several
        images and `series` names none of them.
    """
    return _read(Path(path), series, as_labels=False)


def read_labels(
    path: str | Path, *, series: int | str | None = None, image: ImageFile | None = None
) -> ImageFile:
    """Read a label image: integers, 0 for background and one number for each cell.

    Whole numbers stored as floats come back as integers, negative ones as they
    are; a palette picture gives its palette numbers, and colours that are all
    grey one number for each pixel. Cells that ImageJ or QuPath keep as outlines
    have the pixels whose centres lie in these.

    Parameters
    ----------
    path : str or Path
        An image, or one of `LABEL_FORMATS`: a ZIP file of ROIs, GeoJSON,
        Cellpose's `_seg.npy`, a folder of OME-Zarr.
    series
        As for `read_image`.
    image : ImageFile, optional
        Of which these labels are. ROIs and outlines do not tell how large it
        is; without it they are read as if it ended with the last cell.

    Raises
    ------
    FileError
        As `read_image`.
    LabelsError
        If the file holds colours or numbers that are not whole.
    """
    path = Path(path)
    format_ = label_format_of(path)
    if format_ is not None and image is not None and series is None:
        return _native(asked(path, lambda *_: format_.read_labels(path, image=image)))
    file = _read(path, series, as_labels=True)
    array = file.array
    if file.axes.endswith("C"):
        raise LabelsError(
            f"'{file.path}' is a colour picture with {array.shape[-1]} channels; labels need one "
            "number for each pixel. Save them as 16-bit greyscale TIFF or PNG."
        )
    array = whole_numbers(array, holder=f"'{file.path}' holds")
    # Planes that some programs call channels are slices here.
    return replace(file, array=array, axes=file.axes.replace("C", "Z"))


def _read(path: Path, series: int | str | None, *, as_labels: bool) -> ImageFile:
    return _native(
        asked(
            path,
            lambda format_, it: format_.read(it, series=series, as_labels=as_labels),
            has_labels=as_labels,
        )
    )


def _native(file: ImageFile) -> ImageFile:
    return replace(file, array=file.array.astype(file.array.dtype.newbyteorder("="), copy=False))


def label_format_of(path: Path) -> LabelFormat | None:
    """Return which of `LABEL_FORMATS` a file has; None for images, and what cannot be read."""
    try:
        start = _start_of(path)
    except OSError:
        return None
    return next((each for each in LABEL_FORMATS if each.holds(path, start)), None)


def _start_of(path: Path) -> bytes:
    if is_zarr_group(path):
        return b""
    with path.open("rb") as stream:
        return stream.read(512)


def asked(
    path: Path, ask: Callable[[ImageFormat, Path], Result], *, has_labels: bool = True
) -> Result:
    """Ask the format that knows a file, and say in a sentence what is wrong with it."""
    try:
        start = _start_of(path)
    except OSError as error:
        raise FileError(read_problem(path, error)) from error
    formats = (*LABEL_FORMATS, *FORMATS) if has_labels else FORMATS
    format_ = next(each for each in formats if each.holds(path, start))
    try:
        return ask(format_, path)
    except (MemoryError, UNetError):
        raise
    except Exception as error:  # a damaged file makes its parser raise nearly anything
        # A folder of Zarr has no first bytes of its own.
        problem = "" if path.is_dir() else _content_problem(start)
        problem = problem or format_.problem(error, start)
        again = "copy the whole folder again" if path.is_dir() else "copy or export it again"
        problem = problem or f"is damaged or cut short; {again}."
        raise FileError(f"'{path}' {problem}") from error


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
        format_ = next(each for each in FORMATS if each.holds(path, start))
        return format_.holds_whole(path, tuple(shape))
    except Exception:  # a folder, a damaged file: parsers raise nearly anything
        return False


def write_labels(
    path: Path,
    labels: LabelImage,
    *,
    axes: str | None = None,
    pixel_size_um: Sequence[float] | None = None,
    frame_interval_s: float | None = None,
    notes: Mapping[str, Any] | None = None,
    types: Mapping[int, str] | None = None,
    measurements: Measurements | None = None,
    image: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels in the format that the name of the file asks for.

    Parameters
    ----------
    path : Path
        Ending in `.zarr` for OME-Zarr, or IMAGE/labels/NAME for labels in an OME-Zarr image;
        `.zip` for ROIs of ImageJ and Fiji; `.geojson` for QuPath; `.npy` for Cellpose, whose files
        end in `_seg.npy`; `.ome.tif` for OME-TIFF; else a TIFF that Fiji shows best. Images are in
        the smallest type that holds the labels.
    labels : integer array
    axes : str, optional
        Letters as in `ImageFile.label_axes`, in any order and number; "YX" or
        "ZYX" by default.
    pixel_size_um : sequence of float, optional
        As in `ImageFile`. Written so that Fiji and napari show it.
    frame_interval_s : float, optional
        Seconds from one frame to the next, for axes with T.
    notes : mapping, optional
        How the labels came about, as plain values. They go along with the file, which is known
        by them as one of labels: `read_image` gives them as `ImageFile.notes`.
    types : mapping of int to str, optional
        Of cells. ROIs and GeoJSON hold them, as the class in QuPath; for other formats see
        `write_cell_types`.
    measurements : mapping of str to columns, optional
        As `measure_cells` gives them. GeoJSON holds them, as measurements in QuPath.
    image : str, optional
        Name of the file of the image; Cellpose's window looks for it beside the labels.
    overwrite : bool

    Raises
    ------
    FileError
        If the file exists or cannot be written, or its format does not hold such labels; then
        nothing has changed.
    LabelsError
        If the labels fit no unsigned type of up to 32 bits.
    """
    array = labels.astype(smallest_label_dtype(labels), copy=False)
    names = fitting_axes(axes, array.ndim)
    sizes = None if pixel_size_um is None else tuple(map(float, pixel_size_um))
    format_ = next((each for each in LABEL_FORMATS if each.writes(path)), None)
    if format_ is not None:
        file = ImageFile(
            path, array, names, sizes, frame_interval_s, notes=notes, types=types or {}
        )
        format_.write(
            path,
            file,
            image=image or f"{image_stem(path)}.tif",
            measurements=measurements,
            overwrite=overwrite,
        )
        return
    display = (0, max(1, int(array.max()) if array.size else 1))
    with replacing(path, overwrite=overwrite) as stream:
        write_tiff(
            stream,
            array,
            axes,
            pixel_size_um,
            frame_interval_s,
            display=display,
            description="" if notes is None else notes_line(notes),
            as_ome=bool(re.search(r"\.ome\.tiff?$", path.name, re.IGNORECASE)),
        )


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


def write_image(
    path: Path, image: AnyImage, axes: str, *, pixel_size_um: Sequence[float] | None = None
) -> None:
    """Write an image as compressed TIFF; real numbers as float32, else as they are.

    Parameters
    ----------
    path : Path
        There must be no such file.
    image : array
    axes, pixel_size_um
        As in `ImageFile`.
    """
    array = image.astype(np.float32) if image.dtype.kind == "f" else image
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    display = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    with replacing(path, overwrite=False) as stream:
        write_tiff(stream, array, axes, pixel_size_um, display=display)


def write_scores(
    path: Path,
    scores: Scores,
    class_roles: Sequence[str],
    *,
    axes: str | None = None,
    pixel_size_um: Sequence[float] | None = None,
    frame_interval_s: float | None = None,
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
    pixel_size_um, frame_interval_s, overwrite
        As for `write_labels`.
    """
    planes = np.moveaxis(scores.astype(np.float32, copy=False), 0, -3)
    spatial = fitting_axes(axes, scores.ndim - 1)
    names = list(class_roles) * math.prod(planes.shape[:-3])
    with replacing(path, overwrite=overwrite) as stream:
        write_tiff(
            stream,
            planes,
            f"{spatial[:-2]}C{spatial[-2:]}",
            pixel_size_um,
            frame_interval_s,
            display=(0.0, 1.0),
            plane_names=names,
        )


def write_picture(path: Path, picture: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write an (H, W, 3) picture as PNG."""
    with replacing(path, overwrite=overwrite) as stream:
        Image.fromarray(picture).save(stream, format="PNG")
