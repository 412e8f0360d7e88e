"""Programs of others segment exactly as they compute, say what they are, and do not learn."""

import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_unet.engine.base.errors import (
    CheckpointError,
    CodeInFileError,
    ImageShapeError,
    TrainingError,
)
from napari_unet.engine.foreign.guesses import with_guess
from napari_unet.engine.foreign.model_file.contents import ModelFileKind
from napari_unet.engine.foreign.ready_made.network import load_ready_made
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.training import train


class Small(nn.Module):
    """A U-Net with two levels whose kernels are drawn at random; it reads multiples of 4."""

    def __init__(self, ndim=2, channels=1, classes=2, norm=False, final=None, pads=False):
        super().__init__()
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        self.pool = functional.max_pool2d if ndim == 2 else functional.max_pool3d
        self.first = conv(channels, 4, 3, padding=1)
        self.second, self.bottom = conv(4, 4, 3, padding=1), conv(4, 6, 3, padding=1)
        self.up2, self.up1 = up(6, 4, 2, 2), up(4, 4, 2, 2)
        self.join2, self.last = conv(8, 4, 3, padding=1), conv(8, classes, 1)
        self.norm = nn.InstanceNorm2d(4) if norm else nn.Identity()
        self.final, self.pads = final, pads

    def forward(self, x):
        a = torch.relu(self.norm(self.first(x)))
        b = torch.relu(self.second(self.pool(a, 2)))
        c = torch.relu(self.bottom(self.pool(b, 2)))
        b = torch.relu(self.join2(torch.cat((b, self._fit(self.up2(c), b)), 1)))
        y = self.last(torch.cat((a, self._fit(self.up1(b), a)), 1))
        if self.final == "sigmoid":
            return torch.sigmoid(y)
        return torch.softmax(y, 1) if self.final == "softmax" else y

    def _fit(self, x, other):
        if not self.pads:
            return x
        missing = (other.shape[-1] - x.shape[-1], other.shape[-2] - x.shape[-2])
        return functional.pad(x, (0, missing[0], 0, missing[1]))


def small(seed=0, **options):
    torch.manual_seed(seed)
    return Small(**options).eval()


def torchscript(module, path, example):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have us export
        program = torch.jit.trace(module, example)
        program.save(str(path))
    return path


def exported(module, path, example, dynamic=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=dynamic)
        torch.export.save(program, path)
    return path


def onnx_file(module, path, example, *, free=True):
    axes = {"x": {axis: f"n{axis}" for axis in range(2, example.ndim)}} if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), str(path), input_names=["x"], dynamic_axes=axes, dynamo=False
        )
    return path


def as_file(kind, folder, module, *, ndim=2, channels=1):
    example = torch.randn(1, channels, *(16,) * ndim)
    if kind == "torchscript":
        return torchscript(module, folder / "net.pt", example)
    if kind == "onnx":
        return onnx_file(module, folder / "net.onnx", example)
    dynamic = ({axis: 4 * torch.export.Dim(f"n{axis}", max=500) for axis in range(2, ndim + 2)},)
    return exported(module, folder / "net.pt2", example, dynamic)


def opened(path, kind, *, allow_code=True):
    return load_ready_made(path, kind=KINDS[kind], allow_code=allow_code)


def author_output(network, x):
    with torch.no_grad():
        return network.unet.author_output(x)


KINDS = {
    "torchscript": ModelFileKind.TORCHSCRIPT,
    "torch-export": ModelFileKind.TORCH_EXPORT,
    "onnx": ModelFileKind.ONNX,
}


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_the_programs_own(kind, tmp_path):
    module = small(classes=3)
    network = opened(as_file(kind, tmp_path, module), kind)
    x = torch.randn(2, 1, 24, 36)
    with torch.no_grad():
        assert torch.allclose(author_output(network, x), module(x), atol=1e-5)
    assert network.description.class_roles == ("background", "cell", "border")
    assert network.description.architecture.size_multiple == 4


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_guessed_can_be_said_otherwise(kind, tmp_path):
    network = opened(as_file(kind, tmp_path, small(classes=2)), kind)
    image = np.random.default_rng(0).random((24, 36), np.float32)
    before = segment(image, network).scores

    other = with_guess(network, "roles", "cell, background")
    assert other.description.class_roles == ("cell", "background")
    assert np.allclose(segment(image, other).scores, before, atol=1e-5)
    each = with_guess(other, "final", "sigmoid")
    assert each.description.architecture.meaning.final == "sigmoid"
    assert not np.allclose(segment(image, each).scores, before, atol=1e-3)
    raw = with_guess(network, "normalization", "raw")
    assert raw.description.normalization.kind == "raw"
    # Nothing of this reaches the network that was given.
    assert np.array_equal(segment(image, network).scores, before)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_image_is_segmented_in_tiles_as_it_is_in_one(kind, tmp_path):
    network = opened(as_file(kind, tmp_path, small()), kind)
    image = np.random.default_rng(0).random((61, 83), np.float32)
    whole = segment(image, network, tile_px=128, device="cpu")
    tiled = segment(image, network, tile_px=16, device="cpu")
    assert whole.labels.shape == image.shape
    assert np.allclose(tiled.scores, whole.scores, atol=1e-4)
    assert "was measured, not known" in tiled.notes[0]
    assert not whole.notes


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_volume_is_segmented(kind, tmp_path):
    module = small(ndim=3)
    network = opened(as_file(kind, tmp_path, module, ndim=3), kind)
    assert network.description.architecture.ndim == 3
    image = np.random.default_rng(0).random((9, 21, 30), np.float32)
    assert segment(image, network, device="cpu").labels.shape == image.shape


def test_reach_is_what_the_layers_say(tmp_path):
    # 3 + 2 * 2 + 4 * 1 ... by hand: 1 (first) + 2 (second) + 4 (bottom) + 2 (join2), and up to
    # 3 pixels for the place of a pixel in the pools' cell of 4.
    config = opened(as_file("onnx", tmp_path, small()), "onnx").description.architecture
    assert 9 <= config.reach_px <= 12
    assert config.tile_overlap_px == 12
    assert config.margin_px == config.reach_px


def test_sizes_that_are_padded_inside_still_shift_by_the_pools(tmp_path):
    module = small(pads=True)
    network = opened(torchscript(module, tmp_path / "net.pt", torch.randn(1, 1, 18, 22)),
                     "torchscript")  # fmt: skip
    assert network.description.architecture.size_multiple % 4 == 0


def test_unpadded_network_loses_its_margin(tmp_path):
    ours = UNet(UNetConfig(base_width=4, depth=2, padding="valid")).eval()
    path = torchscript(ours, tmp_path / "net.pt", torch.randn(1, 1, 92, 92))
    config = opened(path, "torchscript").description.architecture
    assert config.size_loss_px == ours.config.size_loss_px
    assert config.output_size(config.valid_input_size(50)) >= 50
    assert (config.valid_input_size(50) - ours.config.valid_input_size(50)) % 4 == 0
    with pytest.raises(ImageShapeError, match="plus multiples of"):
        config.output_size(config.valid_input_size(50) + 1)


def test_instance_norm_is_seen_to_measure_the_whole_tile(tmp_path):
    path = torchscript(small(norm=True), tmp_path / "net.pt", torch.randn(1, 1, 16, 16))
    config = opened(path, "torchscript").description.architecture
    assert config.sees_all
    assert "depends a little on the whole tile" in config.inexact_because
    assert config.tile_overlap_px <= 32


@pytest.mark.parametrize("kind", ["torch-export", "onnx"])
def test_one_fixed_size_is_computed_in_windows(kind, tmp_path):
    module, example = small(), torch.randn(1, 1, 64, 48)
    if kind == "onnx":
        path = onnx_file(module, tmp_path / "net.onnx", example, free=False)
    else:
        path = exported(module, tmp_path / "net.pt2", example)
    network = opened(path, kind)
    config = network.description.architecture
    assert config.fixed_size == (64, 48)
    assert "64 x 48" in config.sentence
    x = torch.randn(1, 1, 64, 48)
    with torch.no_grad():
        assert torch.allclose(author_output(network, x), module(x), atol=1e-5)
        # Windows see enough to agree with the network on a larger image.
        large = torch.randn(1, 1, 160, 144)
        assert torch.allclose(author_output(network, large), module(large), atol=1e-3)
    for shape in ((61, 83), (200, 30), (30, 40)):
        image = np.random.default_rng(0).random(shape, np.float32)
        assert segment(image, network, tile_px=100, device="cpu").labels.shape == shape


def test_traced_program_with_a_size_baked_in_is_found_by_trying(tmp_path):
    class Baked(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 2, 3, padding=1)
            self.register_buffer("bias", torch.randn(1, 2, 64, 64))

        def forward(self, x):
            return self.first(x) + self.bias

    path = torchscript(Baked().eval(), tmp_path / "net.pt", torch.randn(1, 1, 64, 64))
    assert opened(path, "torchscript").description.architecture.fixed_size == (64, 64)


def test_frozen_program_without_weights_of_its_own_is_opened(tmp_path):
    module = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(module, torch.randn(1, 1, 16, 16))
        torch.jit.freeze(program).save(str(tmp_path / "net.pt"))
    network = opened(tmp_path / "net.pt", "torchscript")
    assert network.parameter_count == 0
    x = torch.randn(1, 1, 24, 36)
    with torch.no_grad():
        assert torch.allclose(author_output(network, x), module(x), atol=1e-5)


@pytest.mark.parametrize(
    ("final", "classes", "read_by", "channels"),
    [
        ("sigmoid", 1, "probability", ("cell",)),
        ("sigmoid", 2, "probability", ("cell", "border")),
        ("softmax", 3, "probability", ("background", "cell", "border")),
        (None, 1, "sigmoid", ("cell",)),
        (None, 2, "softmax", ("background", "cell")),
    ],
)
def test_range_of_the_output_tells_how_it_is_read(final, classes, read_by, channels, tmp_path):
    path = torchscript(small(final=final, classes=classes), tmp_path / "net.pt",
                       torch.randn(1, 1, 16, 16))  # fmt: skip
    description = opened(path, "torchscript").description
    assert description.architecture.meaning.final == read_by
    assert description.architecture.meaning.channels == channels
    guesses = {guess.about: guess for guess in description.guesses}
    assert guesses["final"].value == read_by
    assert ("lie between 0 and 1" in guesses["final"].reason) == (final is not None)


def test_several_channels_in_are_found(tmp_path):
    path = as_file("onnx", tmp_path, small(channels=3), channels=3)
    assert opened(path, "onnx").description.architecture.in_channels == 3
    # What the file does not tell is tried out.
    import onnx

    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "c"
    onnx.save(model, str(path))
    assert opened(path, "onnx").description.architecture.in_channels == 3


def test_ready_made_network_refuses_to_learn_and_to_be_saved(tmp_path):
    network = opened(as_file("onnx", tmp_path, small()), "onnx")
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40] = 1
    with pytest.raises(TrainingError, match=r"ready-made \(ONNX program\) and cannot be fine-tun"):
        train([TrainingPair(100.0 * labels, labels, "square")], network)
    with pytest.raises(CheckpointError, match=r"keep or copy its own file"):
        save_checkpoint(network, tmp_path / "copy")
    assert not (tmp_path / "copy.safetensors").exists()


@pytest.mark.parametrize("kind", ["torchscript", "torch-export"])
def test_program_does_not_run_without_a_yes(kind, tmp_path, monkeypatch):
    path = as_file(kind, tmp_path, small())

    def loaded(*args, **options):
        raise AssertionError("the file was opened")

    monkeypatch.setattr(torch.jit, "load", loaded)
    monkeypatch.setattr(torch.export, "load", loaded)
    with pytest.raises(CodeInFileError, match="Say yes \\(allow_code=True\\) only if you trust"):
        opened(path, kind, allow_code=False)


def test_onnx_needs_no_yes(tmp_path):
    assert opened(as_file("onnx", tmp_path, small()), "onnx", allow_code=False).unet is not None


def test_missing_onnxruntime_is_named_with_its_extra(tmp_path, monkeypatch):
    path = as_file("onnx", tmp_path, small())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError) as caught:
        opened(path, "onnx")
    assert str(caught.value) == (
        "'net.onnx' is an ONNX network; install what computes it with: "
        "pip install napari-unet-cells[onnx]"
    )


def external(module, folder, location):
    """Write an ONNX file whose weights lie beside it, but which names another place for them."""
    import onnx

    path = as_file("onnx", folder, module)
    beside = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(onnx.load(str(path)), str(path), **beside)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_of_onnx_lie_beside_it_and_nowhere_else(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10000))
    for location, refusal in (
        ("weights.bin", None),
        ("../secret", "outside of its folder"),
        (str(tmp_path / "secret"), "outside of its folder"),
        ("absent", "missing or torn"),
    ):
        (folder / "weights.bin").unlink(missing_ok=True)
        path = external(small(), folder, location)
        if refusal is None:
            assert opened(path, "onnx").description.architecture.in_channels == 1
        else:
            with pytest.raises(CheckpointError, match=refusal):
                opened(path, "onnx")


def test_constants_and_branches_of_onnx_are_looked_at_too(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    branch = helper.make_graph([constant], "branch", [], [])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    places = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_node(
        "Constant", [], ["s"], sparse_value=helper.make_sparse_tensor(weight, places, [3])
    )
    for node in (constant, choice, sparse):
        model = helper.make_model(helper.make_graph([node], "net", [], []))
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        assert onnx.load(str(tmp_path / "net.onnx"), load_external_data=False) is not None
        with pytest.raises(CheckpointError, match="outside of its folder"):
            opened(tmp_path / "net.onnx", "onnx")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 torn"])
def test_torn_file_is_one_sentence(kind, content, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"net\.pt' "):
        opened(path, kind)
    with pytest.raises(CheckpointError, match="There is no file"):
        opened(tmp_path / "absent", kind)


def test_file_larger_than_the_memory_is_refused(tmp_path, monkeypatch):
    from napari_unet.engine.foreign.ready_made import program as foreign_program

    path = as_file("onnx", tmp_path, small())
    monkeypatch.setattr(foreign_program, "free_host_bytes", lambda: 1000)
    with pytest.raises(CheckpointError, match="more than half of the memory"):
        opened(path, "onnx")


def test_file_of_another_kind_is_told_as_such(tmp_path):
    path = as_file("onnx", tmp_path, small())
    with pytest.raises(CheckpointError, match="is no TorchScript file, it is ONNX"):
        opened(path, "torchscript")


def test_program_that_is_no_image_network_is_refused(tmp_path):
    path = torchscript(nn.Linear(3, 2), tmp_path / "net.pt", torch.randn(1, 3))
    with pytest.raises(CheckpointError, match="does not read images"):
        opened(path, "torchscript")

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 3, 3)

        def forward(self, x):
            return self.first(x).mean((2, 3))

    path = torchscript(Classifier(), tmp_path / "net.pt", torch.randn(1, 1, 16, 16))
    with pytest.raises(CheckpointError, match="computes no image of 1 or 3 or 2 or 4 channels"):
        opened(path, "torchscript")


def test_first_of_several_outputs_is_taken(tmp_path):
    class Two(Small):
        def forward(self, x):
            return [super().forward(x), x]

    torch.manual_seed(0)
    module = Two().eval()
    network = opened(onnx_file(module, tmp_path / "net.onnx", torch.randn(1, 1, 16, 16)), "onnx")
    x = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(author_output(network, x), module(x)[0], atol=1e-5)
