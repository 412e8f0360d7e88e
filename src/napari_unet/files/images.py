"""Image files: found, read with the scale they state, and written so that nothing is lost."""

from __future__ import annotations

import errno
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from napari_unet.engine.base.errors import FileError, LabelsError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.images.image import AnyImage, LabelImage, Scores

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".lsm")
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    *(".pgm", ".ppm", ".pnm", ".jp2"),
)
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES)

_PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MICROMETRE_NAMES = ("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer")
_UNITS_UM = {
    **dict.fromkeys(_MICROMETRE_NAMES, 1.0),
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
}
_LARGEST_PIXEL_UM = 20.0
"""Larger pixel sizes are a screen's or a printer's dots per inch, not a microscope's."""

_IMAGEJ_BYTES = 1 << 31
"""Above this an ImageJ TIFF is not safe: it addresses 32 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image as its file holds it.

    Parameters
    ----------
    path : Path
    array : array
        Pixels, in the file's dtype.
    axes : str
        One letter for each axis of `array`: Y and X; C, channels; Z, depth
        (also where the file does not say what is stacked); T, time.
    pixel_size_um : tuple of float, optional
        Micrometres along those of Z, Y and X that `axes` has, in that order;
        None where the file does not say.
    """

    path: Path
    array: AnyImage
    axes: str
    pixel_size_um: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """File name without its ending."""
        return image_stem(self.path)

    @property
    def channel_axis(self) -> int | None:
        """Where the channels are; None for an image without."""
        index = self.axes.find("C")
        return None if index < 0 else index

    @property
    def label_axes(self) -> str:
        """The axes of labels of this image: all but the channels."""
        return self.axes.replace("C", "")


def image_stem(path: Path) -> str:
    """File name without its ending; `.ome.tif` counts as one ending."""
    return re.sub(r"\.ome$", "", path.stem, flags=re.IGNORECASE)


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """List the image files among `paths`.

    Parameters
    ----------
    paths : iterable of path
        Files, folders (their images, not those of subfolders) and patterns
        such as `*.tif`, which some command lines pass on as they are.

    Returns
    -------
    list of Path
        Each file once, a folder's in natural order ("2" before "10").

    Raises
    ------
    FileError
        If a file is not there or is no image, or a folder holds none.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found.update(dict.fromkeys(_images_in(path)))
        elif path.exists():
            found[_checked_suffix(path)] = None
        else:
            matches = path.parent.glob(path.name) if re.search(r"[*?[]", path.name) else ()
            images = sorted(filter(_is_image_name, matches), key=natural_order)
            if not images:
                raise FileError(_missing(path))
            found.update(dict.fromkeys(images))
    if not found:
        raise FileError("No images were given; name files or folders.")
    return list(found)


def natural_order(path: Path) -> tuple[Any, ...]:
    """Sort key that puts "cell 2" before "cell 10"."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((int(part), "") if part.isdigit() else (math.inf, part) for part in parts if part)


def _is_image_name(path: Path) -> bool:
    # Names with a leading dot are no images of the user's: macOS leaves "._cells.tif".
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = [path for path in folder.iterdir() if _is_image_name(path) and path.is_file()]
    except OSError as error:
        raise FileError(f"Cannot look into the folder '{folder}' ({_reason(error)}).") from error
    if not entries:
        raise FileError(
            f"The folder '{folder}' holds no images; it should hold TIFF, PNG or JPEG files "
            "(subfolders are not searched)."
        )
    return sorted(entries, key=natural_order)


def _checked_suffix(path: Path) -> Path:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise FileError(
            f"'{path}' is no image file that can be read here; save it as TIFF or PNG first, "
            "for example with Fiji."
        )
    return path


def _missing(path: Path) -> str:
    return f"There is no file or folder '{path}'; check its name and where it lies."


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
    try:
        if start[:4] in _TIFF_STARTS:
            file = _read_tiff(path)
        else:
            file = _read_picture(path, palette_numbers=palette_numbers)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes its parser raise nearly anything
        raise FileError(_damage(path, start, error)) from error
    if not file.array.dtype.isnative:
        native = file.array.astype(file.array.dtype.newbyteorder("="))
        return ImageFile(path, native, file.axes, file.pixel_size_um)
    return file


def _read_problem(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _missing(path)
    if path.is_dir():
        return f"'{path}' is a folder; name one image file."
    return f"Cannot read '{path}' ({_reason(error)})."


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _damage(path: Path, start: bytes, error: Exception) -> str:
    """Say what is wrong with a file that could not be decoded, judging by its first bytes."""
    if not start:
        return f"'{path}' is empty (0 bytes); copy or export it again."
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return (
            f"'{path}' is a web page, not an image; the download went wrong. Open its address "
            "in a browser and save the image itself."
        )
    if isinstance(error, UnidentifiedImageError):
        kind = "a text file" if _is_text(start) else "no image of a known kind"
        return f"'{path}' is {kind}, whatever its name says; export the image again as TIFF or PNG."
    if isinstance(error, Image.DecompressionBombError):
        return f"'{path}' is too large for a picture format; save it as TIFF."
    if "imagecodecs" in str(error):
        return (
            f"'{path}' is compressed in a way that needs the package imagecodecs; run "
            "'pip install imagecodecs', or save the image as uncompressed TIFF."
        )
    return f"'{path}' is damaged or cut short; copy or export it again."


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and sum(byte < 9 or 13 < byte < 32 for byte in start) == 0


class _DamageLog(logging.Handler):
    """Notes the damage that tifffile logs and then reads around, losing pages."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.found |= "invalid page offset" in text or "invalid or corrupted" in text


@contextmanager
def _refusing_logged_damage(path: Path) -> Iterator[None]:
    log, handler = logging.getLogger("tifffile"), _DamageLog()
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
    if handler.found:
        raise FileError(f"'{path}' is damaged or cut short; copy or export it again.")


def _read_tiff(path: Path) -> ImageFile:
    try:
        with _refusing_logged_damage(path), tifffile.TiffFile(path) as tiff:
            series = list(tiff.series)
            array, axes = series[0].asarray(), series[0].axes
            if len(series) > 1 and all(
                (other.shape, other.dtype) == (series[0].shape, series[0].dtype) for other in series
            ):
                # Pages written one by one: a stack to the user, even if not to the file.
                array, axes = np.stack([other.asarray() for other in series]), "Z" + axes
            sizes = _tiff_pixel_size_um(tiff)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        try:  # Pillow has its own decoders for the commonest of these compressions
            return _read_picture(path, palette_numbers=True, formats=("TIFF",))
        except (OSError, SyntaxError):
            raise error from None
    names = _axis_names(axes)
    spatial = [sizes.get(axis) for axis in "ZYX" if axis in names]
    return ImageFile(path, array, names, _all_sizes(spatial))


def _axis_names(axes: str) -> str:
    """Letters of `ImageFile.axes` for those of tifffile, each at most once as far as it can be."""
    channel = "S" if "S" in axes else "C"
    return "".join(
        "C" if axis == channel else axis if axis in "YXT" and axes.count(axis) == 1 else "Z"
        for axis in axes
    )


def _all_sizes(sizes: Sequence[float | None]) -> tuple[float, ...] | None:
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes) or not all(0 < size < math.inf for size in known):
        return None
    return tuple(known) if max(known[-2:]) <= _LARGEST_PIXEL_UM else None


def _tiff_pixel_size_um(tiff: tifffile.TiffFile) -> dict[str, float]:
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_pixel_size_um(tiff.ome_metadata)
    if tiff.is_lsm:
        lsm = tiff.lsm_metadata or {}
        names = {axis: lsm.get(f"VoxelSize{axis}") for axis in "ZYX"}
        return {axis: float(size) * 1e6 for axis, size in names.items() if size}
    tags = tiff.pages.first.tags
    densities = {"Y": tags.valueof("YResolution"), "X": tags.valueof("XResolution")}
    unit_um: float | None
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        unit_um = _UNITS_UM.get(str(metadata.get("unit", "")).strip().lower())
        depth = metadata.get("spacing")
    else:
        unit_um = {2: 25400.0, 3: 1e4}.get(int(tags.valueof("ResolutionUnit", 2)))
        depth = None
    if unit_um is None:
        return {}
    sizes = {
        axis: density[1] / density[0] * unit_um
        for axis, density in densities.items()
        # 1 pixel per inch or centimetre stands for "not known".
        if density and density[0] and (tiff.is_imagej or density[0] != density[1])
    }
    # A z step without a step in the plane is ImageJ's default of 1 pixel.
    return {**sizes, "Z": abs(float(depth)) * unit_um} if depth and sizes else sizes


def _ome_pixel_size_um(xml: str) -> dict[str, float]:
    sizes = {}
    for axis in "ZYX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', xml)
        unit_um = _UNITS_UM.get(unit.group(1).lower()) if unit else 1.0
        if size and unit_um:
            sizes[axis] = float(size.group(1)) * unit_um
    return sizes


def _read_picture(
    path: Path, *, palette_numbers: bool, formats: tuple[str, ...] = _PICTURE_FORMATS
) -> ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats) as picture:
            frames = [
                _picture_array(frame, palette_numbers=palette_numbers)
                for frame in ImageSequence.Iterator(picture)
            ]
            dpi = picture.info.get("dpi")
    array = frames[0] if len(frames) == 1 else np.stack(frames)
    axes = ("Z" if len(frames) > 1 else "") + ("YXC" if frames[0].ndim == 3 else "YX")
    sizes = [25400.0 / float(density) if density else None for density in (dpi or (0, 0))[::-1]]
    return ImageFile(path, array, axes, _all_sizes(sizes) if len(frames) == 1 else None)


def _picture_array(frame: Image.Image, *, palette_numbers: bool) -> NDArray[Any]:
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


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise unless `path` is free or may be replaced.

    Raises
    ------
    FileError
        If it is there already; the message says what to do.
    """
    if path.is_dir():
        raise FileError(f"'{path}' is a folder; name a file to write.")
    if path.exists() and not overwrite:
        raise FileError(
            f"'{path}' exists already; choose another name, or allow replacing it (--overwrite)."
        )


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only once it is complete.

    Raises
    ------
    FileError
        If `path` exists and `overwrite` is off, or cannot be written.
    """
    refuse_existing(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, partial.open("xb") as stream:
            yield stream
    except OSError as error:
        raise FileError(_write_problem(path, error)) from error


def _write_problem(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full, '{path}' was not written; make room or choose another disk."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return (
            f"Cannot write '{path}' ({_reason(error)}); choose a folder that you may write to, "
            "and close the file in other programs."
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return (
            f"Cannot write '{path}', because a part of this path is a file; choose another folder."
        )
    return f"Cannot write '{path}' ({_reason(error)}); choose another name or folder."


def smallest_label_dtype(labels: LabelImage) -> type[np.unsignedinteger[Any]]:
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
    for dtype in (np.uint8, np.uint16, np.uint32):
        if highest <= np.iinfo(dtype).max:
            return dtype
    raise LabelsError(f"Labels go up to {highest}, beyond 32 bits; number the cells afresh.")


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
    _write_tiff(path, array, axes, pixel_size_um, display=display, overwrite=overwrite)


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
    _write_tiff(path, array, axes, pixel_size_um, display=display, overwrite=overwrite)


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
    stacked = math.prod(planes.shape[:-3])
    _write_tiff(
        path,
        planes,
        f"{spatial[:-2]}C{spatial[-2:]}",
        pixel_size_um,
        display=(0.0, 1.0),
        overwrite=overwrite,
        plane_names=list(class_roles) * stacked,
    )


def write_picture(path: Path, picture: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write an (H, W, 3) picture as PNG."""
    with replacing(path, overwrite=overwrite) as stream:
        Image.fromarray(picture).save(stream, format="PNG")


def _write_tiff(
    path: Path,
    array: NDArray[Any],
    axes: str | None,
    pixel_size_um: Sequence[float] | None,
    *,
    display: tuple[float, float],
    overwrite: bool,
    plane_names: Sequence[str] = (),
) -> None:
    names = axes if axes and len(axes) == array.ndim else "TZYX"[-array.ndim :]
    spatial = [axis for axis in "ZYX" if axis in names]
    # From the end: slices without a known distance still have a scale in the plane.
    sizes = dict(zip(reversed(spatial), reversed(pixel_size_um or ()), strict=False))
    # ImageJ's own TIFF knows no 32-bit integers and no large files; OME-TIFF does.
    if array.dtype == np.uint32 or array.nbytes > _IMAGEJ_BYTES:
        options = _ome_options(names, sizes)
        options["bigtiff"] = array.nbytes > _IMAGEJ_BYTES
    else:
        options = _imagej_options(names, sizes, display)
        if plane_names:
            options["metadata"]["Labels"] = list(plane_names)
    with replacing(path, overwrite=overwrite) as stream:
        tifffile.imwrite(stream, array, photometric="minisblack", compression="zlib", **options)


def _imagej_options(
    axes: str, sizes: dict[str, float], display: tuple[float, float]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes, "min": display[0], "max": display[1]}
    if "X" not in sizes:
        return {"imagej": True, "metadata": metadata}
    metadata["unit"] = "um"
    if "Z" in sizes:
        metadata["spacing"] = sizes["Z"]
    return {
        "imagej": True,
        "metadata": metadata,
        "resolution": (1 / sizes["X"], 1 / sizes["Y"]),
    }


def _ome_options(axes: str, sizes: dict[str, float]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    metadata |= {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
    options: dict[str, Any] = {"ome": True, "metadata": metadata}
    if "X" in sizes:
        options["resolution"] = (1e4 / sizes["X"], 1e4 / sizes["Y"])
        options["resolutionunit"] = "CENTIMETER"
    return options
