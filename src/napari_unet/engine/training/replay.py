"""What a network knew before it learns anew: images that are replayed with its own answers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from napari_unet.engine.base.errors import ImageError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.segmentation import iterate_scores
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.patches import Replayed
from napari_unet.engine.training.prepared import normalised


def bundled_images() -> list[AnyImage]:
    """Images of nuclei that come with the package: (H, W) or (H, W, 3) uint8."""
    folder = Path(str(resources.files("napari_unet") / "bundled" / "samples" / "images"))
    images = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as file:
            images.append(np.asarray(file))
    return images


def replayed_images(
    network: Network, images: Sequence[AnyImage] | None = None, *, device: str
) -> list[Replayed]:
    """Let a network say what it sees in images before it learns.

    Parameters
    ----------
    network : Network
    images : sequence of array, optional
        Like those it was trained on. Without them the bundled nuclei, as far
        as the network can read them.
    device : str

    Returns
    -------
    list of Replayed

    Raises
    ------
    ImageError
        If an image that was given does not fit the network.
    """
    if images is None:
        images = [image for image in bundled_images() if _fits(image, network)]
    return [_replayed(image, network, device) for image in images]


def _fits(image: AnyImage, network: Network) -> bool:
    if network.description.architecture.ndim != 2:  # it would take colours for a short axis
        return False
    try:
        _pixels(image, network)
    except ImageError:
        return False
    return True


def _pixels(image: AnyImage, network: Network) -> torch.Tensor:
    return normalised(TrainingPair(image, np.empty(0, int)), network.description)


def _replayed(image: AnyImage, network: Network, device: str) -> Replayed:
    settings = SegmentationSettings()
    for plane in iterate_scores(image, network, settings=settings, device=device):
        scores = plane.scores
    return Replayed(_pixels(image, network), torch.from_numpy(scores))
