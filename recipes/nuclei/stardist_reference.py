"""The PyTorch StarDist that the model card compares with, run as its author runs it.

Weights: `model_weights.t7` of github.com/ASHISRAVINDRAN/stardist_pytorch (BSD-3-Clause).
Needs the `stardist` and `csbdeep` packages for polygons and non-maximum suppression.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

PROBABILITY_THRESHOLD = 0.4
OVERLAP_THRESHOLD = 0.5
RAYS = 32


class _Block(nn.Module):
    """Two 3x3 convolutions, each with group norm and ELU, under the published key names."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_width, out_width, 3, padding=1),
            nn.GroupNorm(out_width // 8, out_width),
            nn.ELU(),
            nn.Conv2d(out_width, out_width, 3, padding=1),
            nn.GroupNorm(out_width // 8, out_width),
            nn.ELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _named(name: str, module: nn.Module) -> nn.Module:
    wrapper = nn.Module()
    wrapper.add_module(name, module)
    return wrapper


class StarDistNetwork(nn.Module):
    """A U-Net of widths 32, 64, 128, 128 with one probability and 32 distances a pixel."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 128)
        self.inc = _named("conv", _Block(1, widths[0]))
        for level in (1, 2, 3):
            block = _Block(widths[level - 1], widths[level])
            self.add_module(f"down{level}", _named("mpconv", nn.Sequential(nn.Identity(), block)))
        for level, (in_width, out_width) in enumerate([(256, 64), (128, 32), (64, 32)], start=1):
            self.add_module(f"up{level}", _named("conv", _Block(in_width, out_width)))
        self.features = nn.Conv2d(32, 128, 3, padding=1)
        self.out_ray = _named("conv", nn.Conv2d(128, RAYS, 1))
        self.out_prob = _named("conv", nn.Conv2d(128, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) -> distances (N, 32, H, W) in pixels, probability (N, 1, H, W)."""
        levels = [self.inc.conv(x)]
        for level in (1, 2, 3):
            down = getattr(self, f"down{level}").mpconv
            levels.append(down(functional.max_pool2d(levels[-1], 2)))
        x = levels.pop()
        for level in (1, 2, 3):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = getattr(self, f"up{level}").conv(torch.cat((levels.pop(), x), 1))
        x = self.features(x)
        return functional.relu(self.out_ray.conv(x)), torch.sigmoid(self.out_prob.conv(x))


def load_stardist(folder: Path) -> StarDistNetwork:
    """Load the published weights and prove them on the published reference output."""
    network = StarDistNetwork().eval()
    path = folder / "model_weights.t7"
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    with torch.no_grad():
        distances, probability = network(torch.from_numpy(np.load(folder / "ref_input.npy")))
    for output, name in ((distances, "ref_dist"), (probability, "ref_prob")):
        error = np.abs(output.numpy() - np.load(folder / f"{name}.npy")).max()
        if error > 1e-3:
            raise RuntimeError(f"{name} differs from the published output by {error:g}")
    return network


def stardist_labels(image: NDArray[Any], network: StarDistNetwork) -> NDArray[np.int32]:
    """Segment a grey (H, W) image: percentiles 1 to 99.8, then polygons by their probability."""
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression

    low, high = np.percentile(image, (1, 99.8))
    normalised = (image.astype(np.float32) - low) / (high - low + 1e-20)
    height, width = normalised.shape
    padding = [(0, -height % 16), (0, -width % 16)]
    x = torch.from_numpy(np.pad(normalised, padding, mode="reflect").astype(np.float32))[None, None]
    with torch.no_grad():
        distances, probability = network(x)
    dist = distances[0, :, :height, :width].permute(1, 2, 0).contiguous().numpy()
    prob = probability[0, 0, :height, :width].contiguous().numpy()
    points, scores, rays = non_maximum_suppression(
        dist, prob, grid=(1, 1), prob_thresh=PROBABILITY_THRESHOLD, nms_thresh=OVERLAP_THRESHOLD
    )
    labels = polygons_to_label(rays, points, shape=(height, width), prob=scores)
    return labels.astype(np.int32)
