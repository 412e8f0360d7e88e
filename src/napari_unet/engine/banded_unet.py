"""The U-Net for inference: levels computed in bands, and only what a tile keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_unet.engine.unet import UNet, UNetConfig

Crops = tuple[tuple[int, int], ...]
"""(low, high) output pixels left out on each spatial axis."""

# Fastest of 1/4 to 8 million for widths 16 to 64, in float32 and in bfloat16.
_BAND_VALUES = 1 << 21
_LEAST_ROWS = 16
_REACH = 2  # pixels on each side that the two convolutions of a block read


@dataclass(frozen=True, slots=True)
class LevelExtent:
    """What one level needs along one axis, in pixels of the level.

    Parameters
    ----------
    skip_start, skip_stop : int
        Part of the contracting path's output that the expanding path reads;
        at the lowest level the part that goes up.
    start, stop : int
        Part of that which is kept once the expanding path's block is through.
    """

    skip_start: int
    skip_stop: int
    start: int
    stop: int

    @property
    def kept(self) -> int:
        """Length in pixels after the expanding path's block."""
        return self.stop - self.start


def level_extents(config: UNetConfig, size: int, low: int, high: int) -> list[LevelExtent]:
    """Walk down from the wanted output pixels of one axis to what each level needs.

    Parameters
    ----------
    config : UNetConfig
    size : int
        Input pixels along the axis.
    low, high : int
        Output pixels that are left out at its ends.

    Returns
    -------
    list of LevelExtent
        Full resolution first, `depth` + 1 of them.
    """
    if config.padding == "valid":
        return _valid_extents(config, size, low, high)
    extents = []
    start, stop = low, size - high
    reach_up = 0 if config.up == "transposed" else 1
    for _ in range(config.depth):
        skip_start, skip_stop = max(0, start - _REACH), min(size, stop + _REACH)
        extents.append(LevelExtent(skip_start, skip_stop, start - skip_start, stop - skip_start))
        size //= 2
        start = max(0, skip_start - reach_up) // 2
        stop = min(size, (skip_stop + reach_up + 1) // 2)
    return [*extents, LevelExtent(start, stop, 0, stop - start)]


def _valid_extents(config: UNetConfig, size: int, low: int, high: int) -> list[LevelExtent]:
    """Unpadded blocks shrink by what they read, so that skips are cut at their centre."""
    sizes = [size - 2 * _REACH]
    for _ in range(config.depth):
        sizes.append(sizes[-1] // 2 - 2 * _REACH)
    length = sizes[-1]
    extents = [LevelExtent(0, length, 0, length)]
    for level in reversed(range(config.depth)):
        length *= 2
        skip_start = (sizes[level] - length) // 2
        extents.insert(0, LevelExtent(skip_start, skip_start + length, _REACH, length - _REACH))
        length -= 2 * _REACH
    top = extents[0]
    cut = LevelExtent(top.skip_start, top.skip_stop, top.start + low, top.stop - high)
    return [cut, *extents[1:]]


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
        Numbers in one tensor of a band; on a GPU, which has no such costs, the
        default is to compute each level at once.
    """

    def __init__(self, unet: UNet, *, band_values: int | None = None) -> None:
        self.config = unet.config
        self._unet = unet
        weight = unet.head.weight
        self.device, self.dtype = weight.device, weight.dtype
        if band_values is None and weight.device.type == "cpu":
            band_values = _BAND_VALUES
        self._band_values = band_values
        self._memory: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, *, crops: Crops | None = None) -> Tensor:
        """Class logits of the pixels that are not left out.

        Parameters
        ----------
        x : (N, in_channels, *S) tensor
            Each of S fits `config.output_size`.
        crops : (low, high) for each of S, optional
            Output pixels to leave out; the expanding path computes only what
            the others need.

        Returns
        -------
        (N, classes, *S') tensor
        """
        axes = crops or ((0, 0),) * self.config.ndim
        extents = [
            level_extents(self.config, size, low, high)
            for size, (low, high) in zip(x.shape[2:], axes, strict=True)
        ]
        levels = list(zip(*extents, strict=True))  # of each level, one extent for each axis
        with torch.inference_mode():
            x = x.contiguous(memory_format=self._unet.memory_format)
            skips = []
            for level in range(self.config.depth):
                skip, x = self._contract(level, x, levels[level])
                skips.append(skip)
            x = self._unet.contracting[-1](x)
            x = _cut(x, [slice(e.skip_start, e.skip_stop) for e in levels[-1]])
            for level in reversed(range(self.config.depth)):
                below = levels[level + 1]
                x = self._expand(level, x, skips.pop(), levels[level], below)
        return x

    def memory_bytes(self, sizes: Sequence[int]) -> int:
        """Memory in bytes, about, that a call with an input of these sizes takes."""
        widths, pixels = self.config.widths, math.prod(sizes)
        shrink = 2**self.config.ndim
        # The skip of each level, and the tensor that goes down and up beside it.
        whole = sum(width * pixels / shrink**level for level, width in enumerate(widths))
        whole += sum(width * pixels / shrink**level for level, width in enumerate(widths[1:], 1))
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
        """One level of the contracting path: the part of its output that the skip needs, pooled."""
        block, width = self._unet.contracting[level], self.config.widths[level]
        loss = 2 * _REACH if self.config.padding == "valid" else 0
        sizes = [n - loss for n in x.shape[2:]]
        rows = extents[0]
        skip = self._tensor(
            f"skip {level}", x, width, [e.skip_stop - e.skip_start for e in extents]
        )
        pooled = self._tensor(f"pooled {level}", x, width, [n // 2 for n in sizes])
        columns = [slice(e.skip_start, e.skip_stop) for e in extents[1:]]
        for start, stop in self._bands(sizes[0], x, width):
            y = self._block_rows(block, x, start + loss // 2, stop + loss // 2)
            first, last = max(start, rows.skip_start), min(stop, rows.skip_stop)
            if first < last:
                into = skip[:, :, first - rows.skip_start : last - rows.skip_start]
                into.copy_(_cut(y, [slice(first - start, last - start), *columns]))
            pooled[:, :, start // 2 : stop // 2] = self._unet.pool(y)
        return skip, pooled

    def _expand(
        self,
        level: int,
        x: Tensor,
        skip: Tensor,
        extents: tuple[LevelExtent, ...],
        below: tuple[LevelExtent, ...],
    ) -> Tensor:
        """One level of the expanding path, with the head at the uppermost."""
        block, up = self._unet.expanding[level], self._unet.up[level]
        width = self.config.widths[level]
        if level > 0:
            result = self._tensor(f"up {level}", x, width, [e.kept for e in extents])
        else:
            shape = (x.shape[0], self.config.classes, *(e.kept for e in extents))
            # Handed out, so never memory that the next call writes to.
            result = torch.empty(
                shape,
                dtype=x.dtype,
                device=x.device,
                memory_format=self._unet.memory_format,
            )
        rows, length = extents[0], skip.shape[2]
        # Row 0 of the skip is this row of the upscaled image.
        offsets = [self._offset(e, b) for e, b in zip(extents, below, strict=True)]
        columns = [slice(o, o + n) for o, n in zip(offsets[1:], skip.shape[3:], strict=True)]
        reach = 0 if self.config.up == "transposed" else 1
        for start, stop in self._bands(rows.kept, x, 2 * width):
            # Rows of the skip that this band reads, then rows below that make them.
            first = max(0, start + rows.start - _REACH)
            last = min(length, stop + rows.start + _REACH)
            low = max(0, first + offsets[0] - reach) // 2
            high = min(x.shape[2], (last + offsets[0] + reach + 1) // 2)
            lead = offsets[0] - 2 * low
            upscaled = _cut(up(x[:, :, low:high]), [slice(first + lead, last + lead), *columns])
            y = torch.cat((skip[:, :, first:last], upscaled), dim=1)
            y = self._block_rows(block, y, start + rows.start - first, stop + rows.start - first)
            y = _cut(y, [slice(None), *self._kept_columns(extents[1:])])
            result[:, :, start:stop] = self._unet.head(y) if level == 0 else y
        return result

    def _offset(self, extent: LevelExtent, below: LevelExtent) -> int:
        if self.config.padding == "valid":
            return 0
        return extent.skip_start - 2 * (below.skip_start + below.start)

    def _kept_columns(self, extents: tuple[LevelExtent, ...]) -> list[slice]:
        lost = _REACH if self.config.padding == "valid" else 0
        return [slice(e.start - lost, e.stop - lost) for e in extents]

    def _block_rows(self, block: torch.nn.Module, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows of a block's output, given as rows of its input at their centre."""
        first, last = max(0, start - _REACH), min(x.shape[2], stop + _REACH)
        y: Tensor = block(x[:, :, first:last])
        lost = _REACH if self.config.padding == "valid" else 0
        return y.narrow(2, start - first - lost, stop - start)

    def _bands(self, length: int, x: Tensor, width: int) -> Iterator[tuple[int, int]]:
        """Even rows (start, stop) of about equal number, so that convolutions are set up once."""
        step = length
        if self._band_values is not None:
            rows = self._band_values // (x.shape[0] * width * math.prod(x.shape[3:]))
            rows = max(_LEAST_ROWS, rows)
            step = math.ceil(length / math.ceil(length / rows) / 2) * 2
        for start in range(0, length, step):
            yield start, min(length, start + step)

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
