"""TIFF files and their dialects (ImageJ, OME, LSM ...): every image in them, with its scale."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    chosen_series,
    grey_of_colours,
    is_brightness_scale,
    numbered_series,
)
from napari_unet.files.label_notes import notes_in
from napari_unet.files.tiff.damage import whole_tiff
from napari_unet.files.tiff.large import large_array
from napari_unet.files.tiff.ome import OmeImage, incomplete_set, ome_images
from napari_unet.files.tiff.scale import Scale, ome_scale, tiff_scale

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NOT_THE_IMAGE = frozenset(
    ("thumbnail", "thumbnail image", "label", "label image", "macro", "macro image")
) | {"overview", "overview image", "preview", "map"}
"""What tifffile and Bio-Formats call the pictures that slide scanners add to a slide."""

_LEAST_LIKENESS = 0.8
"""Correlation of a page with another one made smaller from which it counts as that one's thumbnail;
two fields of the same cells reach about a half, by their common illumination."""

_REFUSED_COLOURS: dict[int, str] = {
    tifffile.PHOTOMETRIC.SEPARATED: "inks (CMYK)",
    tifffile.PHOTOMETRIC.CIELAB: "CIELAB",
    tifffile.PHOTOMETRIC.ICCLAB: "ICCLAB",
    tifffile.PHOTOMETRIC.ITULAB: "ITULAB",
    tifffile.PHOTOMETRIC.LOGLUV: "LogLuv",
    tifffile.PHOTOMETRIC.YCBCR: "YCbCr",
}


class Tiff(ImageFormat):
    """What tifffile reads."""

    suffixes = (".tif", ".tiff", ".btf", ".lsm")

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return start.startswith(_STARTS)

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        with whole_tiff(path) as tiff:
            return _numbered(_images(path, tiff))

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        with whole_tiff(path) as tiff:
            images = _images(path, tiff)
            found = _numbered(images)
            info = chosen_series(path, found, series)
            image = images[info.number - 1]
            array, axes = image.pixels(path, as_labels=as_labels)
            scale = image.scale(tiff)
            notes = notes_in(image.description(tiff))
        return ImageFile(
            path,
            array,
            axes,
            scale.along(axes),
            scale.frame_interval_s if "T" in axes else None,
            info if len(found) > 1 else None,
            notes,
        )

    @override
    def opened(self, path: Path, *, series: int | str | None, closing: ExitStack) -> ImageFile:
        with whole_tiff(path) as tiff:
            images = _images(path, tiff)
            found = _numbered(images)
            info = chosen_series(path, found, series)
            image = images[info.number - 1]
            array = large_array(path, image.parts[0], closing) if image.is_plain else None
            scale = image.scale(tiff)
        if array is None:
            return self.read(path, series=series, as_labels=False)
        axes = _axis_names(image.stored_axes)
        interval = scale.frame_interval_s if "T" in axes else None
        several = info if len(found) > 1 else None
        return ImageFile(path, array, axes, scale.along(axes), interval, several)

    @override
    def problem(self, error: Exception, start: bytes) -> str:
        # For some kinds Python's own modules are tried as well.
        if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
            return ""
        return (
            "is compressed in a way that needs the package imagecodecs; run "
            "'pip install imagecodecs', or save the image as uncompressed TIFF."
        )


@dataclass(frozen=True, slots=True)
class _TiffImage:
    """An image of a TIFF: a series of tifffile's, or several of its series or pages as slices."""

    parts: Sequence[tifffile.TiffPageSeries | tifffile.TiffPage | tifffile.TiffFrame]
    pages: Sequence[tifffile.TiffPage | tifffile.TiffFrame | None]
    keyframe: tifffile.TiffPage
    name: str = ""
    ome: OmeImage | None = None

    @classmethod
    def of(cls, series: tifffile.TiffPageSeries, ome: OmeImage | None = None) -> Self:
        return cls([series], series._pages, series.keyframe, series.name, ome)

    @property
    def stored_axes(self) -> str:
        axes, shape = self.parts[0].axes, self.parts[0].shape
        # An array (H, W, 1) that a program wrote, not H planes one pixel wide.
        while axes.endswith("Q") and "X" in axes and shape[len(axes) - 1] == 1:
            axes = axes[:-1]
        return ("Z" if len(self.parts) > 1 else "") + axes

    @property
    def files(self) -> frozenset[Path]:
        """Those in which its pixels lie."""
        parents = {page.parent for page in self.pages if page is not None}
        return frozenset(Path(parent.filehandle.path).resolve() for parent in parents)

    @property
    def is_grey_with_alpha(self) -> bool:
        """Whether the second of two samples says how transparent a pixel is."""
        page = self.keyframe
        is_alpha = page.samplesperpixel == 2 and page.extrasamples[:1] in ((1,), (2,))
        return is_alpha and self.stored_axes.count("S") == 1

    @property
    def is_plain(self) -> bool:
        """Whether its pixels are those of one part as they are."""
        is_other = self.is_grey_with_alpha or self.palette is not None
        is_refused = self.keyframe.photometric in _REFUSED_COLOURS
        is_same = self.stored_axes == self.parts[0].axes
        return is_same and not is_other and not is_refused

    @property
    def palette(self) -> NDArray[Any] | None:
        """Colours (N, 3) of the numbers 0 to N - 1, or (N,) if all are grey; None without."""
        page = self.keyframe
        is_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        # Where there are channels, a palette is how one of them is shown.
        if not is_palette or page.colormap is None or set("CS") & set(self.stored_axes):
            return None
        colours = np.ascontiguousarray(page.colormap.T)
        if page.is_imagej and is_brightness_scale(colours):  # how ImageJ shows intensities
            return None
        if colours.max() < 256:
            colours = colours.astype(np.uint8)
        elif not (colours & 0xFF).any() or np.array_equal(colours >> 8, colours & 0xFF):
            colours = (colours >> 8).astype(np.uint8)
        return grey_of_colours(colours)

    def layout(self) -> tuple[str, tuple[int, ...], str]:
        """Name, shape and axes, as the header tells them."""
        shape = self.parts[0].shape
        if len(self.parts) > 1:
            shape = (len(self.parts), *shape)
        axes, palette = self.stored_axes, self.palette
        shape = shape[: len(axes)]
        if self.is_grey_with_alpha:
            place = axes.index("S")
            shape, axes = shape[:place] + shape[place + 1 :], axes.replace("S", "")
        axes = _axis_names(axes)
        if palette is not None and palette.ndim == 2:
            shape, axes = (*shape, 3), axes + "C"
        return self.name, shape, axes

    def refuse_missing(self, path: Path) -> None:
        """Refuse an image whose planes are not all there; tifffile would make them zero."""
        if any(page is not None and _is_cut(page) for page in self.pages):
            raise tifffile.TiffFileError
        missing = sum(page is None for page in self.pages)
        if not missing:
            return
        absent = self.ome.absent_files(path.parent) if self.ome else []
        if absent:
            raise incomplete_set(path, absent)
        raise FileError(
            f"'{path}' lacks {missing} of the {len(self.pages)} planes that it is said to have; "
            "export the image again, or cut it to what was recorded, for example with Fiji."
        )

    def pixels(self, path: Path, *, as_labels: bool) -> tuple[NDArray[Any], str]:
        """Read the array, and give it with its axes."""
        page = self.keyframe
        colours = _REFUSED_COLOURS.get(page.photometric)
        # tifffile makes RGB of what JPEG and its kin hold.
        coded_by = tifffile.COMPRESSION(page.compression).name
        from_jpeg = colours == "YCbCr" and re.search("JPEG|JP2", coded_by)
        if colours and page.samplesperpixel > 1 and not from_jpeg:
            raise FileError(
                f"'{path}' holds its colours as {colours}, which is not read here; save it as RGB."
            )
        arrays = [_stored_array(part) for part in self.parts]
        array = arrays[0] if len(arrays) == 1 else np.stack(arrays)
        axes = self.stored_axes
        array = array.reshape(array.shape[: len(axes)])
        palette = None if as_labels else self.palette
        if palette is not None:
            # One bit for a pixel is read as yes or no.
            numbers = array.view(np.uint8) if array.dtype == np.bool_ else array
            array = palette[numbers]
            array = grey_of_colours(array) if palette.ndim == 2 else array
            return array, _axis_names(axes) + "C" * (array.ndim - len(axes))
        if self.is_grey_with_alpha:
            array, axes = array.take(0, axes.index("S")), axes.replace("S", "")
        if as_labels and axes.count("S") == 1:
            grey = grey_of_colours(np.moveaxis(array, axes.index("S"), -1))
            # Planes that differ are slices, whatever a program called them.
            if grey.ndim < array.ndim:
                array, axes = grey, axes.replace("S", "")
        return array, _axis_names(axes)

    def scale(self, tiff: tifffile.TiffFile) -> Scale:
        """What the file says of distances and times in this image."""
        return ome_scale(self.ome.pixels) if self.ome else tiff_scale(tiff, self.keyframe)

    def description(self, tiff: tifffile.TiffFile) -> str:
        """What people or programs wrote about it."""
        if self.ome:
            return self.ome.description
        if tiff.is_imagej:
            return str((tiff.imagej_metadata or {}).get("Info", ""))
        return str((tiff.shaped_metadata or ({},))[0].get("Description", ""))


def _numbered(images: Sequence[_TiffImage]) -> tuple[SeriesInfo, ...]:
    infos = numbered_series(each.layout() for each in images)
    return tuple(
        replace(info, files=image.files) for info, image in zip(infos, images, strict=True)
    )


def _images(path: Path, tiff: tifffile.TiffFile) -> list[_TiffImage]:
    """List the images of a file, each of them complete."""
    series = list(tiff.series)
    if not series:
        raise tifffile.TiffFileError
    kind, described = series[0].kind, ome_images(tiff.ome_metadata or "")
    # Without any file of the set tifffile takes the pages for those of a plain TIFF.
    if len(described) != len(series) if kind == "ome" else kind in ("generic", "uniform"):
        absent = sorted({name for each in described for name in each.absent_files(path.parent)})
        if absent or kind == "ome":
            raise incomplete_set(path, absent) if absent else tifffile.TiffFileError
    images = _without_smaller_copies(series)
    if kind in ("generic", "uniform"):
        found = _of_equal_pages(images)
    elif kind == "shaped" and len({(each.shape, each.dtype) for each in images}) == 1:
        pages = [page for each in images for page in each._pages]
        found = [_TiffImage(images, pages, images[0].keyframe)]
    elif len(described) == len(series):
        # Micro-Manager has its own series, and writes the scale as OME, too.
        found = [_TiffImage.of(each, described[series.index(each)]) for each in images]
    else:
        found = [_TiffImage.of(each) for each in images]
    for image in found:
        image.refuse_missing(path)
    return found


def _of_equal_pages(series: Sequence[tifffile.TiffPageSeries]) -> list[_TiffImage]:
    """Make a stack of the pages of a plain TIFF that are alike, in the order of the file.

    tifffile tells pages of two compressions apart; to the user they are slices.
    """
    kinds: dict[Any, list[tifffile.TiffPageSeries]] = {}
    for each in sorted(series, key=lambda each: tuple(np.atleast_1d(each.keyframe.index))):
        kinds.setdefault((each.keyframe.shape, each.dtype, each.keyframe.axes), []).append(each)
    found = []
    for alike in kinds.values():
        if len(alike) == 1:
            found.append(_TiffImage.of(alike[0]))
        else:
            pages = [page for each in alike for page in each._pages if page is not None]
            pages.sort(key=lambda page: page.index)
            found.append(_TiffImage(pages, pages, alike[0].keyframe))
    return found


def _without_smaller_copies(
    series: Sequence[tifffile.TiffPageSeries],
) -> list[tifffile.TiffPageSeries]:
    """Leave out thumbnails, levels of pyramids and pictures of the slide, flagged or not.

    tifffile goes by the sizes alone: half as large is a level for it, even if
    it shows something else, and a thumbnail before its image is none.
    """
    flat = []
    for each in series:
        flat += [each, *each.levels[1:]]
    whole = [each for each in flat if not _is_flagged(each)] or list(series)
    return [each for each in whole if not any(_is_smaller_copy(each, other) for other in whole)]


def _stored_array(part: tifffile.TiffPageSeries | tifffile.TiffPage | tifffile.TiffFrame) -> Any:
    """Read a series or a page; tifffile reads a series in one piece from its own file alone."""
    if not isinstance(part, tifffile.TiffPageSeries):
        return part.asarray()
    pages = [page for page in part._pages if page is not None]
    if part.parent is None or all(page.parent is part.parent for page in pages):
        return part.asarray()
    if len(pages) == 1:
        return _page_array(pages[0]).reshape(part.shape)
    # Page by page it goes to the other files of the set.
    return part.parent.asarray(key=slice(None), series=part).reshape(part.shape)


def _page_array(page: tifffile.TiffPage | tifffile.TiffFrame) -> NDArray[Any]:
    """Read a page, perhaps of another file of the set, which tifffile has closed."""
    file = page.parent.filehandle
    if not file.closed:
        return page.asarray()
    file.open()
    with file:
        return page.asarray()


def _is_cut(page: tifffile.TiffPage | tifffile.TiffFrame) -> bool:
    """Whether the file ends before a compressed page; some decoders fill up what is missing."""
    keyframe = page.keyframe
    if keyframe is None or keyframe.compression == tifffile.COMPRESSION.NONE:
        return False
    ends = np.add(page.dataoffsets, page.databytecounts)
    return int(ends.max(initial=0)) > page.parent.filehandle.size


def _is_flagged(series: tifffile.TiffPageSeries) -> bool:
    page = series.keyframe
    is_level = page.is_reduced or page.is_subifd or page.is_mask
    return is_level or series.name.lower() in _NOT_THE_IMAGE


def _is_smaller_copy(small: tifffile.TiffPageSeries, large: tifffile.TiffPageSeries) -> bool:
    """Whether a series shows the same as a larger one, judging by sizes and then by pixels."""
    (height, width), (tall, wide) = _page_size(small), _page_size(large)
    if height >= tall or width >= wide:
        return False
    # The sizes have the same ratio up to what rounding takes.
    if abs(height * wide - width * tall) > max(tall, wide):
        return False
    plane, whole = (_grey_plane(each.keyframe) for each in (small, large))
    step = round(tall / height)
    candidates = [whole[::step, ::step]]
    for way in (Image.Resampling.BOX, Image.Resampling.NEAREST):
        candidates.append(np.asarray(Image.fromarray(whole).resize((width, height), way)))
    return any(_is_alike(plane, each) for each in candidates)


def _is_alike(plane: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    if plane.shape != other.shape:
        return False
    with np.errstate(all="ignore"):  # no correlation with what is the same everywhere
        likeness = np.corrcoef(plane.ravel(), other.ravel())[0, 1]
    return bool(likeness >= _LEAST_LIKENESS) or np.array_equal(plane, other)


def _page_size(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    return series.keyframe.imagelength, series.keyframe.imagewidth


def _grey_plane(page: tifffile.TiffPage) -> NDArray[np.float32]:
    """(H, W) pixels of a page, the mean of its channels."""
    array = np.asarray(_page_array(page), np.float32)
    others = tuple(axis for axis, name in enumerate(page.axes) if name not in "YX")
    plane: NDArray[np.float32] = array.mean(axis=others) if others else array
    return plane


def _axis_names(axes: str) -> str:
    """Letters of `ImageFile.axes` for those of tifffile, each at most once as far as it can be."""
    channel = "S" if "S" in axes else "C"
    return "".join(
        "C" if axis == channel else axis if axis in "YXT" and axes.count(axis) == 1 else "Z"
        for axis in axes
    )
