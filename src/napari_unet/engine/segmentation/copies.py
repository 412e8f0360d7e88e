"""Copies of an image, mirrored and turned in the plane, whose scores are averaged."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, mirrored
from napari_unet.engine.base.settings import Averaging
from napari_unet.engine.images.image import FloatImage
from napari_unet.engine.segmentation.tiling import PixelSource

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Copy:
    """How the last two axes of an image are changed: exchanged first, then mirrored.

    Both together make every turn by 90 degrees; each pixel keeps its value.

    Parameters
    ----------
    is_transposed : bool
    mirrors : tuple of int
        Axes, counted from the last, -1.
    """

    is_transposed: bool = False
    mirrors: tuple[int, ...] = ()

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the copy of an image."""
        return (*shape[:-2], shape[-1], shape[-2]) if self.is_transposed else shape

    def view(self, array: NDArray[_Number]) -> NDArray[_Number]:
        """View an array, its last two axes those of the image, as the copy has it."""
        turned = array.swapaxes(-1, -2) if self.is_transposed else array
        return np.flip(turned, self.mirrors)

    def box_in(self, box: Region, shape: tuple[int, ...]) -> Region:
        """Where a box of an image of that shape lies in the copy."""
        turned = (*box[:-2], box[-1], box[-2]) if self.is_transposed else box
        return mirrored(turned, self.mirrors, self.shape_of(shape))

    def box_of(self, box: Region, shape: tuple[int, ...]) -> Region:
        """Where a box of the copy lies in the image of that shape."""
        own = mirrored(box, self.mirrors, self.shape_of(shape))
        return (*own[:-2], own[-1], own[-2]) if self.is_transposed else own


def copies(averaging: Averaging) -> tuple[Copy, ...]:
    """Return the copies that are averaged, the image as it is first.

    They are changed in the plane alone: along z most microscopes blur in one
    direction.
    """
    if averaging == "none":
        return (Copy(),)
    axes = (-2, -1)
    mirrors = [each for n in range(3) for each in itertools.combinations(axes, n)]
    turns = (False, True) if averaging == "flips+rotations" else (False,)
    return tuple(Copy(turn, each) for turn in turns for each in mirrors)


@dataclass(frozen=True, slots=True)
class CopiedSource:
    """A copy of an image, still read in parts."""

    source: PixelSource
    copy: Copy

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape in pixels."""
        return self.copy.shape_of(self.source.shape)

    def read(self, region: Region) -> FloatImage:
        """Read (in_channels, *region) of the copy."""
        pixels: Any = self.source.read(self.copy.box_of(region, self.source.shape))
        return self.copy.view(pixels)
