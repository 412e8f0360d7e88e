"""Model files of other programs: told apart by content, read without running any of it."""

import argparse
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.contents import (
    OWN_FORMAT,
    ModelFileKind,
    identify,
    read_weights,
)
from napari_unet.engine.models.checkpoint import FORMAT, bundled_models

LEGACY = {"_use_new_zipfile_serialization": False}


def weights(prefix: str = "") -> dict[str, torch.Tensor]:
    """The state dict of a network with one convolution and one normalisation."""
    return {
        f"{prefix}enc.conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3),
        f"{prefix}enc.conv.bias": torch.tensor([0.5, -0.5]),
        f"{prefix}dec.norm.running_mean": torch.tensor([1.0, 2.0]),
        f"{prefix}dec.norm.num_batches_tracked": torch.tensor(7),
        f"{prefix}dec.conv.weight": torch.ones(2, 2, 1, 1),
    }


def saved(folder: Path, content: object, **options: object) -> Path:
    path = folder / "model.anything"
    torch.save(content, path, **options)
    return path


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.pt"
    path.write_bytes(content)
    return path


def sentence(path: Path | str) -> str:
    """What a user reads; both ways of looking at the file must agree that it is no good."""
    started = time.thread_time()
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert time.thread_time() - started < 2
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def assert_same(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(tensors) == list(expected)
    for name, tensor in tensors.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])
        assert tensor.is_contiguous()
        assert not tensor.requires_grad


# What it is


def test_own_format_is_the_one_that_checkpoints_write():
    assert OWN_FORMAT == FORMAT
    assert identify(bundled_models()["nuclei"]) is ModelFileKind.OWN


def test_each_kind_is_known_by_its_content(tmp_path):
    assert identify(saved(tmp_path, weights())) is ModelFileKind.TORCH_WEIGHTS
    assert identify(saved(tmp_path, weights(), **LEGACY)) is ModelFileKind.TORCH_LEGACY
    path = tmp_path / "other.onnx"  # a suffix that misleads
    save_file(weights(), path, {"format": "pt"})
    assert identify(path) is ModelFileKind.SAFETENSORS


def zipped(folder: Path, names: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "model.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("net/data.pkl", "net/constants.pkl", "net/code/net.py"), ModelFileKind.TORCHSCRIPT),
        (("net/archive_format", "net/models/model.json"), ModelFileKind.TORCH_EXPORT),
        (("serialized_exported_program.json", "version"), ModelFileKind.TORCH_EXPORT),
        (("rdf.yaml", "weights.pt"), ModelFileKind.BIOIMAGE),
        (("affable-shark.bioimageio.yaml", "weights.pt"), ModelFileKind.BIOIMAGE),
        (("my model/rdf.yaml", "my model/weights.pt"), ModelFileKind.BIOIMAGE),
    ],
)
def test_archives_are_told_apart_and_never_read_as_weights(tmp_path, names, kind):
    path = zipped(tmp_path, dict.fromkeys(names, b"x"))
    assert identify(path) is kind
    assert f"is a ready-made network ({kind}), not weights alone" in sentence(path)


def test_torchscript_that_torch_wrote_is_known(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/constants.pkl", b"")
    assert identify(path) is ModelFileKind.TORCHSCRIPT


def test_bioimage_folder_and_description_are_known(tmp_path):
    description = tmp_path / "rdf.yaml"
    description.write_text("# a model\nformat_version: 0.4.10\nname: x\nweights:\n  onnx: {}\n")
    assert identify(tmp_path) is ModelFileKind.BIOIMAGE
    assert identify(description) is ModelFileKind.BIOIMAGE


def field(number: int, content: bytes | int) -> bytes:
    """One field of a protobuf message, for numbers and lengths below 128."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def onnx(*initializers: bytes) -> bytes:
    graph = b"".join(field(5, initializer) for initializer in initializers)
    return field(1, 8) + field(2, b"pytorch") + field(7, graph) + field(8, field(2, 17))


def test_onnx_is_known(tmp_path):
    assert identify(written(tmp_path, onnx(b""))) is ModelFileKind.ONNX


def test_torn_onnx_is_told(tmp_path):
    path = written(tmp_path, onnx(field(9, b"weights"))[:-8])
    assert "begins like an ONNX model but is torn; copy or download it again." in sentence(path)


def external(location: str, length: str = "8") -> bytes:
    entries = {"location": location, "offset": "0", "length": length}
    return field(14, 1) + b"".join(
        field(13, field(1, key.encode()) + field(2, value.encode()))
        for key, value in entries.items()
    )


def test_onnx_with_its_weights_beside_it_is_known(tmp_path):
    path = written(tmp_path, onnx(external("model.onnx.data")))
    (tmp_path / "model.onnx.data").write_bytes(bytes(8))
    assert identify(path) is ModelFileKind.ONNX
    (tmp_path / "model.onnx.data").write_bytes(bytes(7))
    assert "whose weights are in 'model.onnx.data', which is missing or torn" in sentence(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/b", "..\\x", ""])
def test_onnx_that_reaches_out_of_its_folder_is_refused(tmp_path, location):
    path = written(tmp_path, onnx(external(location)))
    assert "reaches for a file outside of its folder" in sentence(path)


# What is in it


@pytest.mark.parametrize("options", [{}, LEGACY, {"pickle_protocol": 4}, {"pickle_protocol": 5}])
def test_weights_come_as_torch_reads_them(tmp_path, options):
    path = saved(tmp_path, OrderedDict(weights()), **options)
    found = read_weights(path)
    assert_same(found.tensors, weights())
    assert (found.path, found.found_under, found.prefix, found.facts) == (path, "", "", {})


def test_safetensors_come_with_what_they_say_about_themselves(tmp_path):
    path = tmp_path / "model"
    save_file(weights("model."), path, {"author": "me"})
    found = read_weights(path)
    assert found.tensors.keys() == weights().keys()
    assert torch.equal(found.tensors["enc.conv.weight"], weights()["enc.conv.weight"])
    assert (found.kind, found.prefix) == (ModelFileKind.SAFETENSORS, "model.")
    assert found.facts == {"author": "me"}


def test_safetensors_of_mixed_kinds_come_as_their_library_reads_them(tmp_path):
    content = {
        "b.weight": torch.randn(2, 3, 3, 3).half(),
        "a.count": torch.tensor(7),
        "c.weight": torch.randn(4, 2, 1, 1),
        "c.empty": torch.empty(0, 3),
        "c.mask": torch.tensor([True, False, True]),
        "a.weight": torch.randn(3, 2, dtype=torch.float64),
    }
    save_file(content, tmp_path / "model")
    found = read_weights(tmp_path / "model").tensors
    expected = load_file(tmp_path / "model")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name].to(tensor.dtype))


def test_every_float_becomes_float32_and_counts_stay_whole(tmp_path):
    content = {
        "a.weight": torch.ones(2, 2, 1).half(),
        "b.weight": torch.ones(2, dtype=torch.bfloat16),
        "c.weight": torch.ones(2, dtype=torch.float64),
        "c.count": torch.tensor(3),
        "c.mask": torch.tensor([True, False]),
    }
    for path in (saved(tmp_path, content), saved(tmp_path, content, **LEGACY)):
        dtypes = [tensor.dtype for tensor in read_weights(path).tensors.values()]
        assert dtypes == [torch.float32] * 3 + [torch.int64, torch.bool]


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_parameters_views_and_tied_weights_are_read(tmp_path, options):
    whole = torch.arange(24.0).reshape(1, 4, 6)
    content = {
        "a.weight": nn.Parameter(whole),
        "b.weight": whole[:, 1:3, ::2],
        "c.weight": whole.permute(2, 1, 0),
        "d.empty": torch.empty(0, 3),
    }
    found = read_weights(saved(tmp_path, content, **options))
    assert_same(found.tensors, {key: value.detach() for key, value in content.items()})


def test_a_storage_that_is_a_part_of_another_is_read_from_a_legacy_file(tmp_path):
    # torch itself has not written this for years, but reads it.
    numbers = torch.arange(6.0)
    path = saved(tmp_path, {"a.w": numbers.reshape(1, 2, 3)}, **LEGACY)
    content = path.read_bytes()
    # The last of what says where a storage is: None for a whole one, here (key, first, count).
    view = b"(X\x01\x00\x00\x00vK\x02K\x04t"
    shape, stride = b"K\x01K\x02K\x03\x87", b"K\x06K\x03K\x01\x87"
    at = content.index(b"Nt", content.index(b"storage"))
    content = content[:at] + view + content[at + 1 :]
    content = content.replace(shape, b"K\x01K\x02K\x02\x87").replace(stride, b"K\x04K\x02K\x01\x87")
    path.write_bytes(content)
    assert read_weights(path).tensors["a.w"].tolist() == [[[2.0, 3.0], [4.0, 5.0]]]
    assert torch.load(path, weights_only=True)["a.w"].tolist() == [[[2.0, 3.0], [4.0, 5.0]]]


@pytest.mark.parametrize(
    "key",
    [
        *("state_dict", "model_state_dict", "model_state", "model", "net", "network"),
        *("network_weights", "params", "weights", "generator", "my_own_name"),
    ],
)
def test_weights_are_found_in_what_a_training_saves(tmp_path, key):
    momentum = {index: {"exp_avg": torch.ones(9, 9, 3, 3)} for index in range(9)}
    content = {
        "epoch": 3,
        "optimizer_state_dict": {"state": momentum, "param_groups": [{"lr": 0.1}]},
        "adam": {"state": momentum, "param_groups": []},
        "ema": weights(),
        key: weights("module."),
        "best_loss": torch.tensor(0.25),
        "class_weights": torch.tensor([1.0, 2.0]),
    }
    found = read_weights(saved(tmp_path, content))
    assert_same(found.tensors, weights())
    assert (found.found_under, found.prefix) == (key, "module.")
    assert found.facts == {"epoch": 3, "best_loss": 0.25, "class_weights": [1.0, 2.0]}


def test_weights_inside_of_an_inner_dict_are_found(tmp_path):
    found = read_weights(saved(tmp_path, {"model": {"state_dict": weights(), "depth": 4}}))
    assert found.found_under == "model.state_dict"
    assert found.facts == {"model": {"depth": 4}}


@pytest.mark.parametrize(
    ("prefix", "taken_off"),
    [
        *(("module.", "module."), ("_orig_mod.", "_orig_mod."), ("net.", "net.")),
        ("model._orig_mod.module.", "model._orig_mod.module."),
        ("segmenter.", "segmenter."),
    ],
)
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix, taken_off):
    found = read_weights(saved(tmp_path, weights(prefix)))
    assert_same(found.tensors, weights())
    assert found.prefix == taken_off


def test_losses_and_averages_beside_a_lightning_network_are_left_out(tmp_path):
    beside = {
        "criterion.weight": torch.ones(3),
        "loss_fn.vgg.0.weight": torch.ones(8, 3, 3, 3),
        "ema_model.enc.conv.weight": torch.zeros(2, 1, 3, 3),
        "n_averaged": torch.tensor(1),
    }
    content = {
        "state_dict": weights("model.") | beside,
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": argparse.Namespace(depth=4, lr=1e-3, optimizer="adam"),
        "optimizer_states": [{"state": {}}],
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(1.0)}},
    }
    found = read_weights(saved(tmp_path, content))
    assert_same(found.tensors, weights())
    assert (found.found_under, found.prefix) == ("state_dict", "model.")
    assert found.facts == {
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": {"depth": 4, "lr": 1e-3, "optimizer": "adam"},
    }


def test_parts_of_a_network_are_not_taken_for_wrappers(tmp_path):
    content = {"conv.weight": torch.ones(1, 1, 3, 3), "conv.bias": torch.ones(1)}
    assert read_weights(saved(tmp_path, content)).prefix == ""
    two = weights("unet1.") | weights("unet2.")
    assert_same(read_weights(saved(tmp_path, two)).tensors, two)


@pytest.mark.parametrize("options", [{}, LEGACY, {"pickle_protocol": 5}])
def test_plain_values_beside_the_weights_are_facts(tmp_path, options):
    content = {
        "model": weights(),
        "mean": np.array([0.5, 1.5]),
        "std": torch.tensor([2.0]),
        "score": np.float64(0.75),
        "count": np.int32(3),
        "where": Path("a") / "b",
        "device": torch.device("cuda", 1),
        "dtype": torch.float16,
        "size": torch.Size([3, 4]),
        "counted": Counter("aab"),
        "grouped": defaultdict(list, {1: ["x"]}),
        "names": {"a"},
        "best": float("inf"),
        "nothing": None,
        "raw": b"bytes",
        "history": [1, [2.5, "x"]],
    }
    facts = read_weights(saved(tmp_path, content, **options)).facts
    assert json.loads(json.dumps(facts)) == {
        "mean": [0.5, 1.5],
        "std": [2.0],
        "score": 0.75,
        "count": 3,
        "where": "a/b",
        "device": "cuda:1",
        "dtype": "torch.float16",
        "size": [3, 4],
        "counted": {"a": 2, "b": 1},
        "grouped": {"1": ["x"]},
        "names": ["a"],
        "best": "inf",
        "nothing": None,
        "history": [1, [2.5, "x"]],
    }


def test_arrays_of_objects_are_never_made(tmp_path):
    objects = np.array([[1, 2], None], dtype=object)
    content = {"model": weights(), "extra": objects, "kept": 1}
    assert read_weights(saved(tmp_path, content)).facts == {"kept": 1}


def test_facts_that_contain_themselves_end(tmp_path):
    circle: list[object] = [1]
    circle.append(circle)
    wide: list[object] = [1]
    for _ in range(60):
        wide = [wide, wide]
    content = {"model": weights(), "circle": circle, "wide": wide, "kept": 1}
    started = time.thread_time()
    assert read_weights(saved(tmp_path, content)).facts == {"kept": 1}
    assert time.thread_time() - started < 1


FOLDERS = (folder / "shared" / "data" / "checkpoints" for folder in Path(__file__).parents)
PUBLISHED = next((folder for folder in FOLDERS if folder.is_dir()), None)


@pytest.mark.skipif(PUBLISHED is None, reason="the published networks are not beside the project")
@pytest.mark.parametrize(
    "name",
    [
        "lwnet_drive/model_checkpoint.pth",
        "noise2noise_gaussian/n2n-gaussian.pt",
        "stardist_torch_dsb2018/model_weights.t7",
        "stem_defect_unet/unet.pt",
        "cremi_dunet/state.nn",
    ],
)
def test_published_networks_come_as_torch_reads_them(name):
    expected = torch.load(PUBLISHED / name, weights_only=True, map_location="cpu")
    expected = expected.get("model_state_dict", expected)
    assert_same(read_weights(PUBLISHED / name).tensors, dict(expected))


# What is refused


class Canary:
    """Would leave a folder behind if it were ever unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


@pytest.mark.parametrize("options", [{}, LEGACY, {"pickle_protocol": 4}])
def test_pickle_that_wants_to_run_code_is_named_and_not_run(tmp_path, options):
    path = saved(tmp_path, {"model": weights(), "x": Canary(tmp_path / "ran")}, **options)
    assert f"('{os.mkdir.__module__}.mkdir'); none of it was run" in sentence(path)
    assert "'torch.save(model.state_dict(), ...)'" in sentence(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about the source of the class
@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize("beside", [{}, {"epoch": 3}])
def test_whole_network_is_told_from_weights(tmp_path, options, beside):
    module = nn.Sequential(nn.Conv2d(1, 1, 3))
    path = saved(tmp_path, {"model": module} | beside if beside else module, **options)
    text = sentence(path)
    assert "holds a whole network as Python objects" in text
    assert "(class 'torch.nn.modules.container.Sequential')" in text


def test_pickle_that_torch_did_not_write_is_told(tmp_path):
    path = written(tmp_path, pickle.dumps({"model": Canary(tmp_path / "ran")}))
    assert "is a Python pickle that torch did not write, and wants to run" in sentence(path)
    assert not (tmp_path / "ran").exists()
    assert "torch did not write; none" in sentence(written(tmp_path, pickle.dumps([1, 2])))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG image, not a model; open it as a layer"),
        (b"II*\0" + bytes(99), "is a TIFF image"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file (.h5), as Keras writes its models"),
        (b"\x89HDF\r\n\x1a\n" + b"conv_d0a-b", "is a Caffe model of Fiji's U-Net plugin"),
        (b"\x08\x01\x12\x0atensorflow", "is a TensorFlow graph; Keras and TensorFlow models"),
        (b"\x1c\0\0\0TFL3", "is a TensorFlow Lite model; Keras and TensorFlow models are not read"),
        (b"\n <!DOCTYPE html><html>Sign in", "is a web page, not a model; the download link"),
        (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied", "is an XML text, not a model"),
        (b'{"error": "not found"}', "is a JSON text, not a model"),
        (b'        {"error": "not found"}', "is a JSON text, not a model"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "run 'git lfs pull'"),
        (b"/annex/objects/SHA256E-s1--a.pt\n", "is a git-annex pointer"),
        (b"\x1f\x8b\x08" + bytes(99), "is packed with gzip; unpack it first"),
        (bytes(257) + b"ustar" + bytes(99), "is a tar archive; unpack it first"),
        (b"\x93NUMPY\x01\0", "is a NumPy array"),
        (b"import torch\n", "is a text, not a model"),
        (bytes(99), "is of a kind that is not known here (it begins with 00 00"),
        (b"PK\x03\x04" + bytes(99), "is a torn zip archive"),
        (b"\x80\x02}q\x00", "is torn or damaged"),
        (struct.pack("<Q", 2**60) + b'{"a":', "claims a safetensors header of"),
        (struct.pack("<Q", 2**63 + 2**60 - 1) + b'{"a":', "claims a safetensors header of"),
        (struct.pack("<Q", 99) + b'{"a":', "it ends within its header"),
        (struct.pack("<Q", 9) + b'{"a": [}]', "its header is no JSON"),
        (struct.pack("<Q", 10) + b'{"a": [1]}', "its header does not describe its tensors"),
    ],
)
def test_file_of_another_kind_is_answered_with_one_sentence(tmp_path, content, expected):
    path = written(tmp_path, content)
    assert expected in sentence(path)
    assert sentence(path).startswith(f"'{path}' ")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("config.json", "model.weights.h5"), "as Keras writes its models"),
        (("a.npy", "b.npy"), "holds NumPy arrays (.npz)"),
        (("net/.data/version", "net/code.py"), "is a torch package, which holds Python code"),
        (("folder/best.pth", "readme"), "with 'folder/best.pth' in it; unpack it first"),
        (("word/document.xml",), "is a zip archive without a model"),
        (("../../evil/data.pkl",), "would write outside of its folder ('../../evil/data.pkl')"),
        (("/etc/data.pkl",), "would write outside of its folder"),
        (("C:/data.pkl",), "would write outside of its folder"),
    ],
)
def test_archive_without_a_model_is_answered_with_one_sentence(tmp_path, names, expected):
    assert expected in sentence(zipped(tmp_path, dict.fromkeys(names, b"x")))


def test_empty_archive_is_told(tmp_path):
    assert "is an empty zip archive" in sentence(zipped(tmp_path, {}))


def test_what_is_no_file_is_told(tmp_path):
    assert "There is no file" in sentence(tmp_path / "nowhere")
    assert "There is no file" in sentence(f"{tmp_path}\0")
    assert "is a folder; give the model file in it" in sentence(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert "is a TensorFlow graph" in sentence(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
def test_devices_and_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path / "link"):
        assert "is a device or a pipe, not a file" in sentence(path)
    assert "cannot be read" in sentence(tmp_path / "loop")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_told(tmp_path):
    path = saved(tmp_path, weights())
    path.chmod(0)
    assert "cannot be read (Permission denied); check its permissions" in sentence(path)


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_torn_file_is_told(tmp_path, options):
    path = saved(tmp_path, weights(), **options)
    content = path.read_bytes()
    for length in (20, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        assert "copy or download it again" in sentence(path)


def test_torn_safetensors_are_told(tmp_path):
    path = tmp_path / "model"
    save_file(weights(), path)
    path.write_bytes(path.read_bytes()[:-4])
    assert "is a torn or damaged safetensors file: its header speaks of" in sentence(path)


def test_file_that_is_cut_while_it_is_read_is_told(tmp_path, monkeypatch):
    path = saved(tmp_path, {"a.weight": torch.ones(1, 1, 500_000)}, **LEGACY)
    real = os.stat_result(path.stat())
    path.write_bytes(path.read_bytes()[:-1000])
    monkeypatch.setattr(Path, "stat", lambda self, **_: real)
    assert "was cut short while it was read" in sentence(path)


def test_weights_that_are_not_finite_are_named(tmp_path):
    content = weights() | {"head.weight": torch.tensor([[[1.0, float("nan")]]])}
    assert "holds NaN or infinite weights in 'head.weight'" in sentence(saved(tmp_path, content))
    content["head.weight"][..., 1] = -torch.inf
    assert "holds NaN or infinite weights in 'head.weight'" in sentence(saved(tmp_path, content))


def test_finite_weights_with_an_infinite_sum_are_read(tmp_path):
    content = weights() | {"head.weight": torch.full((1, 1, 9), 3e38)}
    assert read_weights(saved(tmp_path, content)).tensors.keys() == content.keys()


UNUSABLE = {
    "'x.weight' as a complex tensor": lambda: torch.ones(1, 2, dtype=torch.complex64),
    "'x.weight' as a meta (empty) tensor": lambda: torch.ones(2, 2, device="meta"),
    "'x.weight' as a sparse tensor": lambda: torch.ones(2, 2).to_sparse(),
    "'x.weight' as a quantised tensor": lambda: torch.quantize_per_tensor(
        torch.ones(1, 2, 3), 0.1, 0, torch.qint8
    ),
    "'x.weight' has shape (3, 3) but holds only 1 numbers": lambda: torch.ones(1).expand(3, 3),
    "'x.weight' with 9 axes": lambda: torch.ones((1,) * 9),
}


@pytest.mark.parametrize(("expected", "make"), UNUSABLE.items(), ids=map(str, range(6)))
@pytest.mark.filterwarnings("ignore")  # torch's, that quantised tensors are going
def test_tensors_that_no_network_has_are_named(tmp_path, expected, make):
    content = weights() | {"x.weight": make()}
    assert expected in sentence(saved(tmp_path, content))
    if "quantised" not in expected:
        assert expected in sentence(saved(tmp_path, content, **LEGACY))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []},
            "holds only the numbers of an optimizer, no network",
        ),
        (
            {"optimizer": {"x": torch.ones(3, 3)}, "loss": torch.tensor(1.0)},
            "holds only the numbers of an optimizer",
        ),
        ({"epoch": 3, "loss": 0.1}, "holds no weights (it has 'epoch', 'loss')"),
        ({}, "holds no weights; expected those of a network by name"),
        ([torch.ones(3)], "holds a value of type list; expected the weights of a network by name"),
        (torch.ones(3), "holds one tensor; expected the weights of a network by name"),
        ({"a.weight": torch.ones(3, 3, 3).to(torch.int8)}, "holds whole numbers only"),
    ],
)
def test_file_without_weights_is_told(tmp_path, content, expected):
    assert expected in sentence(saved(tmp_path, content))


# What was made to do harm


def lying_zip(folder: Path, claimed: int, method: int) -> Path:
    """A zip file whose table of contents claims too much."""
    path = zipped(folder, {"net/data.pkl": pickle.dumps({}, 2), "net/data/0": bytes(64)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<H", content, at + 10, method)
    struct.pack_into("<I", content, at + 24, claimed)
    path.write_bytes(content)
    return path


def test_zip_bomb_is_refused(tmp_path):
    path = lying_zip(tmp_path, 2**32 - 2, zipfile.ZIP_DEFLATED)
    assert "would unpack to 4295 MB; it was made to fill the memory" in sentence(path)
    path = lying_zip(tmp_path, 10**9, zipfile.ZIP_STORED)
    assert "claims 1000.0 MB of content but has only 0.0 MB" in sentence(path)


def test_archive_of_far_too_many_files_is_refused(tmp_path):
    path = zipped(tmp_path, {"net/data.pkl": b"x"})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x05\x06") + 12, 2**31)
    path.write_bytes(content)
    assert "far more files than a model has" in sentence(path)


def torch_zip(folder: Path, program: bytes, storage: bytes = bytes(8)) -> Path:
    """A file such as `torch.save` writes, with a pickle of one's own."""
    return zipped(
        folder, {"net/data.pkl": program, "net/data/0": storage, "net/byteorder": b"little"}
    )


def declared(shape: str, stride: str, numel: str = "2", offset: str = "0") -> bytes:
    """A pickle of a state dict with one tensor, written as a program in its text form."""
    rows = (
        "(dVa.weight",
        *("ctorch._utils", "_rebuild_tensor_v2"),
        *("((Vstorage", "ctorch", "FloatStorage", "V0", "Vcpu", f"I{numel}"),
        *(f"tQI{offset}", f"{shape}{stride}I00", "NtRs."),
    )
    return b"\x80\x02" + "\n".join(rows).encode()


def numbers(*values: int) -> str:
    return "(" + "".join(f"L{value}L\n" for value in values) + "t"


def test_written_program_is_read_as_it_is_meant(tmp_path):
    path = torch_zip(tmp_path, declared(numbers(1, 1, 2), numbers(2, 2, 1)), bytes(8))
    assert read_weights(path).tensors["a.weight"].tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            declared(numbers(1, 10**12), numbers(1, 1)),
            "has shape (1, 1000000000000) but holds only 2",
        ),
        (declared(numbers(1, 10**12), numbers(0, 0)), "shape (1, 1000000000000) but holds only 2"),
        (declared(numbers(1, 10**12), numbers(1, 1), str(10**12)), "but holds only 2 numbers"),
        (declared(numbers(2**40, 2**40), numbers(1, 1)), "but holds only 2 numbers"),
        (declared(numbers(1, 10**99), numbers(1, 1)), "has a shape or place that makes no sense"),
        (declared(numbers(1, 2), numbers(1, -1)), "has a shape or place that makes no sense"),
        (
            declared(numbers(1, 2), numbers(2, 1), offset="-1"),
            "a shape or place that makes no sense",
        ),
        (declared(numbers(1, 2), numbers(2, 1), offset="1"), "but holds only 2 numbers"),
        (declared(numbers(1, 2), numbers(1)), "has a shape or place that makes no sense"),
        (declared(numbers(2), "N"), "is torn or damaged"),
        (declared(numbers(*[1] * 5000), numbers(*[1] * 5000)), "with 5000 axes"),
    ],
)
def test_tensor_that_does_not_fit_its_file_takes_no_memory(tmp_path, program, expected):
    path = torch_zip(tmp_path, program)
    tracemalloc.start()
    assert expected in sentence(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def repeated(opening: bytes, step: bytes, times: int, closing: bytes = b".") -> bytes:
    return b"\x80\x02" + opening + step * times + closing


PROGRAMS = {
    "a long program": repeated(b"", b"N0", 400_000),
    "many small objects": repeated(b"", b"\x8f", 8_000_000),
    "deeply nested": repeated(b")", b"\x85", 300_000),
    "deeply nested key": repeated(b"})", b"\x85", 300_000, b"Ns."),
    "doubled key": repeated(b"})", b"2\x86", 200_000, b"Ns."),
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.",
    "huge bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "huge memo": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "huge number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "copies of a list": b"\x80\x02("
    + b"N" * 100_000
    + b"lq\x000"
    + b"ccollections\ndeque\nh\x00\x85R" * 10_000
    + b".",
    "copies of a text": b"\x80\x02X"
    + struct.pack("<I", 1_000_000)
    + b"x" * 1_000_000
    + b"q\x000"
    + b"c_codecs\nencode\nh\x00h\x00\x86R" * 10_000
    + b".",
    "memory by a call": b"\x80\x02cbuiltins\nbytearray\nL99999999999L\n\x85R.",
    "tensor by a call": b"\x80\x02ctorch\nTensor\nL99999L\nL99999L\n\x86R.",
    "names without end": repeated(b"", b"ca\n" + b"b" * 200 + b"\n0", 20_000, b"N."),
    "colliding keys": b"\x80\x02}("
    + b"".join(
        b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 60_000)
    )
    + b"u.",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_made_to_fill_memory_or_time_ends_soon(tmp_path, program, legacy):
    if legacy:
        start = b"".join(
            pickle.dumps(part, 2)
            for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        )
        path = written(tmp_path, start + program)
    else:
        path = torch_zip(tmp_path, program)
    sentence(path)


def test_scores_of_every_epoch_beside_a_large_network_are_no_bomb(tmp_path):
    # As nnU-Net keeps them; more steps than a small file may take.
    scores = [[np.float64(0.5)] * 20 for _ in range(4000)]
    content = {
        "network_weights": weights() | {"large.weight": torch.zeros(1, 1, 10_000_000)},
        "logging": {"dice": scores},
        "init_args": {"plans": {"patch_size": (64, 64)}, "configuration": "2d"},
    }
    found = read_weights(saved(tmp_path, content))
    assert found.facts == {"init_args": {"plans": {"patch_size": [64, 64]}, "configuration": "2d"}}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are a matter of Linux")
def test_bombs_are_refused_within_a_small_memory(tmp_path):
    bombs = [
        lying_zip(tmp_path, 2**32 - 2, zipfile.ZIP_DEFLATED).rename(tmp_path / "0"),
        torch_zip(tmp_path, declared(numbers(1, 10**10), numbers(1, 1))).rename(tmp_path / "1"),
        *(
            torch_zip(tmp_path, program).rename(tmp_path / f"2{index}")
            for index, program in enumerate(PROGRAMS.values())
        ),
    ]
    code = """
        import resource, sys
        from napari_unet.engine.base.errors import CheckpointError
        from napari_unet.engine.foreign.model_file.contents import read_weights
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in sys.argv[1:]:
            try:
                read_weights(path)
            except CheckpointError:
                continue
            raise SystemExit(f"{path} was read")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    grown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, bombs)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(grown.stdout) < 250_000  # kilobytes
