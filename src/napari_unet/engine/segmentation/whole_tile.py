"""Networks that are computed a whole tile at a time, and the choice of how tiles are computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.unet import UNet
from napari_unet.engine.segmentation.bands import BandedUNet
from napari_unet.engine.segmentation.tiling import Interval, TileableNetwork


def tileable(module: NetworkModule) -> TileableNetwork:
    """Choose how the tiles of a network are computed.

    Parameters
    ----------
    module : NetworkModule
        As its `fused` returns it.

    Returns
    -------
    TileableNetwork
    """
    return BandedUNet(module) if isinstance(module, UNet) else WholeTile(module)


class WholeTile:
    """Computes all of a tile and crops what was not asked for.

    Parameters
    ----------
    module : NetworkModule
    """

    def __init__(self, module: NetworkModule) -> None:
        self._module = module
        self.config: Architecture = module.config
        weight = next(module.parameters(), None)
        self.device = torch.device("cpu") if weight is None else weight.device
        self.dtype = torch.float32 if weight is None else weight.dtype

    def __call__(self, x: Tensor, *, crops: tuple[Interval, ...]) -> Tensor:
        """Logits (N, classes, *S'), without `crops` pixels at both ends of each axis."""
        with torch.inference_mode():
            y: Tensor = self._module(x.contiguous(memory_format=self._module.memory_format))
        for axis, (low, high) in enumerate(crops, start=2):
            y = y.narrow(axis, low, y.shape[axis] - low - high)
        return y

    def memory_bytes(self, sizes: Sequence[int]) -> int:
        """Memory, about, that one call takes."""
        return self.config.numbers_at_once(sizes) * self.dtype.itemsize

    def release_memory(self) -> None:
        """Give back what is kept between calls."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
