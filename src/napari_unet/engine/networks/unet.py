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
    Axes,
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
    flat_levels: int = 0
    """Uppermost levels of a network for volumes whose convolutions and poolings leave slices
    apart, as these lie further apart than pixels: 1x3x3 and 1x2x2 (Isensee et al., 2021)."""

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
        most = self.depth if self.ndim == 3 else 0
        if not 0 <= self.flat_levels <= most:
            raise SettingsError(
                f"flat_levels is {self.flat_levels}; a {self.ndim}-D network with {self.depth} "
                f"poolings can have 0 to {most}."
            )
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout is {self.dropout:g}; use 0 up to, not including, 1.")

    @property
    def widths(self) -> tuple[int, ...]:
        limit = self.max_width or self.base_width * 2**self.depth
        return tuple(min(self.base_width * 2**level, limit) for level in range(self.depth + 1))

    def kernel(self, level: int) -> Axes:
        """Length of the convolutions of a level along each axis."""
        return (1 if level < self.flat_levels else _KERNEL, _KERNEL, _KERNEL)[-self.ndim :]

    def stride(self, level: int) -> Axes:
        """How many times smaller the level below is, along each axis."""
        return (1 if level < self.flat_levels else 2, 2, 2)[-self.ndim :]

    @property
    def meaning(self) -> None:
        """Its output are logits of its classes."""
        return None

    def read_as(self, meaning: OutputMeaning) -> UNetConfig:
        """Refuse another meaning than `meaning`."""
        raise SettingsError(f"This U-Net gives logits of its classes, not {meaning.final}.")

    @property
    def sentence(self) -> str:
        flat = f", slices apart in the upper {self.flat_levels} levels" if self.flat_levels else ""
        return (
            f"U-Net, base width {self.base_width}, depth {self.depth}, {self.padding} convolutions"
            f"{flat}"
        )

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        return int(_NUMBERS_PER_FEATURE * self.widths[0] * math.prod(sizes))

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        if not self.flat_levels:
            # Versions that do not know it yet can read all other networks.
            del values["flat_levels"]
        return values

    @cached_property
    def graph(self) -> LayerList:
        """The layers of `UNet`, from which its sizes are worked out."""
        layers: list[Layer] = [Input()]
        zeros, ones = (0,) * self.ndim, (1,) * self.ndim

        def add(layer: Layer) -> int:
            layers.append(layer)
            return len(layers) - 1

        def convolution(x: int, name: str, before: int, after: int, kernel: Axes) -> int:
            padding = tuple(n // 2 for n in kernel) if self.padding == "same" else zeros
            return add(Convolution((x,), name, before, after, kernel, ones, padding, ones))

        def block(x: int, side: str, level: int, before: int) -> int:
            name, after, kernel = f"{side}.{level}", self.widths[level], self.kernel(level)
            x = convolution(x, f"{name}.conv1", before, after, kernel)
            return convolution(x, f"{name}.conv2", after, after, kernel)

        skips: list[int] = []
        x, before = 0, self.in_channels
        for level, width in enumerate(self.widths):
            x = x if level == 0 else add(Pool((x,), self.stride(level - 1)))
            x = block(x, "contracting", level, before)
            skips.append(x)
            before = width
        for level, (above, below) in reversed(list(enumerate(itertools.pairwise(self.widths)))):
            name, factor = f"up.{level}.conv", self.stride(level)
            if self.up == "interpolate":
                x = add(Upsample((convolution(x, name, below, above, ones),), factor))
            else:
                shape = (below, above, factor, factor, zeros, zeros)
                x = add(TransposedConvolution((x,), name, *shape))
            x = block(add(Join((skips[level], x))), "expanding", level, 2 * above)
        head = convolution(x, "head", self.widths[0], self.classes, ones)
        return LayerList(tuple(layers), (head,))


def flat_levels_for(anisotropy: float, depth: int) -> int:
    """Levels that leave slices apart until their distance is less than two pixels.

    Parameters
    ----------
    anisotropy : float
        Distance between slices in pixel sizes.
    depth : int
        Poolings of the network.

    References
    ----------
    Isensee et al. (2021), nnU-Net. https://arxiv.org/abs/1904.08128
    """
    return min(depth, max(0, math.floor(math.log2(anisotropy))))


NEW_SHAPE = UNetConfig(base_width=32)
"""Of a network that begins with nothing: half of the paper's features, a quarter of the time."""


def _conv(ndim: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if ndim == 2 else nn.Conv3d


class ConvolutionBlock(nn.Module):
    """Two convolutions of a level, each followed by (batch norm and) ReLU."""

    def __init__(self, config: UNetConfig, level: int, in_width: int) -> None:
        super().__init__()
        out_width = config.widths[level]
        # torch's stubs want to know from the type how many axes there are.
        kernel: Any = config.kernel(level)
        conv = _conv(config.ndim)
        norm = nn.BatchNorm2d if config.ndim == 2 else nn.BatchNorm3d
        padding: Any = tuple(n // 2 if config.padding == "same" else 0 for n in kernel)
        # Batch norm brings its own bias.
        bias = not config.batch_norm
        self.conv1 = conv(in_width, out_width, kernel, padding=padding, bias=bias)
        self.norm1 = norm(out_width) if config.batch_norm else nn.Identity()
        self.conv2 = conv(out_width, out_width, kernel, padding=padding, bias=bias)
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
    """Brings the level below to the size and the features of `level`."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        out_width, in_width = config.widths[level : level + 2]
        factor: Any = config.stride(level)
        transposed = nn.ConvTranspose2d if config.ndim == 2 else nn.ConvTranspose3d
        self.mode = "bilinear" if config.ndim == 2 else "trilinear"
        self.interpolates = config.up == "interpolate"
        self.factor = tuple(map(float, factor))
        self.conv: nn.Module
        if self.interpolates:
            self.conv = _conv(config.ndim)(in_width, out_width, 1)
        else:
            self.conv = transposed(in_width, out_width, factor, stride=factor)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_width, *2S), S itself along an axis that was not pooled."""
        x = self.conv(x)
        if self.interpolates:
            # A 1x1 convolution commutes with interpolation and is 4 times cheaper before it.
            x = functional.interpolate(
                x, scale_factor=self.factor, mode=self.mode, align_corners=False
            )
        return x


class UNet(NetworkModule):
    """Contracting and expanding path with crop-and-concatenate skips.

    References
    ----------
    Ronneberger et al. (2015), Fig. 1. https://arxiv.org/abs/1505.04597
    Cicek et al. (2016) for 3-D. https://arxiv.org/abs/1606.06650
    Isensee et al. (2021) for voxels that are higher than wide. https://arxiv.org/abs/1904.08128
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config: UNetConfig = config
        widths = config.widths
        self.contracting = nn.ModuleList(
            ConvolutionBlock(config, level, before)
            for level, before in enumerate((config.in_channels, *widths[:-1]))
        )
        self.up = nn.ModuleList(UpConvolution(config, level) for level in range(config.depth))
        self.expanding = nn.ModuleList(
            ConvolutionBlock(config, level, 2 * widths[level]) for level in range(config.depth)
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
            Each of S fits `config.along(axis).output_size`.

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
                x = self.pool(x, level)
        x = self.dropout(x)
        for level in reversed(range(self.config.depth)):
            x = self.up[level](x)
            skip = centre_crop(skips.pop(), x.shape[2:])
            x = self.expanding[level](torch.cat((skip, x), dim=1))
        logits: Tensor = self.head(x)
        return logits

    def pool(self, x: Tensor, level: int) -> Tensor:
        """Make what a level gives smaller for the one below: the largest of each 2x2 pixels."""
        pool = functional.max_pool2d if self.config.ndim == 2 else functional.max_pool3d
        y: Tensor = pool(x, self.config.stride(level))
        return y

    def fold_norms(self) -> None:
        """Let each convolution do what the batch norm behind it does, for inference."""
        for block in self.modules():
            if isinstance(block, ConvolutionBlock):
                block.fold_norms()
