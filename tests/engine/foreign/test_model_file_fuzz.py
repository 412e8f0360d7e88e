"""Damaged model files of every kind: one sentence or weights, never a crash, never code run."""

import argparse
import functools
import io
import json
import math
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.contents import (
    ModelFileKind,
    WeightsFile,
    identify,
    read_weights,
)


class Canary:
    """Would leave a folder beside the file if it were ever unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("pickle was run",))


def weights() -> dict[str, torch.Tensor]:
    return {
        "module.enc.weight": torch.arange(18.0).reshape(2, 1, 3, 3),
        "module.enc.bias": torch.ones(2, dtype=torch.float16),
        "module.norm.count": torch.tensor(3),
    }


def torch_saved(content: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def packed_again(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zipped({name: archive.read(name) for name in archive.namelist()})


def onnx() -> bytes:
    entry = b"\x0a\x08location\x12\x04data"
    initializer = b"\x70\x01" + b"\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(initializer)]) + initializer
    return b"\x08\x08\x12\x07pytorch\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x11"


@functools.cache
def examples() -> dict[str, bytes]:
    training = {"model": weights(), "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
    legacy = {"_use_new_zipfile_serialization": False}
    return {
        "weights": torch_saved(weights()),
        "training": torch_saved(training),
        "protocol 4": torch_saved(training, pickle_protocol=4),
        "legacy": torch_saved(training, **legacy),
        "objects": torch_saved({**training, "args": argparse.Namespace(a=1, b=np.float32(2))}),
        "packed": packed_again(torch_saved(training)),
        "code": torch_saved({"model": weights(), "code": Canary()}),
        "legacy code": torch_saved({"model": weights(), "code": Canary()}, **legacy),
        "plain pickle": pickle.dumps(Canary()),
        "safetensors": save(weights(), {"format": "pt"}),
        "own": save(weights(), {"format": "napari-unet", "version": "1"}),
        "script": zipped({"net/constants.pkl": b"", "net/data.pkl": b"", "net/code/a.py": b""}),
        "export": zipped({"net/archive_format": b"pt2"}),
        "onnx": onnx(),
        "bioimage": zipped({"rdf.yaml": b"format_version: 0.5.3", "weights.pt": bytes(99)}),
        "description": b"format_version: 0.5.3\nname: x\nweights:\n  onnx: {}\n",
    }


def answer(path: Path) -> WeightsFile | ModelFileKind | str:
    """What came of it; anything but weights, a kind or a sentence goes on as an error."""
    try:
        kind = identify(path)
        return read_weights(path)
    except CheckpointError as error:
        text = str(error)
    assert "\n" not in text
    assert text.startswith(f"'{path}' ")
    return kind if "is a ready-made network" in text else text


def assert_harmless(path: Path) -> None:
    found = answer(path)
    assert list(path.parent.iterdir()) == [path]
    if isinstance(found, WeightsFile):
        json.dumps(found.facts)
        for name, tensor in found.tensors.items():
            assert isinstance(name, str)
            assert tensor.is_contiguous()
            assert tensor.numel() <= path.stat().st_size
            assert not tensor.is_floating_point() or tensor.isfinite().all()


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the canary would go
    return tmp_path / "model"


quick = settings(
    max_examples=200,
    deadline=1000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_examples_are_what_they_are_called(path):
    kinds = {}
    for name, content in examples().items():
        path.write_bytes(content)
        found = answer(path)
        kinds[name] = found.kind if isinstance(found, WeightsFile) else found
    assert "torch did not write" in kinds.pop("plain pickle")
    assert "wants to run" in kinds.pop("code")
    assert "wants to run" in kinds.pop("legacy code")
    assert "which is missing" in kinds.pop("onnx")
    assert kinds == {
        "weights": ModelFileKind.TORCH_WEIGHTS,
        "training": ModelFileKind.TORCH_WEIGHTS,
        "protocol 4": ModelFileKind.TORCH_WEIGHTS,
        "objects": ModelFileKind.TORCH_WEIGHTS,
        "packed": ModelFileKind.TORCH_WEIGHTS,
        "legacy": ModelFileKind.TORCH_LEGACY,
        "safetensors": ModelFileKind.SAFETENSORS,
        "own": ModelFileKind.OWN,
        "script": ModelFileKind.TORCHSCRIPT,
        "export": ModelFileKind.TORCH_EXPORT,
        "bioimage": ModelFileKind.BIOIMAGE,
        "description": ModelFileKind.BIOIMAGE,
    }


def edited(data: st.DataObject, content: bytes) -> bytes:
    """Flip, cut, insert and repeat some bytes."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.sampled_from((0, 1, 1, 1, 2, 8, 300))))
        inserted = data.draw(st.one_of(st.binary(max_size=9), st.just(content[start:stop] * 2)))
        content = content[:start] + inserted + content[stop:]
    return content


@quick
@given(name=st.sampled_from(sorted(examples())), data=st.data())
def test_damaged_bytes_never_crash_or_run_code(path, name, data):
    path.write_bytes(edited(data, examples()[name]))
    assert_harmless(path)


@quick
@given(
    name=st.sampled_from(("weights", "training", "objects", "code", "protocol 4")), data=st.data()
)
def test_damaged_pickle_in_a_whole_archive_never_crashes_or_runs_code(path, name, data):
    with zipfile.ZipFile(io.BytesIO(examples()[name])) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in files.items():
            damaged = edited(data, content) if entry.endswith("data.pkl") else content
            archive.writestr(entry, damaged)
    assert_harmless(path)


@quick
@given(name=st.sampled_from(sorted(examples())), length=st.floats(0, 1))
def test_cut_file_never_crashes(path, name, length):
    content = examples()[name]
    path.write_bytes(content[: int(length * len(content))])
    assert_harmless(path)


NAMES = (
    *(b"os\nmkdir", b"builtins\neval", b"builtins\nbytearray", b"torch\nTensor"),
    *(b"collections\nOrderedDict", b"collections\ndeque", b"argparse\nNamespace"),
    *(b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter"),
    *(b"torch._utils\n_rebuild_tensor_v3", b"torch._tensor\n_rebuild_from_type_v2"),
    *(b"numpy\ndtype", b"numpy._core.multiarray\nscalar", b"numpy._core.multiarray\n_reconstruct"),
    *(b"_codecs\nencode", b"pathlib\nPosixPath", b"torch\ndevice", b"torch\nFloatStorage"),
    *(b"copyreg\n_reconstructor", b"omegaconf.nodes\nAnyNode", b"lab\nOwn"),
)
INSTRUCTIONS = st.one_of(
    st.sampled_from(NAMES).map(lambda name: b"c" + name + b"\n"),
    st.sampled_from(
        [bytes([code]) for code in b"(012.NQRabdelostu}]\x81\x85\x86\x87\x8f\x90\x91\x92"]
    ),
    st.sampled_from([bytes([code]) for code in b")Rtub\x86\x93\x94"]),
    st.integers(0, 3).map(lambda key: b"h" + bytes([key])),
    st.integers(0, 3).map(lambda key: b"q" + bytes([key])),
    st.integers(0, 2**80).map(lambda number: b"L%dL\n" % number),
    st.sampled_from((b"storage", b"0", b"cpu", b"f8", b"<", b"a.weight", b"\\d")).map(
        lambda text: b"V" + text + b"\n"
    ),
)


@settings(quick, max_examples=400)
@given(program=st.lists(INSTRUCTIONS, max_size=40))
def test_any_program_is_answered_and_not_run(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + b"".join(program) + b".")
        archive.writestr("net/data/0", bytes(64))
    assert_harmless(path)


def numbered(shape: list[int]) -> torch.Tensor:
    return torch.arange(math.prod(shape)).reshape(shape)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TENSORS = st.builds(
    lambda shape, dtype, transpose: torch.ones(shape, dtype=dtype).transpose(
        0, -1 if transpose else 0
    ),
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.sampled_from((torch.float32, torch.float16, torch.int64, torch.bool)),
    st.booleans(),
)
CONTENTS = st.recursive(
    st.one_of(TENSORS, st.none(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(TEXTS, st.sampled_from(("model", "state_dict", "module.a.w", "module.b.w"))),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@quick
@given(content=CONTENTS, legacy=st.booleans())
def test_any_content_that_torch_saves_is_answered(path, content, legacy):
    path.write_bytes(torch_saved(content, _use_new_zipfile_serialization=not legacy))
    assert_harmless(path)


@quick
@given(tensors=st.dictionaries(TEXTS.map("a.{}".format), TENSORS, min_size=1, max_size=5))
def test_renamed_and_reshaped_weights_come_as_they_are(path, tensors):
    torch.save({"state_dict": tensors, "epoch": 1}, path)
    found = answer(path)
    if isinstance(found, WeightsFile):
        assert found.facts == {"epoch": 1}
        for name, tensor in found.tensors.items():
            expected = tensors[found.prefix + name]
            assert torch.equal(tensor.to(expected.dtype), expected)
    else:
        assert "holds whole numbers only" in found or "holds no weights" in found
