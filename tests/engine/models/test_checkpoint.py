"""Model files: whole, self-describing, and never trusted."""

import dataclasses
import errno
import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import napari_unet
from napari_unet.engine.base.errors import CheckpointError, UNetError
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.normalization import ZeroMean
from napari_unet.engine.models import checkpoint as checkpoint_module
from napari_unet.engine.models.checkpoint import (
    as_network,
    load_checkpoint,
    read_description,
    save_checkpoint,
)
from napari_unet.engine.networks.network import Network, NetworkDescription, TrainingIntensity
from napari_unet.engine.networks.unet import UNet, UNetConfig

ROLES = ("background", "cell", "border")


def tiny_network() -> Network:
    torch.manual_seed(0)
    config = UNetConfig(base_width=2, depth=1, classes=3)
    description = NetworkDescription(
        "tiny",
        config,
        class_roles=ROLES,
        normalization=ZeroMean(),
        object_diameter_px=17.5,
        pixel_size_um=0.65,
        intensity=TrainingIntensity("uint16", 90.0, 120.0, 4000.0),
        instances=InstanceSettings(seed_threshold=0.7),
        summary="For tests.",
        licence="CC0-1.0",
        metrics={"test": {"AP 0.5": 0.5}},
        history=({"steps": 3},),
    )
    return Network(UNet(config).eval(), description)


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(tiny_network(), tmp_path / "tiny")


def test_checkpoint_comes_back_as_it_was(saved):
    network = load_checkpoint(saved)
    before = tiny_network()
    assert saved.name == "tiny.safetensors"
    assert network.description == before.description
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.unet(x), before.unet(x))


def test_calibration_of_scores_comes_back(tmp_path):
    network = tiny_network()
    calibration = ScoreCalibration(slope=3.4, offset=-3.3)
    known = dataclasses.replace(
        network.description, instances=InstanceSettings(score_calibration=calibration)
    )
    path = save_checkpoint(Network(network.unet, known), tmp_path / "calibrated")
    assert read_description(path).instances.score_calibration == calibration


def test_calibration_that_turns_the_order_around_is_refused():
    values = json.loads(tiny_network().description.to_json())
    values["instances"]["score_calibration"] = {"slope": -1.0, "offset": 0.0}
    with pytest.raises(CheckpointError, match="use a slope above 0"):
        NetworkDescription.from_json(json.dumps(values))


def test_model_that_knows_of_no_calibration_is_read_as_it_was():
    values = json.loads(tiny_network().description.to_json())
    del values["instances"]["score_calibration"]
    instances = NetworkDescription.from_json(json.dumps(values)).instances
    assert instances == tiny_network().description.instances
    assert dataclasses.replace(instances, min_score=0.7).least_mean_score == 0.7


def test_volume_network_that_pools_slices_late_comes_back_and_others_name_nothing_new(tmp_path):
    torch.manual_seed(0)
    config = UNetConfig(ndim=3, base_width=2, depth=2, flat_levels=1)
    network = Network(UNet(config).eval(), NetworkDescription("flat", config))
    again = load_checkpoint(save_checkpoint(network, tmp_path / "flat"))
    assert again.description == network.description
    volume = torch.rand(1, 1, 6, 8, 8)
    with torch.no_grad():
        assert torch.equal(again.unet(volume), network.unet(volume))
    # What a version that knows of no flat levels wrote is read and written as it was.
    old = UNetConfig(ndim=3, base_width=2, depth=2)
    written = json.loads(NetworkDescription("old", old).to_json())
    assert "flat_levels" not in written["unet"]
    assert NetworkDescription.from_json(json.dumps(written)).architecture == old


def test_half_precision_file_loads_as_float32_and_is_close(tmp_path):
    path = save_checkpoint(tiny_network(), tmp_path / "half", half=True)
    network = load_checkpoint(path)
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network.unet(x), tiny_network().unet(x), atol=1e-2)
    assert all(p.dtype == torch.float32 for p in network.unet.parameters())


def test_existing_file_is_not_overwritten_unless_allowed(saved):
    content = saved.read_bytes()
    with pytest.raises(CheckpointError, match="exists; choose another name or allow overwriting"):
        save_checkpoint(tiny_network(), saved)
    assert saved.read_bytes() == content
    save_checkpoint(tiny_network(), saved, overwrite=True)


def test_full_disk_leaves_the_old_file_and_no_litter(saved, monkeypatch):
    content = saved.read_bytes()

    def full_disk(_weights, path, _metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_module, "save_file", full_disk)
    with pytest.raises(CheckpointError, match="The disk is full, "):
        save_checkpoint(tiny_network(), saved, overwrite=True)
    assert saved.read_bytes() == content
    assert list(saved.parent.iterdir()) == [saved]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="choose a folder that exists"):
        save_checkpoint(tiny_network(), tmp_path / "nowhere" / "model")


def test_missing_model_lists_the_bundled_ones():
    with pytest.raises(CheckpointError, match="There is no model 'nucleii'; give a file, or one"):
        load_checkpoint("nucleii")


def test_folder_is_no_model(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)


class Explosive:
    """Deletes nothing, but would leave a trace if it were ever unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


def test_pickle_with_code_in_it_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw, zipped = tmp_path / "raw.pth", tmp_path / "model.pt"
    raw.write_bytes(pickle.dumps(Explosive()))
    torch.save({"weights": Explosive()}, zipped)
    disguised = tmp_path / "model.safetensors"
    disguised.write_bytes(raw.read_bytes())
    for path in (raw, zipped, disguised):
        with pytest.raises(CheckpointError, match=r"wants to run .*mkdir.*none of it was run"):
            load_checkpoint(path)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"x", "is a text, not a model"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not a model"),
        (struct.pack("<Q", 2**60), "is of a kind that is not known here"),
        (b"\0" * 64, "is of a kind that is not known here"),
    ],
)
def test_file_of_another_kind_is_answered_with_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(path)


def test_torn_file_is_answered_with_one_sentence(saved):
    content = saved.read_bytes()
    for length in (4, 100, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"torn|damaged"):
            load_checkpoint(saved)


def test_weights_of_another_program_that_are_no_network_are_named_as_such(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="of another program"):
        read_description(path)


def altered(path, change):
    """Rewrite the description inside a model file."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["description"])
    change(header["__metadata__"], description)
    header["__metadata__"]["description"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def test_newer_version_asks_for_an_update(saved):
    altered(saved, lambda metadata, _: metadata.update(version="99"))
    with pytest.raises(CheckpointError, match=r"format version 99.*update it"):
        load_checkpoint(saved)


def test_description_of_a_huge_network_takes_no_memory(saved):
    altered(saved, lambda _, description: description["unet"].update(base_width=100_000))
    with pytest.raises(CheckpointError, match=r"describes a network of .* M values but has only"):
        load_checkpoint(saved)


def test_description_that_does_not_fit_the_weights_is_refused(saved):
    altered(saved, lambda _, description: description["unet"].update(in_channels=2))
    with pytest.raises(CheckpointError, match=r"has shape \(2, 1, 3, 3\)"):
        load_checkpoint(saved)


def test_unknown_field_is_refused_by_name(saved):
    altered(saved, lambda _, description: description.update(colour="blue"))
    with pytest.raises(CheckpointError, match=r"colour.*newer version"):
        load_checkpoint(saved)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    network = tiny_network()
    with torch.no_grad():
        network.unet.head.bias[0] = float("nan")
    path = save_checkpoint(network, tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in 'head.bias'"):
        load_checkpoint(path)


def answer_to(path) -> str:
    """The error's message; nothing if the file loads, any other exception goes on."""
    try:
        load_checkpoint(path)
    except UNetError as error:
        return str(error)
    return ""


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_never_crash(tmp_path, data):
    path = save_checkpoint(tiny_network(), tmp_path / "fuzzed", overwrite=True)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # The header is where a flip can do harm; weights just change.
        position = data.draw(st.integers(0, min(2500, len(content) - 1)))
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    assert "\n" not in answer_to(path)


def test_class_roles_must_fit_the_classes():
    with pytest.raises(UNetError, match=r"3 classes but 2 names for them \(background, cell\)"):
        NetworkDescription("x", UNetConfig(classes=3))


def test_description_survives_json():
    description = tiny_network().description
    assert NetworkDescription.from_json(description.to_json()) == description
    assert np.isclose(dataclasses.asdict(description)["pixel_size_um"], 0.65)


@pytest.mark.parametrize("length", [0x80, 0x180, 0x4B50])
def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path, length):
    description = NetworkDescription("padded", UNetConfig(base_width=2, depth=1, classes=2))
    network = Network(UNet(description.architecture), description)
    path = save_checkpoint(network, tmp_path / "model")
    content = path.read_bytes()
    (now,) = struct.unpack("<Q", content[:8])
    longer = now + (length - now) % 0x100 if length < 0x4B50 else length
    # The format allows spaces behind the header.
    header = content[8 : 8 + now].ljust(longer)
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + now :])
    assert path.read_bytes()[:1] == (b"\x80" if length < 0x4B50 else b"P")

    assert load_checkpoint(path).description.name == "padded"


def test_a_model_is_also_given_by_its_name_or_its_file(saved):
    image = np.zeros((32, 32), np.float32)
    image[8:20, 8:20] = 1
    pair = napari_unet.TrainingPair(image, (image > 0).astype(int))
    for model in ("nuclei", saved, str(saved)):
        network = load_checkpoint(model)
        assert as_network(network) is network
        found, same = (napari_unet.segment(image, each, device="cpu") for each in (model, network))
        assert np.array_equal(found.labels, same.labels)
        run = napari_unet.train([pair], model, device="cpu")
        assert run.network.description.name == network.description.name
    exported = napari_unet.export_model("nuclei", saved.with_name("copy"), format="safetensors")
    assert load_checkpoint(exported.path).description.name == "nuclei"
    with pytest.raises(CheckpointError, match="There is no model 'nukleus'"):
        napari_unet.segment(image, "nukleus")
