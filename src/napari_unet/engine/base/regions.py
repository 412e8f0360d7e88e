"""Boxes in an image, one slice for each axis, and all arithmetic with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Region: TypeAlias = tuple[slice, ...]
"""Start and stop along each axis, in pixels; both are numbers, there is no step."""


def whole(shape: Iterable[int]) -> Region:
    """All of an image."""
    return tuple(slice(0, n) for n in shape)


def region_of(ends: Sequence[int]) -> Region:
    """Box whose starts and stops stand in one row, axis after axis."""
    return tuple(map(slice, ends[::2], ends[1::2]))


def sizes(box: Region) -> tuple[int, ...]:
    """Shape of a box in pixels."""
    return tuple(part.stop - part.start for part in box)


def clipped(box: Region, shape: Sequence[int]) -> Region:
    """The part of a box that is in an image; empty, not reversed, where nothing is.

    An end that is missing or negative means what it does in an index.
    """
    ends = (part.indices(n)[:2] for part, n in zip(box, shape, strict=True))
    return tuple(slice(start, max(start, stop)) for start, stop in ends)


def shared(one: Region, other: Region) -> Region:
    """The part that two boxes share; empty, not reversed, where they share nothing."""
    starts = [max(a.start, b.start) for a, b in zip(one, other, strict=True)]
    stops = (min(a.stop, b.stop) for a, b in zip(one, other, strict=True))
    return tuple(slice(low, max(low, high)) for low, high in zip(starts, stops, strict=True))


def around(boxes: Iterable[Region]) -> Region:
    """The smallest box around one or more."""
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )


def around_true(mask: NDArray[np.bool_]) -> Region | None:
    """The smallest box around what is true; None if nothing is."""
    parts = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(n for n in range(mask.ndim) if n != axis)))
        if not hits.size:
            return None
        parts.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(parts)


def shifted(box: Region, steps: Sequence[int]) -> Region:
    """A box so many pixels further along each axis."""
    return tuple(
        slice(part.start + step, part.stop + step) for part, step in zip(box, steps, strict=True)
    )


def within(box: Region, outer: Region) -> Region:
    """A box counted from where `outer` starts, to index an array that holds `outer`."""
    return shifted(box, [-part.start for part in outer])


def without(box: Region, inner: Region) -> list[Region]:
    """Boxes that together are a box without another one that lies in it."""
    rest, outside = list(box), []
    for axis, part in enumerate(inner):
        for piece in (slice(rest[axis].start, part.start), slice(part.stop, rest[axis].stop)):
            if piece.start < piece.stop:
                outside.append((*rest[:axis], piece, *rest[axis + 1 :]))
        rest[axis] = part
    return outside


def grown(box: Region, margins_px: Sequence[int], shape: Sequence[int]) -> Region:
    """A box and so many pixels on both sides along each axis, as far as the image goes."""
    return tuple(
        slice(max(0, part.start - margin), min(n, part.stop + margin))
        for part, margin, n in zip(box, margins_px, shape, strict=True)
    )


def aligned(box: Region, multiples: Sequence[int], shape: Sequence[int]) -> Region:
    """A box widened to starts at multiples, one for each axis, and stops at them or the end."""
    return tuple(
        slice(part.start // multiple * multiple, min(n, -(-part.stop // multiple) * multiple))
        for part, multiple, n in zip(box, multiples, shape, strict=True)
    )


def mirrored(box: Region, axes: Iterable[int], shape: Sequence[int]) -> Region:
    """Where a box lies once the image is mirrored along some axes."""
    parts = list(box)
    for axis in axes:
        parts[axis] = slice(shape[axis] - box[axis].stop, shape[axis] - box[axis].start)
    return tuple(parts)
