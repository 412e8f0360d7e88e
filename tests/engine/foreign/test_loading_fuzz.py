"""Spoilt networks, all the way to cells: a network, or one sentence; never a crash."""

import io
import json
import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig

LONGEST_S = 5.0
"""For one file on a busy machine; usually some hundredths of a second."""

IMAGE = np.random.default_rng(0).random((19, 24), np.float32)

many = settings(
    max_examples=100,
    deadline=None,  # the time is looked at below, without what hypothesis takes itself
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def foreign_weights() -> dict[str, torch.Tensor]:
    def block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()
        )

    module = nn.ModuleDict(
        {
            "first": block(1, 2),
            "second": block(2, 4),
            "third": block(4, 8),
            "rise2": nn.ConvTranspose2d(8, 4, 2, 2),
            "join2": block(8, 4),
            "rise1": nn.ConvTranspose2d(4, 2, 2, 2),
            "join1": block(4, 2),
            "last": nn.Conv2d(2, 1, 1),
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(module.state_dict())


WEIGHTS = foreign_weights()
KEYS = list(WEIGHTS)


class Files(dict[str, bytes]):
    """Not written out in full when a test fails."""

    def __repr__(self) -> str:
        return "files"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("valid")
    config = UNetConfig(base_width=2, depth=1)
    own = save_checkpoint(Network(UNet(config), NetworkDescription("own", config)), folder / "own")
    (folder / "foreign.safetensors").write_bytes(save(WEIGHTS))
    graph = save_checkpoint(load_checkpoint(folder / "foreign.safetensors"), folder / "graph")
    found = Files(own=own.read_bytes(), graph=graph.read_bytes(), safetensors=save(WEIGHTS))
    for name, options in {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}.items():
        stream = io.BytesIO()
        torch.save({"epoch": 1, "model": WEIGHTS}, stream, **options)
        found[name] = stream.getvalue()
    return found


def check(path: Path) -> bool:
    """Whether the file is a network; anything but one sentence goes on as an error."""
    started = time.thread_time()
    try:
        network = load_checkpoint(path)
    except UNetError as error:
        text = str(error)
        assert text
        assert "\n" not in text.strip()
        assert time.thread_time() - started < LONGEST_S
        return False
    assert time.thread_time() - started < LONGEST_S
    if network.description.architecture.ndim == 2:
        with suppress(UNetError):  # such as one without a class of cells
            assert segment(IMAGE, network, device="cpu").labels.shape == IMAGE.shape
    return True


def test_the_valid_files_are_networks(files, tmp_path):
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert check(path), name


SHARE = st.floats(0, 1, exclude_max=True)
# Most of a file is weights; what describes them stands in front or at the end.
PLACE = st.one_of(SHARE, SHARE.map(lambda x: x / 50), SHARE.map(lambda x: 1 - (1 - x) / 50))


@many
@given(
    name=st.sampled_from(["own", "graph", "safetensors", "zip", "legacy"]),
    flips=st.lists(st.tuples(PLACE, st.integers(0, 255)), min_size=1, max_size=4),
    end=st.one_of(st.just(1.0), PLACE),
)
def test_flipped_bytes_and_cuts_are_answered(files, tmp_path, name, flips, end):
    content = bytearray(files[name])
    for place, value in flips:
        content[int(place * len(content)) % len(content)] = value
    path = tmp_path / "model"
    path.write_bytes(content[: int(end * len(content))])
    check(path)


def changed_weights(draw) -> dict[str, torch.Tensor]:
    weights = dict(WEIGHTS)
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.sampled_from(KEYS))
        if key not in weights:
            continue
        value = weights.pop(key)
        how = draw(st.sampled_from(["drop", "name", "axes", "shape", "whole", "double", "nan"]))
        if how == "name":
            key = draw(st.text(min_size=1, max_size=12)) + draw(st.sampled_from(["", ".weight"]))
        elif how == "axes" and value.ndim > 1:
            value = value.transpose(0, 1).contiguous()
        elif how == "shape":
            value = torch.zeros(draw(st.lists(st.integers(0, 9), max_size=5)))
        elif how == "whole":
            value = value.long()
        elif how == "double":
            weights[key + ".copy"] = value
        elif how == "nan":
            value = value * float("nan")
        if how != "drop":
            weights[key] = value
    return weights


@many
@given(data=st.data())
def test_changed_names_and_shapes_are_answered(tmp_path, data):
    path = tmp_path / "model"
    weights = changed_weights(data.draw)
    torch.save({"state_dict": weights, "arch": data.draw(st.text(max_size=5))}, path)
    check(path)


def places(node: object, path: tuple = ()) -> list[tuple]:
    """Paths to every value in what JSON held."""
    found = [path] if path else []
    if isinstance(node, dict | list):
        for key in sorted(node) if isinstance(node, dict) else range(len(node)):
            found += places(node[key], (*path, key))
    return found


JUNK = st.one_of(st.none(), st.integers(-3, 10**9), st.floats(), st.text(max_size=5))
JUNK = st.one_of(JUNK, st.lists(JUNK, max_size=3), st.dictionaries(st.text(max_size=3), JUNK))


@many
@given(name=st.sampled_from(["own", "graph"]), share=SHARE, junk=JUNK)
def test_changed_descriptions_are_answered(files, tmp_path, name, share, junk):
    content = files[name]
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["description"])
    found = places(description)
    *parents, last = found[int(share * len(found))]
    node = description
    for key in parents:
        node = node[key]
    node[last] = junk
    header["__metadata__"]["description"] = json.dumps(description)
    text = json.dumps(header).encode()
    path = tmp_path / "model"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    check(path)
