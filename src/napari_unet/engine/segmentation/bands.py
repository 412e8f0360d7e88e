"""The U-Net for inference: levels computed in bands, and only what a tile keeps."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.networks.unet import ConvolutionBlock, UNet, UNetConfig

Interval: TypeAlias = tuple[int, int]
"""(start, stop) along one axis, in pixels."""

Crops: TypeAlias = tuple[tuple[int, int], ...]
"""(low, high) output pixels left out on each spatial axis."""

Convolution: TypeAlias = nn.Conv2d | nn.Conv3d

# Fastest of 1/4 to 8 million for widths 16 to 64, in float32 and in bfloat16.
BAND_VALUES = 1 << 21
_LEAST_ROWS = 16
_CONVOLUTIONS = 2  # of a block


@dataclass(frozen=True, slots=True)
class LevelExtent:
    """What one level computes along one axis, in pixels of the level.

    Parameters
    ----------
    read : (start, stop)
        Part of the level's input that it reads.
    out : (start, stop)
        Part of the contracting block's output that anything needs, counted
        from the first pixel that is read.
    skip : (start, stop)
        Part of it that the expanding path reads; at the lowest level, that
        goes up.
    kept : (start, stop)
        What is left of the skip's pixels once the expanding block is through.
    up_start : int
        Pixel of the image that comes up from below where the skip starts.
    """

    read: Interval
    out: Interval
    skip: Interval
    kept: Interval
    up_start: int = 0


def _reach(config: UNetConfig, level: int, axis: int) -> int:
    """Pixels on each side that the two convolutions of a block read."""
    return _CONVOLUTIONS * (config.kernel(level)[axis] // 2)


def _up_reach(config: UNetConfig, level: int, axis: int) -> int:
    """Enlarged pixels on each side that interpolation reads."""
    return int(config.up == "interpolate" and config.stride(level)[axis] > 1)


def level_extents(
    config: UNetConfig, size: int, low: int, high: int, *, axis: int = -1
) -> list[LevelExtent]:
    """Follow the wanted output pixels of one axis through the network, backwards.

    Parameters
    ----------
    config : UNetConfig
    size : int
        Input pixels along the axis.
    low, high : int
        Output pixels that are left out at its ends.
    axis : int
        Which spatial axis it is.

    Returns
    -------
    list of LevelExtent
        Full resolution first, `depth` + 1 of them.
    """
    if config.padding == "valid":
        return _valid_extents(config, size, low, high, axis)
    kept, skips, sizes = [(low, size - high)], [], [size]
    reaches = [_reach(config, level, axis) for level in range(config.depth + 1)]
    factors = [config.stride(level)[axis] for level in range(config.depth)]
    for level, factor in enumerate(factors):
        start, stop = _widened(kept[-1], reaches[level], sizes[-1])
        skips.append((start, stop))
        start, stop = _widened((start, stop), _up_reach(config, level, axis), sizes[-1])
        sizes.append(sizes[-1] // factor)
        kept.append((start // factor, -(-stop // factor)))
    skips.append(kept[-1])
    extents: list[LevelExtent] = []
    out = kept[-1]
    for level in reversed(range(config.depth + 1)):
        read = _widened(out, reaches[level], sizes[level])
        skip, first = skips[level], read[0]
        up_start = skip[0] - factors[level] * kept[level + 1][0] if level < config.depth else 0
        extents.insert(
            0,
            LevelExtent(
                read=read,
                out=_shifted(out, -first),
                skip=_shifted(skip, -first),
                kept=_shifted(kept[level], -skip[0]),
                up_start=up_start,
            ),
        )
        if level:
            out = (factors[level - 1] * read[0], factors[level - 1] * read[1])
    # Each level's input begins where the level above stopped computing.
    inner = [replace(e, read=(0, e.read[1] - e.read[0])) for e in extents[1:]]
    return [extents[0], *inner]


def _valid_extents(
    config: UNetConfig, size: int, low: int, high: int, axis: int
) -> list[LevelExtent]:
    """Unpadded blocks shrink by what they read, so that skips are cut at their centre."""
    sizes = [size]
    for level in range(config.depth):
        lost = 2 * _reach(config, level, axis)
        sizes.append((sizes[-1] - lost) // config.stride(level)[axis])
    extents: list[LevelExtent] = []
    length = sizes[-1] - 2 * _reach(config, config.depth, axis)
    for level in reversed(range(config.depth + 1)):
        bottom, reach = level == config.depth, _reach(config, level, axis)
        length = length if bottom else config.stride(level)[axis] * length
        start = (sizes[level] - length) // 2
        lost = 0 if bottom else reach
        extents.insert(
            0,
            LevelExtent(
                read=(0, sizes[level]),
                out=(reach, sizes[level] - reach),
                skip=(start, start + length),
                kept=(lost, length - lost),
            ),
        )
        length -= 2 * lost
    top = extents[0]
    return [replace(top, kept=(top.kept[0] + low, top.kept[1] - high)), *extents[1:]]


def _widened(interval: Interval, pixels: int, size: int) -> Interval:
    return max(0, interval[0] - pixels), min(size, interval[1] + pixels)


def _length(interval: Interval) -> int:
    return interval[1] - interval[0]


def _shifted(interval: Interval, pixels: int) -> Interval:
    return interval[0] + pixels, interval[1] + pixels


class BandedUNet:
    """Same scores as a `UNet`, with a fraction of its memory and memory traffic.

    The levels are computed in bands of rows, so that what lies between the
    convolutions of a block never exists as a whole: it stays in the cache, and
    in memory that the allocator hands out again instead of asking the operating
    system, whose zeroing of fresh pages otherwise takes up to half of the time.
    What must exist as a whole, the skips, is kept from one call to the next: use
    one object for all the tiles of an image, in one thread, then let it go.

    Parameters
    ----------
    unet : UNet
        As `UNet.fused` returns it.
    band_values : int, optional
        Numbers in what a convolution gives for one band; on a GPU, which has no
        such costs, the default is to compute each level at once.
    """

    def __init__(self, unet: UNet, *, band_values: int | None = None) -> None:
        self.config = unet.config
        self._unet = unet
        weight = unet.head.weight
        self.device, self.dtype = weight.device, weight.dtype
        if band_values is None and weight.device.type == "cpu":
            band_values = BAND_VALUES
        self._band_values = band_values
        self._convolve = functional.conv2d if self.config.ndim == 2 else functional.conv3d
        self._contracting = [cast("ConvolutionBlock", block) for block in unet.contracting]
        self._expanding = [cast("ConvolutionBlock", block) for block in unet.expanding]
        self._memory: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, *, crops: Crops | None = None) -> Tensor:
        """Class logits of the pixels that are not left out.

        Parameters
        ----------
        x : (N, in_channels, *S) tensor
            Each of S fits `config.along(axis).output_size`.
        crops : (low, high) for each of S, optional
            Output pixels to leave out; the expanding path computes only what
            the others need.

        Returns
        -------
        (N, classes, *S') tensor
        """
        axes = crops or ((0, 0),) * self.config.ndim
        extents = [
            level_extents(self.config, size, low, high, axis=axis)
            for axis, (size, (low, high)) in enumerate(zip(x.shape[2:], axes, strict=True))
        ]
        levels = list(zip(*extents, strict=True))  # of each level, one extent for each axis
        with torch.inference_mode():
            x = _cut(x, [slice(*extent.read) for extent in levels[0]])
            x = x.contiguous(memory_format=self._unet.memory_format)
            skips = []
            for level in range(self.config.depth):
                skip, x = self._contract(level, x, levels[level])
                skips.append(skip)
            x = self._lowest(x, levels[-1])
            for level in reversed(range(self.config.depth)):
                x = self._expand(level, x, skips.pop(), levels[level])
        return x

    def memory_bytes(self, sizes: Sequence[int]) -> int:
        """Memory in bytes, about, that a call with an input of these sizes takes."""
        widths, pixels = self.config.widths, math.prod(sizes)
        strides = (self.config.stride(level) for level in range(self.config.depth))
        shrink = list(itertools.accumulate(map(math.prod, strides), operator.mul, initial=1))
        # The skip of each level, and the tensor that goes down and up beside it.
        whole = sum(width * pixels / shrink[level] for level, width in enumerate(widths))
        whole += sum(width * pixels / shrink[level] for level, width in enumerate(widths[1:], 1))
        # Between the convolutions: two inputs side by side, and two results.
        between = 4 * widths[0] * pixels
        if self._band_values is not None:
            row = widths[0] * pixels // sizes[0]
            between = 4 * min(between // 4, max(self._band_values, _LEAST_ROWS * row))
        return int((whole + between) * self.dtype.itemsize)

    def release_memory(self) -> None:
        """Give back what is kept between calls; the next call takes it anew."""
        self._memory.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _contract(
        self, level: int, x: Tensor, extents: tuple[LevelExtent, ...]
    ) -> tuple[Tensor, Tensor]:
        """One level of the contracting path: its output for the skip, and pooled."""
        block, width = self._contracting[level], self.config.widths[level]
        factors = self.config.stride(level)
        skip = self._tensor(f"skip {level}", x, width, [_length(e.skip) for e in extents])
        below = [_length(e.out) // factor for e, factor in zip(extents, factors, strict=True)]
        pooled = self._tensor(f"pooled {level}", x, width, below)
        out, skipped, factor = extents[0].out, extents[0].skip, factors[0]
        for start, stop in self._bands(out, x, width):
            y = self._block_rows(block, x, start, stop)
            half = self._columns(self._unet.pool(y, level), level, extents, "out", factors)
            pooled[:, :, (start - out[0]) // factor : (stop - out[0]) // factor] = half
            first, last = max(start, skipped[0]), min(stop, skipped[1])
            if first < last:
                y = self._columns(y[:, :, first - start : last - start], level, extents, "skip")
                skip[:, :, first - skipped[0] : last - skipped[0]] = y
        return skip, pooled

    def _lowest(self, x: Tensor, extents: tuple[LevelExtent, ...]) -> Tensor:
        y = self._block_rows(self._contracting[-1], x, *extents[0].skip)
        return self._columns(y, self.config.depth, extents, "skip")

    def _expand(
        self, level: int, x: Tensor, skip: Tensor, extents: tuple[LevelExtent, ...]
    ) -> Tensor:
        """One level of the expanding path, with the head at the uppermost."""
        block = self._expanding[level]
        width, sizes = self.config.widths[level], [_length(e.kept) for e in extents]
        if level > 0:
            result = self._tensor(f"up {level}", x, width, sizes)
        else:
            # Handed out, so never memory that the next call writes to.
            result = torch.empty(
                (x.shape[0], self.config.classes, *sizes),
                dtype=x.dtype,
                device=x.device,
                memory_format=self._unet.memory_format,
            )
        columns = [
            slice(e.up_start, e.up_start + n)
            for e, n in zip(extents[1:], skip.shape[3:], strict=True)
        ]
        kept, reach, up_start = extents[0].kept, _reach(self.config, level, 0), extents[0].up_start
        for start, stop in self._bands(kept, skip, width):
            first, last = _widened((start, stop), reach, skip.shape[2])
            y = self._up_rows(level, x, first + up_start, last + up_start)
            y = torch.cat((skip[:, :, first:last], _cut(y, [slice(None), *columns])), dim=1)
            y = self._block_rows(block, y, start - first, stop - first)
            y = self._columns(y, level, extents, "kept")
            result[:, :, start - kept[0] : stop - kept[0]] = self._unet.head(y) if level == 0 else y
        return result

    def _up_rows(self, level: int, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start`..`stop` of `x`, which is enlarged for a level."""
        factor = self.config.stride(level)[0]
        reach = _up_reach(self.config, level, 0)
        low, high = _widened((start, stop), reach, factor * x.shape[2])
        low = low // factor
        y: Tensor = self._unet.up[level](x[:, :, low : -(-high // factor)])
        return y[:, :, start - factor * low : stop - factor * low]

    def _block_rows(self, block: ConvolutionBlock, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows of a block's output, given as the rows of its input at their centre."""
        reach = block.conv1.kernel_size[0] // 2
        first, last = _widened((start, stop), reach, x.shape[2])
        low, high = _widened((first, last), reach, x.shape[2])
        y = self._convolved_rows(block.conv1, x[:, :, low:high], first - low, last - low)
        y = self._convolved_rows(block.conv2, functional.relu_(y), start - first, stop - first)
        return functional.relu_(y)

    def _convolved_rows(self, convolution: Convolution, x: Tensor, start: int, stop: int) -> Tensor:
        if start > 0 and stop < x.shape[2]:
            # The rows have their neighbours in `x`; only the other axes end here.
            padding = (0, *convolution.padding[1:])
            return self._convolve(x, convolution.weight, convolution.bias, padding=padding)
        y: Tensor = convolution(x)
        return y.narrow(2, start, stop - start)

    def _columns(
        self,
        y: Tensor,
        level: int,
        extents: tuple[LevelExtent, ...],
        part: str,
        pooled: Sequence[int] | None = None,
    ) -> Tensor:
        """Cut the axes behind the rows to one part of their extents; `y` may be pooled by that."""
        slices = [slice(None)]
        for axis, extent in enumerate(extents[1:], start=1):
            lost = _reach(self.config, level, axis) if self.config.padding == "valid" else 0
            scale, (start, stop) = pooled[axis] if pooled else 1, getattr(extent, part)
            slices.append(slice((start - lost) // scale, (stop - lost) // scale))
        return _cut(y, slices)

    def _bands(self, rows: Interval, x: Tensor, width: int) -> Iterator[Interval]:
        """Even numbers of rows, about equal, so that convolutions are set up once."""
        length = _length(rows)
        step = length
        if self._band_values is not None:
            most = self._band_values // (x.shape[0] * width * math.prod(x.shape[3:]))
            count = math.ceil(length / max(_LEAST_ROWS, most))
            step = math.ceil(length / count / 2) * 2
        for start in range(*rows, step):
            yield start, min(rows[1], start + step)

    def _tensor(self, name: str, like: Tensor, width: int, sizes: list[int]) -> Tensor:
        """Uninitialised (N, width, *sizes), channels last, in memory kept under `name`."""
        count, pixels = like.shape[0], math.prod(sizes)
        memory = self._memory.get(name)
        if memory is None or memory.numel() < count * width * pixels:
            memory = like.new_empty(count * width * pixels)
            self._memory[name] = memory
        flat = memory[: count * width * pixels].view(count, *sizes, width)
        return flat.movedim(-1, 1)  # (N, width, *sizes)


def _cut(x: Tensor, parts: list[slice]) -> Tensor:
    """View part of the spatial axes of (N, C, *S)."""
    return x[(slice(None), slice(None), *parts)]
