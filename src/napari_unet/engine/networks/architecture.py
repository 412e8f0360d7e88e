"""What the rest of the engine must know of a network, whoever designed it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napari_unet.engine.networks.layer_sizes import Level, LevelSizes
from napari_unet.engine.networks.output_meaning import OutputMeaning


class AxisConfig(Protocol):
    """What tiling must know of one axis of a network."""

    @property
    def size_multiple(self) -> int:
        """Shift of the input, in pixels, that shifts the output alike."""

    @property
    def size_loss_px(self) -> int:
        """Input size minus output size."""

    @property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own."""

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels."""

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input along an axis whose output is large enough."""

    @property
    def margin_px(self) -> int:
        """Pixels beyond an output pixel, on each side, that can change its value."""


class TileableConfig(AxisConfig, Protocol):
    """What tiling must know of a network; sizes of its own are those that suit every axis."""

    def along(self, axis: int) -> AxisConfig:
        """Sizes along one spatial axis."""

    @property
    def inexact_because(self) -> str:
        """Why tiles differ from the image as a whole; empty if they do not."""


class Architecture(TileableConfig, Protocol):
    """The shape of a network, without its weights.

    `UNetConfig`, `GraphConfig` and `ReadyMadeConfig` are such.
    """

    @property
    def ndim(self) -> int:
        """Spatial axes, 2 or 3."""

    @property
    def in_channels(self) -> int:
        """Channels of an image that it reads."""

    @property
    def classes(self) -> int:
        """Classes that it scores."""

    @property
    def meaning(self) -> OutputMeaning | None:
        """What its output channels mean; None for logits of its classes, which are softmax's."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Features at each level, full resolution first."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the U, full resolution first; () where its layers are not known."""

    def level_sizes(self, shape: Sequence[int]) -> tuple[LevelSizes, ...]:
        """How large an image is at each level.

        Parameters
        ----------
        shape : sequence of int
            Of the image, or of the tile, in pixels along each axis that the
            network reads. It is continued by mirroring to the next size that the
            network can read, as `segment` does.
        """

    @property
    def sentence(self) -> str:
        """What it is, in a few words for people."""

    @property
    def is_trainable(self) -> bool:
        """Whether it can learn."""

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        """Most numbers that are kept at once, about, while a tile of these sizes is computed."""

    def read_as(self, meaning: OutputMeaning) -> Architecture:
        """Return the same shape with another meaning of its output channels.

        Raises
        ------
        SettingsError
            If its output has one meaning only.
        """

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold, from which the same shape can be made again."""


class NetworkModule(nn.Module):
    """A torch module that turns images into class logits."""

    config: Architecture

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, *S') of images (N, in_channels, *S); softmax makes them scores."""
        raise NotImplementedError

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout in which convolutions of this network run fastest."""
        return torch.channels_last if self.config.ndim == 2 else torch.channels_last_3d

    def author_weights(self) -> dict[str, Tensor]:
        """Weights under the names that the network's author gave them."""
        return self.state_dict()

    def with_plain_names(self) -> NetworkModule:
        """Return it, or a copy, whose weights have names that only this program chose."""
        return self

    def with_config(self, config: Architecture) -> NetworkModule:
        """Return a network with the same weights, not copied, that is read another way."""
        raise NotImplementedError

    def fused(self, device: torch.device, dtype: torch.dtype = torch.float32) -> NetworkModule:
        """Return a copy for inference: norms folded into the convolutions, channels last."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.fold_norms()
        network = network.to(device=device, dtype=dtype)
        # torch's stubs know this call for 2-D only.
        return network.to(memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def fold_norms(self) -> None:
        """Let convolutions do what the norms behind them do, for inference."""
        raise NotImplementedError
