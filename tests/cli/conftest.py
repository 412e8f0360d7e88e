"""A model whose answer is known, small images with their labels, and what a command wrote."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from known_networks import unet_of_brightness
from PIL import Image

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.files.images import write_labels


def _bright_is_cell(in_channels: int = 1, ndim: int = 2) -> Network:
    """Make a network by hand that calls pixels brighter than half the range a cell."""
    config = UNetConfig(ndim, in_channels, 2, base_width=1, depth=1, batch_norm=False)
    unet = unet_of_brightness(config, [-20.0, 20.0], [10.0, -10.0])
    with torch.no_grad():
        unet.contracting[0].conv1.weight[(0, slice(None), *(1,) * ndim)] = 1 / in_channels
    description = NetworkDescription(
        "bright", config, instances=InstanceSettings(min_size_px=2, min_seed_px=1)
    )
    return Network(unet, description)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_checkpoint(_bright_is_cell(), tmp_path / "bright"))


@pytest.fixture
def bright_is_cell() -> Callable[..., Network]:
    """Makes that network, for `in_channels` and `ndim`."""
    return _bright_is_cell


def _cells_labels(*shape: int) -> np.ndarray:
    labels = np.zeros(shape or (24, 32), np.uint8)
    labels[..., 3:6, 4:7] = 1
    labels[..., 12:16, 20:24] = 2
    return labels


@pytest.fixture
def cells_labels() -> Callable[..., np.ndarray]:
    """Makes labels of two squares, of 9 and 16 pixels, for a shape; the same in every slice."""
    return _cells_labels


@pytest.fixture
def cells_image() -> Callable[..., np.ndarray]:
    """Makes the image of these cells: bright, on a dark ground that is not quite even."""

    def make(*shape: int, dtype: str = "uint8") -> np.ndarray:
        labels = _cells_labels(*shape)
        uneven = np.arange(labels.shape[-2] * labels.shape[-1]).reshape(labels.shape[-2:]) % 7
        return np.where(labels > 0, 200, uneven).astype(dtype)

    return make


@pytest.fixture
def save_image() -> Callable[..., str]:
    """Writes a PNG or TIFF file and returns its name."""

    def save(path: Path, image: np.ndarray, **options: Any) -> str:
        if path.suffix == ".png":
            Image.fromarray(image).save(path)
        else:
            tifffile.imwrite(path, image, **options)
        return str(path)

    return save


@pytest.fixture
def training_folders(
    tmp_path: Path,
    cells_image: Callable[..., np.ndarray],
    cells_labels: Callable[..., np.ndarray],
    save_image: Callable[..., str],
) -> list[str]:
    """Three images in a folder, and their labels in another one."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        save_image(tmp_path / "images" / f"{index}.png", np.roll(cells_image(), index, axis=1))
        labels = np.roll(cells_labels(), index, axis=1)
        write_labels(tmp_path / "labels" / f"{index}_masks.tif", labels)
    return [str(tmp_path / "images"), str(tmp_path / "labels")]


@pytest.fixture
def train_words(tmp_path: Path, model: str, training_folders: list[str]) -> list[str]:
    """A command that trains that model further on these images, and writes the file `m`."""
    return ["train", *training_folders, "-o", str(tmp_path / "m"), "--from", model]


class Output:
    """What a command wrote to its two streams."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def read(self) -> tuple[str, str]:
        captured = self._capture.readouterr()
        return captured.out, captured.err

    def complaint(self) -> str:
        """The one line of complaint; fails if there is a traceback or more than a line."""
        _, error = self.read()
        assert "Traceback" not in error
        lines = error.strip().splitlines()
        assert len(lines) == 1, error
        assert lines[0].startswith("napari-unet: ")
        return lines[0].removeprefix("napari-unet: ")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)
