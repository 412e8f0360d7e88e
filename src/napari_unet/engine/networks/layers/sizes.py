"""Layers that bring images to a size, or several images together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layers.layer import Axes, Interval, Layer


@dataclass(frozen=True, slots=True)
class Input(Layer):
    """The image."""

    op: ClassVar[str] = "input"
    is_image: ClassVar[bool] = True

    inputs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pad(Layer):
    """Zeros around the image, which an even kernel needs more of at one end."""

    op: ClassVar[str] = "pad"
    least_px: ClassVar[Mapping[str, int]] = {"before": 0, "after": 0}

    before: Axes
    after: Axes
    """`before`, `after`: pixels added at the near and at the far end of each axis."""

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        return sizes[0] + self.before[axis] + self.after[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        return low - self.before[axis], high - self.before[axis]

    @property
    def pads(self) -> bool:
        return True

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        # torch counts the last axis first.
        ends = reversed(list(zip(self.before, self.after, strict=True)))
        return functional.pad(given[0], [length for pair in ends for length in pair])


@dataclass(frozen=True, slots=True)
class Upsample(Layer):
    """Enlarge by interpolation."""

    op: ClassVar[str] = "upsample"
    least_px: ClassVar[Mapping[str, int]] = {"factor": 1}
    is_drawn: ClassVar[bool] = True

    factor: Axes
    """For each axis."""
    mode: Literal["nearest", "linear"] = "linear"
    align_corners: bool = False
    """Of "linear": whether the outermost pixels keep their place."""

    @property
    def enlarges(self) -> Axes | None:
        return self.factor

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        return sizes[0] * self.factor[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        factor = self.factor[axis]
        if self.mode == "nearest" or factor == 1:
            return low // factor, high // factor
        # Pixel centres: output pixel o lies at (o + 1/2) / factor - 1/2.
        first = math.floor((low + 0.5) / factor - 0.5)
        last = math.floor((high + 0.5) / factor - 0.5) + 1
        return (first - 1, last) if self.align_corners else (first, last)

    @property
    def reads_beyond(self) -> bool:
        return self.mode == "linear"

    @property
    def inexact_because(self) -> str:
        if self.mode == "linear" and self.align_corners:
            return "its interpolation aligns the corners of each tile"
        return ""

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        factor = tuple(map(float, self.factor))
        if self.mode == "nearest":
            return functional.interpolate(given[0], scale_factor=factor, mode="nearest")
        mode = "bilinear" if len(factor) == 2 else "trilinear"
        return functional.interpolate(
            given[0], scale_factor=factor, mode=mode, align_corners=self.align_corners
        )


@dataclass(frozen=True, slots=True)
class Join(Layer):
    """Several layers made one; a larger one is cropped at its centre."""

    op: ClassVar[str] = "join"
    is_drawn: ClassVar[bool] = True

    kind: Literal["concatenate", "add", "multiply"] = "concatenate"

    def channels_out(self, given: Sequence[int]) -> int:
        if self.kind == "concatenate":
            return sum(given)
        # What has one channel goes with each of the others, as torch broadcasts it.
        if len(set(given) - {1}) > 1:
            found = ", ".join(map(str, given))
            raise SettingsError(f"Layers of {found} channels cannot be joined ({self.kind}).")
        return max(given)

    def output_size(self, sizes: Sequence[int], axis: int) -> int:  # noqa: ARG002
        return min(sizes)

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        size = tuple(map(min, zip(*(x.shape[2:] for x in given), strict=True)))
        cropped = [centre_crop(x, size) for x in given]
        if self.kind == "concatenate":
            return torch.cat(cropped, dim=1)
        return reduce(torch.add if self.kind == "add" else torch.mul, cropped)


def centre_crop(x: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """Crop the spatial axes of (N, C, *S) at their centre to `size`."""
    for axis, wanted in enumerate(size, start=2):
        start = (x.shape[axis] - wanted) // 2
        x = x.narrow(axis, start, wanted)
    return x
