"""What can be known of an image at a glance, measured in a sample of its pixels."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.checks.image_case import position
from napari_unet.engine.images.image import AnyImage

_SAMPLED_PIXELS = 20_000
_BLOCK_PX = 256
"""Side of the block that is read of an image that is not in memory."""

_FULL_SCALES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of cameras and files with 8, 10, 12, 14 and 16 bits."""

# The figures below were chosen on the 664 images and label images of the 2018 Data Science Bowl.
_FLAT_PAIRS = 0.9
_FLAT_PAIRS_INSIDE = 0.95
_JUMPS = 0.1
_PADDED = 0.02
_PADDED_GROUND = 0.33
"""From here on, a frame of zeros cost the model cells."""

_NOISE_CORRELATION = 0.15
_NOISE_SIGMAS = 4.5

_LEAST_CONTRAST = 1e-6
_ENOUGH_PIXELS = 1000
"""With fewer an image cannot be judged as a whole."""


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What can be known of an image at a glance; numbers are computed when they are first asked."""

    name: str
    """The layer's, or the file's."""
    shape: tuple[int, ...]
    """In pixels, without the axis of channels or colours."""
    dtype: str
    sample: NDArray[np.float64]
    beside: NDArray[np.float64]
    """`sample`, `beside`: (C, N) and (C, N) or (C, 0) float64. Pixels from all over in each
    channel, and the one to the right of each."""
    is_rgb: bool = False
    """The last axis of the array, which `shape` leaves out, holds colours."""
    channel_axis: int | None = None
    """Axis of the array that was chosen to count channels; None for RGB."""
    channels: int = 1
    """How many channels or colours there are; 1 without such an axis."""
    channel: int | None = None
    """The only one that is to be read, counted from 1; all without it."""
    axis_labels: tuple[str, ...] = ()
    """Names of the axes, that of the channels included, that of colours not."""
    pixel_size_um: float | None = None
    """In the plane."""
    spacing: tuple[float, ...] | None = None
    """Size of a voxel along Z, Y and X, in any one unit; None if it is not known."""
    pixel_aspect: float = 1.0
    """Height of a pixel over its width."""
    is_lazy: bool = False
    """It is not in memory; only a small block in the middle was looked at."""
    other_images: tuple[str, ...] = ()
    """Names of the viewer's other image layers."""

    @property
    def is_large(self) -> bool:
        """Whether there are enough pixels to judge them as a whole."""
        return math.prod(self.shape) >= _ENOUGH_PIXELS

    @cached_property
    def is_finite(self) -> bool:
        """Whether there are pixels and none of them is NaN or infinite."""
        return bool(self.sample.size and np.isfinite(self.sample).all())

    @cached_property
    def _numbers(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Different finite values in their order, and how many pixels have each."""
        return np.unique(self.sample[np.isfinite(self.sample)], return_counts=True)

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # real numbers can be that large
    def range(self) -> tuple[float, float, float] | None:
        """Percentiles 1, 50 and 99.8; None if nothing could be read."""
        values = self.sample[np.isfinite(self.sample)]
        if not values.size:
            return None
        low, median, high = (float(value) for value in np.percentile(values, (1, 50, 99.8)))
        return low, median, high

    @property
    def ground(self) -> float | None:
        """Where the median lies between the darkest (0) and the brightest (1)."""
        return None if self.range is None else position(*self.range)

    @cached_property
    def is_flat(self) -> bool:
        """Whether it is the same all over."""
        different, _ = self._numbers
        if not different.size:
            return False
        low, high = float(different[0]), float(different[-1])
        return high - low <= _LEAST_CONTRAST * max(abs(high), abs(low))

    @cached_property
    def levels(self) -> int | None:
        """Different values from the first to the last percentile; None where these are equal."""
        if self.range is None or self.range[0] == self.range[2]:
            return None
        different, _ = self._numbers
        return int(np.count_nonzero((different >= self.range[0]) & (different <= self.range[2])))

    @cached_property
    def saturated(self) -> float:
        """Share of pixels at the largest value that a camera or file can hold."""
        different, counts = self._numbers
        is_full = different.size and different[-1] in _FULL_SCALES
        return float(counts[-1] / counts.sum()) if is_full else 0.0

    @cached_property
    def padded(self) -> float:
        """Share of pixels that are 0 where all others are far above."""
        different, counts = self._numbers
        if self.range is None or different[0] != 0 or different.size < 3 or self.range[2] <= 0:
            return 0.0
        share = float(counts[0] / counts.sum())
        reached = np.cumsum(counts[1:]) / counts[1:].sum()
        darkest = float(different[1:][np.searchsorted(reached, 0.01)])
        stands_out = darkest >= _PADDED_GROUND * self.range[2]
        return share if _PADDED <= share < 0.5 and stands_out else 0.0

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Neighbours both of which are finite, each as (N,)."""
        if not self.beside.size:
            return np.zeros(0), np.zeros(0)
        both = np.isfinite(self.sample) & np.isfinite(self.beside)
        return self.sample[both], self.beside[both]

    @cached_property
    def flat_inside(self) -> float | None:
        """Share of neighbours alike where neither has the commonest value; None if there are few.

        In label images, shrunk to a third too, it is 0.97 or more, in the
        bundled samples at full depth at most 0.55.
        """
        _, is_same, inside = self._steps
        return float(is_same[inside].mean()) if inside.sum() >= _ENOUGH_PIXELS else None

    @cached_property
    def _steps(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Of all pairs: how many levels apart, whether alike, whether neither is the ground."""
        first, second = self._pairs
        _, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
        a, b = numbers[: first.size], numbers[first.size :]
        ground = int(np.bincount(a).argmax()) if a.size else 0
        return np.abs(a - b), a == b, (a != ground) & (b != ground)

    @cached_property
    def few_values(self) -> bool:
        """Whether it looks like labels or a mask: flat regions with sharp steps between them.

        However few grey levels an image has, at an edge it goes from one to the next.
        """
        values = np.unique(np.concatenate(self._pairs))
        if values.size < 2 or (values != np.trunc(values)).any():
            return False
        steps, is_same, inside = self._steps
        if is_same.mean() < _FLAT_PAIRS:
            return False
        if inside.any() and is_same[inside].mean() < _FLAT_PAIRS_INSIDE:
            return False
        return values.size == 2 or bool((steps > 1).sum() > _JUMPS * (steps > 0).sum())

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # real numbers can be that large
    def is_noise(self) -> bool:
        """Whether neighbouring pixels have nothing in common, and none stands out."""
        first, second = self._pairs
        if self.range is None or not first.size:
            return False
        _, median, high = self.range
        spread = float(np.median(np.abs(first - median))) * 1.4826
        if spread == 0 or high > median + _NOISE_SIGMAS * spread:
            return False
        a, b = (np.clip((values - median) / spread, -10, 10) for values in (first, second))
        if a.std() == 0 or b.std() == 0:
            return False
        return bool(abs(np.corrcoef(a, b)[0, 1]) < _NOISE_CORRELATION)

    @property
    def _compares_channels(self) -> bool:
        """Whether all channels were read, and there are several."""
        wanted = min(self.channels, 3) if self.is_rgb else self.channels
        seen: int = self.sample.shape[0]
        return 1 < seen == wanted

    @cached_property
    def is_grey(self) -> bool:
        """Whether all colours are the same everywhere."""
        return self._compares_channels and bool((self.sample == self.sample[0]).all())

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # real numbers can be that large
    def brightest_channel(self) -> int | None:
        """The one with the most contrast, counted from 1; None if only one was seen."""
        if not self._compares_channels:
            return None
        contrasts = []
        for channel in self.sample:
            good = channel[np.isfinite(channel)]
            low, high = np.percentile(good, (1, 99.8)) if good.size else (0, 0)
            contrasts.append(high - low)
        return int(np.argmax(contrasts)) + 1


def image_facts(
    array: AnyImage,
    *,
    name: str,
    is_rgb: bool = False,
    channel_axis: int | None = None,
    channel: int | None = None,
    **known: Any,
) -> ImageFacts:
    """Look at some pixels of an image.

    Of an array in memory it takes a sample from all over, in milliseconds
    however large it is. Of any other array it reads one small block in the
    middle, from a single chunk; how long that takes is up to the array.

    Parameters
    ----------
    array : array of any kind
        All of the layer at full resolution.
    name, is_rgb, channel_axis, channel
        As in `ImageFacts`; a negative `channel_axis` counts from the end.
    **known
        Further fields of `ImageFacts`: `axis_labels`, `pixel_size_um`,
        `spacing`, `pixel_aspect`, `other_images`.
    """
    axis = array.ndim - 1 if is_rgb else channel_axis
    if axis is not None:
        axis %= array.ndim
    channels = 1 if axis is None else int(array.shape[axis])
    is_lazy = not _is_in_memory(array)
    sample = beside = np.zeros((channels, 0))
    if np.dtype(array.dtype).kind in "buif" and 0 not in array.shape:
        parts = [slice(0, int(n)) for n in array.shape]
        if axis is not None:
            parts[axis] = slice(0, 3 if is_rgb else None)
            if channel is not None and 1 <= channel <= channels:
                parts[axis] = slice(channel - 1, channel)
        block = _middle_block(array, parts, axis) if is_lazy else array[tuple(parts)]
        planes = np.moveaxis(block, axis, 0) if axis is not None else block[np.newaxis]
        sample, beside = _neighbours(planes)
    return ImageFacts(
        name,
        tuple(int(n) for number, n in enumerate(array.shape) if number != axis),
        str(np.dtype(array.dtype)),
        sample,
        beside,
        is_rgb,
        None if is_rgb else axis,
        channels,
        channel,
        is_lazy=is_lazy,
        **known,
    )


def _is_in_memory(array: Any) -> bool:
    """Whether reading pixels here and there costs nothing: a mapped file does not count."""
    if not isinstance(array, np.ndarray):
        return False
    memory: Any = array
    while isinstance(memory, np.ndarray):
        memory = memory.base
    return not isinstance(memory, mmap.mmap)


def _middle_block(array: Any, parts: list[slice], channel_axis: int | None) -> NDArray[Any]:
    """Read at most 256 x 256 pixels of one slice, from the chunk in the middle of `parts`."""
    chunks = getattr(array, "chunks", None) or [None] * array.ndim
    plane = [axis for axis in range(array.ndim) if axis != channel_axis][-2:]
    block = []
    for axis, (part, along) in enumerate(zip(parts, chunks, strict=True)):
        low, high, _ = part.indices(int(array.shape[axis]))
        start, stop = _chunk_at((low + high) // 2, int(array.shape[axis]), along)
        start, stop = max(start, low), min(stop, high)
        length = stop - start
        if axis != channel_axis:
            length = min(length, _BLOCK_PX if axis in plane else 1)
        first = min(max(start, (low + high - length) // 2), stop - length)
        block.append(slice(first, first + length))
    return np.asarray(array[tuple(block)])


def _chunk_at(index: int, size: int, chunks: Any) -> tuple[int, int]:
    """Start and stop of the chunk around an index; of dask's lengths or zarr's one length."""
    if isinstance(chunks, int | np.integer):
        start = index // int(chunks) * int(chunks)
        return start, min(size, start + int(chunks))
    stop = 0
    for length in chunks or ():
        start, stop = stop, stop + int(length)
        if start <= index < stop:
            return start, stop
    return 0, size


def _neighbours(planes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample (C, *spatial) from all over as (C, N), and beside each pixel the one to its right.

    Without a pixel to the right the second is empty.
    """
    shape = (*planes.shape[1:-1], max(1, planes.shape[-1] - 1))
    wanted = max(1, _SAMPLED_PIXELS // planes.shape[0])
    steps = [1] * len(shape)
    while math.prod(-(-n // step) for n, step in zip(shape, steps, strict=True)) > wanted:
        longest = int(np.argmax([n / step for n, step in zip(shape, steps, strict=True)]))
        steps[longest] += 1
    inner = [slice(min(n - 1, s // 2), None, s) for n, s in zip(shape, steps, strict=True)]
    cut = (slice(None), *inner)
    # As real numbers: differences of unsigned ones would turn over.
    first = planes[..., : shape[-1]][cut].astype(np.float64)
    second = planes[..., 1:][cut].astype(np.float64)
    count = planes.shape[0]
    return first.reshape(count, -1), second.reshape(count, -1)
