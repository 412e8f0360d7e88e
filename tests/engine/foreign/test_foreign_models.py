"""A lab's own U-Net, from its file to cells, to training, to a file of this project."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet import TrainingPair, train
from napari_unet.cli import main
from napari_unet.engine.base.errors import CheckpointError, CodeInFileError, SettingsError
from napari_unet.engine.export.export import export_model
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.class_roles import BACKGROUND, CELL
from napari_unet.engine.training.settings import TrainingSettings


class LabUNet(nn.Module):
    """What somebody wrote on an afternoon: one pooling, ELU, a sigmoid to come."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ELU(), nn.Conv2d(4, 4, 3, padding=1), nn.ELU()
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1), nn.ELU(), nn.Conv2d(8, 8, 3, padding=1), nn.ELU()
        )
        self.grow = nn.ConvTranspose2d(8, 4, 2, 2)
        self.merge = nn.Sequential(
            nn.Conv2d(8, 4, 3, padding=1), nn.ELU(), nn.Conv2d(4, 4, 3, padding=1), nn.ELU()
        )
        self.answer = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = self.coarse(functional.max_pool2d(fine, 2))
        y: Tensor = self.answer(self.merge(torch.cat((fine, self.grow(coarse)), 1)))
        return y


GUESSES = {"activation": "ELU", "skip_order": "skip first", "normalization": "none"}


@pytest.fixture
def module() -> LabUNet:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return LabUNet().eval()


@pytest.fixture
def file(module, tmp_path) -> Path:
    path = tmp_path / "lab.pth"
    torch.save({"epoch": 3, "model_state_dict": module.state_dict()}, path)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((37, 50), np.float32)


def test_a_labs_network_gives_what_its_author_gets(module, file, image):
    network = load_checkpoint(file, guesses=GUESSES)
    result = segment(image, network, precision="float32", device="cpu")
    padded = np.pad(image, ((0, 1), (0, 0)), mode="reflect")
    with torch.no_grad():
        expected = torch.sigmoid(module(torch.from_numpy(padded)[None, None]))[0, 0, :37].numpy()
    assert result.class_roles == (BACKGROUND, CELL)
    np.testing.assert_allclose(result.scores[1], expected, atol=1e-4)


def test_corrected_guesses_stay_with_the_file_of_this_project(file, image, tmp_path):
    network = load_checkpoint(file, guesses=GUESSES)
    again = load_checkpoint(save_checkpoint(network, tmp_path / "mine"))
    assert again.description == network.description
    assert {g.about: g.value for g in again.description.guesses}.items() >= GUESSES.items()
    a, b = (segment(image, each, precision="float32") for each in (network, again))
    np.testing.assert_array_equal(a.scores, b.scores)


def test_a_labs_network_learns_and_keeps_where_it_came_from(file, image):
    network = load_checkpoint(file, guesses=GUESSES)
    labels = np.zeros(image.shape, np.int32)
    labels[5:15, 5:15] = 1
    labels[20:32, 20:40] = 2
    settings = TrainingSettings(steps=2, batch_size=1, patch_size_px=16, validation_interval=1)
    run = train([TrainingPair(image, labels)], network, settings=settings, device="cpu")
    list(run)
    taught = run.network
    assert taught.description.history[-1]["started_from"] == "lab"
    assert taught.description.guesses == network.description.guesses
    before, after = network.unet.author_weights(), taught.unet.author_weights()
    assert before.keys() == after.keys() == LabUNet().state_dict().keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_a_guess_that_the_network_has_not_is_refused_by_name(file):
    with pytest.raises(SettingsError, match="colour"):
        load_checkpoint(file, guesses={"colour": "blue"})


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_program_is_run_only_after_a_yes(module, image, tmp_path):
    path = tmp_path / "program.pt"
    torch.jit.script(module).save(path)
    with pytest.raises(CodeInFileError, match="TorchScript"):
        load_checkpoint(path)
    network = load_checkpoint(path, allow_code=True)
    assert not network.description.architecture.is_trainable
    assert segment(image, network).labels.shape == image.shape
    with pytest.raises(CheckpointError, match="keep or copy its own file"):
        save_checkpoint(network, tmp_path / "mine")
    assert not (tmp_path / "mine.safetensors").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_the_output_of_a_program_can_be_read_another_way(module, file, image, tmp_path):
    path = tmp_path / "program.pt"
    torch.jit.script(module).save(path)
    guesses = {"normalization": "none", "final": "sigmoid"}
    program = load_checkpoint(path, allow_code=True, guesses=guesses)
    layers = segment(image, load_checkpoint(file, guesses=GUESSES), precision="float32")
    np.testing.assert_allclose(segment(image, program).scores, layers.scores, atol=1e-4)
    with pytest.raises(SettingsError, match="activation"):
        load_checkpoint(path, allow_code=True, guesses={"activation": "ELU"})


# bioimageio.spec leaves files open, which Python remarks on whenever it finds one.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_was_exported_opens_again_with_all_that_was_known(file, image, tmp_path):
    pytest.importorskip("onnxruntime")
    network = load_checkpoint(file, guesses=GUESSES)
    expected = segment(image, network, precision="float32").scores
    for kind in ("onnx", "bioimageio"):
        settings = ExportSettings(licence="MIT")
        written = export_model(network, tmp_path / kind, format=kind, settings=settings)
        again = load_checkpoint(written.path)
        scores = segment(image, again, precision="float32").scores
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        assert again.description.instances == network.description.instances
        assert again.description.normalization == network.description.normalization
    # A package has our own file in it, with the licence that it was given.
    assert again.description == replace(network.description, licence="MIT")


def test_inspect_lists_what_was_guessed_and_why(file, capsys):
    assert main(["inspect", str(file)]) == 0
    out = capsys.readouterr().out
    assert "guess: activation=ReLU" in out
    assert "or: " in out
    assert main(["inspect", str(file), "--json", "--guess", "activation=ELU"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {g["about"]: g["value"] for g in values["guesses"]}["activation"] == "ELU"
    assert (
        values["receptive_field_px"]
        == 2 * load_checkpoint(file).description.architecture.margin_px + 1
    )


def test_segment_takes_a_labs_network_with_corrections(file, image, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "image.tif", image)
    options = [word for about, value in GUESSES.items() for word in ("--guess", f"{about}={value}")]
    words = ["segment", str(tmp_path / "image.tif"), "-o", str(tmp_path / "out")]
    assert main([*words, "--model", str(file), *options]) == 0
    assert (tmp_path / "out" / "image.tif").exists()
    assert main([*words, "--overwrite", "--model", str(file), "--guess", "activation"]) == 1
    assert "--guess activation is not understood" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_command_line_asks_before_a_program_runs(module, tmp_path, capsys):
    path = tmp_path / "program.pt"
    torch.jit.script(module).save(path)
    assert main(["inspect", str(path)]) == 1
    assert "TorchScript" in capsys.readouterr().err
    assert main(["inspect", str(path), "--allow-code"]) == 0
    assert "ready-made" in capsys.readouterr().out
