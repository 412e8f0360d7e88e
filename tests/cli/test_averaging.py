"""`napari-unet segment` with the mean over copies of an image, and over models."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_image

Output = Any


@pytest.fixture
def lopsided(bright_is_cell: Callable[..., Network]) -> Network:
    """Sees every cell a pixel further to the right, and is less sure of it."""
    network = bright_is_cell()
    with torch.no_grad():
        kernel = network.unet.contracting[0].conv1.weight
        kernel[0, 0, 1, 0] = kernel[0, 0, 1, 1]
        kernel[0, 0, 1, 1] = 0
        network.unet.head.weight.mul_(0.5)
        network.unet.head.bias.mul_(0.5)
    return Network(network.unet, replace(network.description, name="lopsided"))


@pytest.fixture
def image(tmp_path: Path, cells_image: Any, save_image: Any) -> str:
    return str(save_image(tmp_path / "a.png", cells_image()))


def scores_of(tmp_path: Path, words: list[str]) -> np.ndarray:
    out = tmp_path / "out.tif"
    assert main(["segment", *words, "-o", str(out), "--scores", "--overwrite"]) == 0
    return read_image(tmp_path / "out_scores.tif").array


@pytest.mark.parametrize(
    ("words", "averaging"),
    [
        (["--averaging", "flips"], "flips"),
        (["--averaging", "flips+rotations"], "flips+rotations"),
        (["--flips"], "flips"),
        (["--no-flips"], "none"),
    ],
)
def test_copies_are_averaged_as_in_python(
    tmp_path: Path, image: str, lopsided: Network, words: list[str], averaging: Any
) -> None:
    model = str(save_checkpoint(lopsided, tmp_path / "lopsided"))
    found = scores_of(tmp_path, [image, "--model", model, *words])
    expected = segment(read_image(Path(image)).array, model, averaging=averaging).scores
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_flips_and_averaging_together_are_refused(
    tmp_path: Path, image: str, model: str, output: Output
) -> None:
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]
    assert main([*words, "--flips", "--averaging", "flips+rotations"]) == 1
    assert "--flips is an older name of --averaging; give only one" in output.complaint()


def test_two_models_give_the_mean_of_their_scores(
    tmp_path: Path, image: str, model: str, lopsided: Network
) -> None:
    other = str(save_checkpoint(lopsided, tmp_path / "lopsided"))
    one, two = (scores_of(tmp_path, [image, "--model", each]) for each in (model, other))
    both = scores_of(tmp_path, [image, "--model", model, "--model", other])
    np.testing.assert_allclose(both, (one + two) / 2, rtol=0, atol=1e-6)
    assert np.abs(one - two).max() > 0.4


def test_labels_tell_which_models_made_them(
    tmp_path: Path, image: str, model: str, lopsided: Network
) -> None:
    other = str(save_checkpoint(lopsided, tmp_path / "lopsided"))
    scores_of(tmp_path, [image, "--model", model, "--model", other, "--averaging", "flips"])
    made = read_image(tmp_path / "out.tif").notes
    assert made is not None
    assert (made["model"], made["model_source"]) == ("bright + lopsided", model)
    assert made["averaged_with"] == [{"model": "lopsided", "model_source": other}]
    assert made["settings"]["averaging"] == "flips"


def test_a_model_that_does_not_fit_is_refused_before_any_image(
    tmp_path: Path, image: str, model: str, output: Output, bright_is_cell: Callable[..., Network]
) -> None:
    volume = str(save_checkpoint(bright_is_cell(ndim=3), tmp_path / "volume"))
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]
    assert main([*words, "--model", volume]) == 1
    assert "reads 3-D images and 'bright' 2-D ones" in output.complaint()
    assert not (tmp_path / "out.tif").exists()


def test_the_same_model_twice_is_refused(
    tmp_path: Path, image: str, model: str, output: Output
) -> None:
    words = ["segment", image, "-o", str(tmp_path / "out.tif")]
    assert main([*words, "--model", model, "--model", model]) == 1
    assert "is given more than once" in output.complaint()
