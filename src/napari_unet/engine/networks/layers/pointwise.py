"""Layers whose output pixel reads the same pixel of their input: norms and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layers.layer import Device, Layer, uninitialised


@dataclass(frozen=True, slots=True)
class Norm(Layer):
    """A normalisation."""

    op: ClassVar[str] = "norm"

    name: str
    """As of `Convolution`."""
    channels: int
    kind: Literal["batch", "instance", "group"]
    affine: bool = True
    """Whether it has weight and bias."""
    tracks: bool = True
    """Whether it has a running mean and variance."""
    groups: int = 1
    """Of "group"."""
    epsilon: float = 1e-5

    def channels_out(self, given: Sequence[int]) -> int:
        if not (self.affine or self.tracks or self.kind == "instance"):
            raise SettingsError(f"A {self.kind} normalisation without weights is not known.")
        if self.groups < 1 or self.channels % self.groups:
            raise SettingsError(f"'{self.name}' cannot have {self.groups} groups.")
        if given[0] != self.channels:
            raise SettingsError(
                f"'{self.name}' normalises {self.channels} channels but is given {given[0]}."
            )
        return self.channels

    @property
    def is_constant(self) -> bool:
        """Whether what it subtracts and divides by is known beforehand."""
        return self.kind == "batch" and self.tracks

    @property
    def inexact_because(self) -> str:
        if self.is_constant:
            return ""
        return f"its {self.kind} normalisation measures each tile on its own"

    @property
    def weights_name(self) -> str | None:
        return self.name if self.affine or self.tracks else None

    def module(self, ndim: int, device: Device) -> nn.Module:
        if self.kind == "group":
            return nn.GroupNorm(self.groups, self.channels, self.epsilon, self.affine, device)
        kinds: dict[tuple[str, int], type[nn.Module]] = {
            ("batch", 2): nn.BatchNorm2d,
            ("batch", 3): nn.BatchNorm3d,
            ("instance", 2): nn.InstanceNorm2d,
            ("instance", 3): nn.InstanceNorm3d,
        }
        return uninitialised(kinds[self.kind, ndim])(
            self.channels,
            eps=self.epsilon,
            affine=self.affine,
            track_running_stats=self.tracks,
            device=device,
        )

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:
        if module is None:
            return functional.instance_norm(given[0], eps=self.epsilon)
        y: Tensor = module(given[0])
        return y


_FUNCTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "relu": lambda x, _: functional.relu(x),
    "leaky_relu": lambda x, slope: functional.leaky_relu(x, slope),
    "prelu": lambda x, _: x,  # its slopes are weights: see `compute`
    "elu": lambda x, alpha: functional.elu(x, alpha),
    "selu": lambda x, _: functional.selu(x),
    "gelu": lambda x, _: functional.gelu(x),
    "silu": lambda x, _: functional.silu(x),
    "mish": lambda x, _: functional.mish(x),
    "softplus": lambda x, _: functional.softplus(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "tanh": lambda x, _: torch.tanh(x),
    "softmax": lambda x, _: torch.softmax(x, dim=1),
}
ACTIVATIONS = tuple(_FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """A function of each number, or, "softmax", of each pixel's channels."""

    op: ClassVar[str] = "activation"

    kind: str
    """One of `ACTIVATIONS`."""
    slope: float = 0.01
    """Of "leaky_relu" below 0; alpha of "elu"."""
    name: str = ""
    """Where "prelu" has its weight."""
    channels: int = 1
    """Numbers in that weight."""

    def channels_out(self, given: Sequence[int]) -> int:
        if self.kind == "prelu" and self.channels not in (1, given[0]):
            raise SettingsError(
                f"'{self.name}' bends {self.channels} channels but is given {given[0]}."
            )
        if self.kind not in ACTIVATIONS:
            raise SettingsError(f"The activation is {self.kind!r}; use one of {ACTIVATIONS}.")
        return given[0]

    @property
    def weights_name(self) -> str | None:
        """Where the slopes of "prelu" are."""
        return self.name if self.kind == "prelu" else None

    def module(self, ndim: int, device: Device) -> nn.Module:  # noqa: ARG002
        return nn.PReLU(self.channels, device=device)

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:
        if module is None:
            return _FUNCTIONS[self.kind](given[0], self.slope)
        y: Tensor = module(given[0])
        return y


@dataclass(frozen=True, slots=True)
class Standardize(Layer):
    """Subtract a constant from each channel and divide by another."""

    op: ClassVar[str] = "standardize"

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """`mean`, `deviation`: for each channel."""

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        (x,) = given
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, deviation = (
            torch.tensor(values, dtype=x.dtype, device=x.device).view(shape)
            for values in (self.mean, self.deviation)
        )
        return (x - mean) / deviation


@dataclass(frozen=True, slots=True)
class Clip(Layer):
    """Bring each number into a range."""

    op: ClassVar[str] = "clip"

    low: float | None = None
    high: float | None = None
    """`low`, `high`: None for no limit."""

    def channels_out(self, given: Sequence[int]) -> int:
        if self.low is self.high is None:
            raise SettingsError("A clip has neither a lower nor an upper limit.")
        return given[0]

    def compute(self, given: Sequence[Tensor], module: nn.Module | None) -> Tensor:  # noqa: ARG002
        return given[0].clamp(self.low, self.high)
