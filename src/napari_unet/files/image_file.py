"""What an image file holds, and what a file format must be able to do to be read here."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason, whole_file, write_problem
from napari_unet.engine.images.image import LUMINANCE, AnyImage
from napari_unet.files.stores.ngff import Multiscale

_LISTED_SERIES = 8
"""So many images of a file are listed in a message."""

_LABEL_ENDING = re.compile(r"(_seg\.npy|_rois\.zip)$", re.IGNORECASE)

_LARGEST_PIXEL_UM = 20.0
"""Dots per inch that make larger pixels are a screen's or a printer's, not a microscope's."""

_LONGEST_LABEL = 80
"""Letters of `SeriesInfo.label`; the names of files, of which it is a part, have 255 at most."""


class SeriesError(FileError):
    """Which of the images in a file is wanted is not clear, or there is no such image."""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One of the images that a file holds: a series, scene or position.

    Parameters
    ----------
    number : int
        Counted from 1, in the order of the file.
    name : str
        What the file calls it; empty if it has no name.
    label : str
        Unique in the file, and fit to be a part of a file's name.
    shape : tuple of int
    axes : str
        As in `ImageFile`. Whether colours turn out to be shades of grey, and
        are read as one channel, the header does not say.
    files : frozenset of Path
        In which its pixels lie, resolved; empty for formats without sets of files.
    """

    number: int
    name: str
    label: str
    shape: tuple[int, ...]
    axes: str
    files: frozenset[Path] = frozenset()


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
        Micrometres along the last of those of Z, Y and X that `axes` has, in
        that order: Y and X alone where the file has slices and does not say
        how far they are apart. None where it says nothing.
    frame_interval_s : float, optional
        Seconds from one frame to the next.
    series : SeriesInfo, optional
        Which image of the file this is; None for its only one.
    notes : mapping, optional
        How labels came about, if we wrote the file; see `write_labels`.
    types : mapping of int to str
        Of labels, as far as the file tells the type of a cell.
    remarks : tuple of str
        What is not as the file has it, in sentences: "3 of 40 overlap others; ...".
    stored : Multiscale, optional
        How an array of Zarr, HDF5 or NumPy lies in its file, with axes of one pixel, which
        `array` may lack.
    """

    path: Path
    array: AnyImage
    axes: str
    pixel_size_um: tuple[float, ...] | None = None
    frame_interval_s: float | None = None
    series: SeriesInfo | None = None
    notes: Mapping[str, Any] | None = None
    types: Mapping[int, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    stored: Multiscale | None = None

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


class ImageFormat(ABC):
    """A family of files that one library reads.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of names, in small letters, by which a folder's images are
        found. What is read goes by the content.
    """

    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def holds(self, path: Path, start: bytes) -> bool:
        """Whether a file with these first bytes is to be read with this format."""

    @abstractmethod
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        """List the images of a file, judging by its headers.

        Thumbnails, the smaller levels of a pyramid and pictures of a slide's
        label are no images. Errors are those of `read`.
        """

    @abstractmethod
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        """Read one image of a file.

        Parameters
        ----------
        path : Path
        series : int or str, optional
            As `chosen_series` takes it.
        as_labels : bool
            Give the numbers of a palette and not its colours, and of colours
            that are all grey one channel, without transparency.

        Raises
        ------
        FileError
            If what is known to be in the file cannot be read as it is.
            Whatever else its library raises for a damaged file may come out.
        """

    def opened(
        self,
        path: Path,
        *,
        series: int | str | None,
        closing: ExitStack,  # noqa: ARG002
    ) -> ImageFile:
        """Open an image, and read its pixels only as they are asked for if the format can.

        Parameters
        ----------
        path, series
            As in `read`; errors are the same.
        closing : ExitStack
            What must stay open is closed with it.
        """
        return self.read(path, series=series, as_labels=False)

    def holds_whole(self, path: Path, shape: tuple[int, ...]) -> bool:
        """Whether the file holds an array of this shape and nothing else, judging by its header."""
        return [each.shape for each in self.series(path)] == [shape]

    def problem(self, error: Exception, start: bytes) -> str:  # noqa: ARG002
        """Say what an error while reading means, as a predicate; empty if the file is damaged."""
        return ""


def image_stem(path: Path) -> str:
    """File name without its ending; `.ome.tif`, `_seg.npy` and `_rois.zip` count as one ending."""
    bare, found = _LABEL_ENDING.subn("", path.name)
    if found and bare:
        return bare
    return re.sub(r"\.ome$", "", path.stem, flags=re.IGNORECASE)


def numbered_series(
    layouts: Iterable[tuple[str, tuple[int, ...], str]],
) -> tuple[SeriesInfo, ...]:
    """Number the images of a file, given as (name, shape, axes)."""
    found, taken = [], set()
    for number, (name, shape, axes) in enumerate(layouts, 1):
        label = re.sub(r"[^\w.-]+", "_", name).strip("._")[:_LONGEST_LABEL]
        # A name such as "0" would be taken for another one's number.
        label = str(number) if not label or label.isdigit() else label
        # Windows and macOS do not tell "A.tif" from "a.tif".
        while label.casefold() in taken:
            label = f"{label}_{number}"
        taken.add(label.casefold())
        found.append(SeriesInfo(number, name, label, tuple(shape), axes))
    return tuple(found)


def chosen_series(path: Path, found: Sequence[SeriesInfo], wanted: int | str | None) -> SeriesInfo:
    """Take the wanted image of a file.

    Parameters
    ----------
    path : Path
        For messages.
    found : sequence of SeriesInfo
    wanted : int or str, optional
        The number of a series, its name or its label. None asks for the only
        image that there is.

    Raises
    ------
    SeriesError
        If there is no such series, or if there are several and none is named;
        the message lists those there are.
    """
    if wanted is None and len(found) == 1:
        return found[0]
    for each in found:
        if str(wanted) in (str(each.number), each.name, each.label):
            return each
    names = [
        f"{each.number}" + (f" '{each.name}'" if each.name else "") + f" {each.shape}"
        for each in found[:_LISTED_SERIES]
    ]
    more = len(found) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    if wanted is None:
        raise SeriesError(
            f"'{path}' holds {len(found)} images: {listed}; choose one by its number or name."
        )
    raise SeriesError(
        f"'{path}' has no series {wanted!r}; it holds {listed}. Choose one by its number or name."
    )


def read_problem(path: Path, error: OSError) -> str:
    """Say in a sentence why a file could not be opened."""
    if isinstance(error, FileNotFoundError):
        return missing_file(path)
    if isinstance(error, IsADirectoryError | PermissionError) and path.is_dir():
        return f"'{path}' is a folder; name one image file."
    return f"Cannot read '{path}' ({system_reason(error)})."


def missing_file(path: Path) -> str:
    """Say that there is nothing under a name."""
    return f"There is no file or folder '{path}'; check its name and where it lies."


def existing(path: Path) -> FileError:
    """Say that nothing is written because something of this name is there."""
    return FileError(
        f"'{path}' exists already; choose another name, or allow replacing it (overwrite=True)."
    )


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only once it is complete.

    Raises
    ------
    FileError
        If `path` exists and `overwrite` is off, or cannot be written.
    """
    try:
        if path.is_dir():
            raise FileError(f"'{path}' is a folder; name a file to write.")
        if path.exists() and not overwrite:
            raise existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(write_problem(path, error)) from error
    with whole_file(path, refused=FileError) as partial, partial.open("wb") as stream:
        yield stream


def microscope_scale(sizes: Sequence[float | None]) -> tuple[float, ...] | None:
    """Give those of the sizes along (Z), Y and X, in micrometres, that belong to an image.

    Returns
    -------
    tuple of float, optional
        All sizes; those along Y and X where that along Z is not known; None
        where one of these is not.
    """
    known = [size if size is not None and 0 < size < math.inf else None for size in sizes]
    while len(known) > 2 and None in known[:-2]:
        known = known[1:]
    return None if None in known or len(known) < 2 else tuple(size for size in known if size)


def axis_sizes(
    axes: str, pixel_size_um: Sequence[float] | None, frame_interval_s: float | None
) -> dict[str, float]:
    """Give the step along each axis on which it is known: Z, Y, X in micrometres, T in seconds.

    Parameters
    ----------
    axes : str
        As in `ImageFile`.
    pixel_size_um, frame_interval_s
        As in `ImageFile`; sizes that are not positive and finite count as not known.
    """
    spatial = [axis for axis in "ZYX" if axis in axes]
    # From the end: slices without a known distance still have a scale in the plane.
    pairs = zip(reversed(spatial), reversed(pixel_size_um or ()), strict=False)
    sizes = {axis: float(size) for axis, size in pairs if 0 < size < math.inf}
    return sizes | ({"T": frame_interval_s} if "T" in axes and frame_interval_s else {})


def dots_scale(sizes: Sequence[float | None]) -> tuple[float, ...] | None:
    """As `microscope_scale`, for sizes that may be a screen's or a printer's dots."""
    scale = microscope_scale(sizes)
    return None if scale is None or max(scale[-2:]) > _LARGEST_PIXEL_UM else scale


def is_brightness_scale(palette: AnyImage) -> bool:
    """Whether (N, 3) colours go from dark to bright or back, but for a twentieth of the way."""
    steps = np.diff(palette @ np.asarray(LUMINANCE))
    up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
    return bool(min(up, down) <= 0.05 * max(up, down))


def grey_of_colours(array: AnyImage) -> AnyImage:
    """Give one channel of (..., C) colours, 3 or 4 with transparency, whose channels are equal.

    Other arrays come back as they are.
    """
    if array.shape[-1] not in (3, 4) or not all(
        np.array_equal(array[..., first], array[..., second]) for first, second in ((0, 1), (1, 2))
    ):
        return array
    return np.ascontiguousarray(array[..., 0])
