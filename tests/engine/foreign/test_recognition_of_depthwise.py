"""Depthwise convolutions, each followed by one that mixes channels, are recognised."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_unet.engine.foreign.recognition.opening import recognise

WIDTHS = (8, 16, 32)


def separable(before: int, after: int) -> nn.Sequential:
    depthwise = nn.Conv2d(before, before, 3, padding=1, groups=before)
    return nn.Sequential(depthwise, nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU())


class DepthwiseUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for level, (before, after) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            block = nn.Sequential(separable(before, after), separable(after, after))
            self.add_module(f"down{level}", block)
        for level, (high, low) in enumerate(itertools.pairwise(WIDTHS)):
            self.add_module(f"up{level}", nn.ConvTranspose2d(low, high, 2, 2))
            block = nn.Sequential(separable(2 * high, high), separable(high, high))
            self.add_module(f"merge{level}", block)
        self.head = nn.Conv2d(WIDTHS[0], 2, 1)

    def forward(self, x):
        skips = []
        for level in range(len(WIDTHS)):
            x = self.get_submodule(f"down{level}")(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(WIDTHS) - 1)):
            x = torch.cat([self.get_submodule(f"up{level}")(x), skips[level]], 1)
            x = self.get_submodule(f"merge{level}")(x)
        return self.head(x)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_depthwise_convolutions_are_put_in_their_order():
    module = DepthwiseUNet().eval()
    network = recognise(module.state_dict(), name="net")
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network.unet.author_output(x), module(x), atol=1e-4, rtol=1e-4)
