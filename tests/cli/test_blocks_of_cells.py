"""`napari-unet segment IMAGE -o OUT.ome.zarr`: whole cells of volumes, and types of cells."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.typed_start import with_types
from napari_unet.viewer.zarr_layers import read_layers

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""


def bright(path: Path, *shape: int) -> str:
    """Write an image with bright pieces of all sizes, many of which lie in several blocks."""
    noise = np.random.default_rng(0).random(shape)
    for axis in (-2, -1, -2, -1, -2, -1):
        noise = noise + np.roll(noise, 1, axis)
    low, high = noise.min(), noise.max()
    np.save(path, ((noise - low) / (high - low) * 255).astype(np.uint8))
    return str(path)


def labels_in(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r")[...])


def whole(source: str, model: str, tmp_path: Path, *options: str) -> np.ndarray:
    """Labels of the same image as TIFF, in memory."""
    out = str(tmp_path / "whole.tif")
    assert main(["segment", source, "-o", out, "--model", model, *options]) == 0
    labels = np.asarray(tifffile.imread(out))
    assert labels.max() > 3
    return labels


def test_volumes_from_slices_in_three_directions(
    tmp_path: Path, bright_is_cell: Callable[..., Network], output: Output
) -> None:
    model = str(save_checkpoint(bright_is_cell(), tmp_path / "bright"))
    source, out = bright(tmp_path / "volume.npy", 9, 33, 30), tmp_path / "out.ome.zarr"

    options = ["--volume", "three_planes", "--min-seed", "1", "--min-size", "1"]
    words = ["segment", source, "-o", str(out), "--model", model, *options]
    assert main([*words, "--block", "16,30"]) == 1
    assert "cells are found in 3-D images; give 3 numbers, Z,Y,X" in output.complaint()
    assert main([*words, "--block", "5,16,30"]) == 0

    assert "does not say how far apart its slices are" in output.read()[1]
    np.testing.assert_array_equal(labels_in(out), whole(source, model, tmp_path, *options))


def test_types_of_cells_are_a_table_beside_the_labels(
    tmp_path: Path, bright_is_cell: Callable[..., Network], output: Output
) -> None:
    network = with_types(bright_is_cell(), ("large", "small"))
    model = str(save_checkpoint(network, tmp_path / "typed"))
    source, out = bright(tmp_path / "image.npy", 60, 70), tmp_path / "o.ome.zarr"
    words = ["segment", source, "-o", str(out), "--model", model, "--block", "30,40"]
    assert main(words) == 0
    told = output.read()[0]
    assert re.search(r"image\.npy: \d+ cells \(\d+ large, \d+ small\) in ", told)

    whole(source, model, tmp_path)
    table = (tmp_path / "o_types.csv").read_text()
    assert table == (tmp_path / "whole_types.csv").read_text()
    ((_, options, _),) = read_layers(str(out))
    assert list(options["features"]["index"]) == list(range(1, labels_in(out).max() + 1))
    shutil.rmtree(out)
    output.read()
    assert main(words) == 1
    assert "o_types.csv' exists" in output.complaint()
    assert not list(tmp_path.glob("o.*"))
