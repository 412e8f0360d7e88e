"""Trained networks of others, where they are at hand, give what their authors' code gave."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.recognition.opening import recognise

# -- trained networks of others, where they are at hand -------------------------------------------

FOLDER = os.environ.get("NAPARI_UNET_THIRD_PARTY_CHECKPOINTS")

THIRD_PARTY = {
    "stardist_torch_dsb2018": ("model_weights.t7", ("ref_dist.npy", "ref_prob.npy")),
    "lwnet_drive": ("model_checkpoint.pth", ("ref_output.npy",)),
    "noise2noise_gaussian": ("n2n-gaussian.pt", ("ref_output.npy",)),
    "stem_defect_unet": ("unet.pt", ("ref_output.npy",)),
}


@pytest.mark.skipif(FOLDER is None, reason="NAPARI_UNET_THIRD_PARTY_CHECKPOINTS names no folder")
@pytest.mark.parametrize("name", THIRD_PARTY)
@pytest.mark.parametrize("is_sorted", [False, True])
def test_trained_network_gives_its_reference_output(name, is_sorted):
    folder = Path(FOLDER or "") / name
    file, references = THIRD_PARTY[name]
    tensors = torch.load(folder / file, weights_only=True, map_location="cpu")
    tensors = tensors.get("model_state_dict", tensors)
    tensors = dict(sorted(tensors.items())) if is_sorted else tensors
    network = recognise(tensors, name=name)
    image = torch.from_numpy(np.load(folder / "ref_input.npy"))
    wanted = np.concatenate([np.load(folder / reference) for reference in references], axis=1)
    with torch.no_grad():
        found = network.unet.author_output(image).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.skipif(FOLDER is None, reason="NAPARI_UNET_THIRD_PARTY_CHECKPOINTS names no folder")
def test_densely_linked_unet_is_of_an_unknown_architecture():
    file = Path(FOLDER or "") / "cremi_dunet" / "state.nn"
    tensors = torch.load(file, weights_only=True, map_location="cpu")
    with pytest.raises(CheckpointError, match="found were 15 convolutions of up to 241 channels"):
        recognise(tensors, name="cremi")


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:DeprecationWarning")
@pytest.mark.skipif(FOLDER is None, reason="NAPARI_UNET_THIRD_PARTY_CHECKPOINTS names no folder")
def test_weights_of_a_torchscript_file_give_its_reference_output():
    folder = Path(FOLDER or "") / "unet2d_nuclei_broad"
    script = torch.jit.load(folder / "weights_torchscript.pt", map_location="cpu")
    tensors = {key: tensor.detach() for key, tensor in script.state_dict().items()}
    network = recognise(tensors, name="nuclei")
    raw = np.load(folder / "test_input.npy").astype(np.float32)
    image = torch.from_numpy((raw - raw.mean()) / raw.std()).view(1, 1, *raw.shape[-2:])
    with torch.no_grad():
        found = network.unet.author_output(image).numpy()
    wanted = np.load(folder / "test_output.npy")
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-4)
