"""What an image file holds, and what a file format must be able to do to be read here."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from napari_unet.engine.images.image import AnyImage

_LARGEST_PIXEL_UM = 20.0
"""Larger pixel sizes are a screen's or a printer's dots per inch, not a microscope's."""


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
    def holds(self, start: bytes) -> bool:
        """Whether a file with these first bytes is to be read with this format."""

    @abstractmethod
    def read(self, path: Path, *, palette_numbers: bool) -> ImageFile:
        """Read a file; with `palette_numbers` a palette picture's numbers, not its colours.

        Whatever error its library raises for a damaged file may come out.
        """

    @abstractmethod
    def holds_whole(self, path: Path, shape: tuple[int, ...]) -> bool:
        """Whether the file holds an array of this shape and nothing else, judging by its header."""

    def problem(self, error: Exception, start: bytes) -> str:  # noqa: ARG002
        """Say what an error while reading means, as a predicate; empty if the file is damaged."""
        return ""


def image_stem(path: Path) -> str:
    """File name without its ending; `.ome.tif` counts as one ending."""
    return re.sub(r"\.ome$", "", path.stem, flags=re.IGNORECASE)


def microscope_scale(sizes: Sequence[float | None]) -> tuple[float, ...] | None:
    """Give the pixel sizes in micrometres if all are known and could be a microscope's."""
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes) or not all(0 < size < math.inf for size in known):
        return None
    return tuple(known) if max(known[-2:]) <= _LARGEST_PIXEL_UM else None
