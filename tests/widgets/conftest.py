"""A network whose answer is known, and a session that has it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.engine.checkpoint import save_checkpoint
from napari_unet.engine.image import Normalization
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.settings import InstanceSettings
from napari_unet.engine.unet import UNet, UNetConfig
from napari_unet.session import Session


@pytest.fixture
def threshold_network() -> Network:
    """A real U-Net whose weights make it answer "cell" where the image is above one half."""
    config = UNetConfig(in_channels=1, classes=2, base_width=1, depth=1, batch_norm=False)
    unet = UNet(config)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.zero_()
        for convolution in (
            unet.contracting[0].conv1,
            unet.contracting[0].conv2,
            unet.expanding[0].conv1,
            unet.expanding[0].conv2,
        ):
            # The middle of the kernel alone, on the skip connection: brightness comes through.
            convolution.weight[0, 0, 1, 1] = 1
        unet.head.weight[:, 0, 0, 0] = torch.tensor([-20.0, 20.0])
        unet.head.bias[:] = torch.tensor([10.0, -10.0])
    description = NetworkDescription(
        "threshold",
        config,
        normalization=Normalization("percentile", 0, 100),
        object_diameter_px=10.0,
        instances=InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0),
    )
    return Network(unet, description)


@pytest.fixture
def model_file(threshold_network: Network, tmp_path: Path) -> Path:
    return save_checkpoint(threshold_network, tmp_path / "threshold")


@pytest.fixture
def session(threshold_network: Network, model_file: Path) -> Session:
    session = Session()
    session.adopt(threshold_network, str(model_file))
    return session


@pytest.fixture
def squares() -> NDArray[np.uint8]:
    """Three bright squares of 10 x 10 pixels on a dark ground, 64 x 80."""
    image = np.full((64, 80), 20, np.uint8)
    image[5:15, 5:15] = image[5:15, 30:40] = image[40:50, 60:70] = 200
    return image


@pytest.fixture
def square_labels(squares: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The squares of `squares`, numbered in reading order."""
    labels = np.zeros(squares.shape, np.int32)
    labels[5:15, 5:15], labels[5:15, 30:40], labels[40:50, 60:70] = 1, 2, 3
    return labels
