"""How an image is cut into blocks, and which of them lie side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, sizes

Key: TypeAlias = tuple[int, ...]
"""A block: the plane of the stack, then its place along each axis of that."""

Face: TypeAlias = tuple[int, int]
"""Side of a block: spatial axis, and 0 for its low end or 1 for its high one."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Blocks of one plane or volume, or of each plane of a stack.

    Parameters
    ----------
    stack : tuple of int
        Lengths of the axes of planes; () without any. Planes are apart: no
        cell goes on from one to the next.
    shape : tuple of int
        Of a plane, in pixels at the model's scale.
    block : tuple of int
        Of a block, in pixels; at the far ends blocks are smaller.
    """

    stack: tuple[int, ...]
    shape: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return len(self.shape)

    @property
    def keys(self) -> list[Key]:
        """Every block, in reading order."""
        counts = (-(-n // b) for n, b in zip(self.shape, self.block, strict=True))
        return list(itertools.product(*map(range, (*self.stack, *counts))))

    def plane(self, key: Key) -> tuple[int, ...]:
        """Where its plane lies in the stack."""
        return key[: len(self.stack)]

    def box(self, key: Key) -> Region:
        """Where a block lies in its plane."""
        places = key[len(self.stack) :]
        return tuple(
            slice(i * b, min(n, (i + 1) * b))
            for i, b, n in zip(places, self.block, self.shape, strict=True)
        )

    def edges(self, key: Key) -> list[Face]:
        """Sides of a block that are the edge of the image."""
        ends = enumerate(zip(self.box(key), self.shape, strict=True))
        return [
            (axis, end)
            for axis, (part, n) in ends
            for end in (0, 1)
            if (part.stop == n if end else part.start == 0)
        ]

    def neighbours(self, key: Key) -> dict[Face, Key]:
        """The block at each other side."""
        edges, found = self.edges(key), {}
        for axis, end in itertools.product(range(self.ndim), (0, 1)):
            if (axis, end) not in edges:
                place = list(key)
                place[len(self.stack) + axis] += 2 * end - 1
                found[axis, end] = tuple(place)
        return found

    def reached(self, key: Key, region: Region) -> list[Key]:
        """Blocks of the plane of one that share pixels with a region of it."""
        spans = (
            range(part.start // b, -(-part.stop // b))
            for part, b in zip(region, self.block, strict=True)
        )
        return [(*self.plane(key), *place) for place in itertools.product(*spans)]

    def flat(self, key: Key, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the whole stack, in C order, of pixels of a block, in C order."""
        box = self.box(key)
        at = np.unravel_index(pixels, sizes(box))
        number = 0
        for index, n in zip(self.plane(key), self.stack, strict=True):
            number = number * n + index
        places = np.full(np.shape(pixels), number, np.int64)
        for along, part, n in zip(at, box, self.shape, strict=True):
            places = places * n + along + part.start
        return places


def default_block(
    shape: Sequence[int], steps: Sequence[int], multiples: Sequence[int]
) -> tuple[int, ...]:
    """A block of whole tiles, of about as many pixels as suit a few GB of memory.

    Parameters
    ----------
    shape : sequence of int
        Of the plane.
    steps : sequence of int
        Pixels between tiles along each axis.
    multiples : sequence of int
        Tiles begin at multiples of so many pixels along each axis.
    """
    wanted = _BLOCK_PX[len(shape)]
    block = []
    for n, step, multiple in zip(shape, steps, multiples, strict=True):
        tiles = max(1, round(wanted / step))
        block.append(min(math.ceil(n / multiple) * multiple, tiles * step))
    return tuple(block)


_BLOCK_PX = {2: 2048, 3: 192}


def face_of(array: NDArray[Any], face: Face) -> NDArray[Any]:
    """The outermost pixels of an array at one of its sides."""
    pixels: NDArray[Any] = np.take(array, -face[1], axis=face[0])
    return pixels


def opposite(face: Face) -> Face:
    """The side of the neighbour that lies at a side."""
    return face[0], 1 - face[1]
