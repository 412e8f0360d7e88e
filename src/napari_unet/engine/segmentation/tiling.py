"""Overlap-tile: the scores of an image of any size, one tile after the other, exactly."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.device import free_memory_bytes
from napari_unet.engine.base.device_errors import gpu_errors_explained, result_if_it_fits
from napari_unet.engine.base.errors import CheckpointError, DeviceError, SettingsError
from napari_unet.engine.base.regions import Region, aligned, shared, sizes, whole, without
from napari_unet.engine.images.image import FloatImage, Scores, mirrored
from napari_unet.engine.networks.architecture import AxisConfig, TileableConfig

Interval = tuple[int, int]
"""(start, stop) along one axis, in pixels."""

# Larger tiles waste less at their borders; smaller ones answer a Stop sooner.
_MOST_PIXELS_CPU = 1 << 20
_MOST_PIXELS_GPU = 1 << 22
_MEMORY_SHARE = 0.5
_FIRST_PIXELS = 1 << 18
"""Of the tile that is computed first where someone waits for it."""


class TileableNetwork(Protocol):
    """A network that computes part of its output; `BandedUNet` is one."""

    @property
    def config(self) -> TileableConfig:
        """Its size arithmetic."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def dtype(self) -> torch.dtype:
        """Number format of its arithmetic."""

    def __call__(self, x: Tensor, *, crops: tuple[Interval, ...]) -> Tensor:
        """Logits (N, classes, *S'), without `crops` pixels at both ends of each axis."""

    def memory_bytes(self, sizes: Sequence[int]) -> int:
        """Memory, about, that one call takes."""

    def release_memory(self) -> None:
        """Give back what is kept between calls."""


class PixelSource(Protocol):
    """An image that is read in parts; `ImageSource` is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape in pixels."""

    def read(self, region: Region) -> FloatImage:
        """Read (in_channels, *region), normalised."""


@dataclass(frozen=True, slots=True)
class TileScores:
    """The scores of one tile.

    Parameters
    ----------
    region : tuple of slice
        Where it lies in the image.
    scores : (C, *region) float32 array
        One probability for each class; they add up to 1.
    done, total : int
        Tiles so far and in all; `total` grows when memory runs out and the
        remaining tiles are halved.
    tile_px : int
        Length of the longest axis of a tile at present.
    halvings : int
        How often memory ran out so far.
    overflowed : bool
        Half precision could not hold the numbers, so that this tile was
        computed in float32.
    """

    region: Region
    scores: Scores
    done: int
    total: int
    tile_px: int
    halvings: int
    overflowed: bool


@dataclass(frozen=True, slots=True)
class AxisTile:
    """One axis of a tile, in pixels of the image.

    Parameters
    ----------
    read : (start, stop)
        Input; what lies outside of the image is mirrored.
    crop : (low, high)
        Scores computed beyond those wanted.
    """

    read: Interval
    crop: Interval


def axis_tile(config: AxisConfig, size: int, start: int, stop: int) -> AxisTile:
    """Find what must be read, so that scores are as if the image was computed as a whole.

    The whole is the image continued by mirroring: at its far end to the next
    size that the network reads and, for unpadded convolutions, on every side
    by what they lose (Ronneberger et al. 2015, Fig. 2). A tile at the image's
    border ends where the whole does.

    Parameters
    ----------
    config : AxisConfig
        Of this axis.
    size : int
        Length of the image's axis in pixels.
    start, stop : int
        Wanted scores; `start` is a multiple of `config.size_multiple`, `stop`
        too or the end of the image.
    """
    multiple, overlap = config.size_multiple, config.tile_overlap_px
    computed = config.output_size(config.valid_input_size(size))
    low = max(0, start - overlap)
    # Outputs are a multiple plus the same rest everywhere: 388 = 24 * 16 + 4.
    high = math.ceil(stop / multiple) * multiple + overlap + computed % multiple
    high = min(computed, high)
    margin = config.size_loss_px // 2
    return AxisTile((low - margin, high + margin), (start - low, high - stop))


def split_axis(size: int, tile_px: int, multiple: int) -> list[Interval]:
    """Cut an axis into pieces of about equal length, at most `tile_px`, that start at multiples."""
    count = math.ceil(size / tile_px)
    step = math.ceil(size / count / multiple) * multiple
    return [(start, min(size, start + step)) for start in range(0, size, step)]


def automatic_tile_px(
    network: TileableNetwork, shape: tuple[int, ...], *, free_bytes: int | None = None
) -> int:
    """Choose the longest axis of a tile, in pixels, from the memory that is free.

    Parameters
    ----------
    network : TileableNetwork
    shape : tuple of int
        Spatial shape of the image.
    free_bytes : int, optional
        Memory that is free; measured if left out.

    Returns
    -------
    int
        A multiple of the network's `size_multiple`.
    """
    config = network.config
    axes = [config.along(axis) for axis in range(len(shape))]
    multiple = config.size_multiple
    free = free_memory_bytes(network.device) if free_bytes is None else free_bytes
    most_pixels = _MOST_PIXELS_CPU if network.device.type == "cpu" else _MOST_PIXELS_GPU
    context = [axis.size_loss_px + 2 * axis.tile_overlap_px for axis in axes]

    def fits(tile_px: int) -> bool:
        sizes = [
            min(tile_px, math.ceil(n / each.size_multiple) * each.size_multiple)
            for n, each in zip(shape, axes, strict=True)
        ]
        if math.prod(sizes) > most_pixels and not config.inexact_because:
            return False
        read = [n + more for n, more in zip(sizes, context, strict=True)]
        return network.memory_bytes(read) <= _MEMORY_SHARE * free

    low, high = 1, max(1, math.ceil(max(shape) / multiple))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * multiple) else (low, middle - 1)
    return low * multiple


def predict_tiles(
    source: PixelSource,
    network: TileableNetwork,
    *,
    tile_px: int | None = None,
    region: Region | None = None,
    near: Sequence[int] | None = None,
    whole_grid: bool = False,
    in_float32: Callable[[], TileableNetwork] | None = None,
) -> Iterator[TileScores]:
    """Compute an image's scores tile by tile, equal to those of the image as a whole.

    Only one tile and its surroundings are in memory at a time. Where memory
    runs out all the same, the tile and those that remain are halved. To stop,
    no longer iterate.

    Parameters
    ----------
    source : PixelSource
    network : TileableNetwork
    tile_px : int, optional
        Length of a tile's axes in pixels of the image, without its
        surroundings; rounded up to what the network can start at. Automatic
        if left out.
    region : tuple of slice, optional
        Compute only the tiles that make up this box and what rounding to the
        network's `size_multiple` adds to it.
    near : sequence of int, optional
        Pixel that is wanted first: a small tile around it comes first, the
        others in the order of their distance from it.
    whole_grid : bool
        Compute those tiles of the image that the region reaches, as they are
        without it, so that even the rounding of scores is the same.
    in_float32 : callable, optional
        Makes the network that recomputes a tile whose numbers are beyond half
        precision.

    Yields
    ------
    TileScores
        Each tile once; together they cover the image or the region.

    Raises
    ------
    SettingsError
        If `tile_px` is not positive.
    DeviceError
        If the smallest tile does not fit in memory.
    CheckpointError
        If scores are no numbers even in float32.
    """
    multiple = network.config.size_multiple
    multiples = [network.config.along(axis).size_multiple for axis in range(len(source.shape))]
    if tile_px is None:
        with gpu_errors_explained(network.device):
            tile_px = automatic_tile_px(network, source.shape)
    elif tile_px < 1:
        raise SettingsError(f"The tile is {tile_px} pixels long; use 1 or more, or automatic.")
    tile_px = math.ceil(tile_px / multiple) * multiple
    box = whole(source.shape) if region is None else aligned(region, multiples, source.shape)
    tiles = _split if near is None else partial(_split_around, near)
    if whole_grid:
        every = tiles(whole(source.shape), tile_px, multiples)
        waiting = deque(tile for tile in every if 0 not in sizes(shared(tile, region or box)))
    else:
        waiting = deque(tiles(box, tile_px, multiples))
    precise: TileableNetwork | None = None
    done = halvings = 0
    while waiting:
        scores = _tile_scores_if_they_fit(source, network, waiting[0])
        overflowed = scores is not None and not np.isfinite(scores).all()
        if overflowed:
            if in_float32 is None or network.dtype == torch.float32:
                raise _no_numbers()
            precise = precise or in_float32()
            scores = _tile_scores_if_they_fit(source, precise, waiting[0])
            if scores is not None and not np.isfinite(scores).all():
                raise _no_numbers()
        if scores is None:
            for user in (network, precise):
                if user is not None:
                    user.release_memory()
            tile_px = _halved(tile_px, multiple, network.device)
            halvings += 1
            waiting = deque(part for tile in waiting for part in _split(tile, tile_px, multiples))
            continue
        tile, done = waiting.popleft(), done + 1
        yield TileScores(tile, scores, done, done + len(waiting), tile_px, halvings, overflowed)


def _split(box: Region, tile_px: int, multiples: Sequence[int]) -> list[Region]:
    axes = []
    for part, multiple in zip(box, multiples, strict=True):
        pieces = split_axis(part.stop - part.start, tile_px, multiple)
        axes.append([slice(part.start + low, part.start + high) for low, high in pieces])
    return list(itertools.product(*axes))


def _split_around(
    near: Sequence[int], box: Region, tile_px: int, multiples: Sequence[int]
) -> list[Region]:
    """A small tile around a pixel, then the rest of the box, from there outwards."""
    usual, centre = round(_FIRST_PIXELS ** (1 / len(box))), []
    for pixel, part, multiple in zip(near, box, multiples, strict=True):
        side = min(tile_px, max(1, usual // multiple) * multiple)
        low = max(part.start, min(pixel - side // 2, part.stop - side)) // multiple * multiple
        # A rest thinner than the tile itself is not worth a tile of its own.
        narrow = part.stop - part.start < 2 * side
        centre.append(part if narrow else slice(low, min(part.stop, low + side)))
    outside = [
        tile for part in without(box, tuple(centre)) for tile in _split(part, tile_px, multiples)
    ]

    def distance(tile: Region) -> float:
        nearest = (min(max(at, part.start), part.stop) for at, part in zip(near, tile, strict=True))
        return math.dist(near, list(nearest))

    return _split(tuple(centre), tile_px, multiples) + sorted(outside, key=distance)


def _halved(tile_px: int, multiple: int, device: torch.device) -> int:
    if tile_px <= multiple:
        raise DeviceError(
            f"There is not enough memory on {device} even for the smallest tile, {tile_px} pixels; "
            "close other programs or layers, or choose another device or a smaller model."
        )
    return math.ceil(tile_px / 2 / multiple) * multiple


def _tile_scores_if_they_fit(
    source: PixelSource, network: TileableNetwork, tile: Region
) -> Scores | None:
    return result_if_it_fits(lambda: _tile_scores(source, network, tile), network.device)


def _no_numbers() -> CheckpointError:
    return CheckpointError(
        "The model's scores are not numbers, even in float32; its weights are damaged or do not "
        "fit this image. Try another model."
    )


def _tile_scores(source: PixelSource, network: TileableNetwork, tile: Region) -> Scores:
    axes = [
        axis_tile(network.config.along(axis), size, part.start, part.stop)
        for axis, (size, part) in enumerate(zip(source.shape, tile, strict=True))
    ]
    pixels = read_mirrored(source, [axis.read for axis in axes])
    x = torch.from_numpy(pixels).unsqueeze(0).to(network.device, network.dtype)
    with torch.inference_mode():
        logits = network(x, crops=tuple(axis.crop for axis in axes))[0]  # (C, *kept)
        # Class planes apart: a softmax over two or three neighbouring numbers is slow.
        logits = logits.to(torch.float32, memory_format=torch.contiguous_format)
        scores: Scores = torch.softmax(logits, dim=0).cpu().numpy()
    return scores


def read_mirrored(source: PixelSource, box: Sequence[Interval]) -> FloatImage:
    """Read part of an image that is continued by mirroring at its outermost pixels.

    Parameters
    ----------
    source : PixelSource
    box : (start, stop) for each spatial axis
        May begin before the image and end behind it.

    Returns
    -------
    (in_channels, *box) float32 array
    """
    indices = [mirrored(np.arange(*ends), n) for ends, n in zip(box, source.shape, strict=True)]
    region = tuple(slice(int(index.min()), int(index.max()) + 1) for index in indices)
    pixels = source.read(region)
    for axis, (index, part) in enumerate(zip(indices, region, strict=True), start=1):
        if not np.array_equal(index, np.arange(part.start, part.stop)):
            pixels = np.take(pixels, index - part.start, axis=axis)
    return np.ascontiguousarray(pixels)
