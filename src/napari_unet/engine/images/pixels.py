"""The pixels of an image of any size, read in parts: in memory or lazy, as dask's arrays are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, ImageValueError

Found = TypeVar("Found")

Survey: TypeAlias = Callable[[Callable[[tuple[slice, ...]], Any], Iterable[tuple[slice, ...]]], Any]
"""Given a function and parts of an image: what it finds in each of them, in their order."""

_PART_PIXELS = 1 << 22
"""Pixels read at once."""

_PIECE_PIXELS = 1 << 20
"""Pixels computed at once: few enough to give way to other threads often."""

_DIGIT_BITS = 16


def check_pixels(image: Any) -> None:
    """Raise unless `image` holds at least one pixel and only finite real numbers.

    Raises
    ------
    ImageShapeError
        If it is empty.
    ImageValueError
        If its dtype is not real numbers or if pixels are NaN or infinite.
    """
    check_kind(image)
    if np.dtype(image.dtype).kind == "f":
        for _ in surveyed(image, _nothing):
            pass


def check_kind(image: Any) -> None:
    """Raise unless `image` has pixels, and a dtype of real numbers; reads none of them."""
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "buif":
        raise ImageValueError(
            f"The image has dtype {dtype}; the network reads whole or real numbers. "
            + (
                "Take its magnitude first, for example np.abs(image)."
                if dtype.kind == "c"
                else "Convert it first, for example image.astype('float32')."
            )
        )
    if image.size == 0:
        raise ImageShapeError(
            f"The image has shape {image.shape} and no pixels; choose one with at least 1 x 1."
        )


def _parts(image: Any) -> Iterator[tuple[slice, ...]]:
    """Regions that cover an image, each of a few million pixels or of one chunk of a lazy array."""
    chunks = getattr(image, "chunks", None) or (1,) * image.ndim
    ends = [_chunk_ends(n, lengths) for n, lengths in zip(image.shape, chunks, strict=True)]
    longest = [int(np.diff(stops, prepend=0).max()) for stops in ends]
    slices: list[list[slice]] = [[] for _ in ends]
    for axis in reversed(range(image.ndim)):
        most = _PART_PIXELS // (math.prod(longest) // longest[axis])
        slices[axis] = _cut(ends[axis], most)
        longest[axis] = max(part.stop - part.start for part in slices[axis])
    yield from itertools.product(*slices)


def _chunk_ends(length: int, chunks: int | tuple[int, ...]) -> NDArray[np.intp]:
    """Where the chunks along an axis end: dask gives all their lengths, zarr and h5py one."""
    if isinstance(chunks, tuple):
        return np.cumsum(chunks, dtype=np.intp)
    return np.minimum(np.arange(chunks, length + chunks, chunks), length)


def _cut(ends: NDArray[Any], most: int) -> list[slice]:
    """Join the chunks along an axis, given by their ends, as long as they are not above `most`."""
    parts = []
    start = 0
    while start < ends[-1]:
        following = np.searchsorted(ends, start, side="right")
        fitting = np.searchsorted(ends, start + most, side="right") - 1
        stop = int(ends[max(following, fitting)])
        parts.append(slice(start, stop))
        start = stop
    return parts


@dataclass(frozen=True, slots=True)
class _Seen(Generic[Found]):
    """What was found in a part of an image, and in how many pixels that are no numbers."""

    found: Found
    bad: int
    first: str
    """Where the first of these is."""


def surveyed(image: Any, look: Callable[[Iterator[NDArray[Any]]], Found]) -> Iterator[Found]:
    """What is found in each part of an image, in their order; its pixels are read in parts.

    Parameters
    ----------
    image : array
        A view with workers, see `LazyView.by`, has them look.
    look : callable
        Given flat pieces of about a million finite pixels. A function of a
        module, or a `partial` of one.

    Raises
    ------
    ImageValueError
        After the last part, if any pixels were not finite.
    """
    see = partial(_see, image, look)
    survey: Survey | None = getattr(image, "survey", None)
    parts = _parts(image)
    bad, first = 0, ""
    for seen in map(see, parts) if survey is None else survey(see, parts):
        first = first or seen.first
        bad += seen.bad
        yield seen.found
    if bad:
        raise ImageValueError(
            f"{bad} of {image.size} pixels are NaN or infinite; replace them first, "
            f"for example with np.nan_to_num(image). The first is at {first}."
        )


def _see(
    image: Any, look: Callable[[Iterator[NDArray[Any]]], Found], part: tuple[slice, ...]
) -> _Seen[Found]:
    dtype = np.dtype(image.dtype)
    native = np.float64 if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")
    read = np.asarray(image[part])
    pixels = read.reshape(-1)
    bad: list[int] = []

    def pieces() -> Iterator[NDArray[Any]]:
        for start in range(0, pixels.size, _PIECE_PIXELS):
            piece = pixels[start : start + _PIECE_PIXELS].astype(native, copy=False)
            if dtype.kind == "f":
                finite = np.isfinite(piece)
                if not finite.all():
                    bad.extend((start + np.flatnonzero(~finite)).tolist())
                    piece = piece[finite]
            yield piece

    found = look(pieces())
    first = _place(image, part, np.unravel_index(bad[0], read.shape)) if bad else ""
    return _Seen(found, len(bad), first)


def _nothing(pieces: Iterator[NDArray[Any]]) -> None:
    for _ in pieces:
        pass


def _place(image: Any, part: tuple[slice, ...], within: Sequence[Any]) -> str:
    """Where a pixel of a part lies in the image, counted from 0; axes of one pixel tell nothing."""
    at = [cut.start + int(index) for cut, index in zip(part, within, strict=True)]
    planes = [str(n) for n, length in zip(at[:-2], image.shape[:-2], strict=True) if length > 1]
    pixel = ", ".join(f"{axis} {n}" for axis, n in zip("yx"[-len(at) :], at[-2:], strict=True))
    return f"{pixel} of plane {', '.join(planes)}" if planes else pixel


def values_at(image: Any, ranks: Sequence[int]) -> dict[int, float]:
    """Values at these places of all pixels in order.

    Their bits are found from the highest down, 16 with each pass over the
    image, until the pixels that share them are few enough to be put in order.
    """
    start_of = dict.fromkeys(ranks, 0)  # the bits of the value found so far
    before = {rank: rank for rank in ranks}  # pixels with the same start that come before it
    dtype = np.dtype(image.dtype)
    shift = 8 * min(8, dtype.itemsize)
    digit = min(shift, _DIGIT_BITS)
    left = image.size
    while left > _PIECE_PIXELS and shift > 0:
        shift -= digit
        counts = {start: np.zeros(1 << digit, np.int64) for start in start_of.values()}
        for part in surveyed(image, partial(_digits, tuple(counts), shift, digit)):
            for start, count in part.items():
                counts[start] += count
        found = {}
        for rank in ranks:
            count = counts[start_of[rank]]
            upto = np.cumsum(count)
            number = int(np.searchsorted(upto, before[rank], side="right"))
            before[rank] -= int(upto[number] - count[number])
            start_of[rank] = (start_of[rank] << digit) + number
            found[start_of[rank]] = int(count[number])
        left = sum(found.values())
    if shift == 0:
        return {rank: _value_of(start, dtype) for rank, start in start_of.items()}
    inside: dict[int, list[NDArray[Any]]] = {start: [] for start in start_of.values()}
    for there in surveyed(image, partial(_inside, tuple(inside), shift)):
        for start, pixels in there.items():
            inside[start] += pixels
    ordered = {
        start: np.partition(
            np.concatenate(parts), [before[r] for r in ranks if start_of[r] == start]
        )
        for start, parts in inside.items()
    }
    return {r: _value_of(int(ordered[start][before[r]]), dtype) for r, start in start_of.items()}


def _digits(
    starts: Iterable[int], shift: int, digit: int, pieces: Iterator[NDArray[Any]]
) -> dict[int, NDArray[np.int64]]:
    """For each start, how many pixels have each value of the bits that follow it."""
    counts = {start: np.zeros(1 << digit, np.int64) for start in starts}
    for start, pixels in _pixels_starting(pieces, starts, shift + digit):
        digits = ((pixels >> shift) & ((1 << digit) - 1)).astype(np.intp)
        counts[start] += np.bincount(digits, minlength=1 << digit)
    return counts


def _inside(
    starts: Iterable[int], shift: int, pieces: Iterator[NDArray[Any]]
) -> dict[int, list[NDArray[Any]]]:
    """For each start the pixels that have it."""
    inside: dict[int, list[NDArray[Any]]] = {start: [] for start in starts}
    for start, pixels in _pixels_starting(pieces, starts, shift):
        inside[start].append(pixels)
    return inside


def _pixels_starting(
    pieces: Iterator[NDArray[Any]], starts: Iterable[int], shift: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """For each start in turn, and piece by piece: the pixels whose bits above `shift` are these."""
    for piece in pieces:
        bits = _ordered_bits(piece)
        if shift == 8 * bits.itemsize:
            yield 0, bits
            continue
        starts_there = bits >> shift
        for start in starts:
            yield start, bits[starts_there == start]


def _ordered_bits(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers without a sign that are in the same order as the values."""
    bits: NDArray[Any] = values.view(f"u{values.dtype.itemsize}")
    sign = 1 << (8 * values.dtype.itemsize - 1)
    if values.dtype.kind == "i":
        return bits ^ sign
    if values.dtype.kind == "f":
        # Negative numbers are in reverse order, and before the others.
        return np.where(bits & sign, ~bits, bits | sign)
    return bits


def _value_of(ordered: int, dtype: np.dtype[Any]) -> float:
    """The value that has these `_ordered_bits`."""
    size = min(8, dtype.itemsize)
    sign = 1 << (8 * size - 1)
    if dtype.kind == "i":
        ordered ^= sign
    if dtype.kind == "f":
        ordered = ordered ^ sign if ordered & sign else ~ordered & (2 * sign - 1)
    kind = "u" if dtype.kind == "b" else dtype.kind
    return float(np.array(ordered, f"u{size}").view(f"{kind}{size}"))
