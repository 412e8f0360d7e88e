"""The U-Net of Ronneberger et al. (2015), in 2-D and 3-D, with its size arithmetic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.architecture import NetworkModule
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layer_sizes import LayerSizes
from napari_unet.engine.networks.layers import (
    Convolution,
    Input,
    Join,
    Layer,
    Pool,
    TransposedConvolution,
    Upsample,
    centre_crop,
)
from napari_unet.engine.networks.output_meaning import OutputMeaning

_NUMBERS_PER_FEATURE = 3.6
"""Kept at once on the CPU for each pixel and feature at full resolution; measured by
benchmarks/memory.py and rounded up."""

_KERNEL = 3
"""Of the two convolutions of each block."""


# Without slots, so that it can keep what it worked out.
@dataclass(frozen=True)
class UNetConfig(LayerSizes):
    """Shape of a U-Net; the defaults are the paper's Fig. 1 with padded convolutions."""

    ndim: int = 2
    """2 or 3 spatial axes."""
    in_channels: int = 1
    classes: int = 2
    """`in_channels`, `classes`: channels in, scores out."""
    base_width: int = 64
    """Features at full resolution; doubled at each of the `depth` poolings."""
    depth: int = 4
    """Number of 2x poolings."""
    max_width: int | None = None
    """Doubling stops here: most weights of a U-Net sit in its lowest levels."""
    padding: Literal["same", "valid"] = "same"
    """Zero-padded convolutions, or the paper's unpadded ones."""
    batch_norm: bool = True
    """Batch normalisation after each 3x3 convolution (the paper had none)."""
    up: Literal["transposed", "interpolate"] = "transposed"
    """2x2 transposed convolution, or linear interpolation and 1x1 convolution."""
    dropout: float = 0.0
    """Probability at the end of the contracting path."""

    def __post_init__(self) -> None:
        if self.ndim not in (2, 3):
            raise SettingsError(f"The network has {self.ndim} axes; use 2 or 3.")
        for name in ("in_channels", "classes", "base_width"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 1 or more.")
        if not 1 <= self.depth <= 8:
            raise SettingsError(f"depth is {self.depth}; use 1 to 8 poolings.")
        if self.max_width is not None and self.max_width < self.base_width:
            raise SettingsError(
                f"max_width is {self.max_width}, below base_width {self.base_width}; raise it."
            )
        if self.padding not in ("same", "valid"):
            raise SettingsError(f"padding is {self.padding!r}; use 'same' or 'valid'.")
        if self.up not in ("transposed", "interpolate"):
            raise SettingsError(f"up is {self.up!r}; use 'transposed' or 'interpolate'.")
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout is {self.dropout:g}; use 0 up to, not including, 1.")

    @property
    def widths(self) -> tuple[int, ...]:
        limit = self.max_width or self.base_width * 2**self.depth
        return tuple(min(self.base_width * 2**level, limit) for level in range(self.depth + 1))

    @property
    def meaning(self) -> None:
        """Its output are logits of its classes."""
        return None

    def read_as(self, meaning: OutputMeaning) -> UNetConfig:
        """Refuse another meaning than `meaning`."""
        raise SettingsError(f"This U-Net gives logits of its classes, not {meaning.final}.")

    @property
    def sentence(self) -> str:
        return (
            f"U-Net, base width {self.base_width}, depth {self.depth}, {self.padding} convolutions"
        )

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        return int(_NUMBERS_PER_FEATURE * self.widths[0] * math.prod(sizes))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @cached_property
    def graph(self) -> LayerList:
        """The layers of `UNet`, from which its sizes are worked out."""
        layers: list[Layer] = [Input()]
        axes = [(length,) * self.ndim for length in range(_KERNEL + 1)]

        def add(layer: Layer) -> int:
            layers.append(layer)
            return len(layers) - 1

        def convolution(x: int, name: str, before: int, after: int, kernel: int) -> int:
            padding = axes[kernel // 2 if self.padding == "same" else 0]
            shape = (before, after, axes[kernel], axes[1], padding, axes[1])
            return add(Convolution((x,), name, *shape))

        def block(x: int, name: str, before: int, after: int) -> int:
            x = convolution(x, f"{name}.conv1", before, after, _KERNEL)
            return convolution(x, f"{name}.conv2", after, after, _KERNEL)

        skips: list[int] = []
        x, before = 0, self.in_channels
        for level, width in enumerate(self.widths):
            x = block(
                x if level == 0 else add(Pool((x,), axes[2])), f"contracting.{level}", before, width
            )
            skips.append(x)
            before = width
        for level, (above, below) in reversed(list(enumerate(itertools.pairwise(self.widths)))):
            name = f"up.{level}.conv"
            if self.up == "interpolate":
                x = add(Upsample((convolution(x, name, below, above, 1),), axes[2]))
            else:
                shape = (below, above, axes[2], axes[2], axes[0], axes[0])
                x = add(TransposedConvolution((x,), name, *shape))
            x = block(add(Join((skips[level], x))), f"expanding.{level}", 2 * above, above)
        head = convolution(x, "head", self.widths[0], self.classes, 1)
        return LayerList(tuple(layers), (head,))


NEW_SHAPE = UNetConfig(base_width=32)
"""Of a network that begins with nothing: half of the paper's features, a quarter of the time."""


def _conv(ndim: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if ndim == 2 else nn.Conv3d


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions, each followed by (batch norm and) ReLU."""

    def __init__(self, config: UNetConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        conv = _conv(config.ndim)
        norm = nn.BatchNorm2d if config.ndim == 2 else nn.BatchNorm3d
        padding = 1 if config.padding == "same" else 0
        # Batch norm brings its own bias.
        bias = not config.batch_norm
        self.conv1 = conv(in_width, out_width, 3, padding=padding, bias=bias)
        self.norm1 = norm(out_width) if config.batch_norm else nn.Identity()
        self.conv2 = conv(out_width, out_width, 3, padding=padding, bias=bias)
        self.norm2 = norm(out_width) if config.batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_width, *S), or 4 pixels less on each axis without padding."""
        x = functional.relu_(self.norm1(self.conv1(x)))
        x = functional.relu_(self.norm2(self.conv2(x)))
        return x

    def fold_norms(self) -> None:
        """Replace each convolution and its batch norm by one convolution, for inference."""
        if not isinstance(self.norm1, nn.Identity) and not isinstance(self.norm2, nn.Identity):
            self.conv1 = fuse_conv_bn_eval(self.conv1, self.norm1)
            self.conv2 = fuse_conv_bn_eval(self.conv2, self.norm2)
            self.norm1, self.norm2 = nn.Identity(), nn.Identity()


class UpConvolution(nn.Module):
    """Doubles the size and maps to `out_width` features."""

    def __init__(self, config: UNetConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        transposed = nn.ConvTranspose2d if config.ndim == 2 else nn.ConvTranspose3d
        self.mode = "bilinear" if config.ndim == 2 else "trilinear"
        self.interpolates = config.up == "interpolate"
        self.conv: nn.Module
        if self.interpolates:
            self.conv = _conv(config.ndim)(in_width, out_width, 1)
        else:
            self.conv = transposed(in_width, out_width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_width, *2S)."""
        x = self.conv(x)
        if self.interpolates:
            # A 1x1 convolution commutes with interpolation and is 4 times cheaper before it.
            x = functional.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
        return x


class UNet(NetworkModule):
    """Contracting and expanding path with crop-and-concatenate skips.

    References
    ----------
    Ronneberger et al. (2015), Fig. 1. https://arxiv.org/abs/1505.04597
    Cicek et al. (2016) for 3-D. https://arxiv.org/abs/1606.06650
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config: UNetConfig = config
        widths = config.widths
        pairs = list(itertools.pairwise(widths))
        self.contracting = nn.ModuleList(
            [ConvolutionBlock(config, config.in_channels, widths[0])]
            + [ConvolutionBlock(config, above, below) for above, below in pairs]
        )
        self.up = nn.ModuleList(UpConvolution(config, below, above) for above, below in pairs)
        self.expanding = nn.ModuleList(
            ConvolutionBlock(config, 2 * above, above) for above, _ in pairs
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = _conv(config.ndim)(widths[0], config.classes, 1)
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation, as in the paper (section 3)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                if module.weight.is_meta:
                    # Nothing to fill, for which torch would import its compiler: two seconds.
                    continue
                fan_in = module.weight[0].numel()
                if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
                    fan_in = module.in_channels  # each output pixel reads one input pixel
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_in))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits for each pixel.

        Parameters
        ----------
        x : (N, in_channels, *S) tensor
            Each of S fits `config.output_size`.

        Returns
        -------
        (N, classes, *S') tensor
            S' is S, or `config.output_size` of it with "valid" padding.
        """
        skips: list[Tensor] = []
        for level, block in enumerate(self.contracting):
            x = block(x)  # (N, widths[level], S / 2^level)
            if level < self.config.depth:
                skips.append(x)
                x = self.pool(x)
        x = self.dropout(x)
        for level in reversed(range(self.config.depth)):
            x = self.up[level](x)
            skip = centre_crop(skips.pop(), x.shape[2:])
            x = self.expanding[level](torch.cat((skip, x), dim=1))
        logits: Tensor = self.head(x)
        return logits

    def pool(self, x: Tensor) -> Tensor:
        """Halve the size: the largest of each 2x2 pixels."""
        return functional.max_pool2d(x, 2) if self.config.ndim == 2 else functional.max_pool3d(x, 2)

    def fold_norms(self) -> None:
        """Let each convolution do what the batch norm behind it does, for inference."""
        for block in self.modules():
            if isinstance(block, ConvolutionBlock):
                block.fold_norms()
