"""Layers that slide a window over the image: convolutions and poolings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layers.layer import (
    Axes,
    Device,
    Interval,
    Layer,
    NotWholeError,
    with_its_settings,
)

MOST_CHANNELS = 1 << 16


@dataclass(frozen=True, slots=True)
class _Window(Layer):
    """A layer that makes one pixel of each place of a window."""

    def _along(self, axis: int) -> tuple[int, int, int]:
        """Pixels of the window but the first, stride and padding along an axis."""
        raise NotImplementedError

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        reach, stride, padding = self._along(axis)
        # torch would leave the rest out, and a tile that begins elsewhere another one.
        if sizes[0] % stride:
            raise NotWholeError
        return (sizes[0] + 2 * padding - reach - 1) // stride + 1

    def reads(self, low: int, high: int, axis: int) -> Interval:
        reach, stride, padding = self._along(axis)
        return low * stride - padding, high * stride - padding + reach


@dataclass(frozen=True, slots=True)
class Convolution(_Window):
    """A convolution."""

    op: ClassVar[str] = "convolution"
    least_px: ClassVar[Mapping[str, int]] = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
    is_drawn: ClassVar[bool] = True

    name: str
    """What its author called it; the weights are `name`.weight and `name`.bias."""
    in_channels: int
    out_channels: int
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    """`kernel`, `stride`, `padding`, `dilation`: for each axis."""
    groups: int = 1
    bias: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    def channels_out(self, given: Sequence[int]) -> int:
        _check_channels(self, given[0])
        return self.out_channels

    @property
    def shrinks(self) -> Axes | None:
        return self.stride

    def _along(self, axis: int) -> tuple[int, int, int]:
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        return reach, self.stride[axis], self.padding[axis]

    @property
    def kernel_px(self) -> Axes:
        return self.kernel

    @property
    def reach_px(self) -> int:
        return max(self._along(axis)[0] for axis in range(len(self.kernel)))

    @property
    def pads(self) -> bool:
        return any(self.padding)

    @property
    def weights_name(self) -> str | None:
        return self.name

    def module(self, ndim: int, device: Device) -> nn.Module:
        return with_its_settings((nn.Conv2d, nn.Conv3d)[ndim - 2], self, device)


@dataclass(frozen=True, slots=True)
class TransposedConvolution(Layer):
    """A convolution that enlarges its input; what it shares with `Convolution` means the same."""

    op: ClassVar[str] = "transposed"
    least_px: ClassVar[Mapping[str, int]] = {
        "kernel": 1,
        "stride": 1,
        "padding": 0,
        "output_padding": 0,
    }
    is_drawn: ClassVar[bool] = True

    name: str
    in_channels: int
    out_channels: int
    kernel: Axes
    stride: Axes
    padding: Axes
    output_padding: Axes
    """Pixels added at the far end of each axis."""
    groups: int = 1
    bias: bool = True

    def channels_out(self, given: Sequence[int]) -> int:
        _check_channels(self, given[0])
        return self.out_channels

    @property
    def enlarges(self) -> Axes | None:
        return self.stride

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        grown = (sizes[0] - 1) * self.stride[axis] - 2 * self.padding[axis]
        return grown + self.kernel[axis] + self.output_padding[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        stride, padding = self.stride[axis], self.padding[axis]
        first = -((self.kernel[axis] - 1 - low - padding) // stride)
        return first, (high + padding) // stride

    @property
    def reads_beyond(self) -> bool:
        return self.kernel != self.stride

    @property
    def weights_name(self) -> str | None:
        return self.name

    def module(self, ndim: int, device: Device) -> nn.Module:
        kind = (nn.ConvTranspose2d, nn.ConvTranspose3d)[ndim - 2]
        return with_its_settings(kind, self, device)


def _check_channels(layer: Convolution | TransposedConvolution, given: int) -> None:
    """Raise `SettingsError` unless a convolution can read so many channels."""
    groups = layer.groups
    if groups < 1 or layer.in_channels % groups or layer.out_channels % groups:
        raise SettingsError(f"'{layer.name}' cannot have {groups} groups.")
    if given != layer.in_channels or not 1 <= layer.out_channels <= MOST_CHANNELS:
        raise SettingsError(
            f"'{layer.name}' reads {layer.in_channels} channels but is given {given}."
        )


@dataclass(frozen=True, slots=True)
class Pool(_Window):
    """The largest, or the mean, of each block of pixels."""

    op: ClassVar[str] = "pool"
    least_px: ClassVar[Mapping[str, int]] = {"stride": 1, "kernel": 1, "padding": 0}

    stride: Axes
    """From one block to the next along each axis."""
    kind: Literal["max", "mean"] = "max"
    kernel: Axes | None = None
    """Length of the blocks; `stride` if left out."""
    padding: Axes | None = None
    """Pixels added at both ends of each axis; none if left out."""

    @property
    def shrinks(self) -> Axes | None:
        return self.stride

    def _along(self, axis: int) -> tuple[int, int, int]:
        kernel, padding = self.kernel or self.stride, self.padding
        return kernel[axis] - 1, self.stride[axis], padding[axis] if padding else 0

    @property
    def pads(self) -> bool:
        return any(self.padding or ())

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        pools: dict[tuple[str, int], Callable[..., Any]] = {
            ("max", 2): functional.max_pool2d,
            ("max", 3): functional.max_pool3d,
            ("mean", 2): functional.avg_pool2d,
            ("mean", 3): functional.avg_pool3d,
        }
        pool = pools[self.kind, len(self.stride)]
        y: Tensor = pool(given[0], self.kernel or self.stride, self.stride, self.padding or 0)
        return y
