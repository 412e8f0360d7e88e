"""Networks whose weights are set by hand, so that their answer is known, or drawn."""

from collections.abc import Sequence

import torch
from torch import nn

from napari_unet.engine.networks.unet import UNet, UNetConfig


def unet_of_brightness(
    config: UNetConfig, slopes: Sequence[float], offsets: Sequence[float]
) -> UNet:
    """A U-Net that scores each class, before softmax, as its slope times brightness plus offset.

    Brightness is the first channel's, above 0. It has one level and no batch norm.
    """
    unet, middle = UNet(config), (1,) * config.ndim
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()
        for block in (unet.contracting[0], unet.expanding[0]):
            # The middle of the kernel alone, on the skip connection: brightness comes through.
            block.conv1.weight[(0, 0, *middle)] = 1
            block.conv2.weight[(0, 0, *middle)] = 1
        unet.head.weight[:, 0] = torch.tensor(slopes).reshape(-1, *middle)
        unet.head.bias[:] = torch.tensor(offsets)
    return unet.eval()


def randomised(config: UNetConfig) -> UNet:
    """A U-Net of random weights whose batch norm does something."""
    torch.manual_seed(0)
    unet = UNet(config).eval()
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return unet
