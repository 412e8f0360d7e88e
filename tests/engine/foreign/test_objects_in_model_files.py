"""Files of trainings with objects of any class in them, and files that were packed again."""

import argparse
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.contents import ModelFileKind, identify, read_weights

LEGACY = {"_use_new_zipfile_serialization": False}
FORMATS = [{}, LEGACY, {"pickle_protocol": 4}, {"pickle_protocol": 5}]


def weights() -> dict[str, torch.Tensor]:
    return {
        "net.enc.weight": torch.arange(18.0).reshape(2, 1, 3, 3),
        "net.enc.bias": torch.tensor([0.5, -0.5]),
    }


def assert_read(path: Path) -> dict:
    """Assert that the weights are read, as they are; return what stands beside them."""
    found = read_weights(path)
    assert {f"{found.prefix}{name}" for name in found.tensors} == set(weights())
    for name, tensor in found.tensors.items():
        assert torch.equal(tensor, weights()[found.prefix + name])
    return found.facts


# -- objects of any class -------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    """Make a module that is there while a file is written, and gone when it is read."""
    made = []

    def make(name: str, **members: object) -> types.ModuleType:
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            part = ".".join(parts[:count])
            if part not in sys.modules:
                monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
                made.append(part)
        for member, value in members.items():
            if isinstance(value, type):
                value.__module__, value.__qualname__ = name, member
            setattr(sys.modules[name], member, value)
        return sys.modules[name]

    make.forget = lambda: [sys.modules.pop(name, None) for name in made]
    return make


def nothing_may_run(*_: object, **__: object) -> None:
    raise AssertionError("something of the file was run")


class Remembers:
    """Would fail if it were ever made again from a file."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def __setstate__(self, state: object) -> None:
        nothing_may_run()


def omegaconf(make, content: dict) -> object:
    """Settings as OmegaConf keeps them: nodes with flags, each with the way back to its parent."""
    node = make(
        "omegaconf.nodes", AnyNode=type("AnyNode", (Remembers,), {}), Any=type("Any", (), {})
    )
    config = make("omegaconf.dictconfig", DictConfig=type("DictConfig", (Remembers,), {}))
    lists = make("omegaconf.listconfig", ListConfig=type("ListConfig", (Remembers,), {}))
    base = make("omegaconf.base", Metadata=type("Metadata", (Remembers,), {}))

    def wrapped(value: object, parent: object) -> object:
        shared = {"_metadata": base.Metadata(ref_type=node.Any, flags=None), "_parent": parent}
        if isinstance(value, dict):
            made = config.DictConfig(**shared, _flags_cache=None)
            made._content = {key: wrapped(each, made) for key, each in value.items()}
        elif isinstance(value, list):
            made = lists.ListConfig(**shared)
            made._content = [wrapped(each, made) for each in value]
        else:
            made = node.AnyNode(**shared, _val=value)
        return made

    return wrapped(content, None)


@pytest.mark.parametrize("options", FORMATS)
def test_lightning_file_with_settings_of_omegaconf_opens(tmp_path, stand_in, options):
    settings = {"depth": 4, "mean": [0.5, 1.5], "optimizer": {"lr": 1e-3, "name": None}}
    content = {
        "state_dict": weights(),
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": omegaconf(stand_in, settings),
        "callbacks": {},
    }
    path = tmp_path / "last.ckpt"
    torch.save(content, path, **options)
    stand_in.forget()
    assert assert_read(path) == {
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": settings,
    }
    assert "omegaconf" not in sys.modules


class Side(enum.Enum):
    LEFT = 1


class WithSlots:
    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 3


def own_function(x: int) -> int:
    return x


OBJECTS = {
    "namespace": (lambda: argparse.Namespace(where=pathlib.Path("a")), {"where": "a"}),
    "simple namespace": (lambda: types.SimpleNamespace(lr=0.1), {"lr": 0.1}),
    "number": (lambda: np.float32(0.5), 0.5),
    "path": (lambda: pathlib.PurePosixPath("/data/train"), "/data/train"),
    "with slots": (WithSlots, {"size": 3}),
    "partial": (lambda: functools.partial(torch.optim.Adam, lr=0.1), None),
    "member": (lambda: Side.LEFT, None),
    "function": (lambda: own_function, f"{__name__}.own_function"),
    "class": (lambda: nn.ReLU, "torch.nn.modules.activation.ReLU"),
    "module": (lambda: nn.Sequential(nn.Conv2d(1, 1, 3)), None),
    "bound method": (lambda: pathlib.PurePosixPath("a").joinpath, None),
    "date": (lambda: datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None),
    "error": (lambda: ValueError("x"), None),
    "scheduler": (lambda: np.random.default_rng(0), None),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about the source of the class
@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize("name", OBJECTS)
def test_object_beside_the_weights_does_not_keep_them_from_being_read(tmp_path, name, options):
    make, fact = OBJECTS[name]
    content = {"state_dict": weights(), "hyper_parameters": {"it": make(), "depth": 4}}
    torch.save(content, tmp_path / "model", **options)
    facts = assert_read(tmp_path / "model")["hyper_parameters"]
    assert facts.pop("depth") == 4
    assert facts.get("it") == fact


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_class_of_the_user_is_neither_imported_nor_made(tmp_path, stand_in, options):
    lab = stand_in(
        "lab.code",
        Settings=type("Settings", (Remembers,), {}),
        Bag=type("Bag", (dict,), {"__setstate__": nothing_may_run}),
        Row=type("Row", (list,), {"append": nothing_may_run, "extend": nothing_may_run}),
        Made=type("Made", (), {"__reduce__": lambda self: (sys.modules["lab.code"].build, (1,))}),
        build=nothing_may_run,
    )
    lab.build.__module__, lab.build.__qualname__ = "lab.code", "build"
    settings = {
        "settings": lab.Settings(size=3, inner=lab.Settings(name="x")),
        "bag": lab.Bag(width=5),
        "row": lab.Row([1, 2]),
        "made": lab.Made(),
    }
    torch.save({"model": weights(), "settings": settings}, tmp_path / "model", **options)
    nothing_may_run.__module__, nothing_may_run.__qualname__ = __name__, "nothing_may_run"
    stand_in.forget()
    facts = assert_read(tmp_path / "model")
    assert facts["settings"]["settings"] == {"size": 3, "inner": {"name": "x"}}
    assert facts["settings"]["bag"] == {"width": 5}
    assert "lab" not in sys.modules


def test_whole_network_among_the_settings_is_not_taken_for_the_weights(tmp_path):
    other = nn.Sequential(nn.Conv2d(1, 8, 5), nn.Conv2d(8, 8, 5))
    torch.save({"state_dict": weights(), "hyper_parameters": {"net": other}}, tmp_path / "model")
    assert assert_read(tmp_path / "model") == {"hyper_parameters": {}}


def test_tensor_of_an_unknown_class_among_the_weights_is_named_and_not_left_out(tmp_path, stand_in):
    packed = stand_in("packing", Packed=type("Packed", (Remembers,), {})).Packed(bits=4)
    torch.save(weights() | {"net.dec.weight": packed}, tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"'dec\.weight' as a packing\.Packed tensor"):
        read_weights(tmp_path / "model")
    torch.save(weights() | {"net.enc._extra_state": packed}, tmp_path / "model")
    assert_read(tmp_path / "model")


class Calls:
    """Would call something if it were ever unpickled."""

    def __init__(self, called: object, *arguments: object) -> None:
        self.call = called, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize(
    ("called", "arguments", "name"),
    [
        (eval, ("1",), "builtins.eval"),
        (subprocess.Popen, (["true"],), "subprocess.Popen"),
        (os.system, ("true",), f"{os.system.__module__}.system"),
        (__import__, ("os",), "builtins.__import__"),
    ],
)
def test_what_would_act_is_refused_by_name(tmp_path, options, called, arguments, name):
    content = {"state_dict": weights(), "hyper_parameters": {"x": Calls(called, *arguments)}}
    torch.save(content, tmp_path / "model", **options)
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "model")
    assert f"wants to run Python code when it is opened ('{name}')" in str(caught.value)
    assert "none of it was run" in str(caught.value)


# -- packed again ---------------------------------------------------------------------------------


def packed(folder: Path, change=lambda files: files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write weights with torch, then pack the files again as another program does."""
    stream = io.BytesIO()
    torch.save({"state_dict": weights(), "epoch": 3}, stream)
    with zipfile.ZipFile(stream) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    path = folder / "packed.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in change(files).items():
            archive.writestr(name, content)
    return path


REPACKED = {
    "compressed": lambda files: files,
    "another folder": lambda files: {f"x y/{n.partition('/')[2]}": c for n, c in files.items()},
    "no folder": lambda files: {name.partition("/")[2]: c for name, c in files.items()},
    "a further folder": lambda files: {f"download/{name}": c for name, c in files.items()},
    "notes in front": lambda files: {"__MACOSX/._archive": b"note", **files},
    "entries for folders": lambda files: {"archive/": b"", "archive/data/": b"", **files},
    "another order": lambda files: dict(reversed(files.items())),
    "no version": lambda files: {n: c for n, c in files.items() if "version" not in n},
}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", REPACKED)
def test_file_that_was_packed_again_opens(tmp_path, name, method):
    path = packed(tmp_path, REPACKED[name], method)
    assert identify(path) is ModelFileKind.TORCH_WEIGHTS
    assert assert_read(path) == {"epoch": 3}


def test_sums_that_torch_was_told_not_to_write_do_not_matter(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights(), tmp_path / "model")
    finally:
        torch.serialization.set_crc32_options(before)
    assert_read(tmp_path / "model")


def test_damage_in_what_was_packed_again_is_told(tmp_path):
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("data/0"))
    content[info.header_offset + 30 + len(info.filename) + 5] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be unpacked\); copy or download it again"):
        read_weights(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_could_fill_the_memory_is_refused(tmp_path, method):
    with pytest.raises(CheckpointError, match="was packed again by another program"):
        read_weights(packed(tmp_path, method=method))


def test_archive_with_a_password_is_told(tmp_path):
    path = packed(tmp_path, method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<H", content, at + 8, 1)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is locked with a password .*pack it again without"):
        read_weights(path)


# -- why torch's own reader does not do: when one of these fails, it is time to ask again --------


@pytest.mark.parametrize("name", ["namespace", "number", "path", "with slots", "partial"])
def test_torch_refuses_a_whole_file_for_one_object_in_it(tmp_path, name):
    content = {"state_dict": weights(), "hyper_parameters": OBJECTS[name][0]()}
    torch.save(content, tmp_path / "model")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model", weights_only=True)
    assert_read(tmp_path / "model")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about the protocol
@pytest.mark.parametrize("protocol", [4, 5])
def test_torch_refuses_later_protocols(tmp_path, protocol):
    torch.save({"state_dict": weights()}, tmp_path / "model", pickle_protocol=protocol)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model", weights_only=True)
    assert_read(tmp_path / "model")


def test_torch_gives_noise_of_a_mapped_file_that_was_packed_again(tmp_path):
    found = torch.load(packed(tmp_path), weights_only=True, mmap=True)
    assert not torch.equal(found["state_dict"]["net.enc.weight"], weights()["net.enc.weight"])


def test_torch_is_ended_by_a_few_bytes(tmp_path):
    program = b"\x80\x02})" + b"\x85" * 300_000 + b"Ns."
    path = packed(
        tmp_path, lambda files: {n: program if "pkl" in n else c for n, c in files.items()}
    )
    code = f"import torch; torch.load({str(path)!r}, weights_only=True)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode not in (0, 1)  # not by an exception
    with pytest.raises(CheckpointError, match="takes far longer than a network needs"):
        read_weights(path)
