"""Small parts that stand for a large image, and the one in which there is most to see."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import AnyImage

_MOST_ALONG_AN_AXIS = 3
_BLOCK_PX = 32
"""Side of a block: cells differ within it, and light that falls off hardly does."""

_DUST_SHARE = 50
"""Of so many pixels of a block one may be dust, which is brighter or darker than any cell."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Parts of an image, alike in size and evenly spaced.

    Parameters
    ----------
    places : tuple of Region
        Where they lie in (*stack, H, W), each in one plane.
    samples : (C, windows, h, w) array
        Their pixels; of large windows evenly spaced ones.
    """

    places: tuple[Region, ...]
    samples: AnyImage

    @property
    def richest(self) -> Region:
        """Place of the window in which pixels near to each other differ most."""
        each = np.moveaxis(self.samples, 1, 0)
        return self.places[int(np.argmax([_structure(window) for window in each]))]


def windows_of(channels: AnyImage, side_px: int, *, most_samples: int = 512) -> Windows:
    """Take windows from an image, however large or lazy it is: nothing else is read of it.

    Parameters
    ----------
    channels : (C, *stack, H, W) array
    side_px : int
        Of a window, as far as the plane is so large.
    most_samples : int
        Along each axis of a window.

    Returns
    -------
    Windows
        At most 3 x 3, in at most three planes.
    """
    *stack, height, width = channels.shape[1:]
    sides = [min(n, side_px) for n in (height, width)]
    planes = _spread(math.prod(stack), 1)
    starts = [_spread(n, side) for n, side in zip((height, width), sides, strict=True)]
    places: list[Region] = []
    for plane, *corner in itertools.product(planes, *starts):
        front = (slice(int(at), int(at) + 1) for at in np.unravel_index(plane, stack))
        window = (slice(low, low + n) for low, n in zip(corner, sides, strict=True))
        places.append((*front, *window))
    thin = slice(None, None, math.ceil(max(sides) / most_samples))
    parts = (np.asarray(channels[(slice(None), *each)])[..., thin, thin] for each in places)
    flat = [each.reshape(len(each), *each.shape[-2:]) for each in parts]
    return Windows(tuple(places), np.stack(flat, axis=1))


def _spread(length: int, side: int) -> list[int]:
    """Where few pieces of this size begin, from the first to the last; a single one: the middle."""
    count = min(_MOST_ALONG_AN_AXIS, math.ceil(length / side))
    if count == 1:
        return [(length - side) // 2]
    return [round(place) for place in np.linspace(0, length - side, count)]


def _structure(channels: NDArray[Any]) -> float:
    """Mean range of the pixels within a block, but for the few darkest and brightest: dust."""
    *others, height, width = channels.shape
    rows, columns = min(height, _BLOCK_PX), min(width, _BLOCK_PX)
    down, along = height // rows, width // columns
    whole = channels[..., : down * rows, : along * columns]
    blocks = np.moveaxis(whole.reshape(*others, down, rows, along, columns), -3, -2)
    pixels = blocks.reshape(*others, down, along, rows * columns)
    few = rows * columns // _DUST_SHARE
    ordered = np.partition(pixels, (few, -1 - few), axis=-1)
    return float(np.mean(np.subtract(ordered[..., -1 - few], ordered[..., few], dtype=np.float64)))
