"""A bioimage.io package opens as its author meant it, offline, and without its Python file."""

import hashlib
import io
import socket
import warnings
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError
from napari_unet.engine.foreign.bioimage import opening
from napari_unet.engine.foreign.bioimage.opening import load_bioimage
from napari_unet.engine.foreign.libraries.traced_network import traced_network
from napari_unet.engine.foreign.model_file.contents import ModelFileKind
from napari_unet.engine.foreign.ready_made.network import ReadyMadeNetwork, load_ready_made
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import OutputMeaning

EPSILON = 1e-6


class Small(nn.Module):
    """Two levels; it reads multiples of 2."""

    def __init__(self, channels=1, classes=1, final=None):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels, 4, 3, padding=1)
        self.second, self.up = nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)
        self.last = nn.Conv2d(8, classes, 1)
        self.final = final

    def forward(self, x):
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(torch.max_pool2d(a, 2)))
        y = self.last(torch.cat((a, self.up(b)), 1))
        return torch.sigmoid(y) if self.final == "sigmoid" else y


def recognises(module):
    """Stand in for what works out a network: it knows this one."""

    def recognise(tensors, *, name, facts):
        if tensors.keys() != module.state_dict().keys():
            raise CheckpointError("These weights are of no U-Net that is known.")
        bare = Small(module.first.in_channels, module.last.out_channels)
        bare.load_state_dict(tensors)
        classes = module.last.out_channels
        final = "sigmoid" if classes == 1 else "softmax"
        meaning = OutputMeaning(final, ("cell", "border", "third")[:classes])
        shape = (module.first.in_channels, 8, 8)
        unet = traced_network(bare, shape, meaning=meaning, origin="test")
        return Network(unet, NetworkDescription(name, unet.config, meaning.class_roles))

    return recognise


def nothing_known(tensors, *, name, facts):
    raise CheckpointError("These weights are of no U-Net that is known.")


def as_bytes(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def onnx_bytes(module, channels=1):
    def write(buffer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (torch.randn(1, channels, 8, 8),), buffer, input_names=["x"],
                dynamic_axes={"x": {2: "h", 3: "w"}}, dynamo=False,
            )  # fmt: skip

    return as_bytes(write)


def torchscript_bytes(module, channels=1):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(module, torch.randn(1, channels, 8, 8))
        return as_bytes(lambda buffer: torch.jit.save(program, buffer))


def weight_files(module, formats, channels=1):
    module.eval()
    writers = {
        "pytorch_state_dict": ("w.pt", lambda: as_bytes(
            lambda buffer: torch.save(module.state_dict(), buffer))),
        "onnx": ("w.onnx", lambda: onnx_bytes(module, channels)),
        "torchscript": ("w-script.pt", lambda: torchscript_bytes(module, channels)),
    }  # fmt: skip
    return {name: (writers[name][0], writers[name][1]()) for name in formats}


def general(version):
    return {
        "format_version": version, "type": "model", "name": "tiny nuclei", "license": "MIT",
        "description": "Finds nuclei", "authors": [{"name": "Ann Author"}], "tags": ["unet2d"],
        "cite": [{"text": "A paper", "doi": "10.1000/1"}], "documentation": "README.md",
        "training_data": {"id": "dsb2018"},
    }  # fmt: skip


def description_05(*, channels=1, classes=1, names=None, before=(), after=(), weights=None, size=2):
    names = names or [f"channel{n}" for n in range(classes)]
    space = {"type": "space", "unit": "micrometer", "scale": 0.5}
    return {
        **general("0.5.3"),
        "inputs": [{
            "id": "raw",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": [f"in{n}" for n in range(channels)]},
                *({**space, "id": axis, "size": {"min": 16, "step": size}} for axis in "yx"),
            ],
            "test_tensor": {"source": "in.npy"},
            "preprocessing": list(before),
        }],
        "outputs": [{
            "id": "out",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": names},
                *({**space, "id": axis, "halo": 4, "size": {"tensor_id": "raw", "axis_id": axis}}
                  for axis in "yx"),
            ],
            "test_tensor": {"source": "out.npy"},
            "postprocessing": list(after),
        }],
        "weights": weights,
    }  # fmt: skip


def description_04(*, channels=1, classes=1, names=None, before=(), after=(), weights=None, size=2):
    def old(steps):
        return [{"name": step["id"], "kwargs": step.get("kwargs", {})} for step in steps]

    return {
        **general("0.4.10"),
        "inputs": [{
            "name": "raw", "axes": "bcyx", "data_type": "float32", "preprocessing": old(before),
            "shape": {"min": [1, channels, 16, 16], "step": [0, 0, size, size]},
        }],
        "outputs": [{
            "name": "out", "axes": "bcyx", "data_type": "float32", "postprocessing": old(after),
            "shape": {"reference_tensor": "raw", "scale": [1, 0, 1, 1],
                      "offset": [0, classes / 2, 0, 0]},
            "halo": [0, 0, 4, 4],
        }],
        "test_inputs": ["in.npy"], "test_outputs": ["out.npy"], "weights": weights,
    }  # fmt: skip


def package(
    path, module, *, describe=description_05, formats=("onnx",), image=None, expected=None,
    channels=1, more=None, **options,
):  # fmt: skip
    """Write a package whose test output is what `expected` makes of the test image."""
    files = weight_files(module, formats, channels)
    entries = {
        kind: {"source": name, "sha256": hashlib.sha256(content).hexdigest()}
        for kind, (name, content) in files.items()
    }
    if "pytorch_state_dict" in entries:
        architecture = {"source": "network.py", "callable": "Net"}
        entries["pytorch_state_dict"]["architecture"] = (
            architecture if describe is description_05 else "network.py:Net"
        )
    content = describe(
        channels=channels, classes=module.last.out_channels, weights=entries, **options
    )
    content.update(more or {})
    image = noisy_image(channels) if image is None else image
    expected = expected or (lambda x: x)
    with torch.no_grad():
        output = expected(torch.from_numpy(image.astype(np.float32)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", yaml.safe_dump(content))
        archive.writestr("in.npy", as_bytes(lambda buffer: np.save(buffer, image)))
        archive.writestr("out.npy", as_bytes(lambda buffer: np.save(buffer, output.numpy())))
        archive.writestr("network.py", "raise SystemExit('code of a package was run')")
        for name, data in files.values():
            archive.writestr(name, data)
    return path


def noisy_image(channels=1):
    return np.random.default_rng(0).random((1, channels, 20, 24)).astype(np.float32) * 200 + 50


def zero_mean(x, dim=None):
    mean, deviation = x.mean(dim, keepdim=True), x.std(dim, correction=0, keepdim=True)
    return (x - mean) / (deviation + EPSILON)


def percentiles(x, low, high):
    low, high = np.percentile(x.numpy(), [low, high])
    return (x - low) / (high - low + EPSILON)


def opened(path, module=None, *, allow_code=False):
    recognise = nothing_known if module is None else recognises(module)
    return load_bioimage(path, allow_code=allow_code, recognise=recognise)


def difference(network):
    return network.description.metrics["own test"]["largest difference"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refused(*args, **options):
        raise AssertionError("the internet was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


ZERO_MEAN_04 = {"id": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx"}}
ZERO_MEAN_05 = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}
BOTH = pytest.mark.parametrize(
    ("describe", "before"), [(description_04, ZERO_MEAN_04), (description_05, ZERO_MEAN_05)]
)


@BOTH
@pytest.mark.parametrize("kind", ["pytorch_state_dict", "onnx", "torchscript"])
def test_result_is_the_one_that_the_package_promises(describe, before, kind, tmp_path):
    module = Small().eval()
    path = package(
        tmp_path / "p.zip", module, describe=describe, formats=[kind], before=[before],
        after=[{"id": "sigmoid"}], expected=lambda x: torch.sigmoid(module(zero_mean(x))),
    )  # fmt: skip
    network = opened(path, module, allow_code=True)
    assert difference(network) < 1e-4
    description = network.description
    assert description.normalization.kind == "zero-mean"
    assert description.class_roles == ("background", "cell")
    assert description.architecture.meaning.final == "sigmoid"
    assert not {"final", "own_test"} & {guess.about for guess in description.guesses}
    assert description.architecture.is_trainable == (kind == "pytorch_state_dict")
    if kind != "pytorch_state_dict":
        assert description.architecture.tile_overlap_px >= 4  # the halo
        assert description.architecture.file == str(path)
    assert segment(noisy_image()[0, 0, :19, :23], network).labels.shape == (19, 23)


def test_words_of_the_package_describe_the_network(tmp_path):
    module = Small()
    path = package(tmp_path / "p.zip", module, expected=module)
    description = opened(path).description
    assert description.name == "tiny nuclei"
    assert description.summary == (
        "Finds nuclei. By Ann Author. Cite: A paper 10.1000/1. Tags: unet2d."
    )
    assert description.licence == "MIT"
    assert description.training_data == "dsb2018"
    assert description.pixel_size_um == 0.5
    assert description.normalization.kind == "raw"


def test_weights_that_can_learn_come_first_and_are_saved_like_any_other(tmp_path):
    module = Small().eval()
    constants = {"id": "scale_linear", "kwargs": {"gain": 0.01, "offset": -1.0}}
    path = package(
        tmp_path / "p.zip", module, formats=["onnx", "pytorch_state_dict"], before=[constants],
        after=[{"id": "sigmoid"}], expected=lambda x: torch.sigmoid(module(0.01 * x - 1)),
    )  # fmt: skip
    network = opened(path, module)
    assert isinstance(network.unet, GraphNetwork)
    again = load_checkpoint(save_checkpoint(network, tmp_path / "copy"))
    x = torch.from_numpy(noisy_image())
    with torch.no_grad():
        assert torch.equal(again.unet(x), network.unet(x))
    assert again.description == network.description


def test_onnx_is_taken_where_the_weights_are_not_known(tmp_path):
    module = Small()
    path = package(tmp_path / "p.zip", module, formats=["pytorch_state_dict", "onnx"],
                   expected=module)  # fmt: skip
    assert isinstance(opened(path).unet, ReadyMadeNetwork)


def test_torchscript_is_asked_about_first(tmp_path):
    module = Small()
    path = package(tmp_path / "p.zip", module, formats=["torchscript"], expected=module)
    with pytest.raises(CodeInFileError, match=r"'p\.zip' can be opened as a program only"):
        opened(path)
    assert difference(opened(path, allow_code=True)) < 1e-4


def test_python_file_is_told_and_never_run(tmp_path):
    module = Small()
    path = package(tmp_path / "p.zip", module, formats=["pytorch_state_dict"], expected=module)
    with pytest.raises(CheckpointError) as caught:
        opened(path, allow_code=True)
    assert str(caught.value) == (
        "'p.zip' holds weights for pytorch_state_dict, and none can be opened here. These weights "
        "are of no U-Net that is known. Its Python file 'network.py' was not run: nothing here "
        "needs it."
    )


STEPS = {
    "percentiles": (
        [{"id": "scale_range", "kwargs": {"min_percentile": 1, "max_percentile": 99}}],
        lambda x: percentiles(x, 1, 99),
    ),
    "whole range, then limits": (
        [{"id": "scale_range"}, {"id": "clip", "kwargs": {"min": 0.2, "max": 0.7}}],
        lambda x: percentiles(x, 0, 100).clip(0.2, 0.7),
    ),
    "one limit": ([{"id": "clip", "kwargs": {"min": 100}}], lambda x: x.clip(100)),
    "fixed": (
        [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 120.0, "std": 40.0}}],
        lambda x: (x - 120) / 40,
    ),
    "floats": ([{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}], lambda x: x),
    "large epsilon": (
        [{"id": "zero_mean_unit_variance", "kwargs": {"eps": 0.1, "axes": ["channel", "y", "x"]}}],
        lambda x: (x - x.mean()) / (x.std(correction=0) + 0.1),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_preprocessing_is_as_the_format_defines_it(name, tmp_path):
    before, function = STEPS[name]
    module = Small().eval()
    path = package(tmp_path / "p.zip", module, before=before,
                   expected=lambda x: module(function(x)))  # fmt: skip
    assert difference(opened(path)) < 1e-3


def test_channels_are_normalised_apart(tmp_path):
    module = Small(channels=2).eval()
    image = noisy_image(2) * np.array([1, 5], np.float32).reshape(1, 2, 1, 1)
    apart = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}
    path = package(
        tmp_path / "p.zip", module, before=[apart], channels=2, image=image,
        expected=lambda x: module(zero_mean(x, (2, 3))),
    )  # fmt: skip
    network = opened(path)
    assert network.description.normalization.per_channel
    assert difference(network) < 1e-4
    numbers = {"axis": "channel", "mean": [100.0, 500.0], "std": [50.0, 200.0]}
    fixed = {"id": "fixed_zero_mean_unit_variance", "kwargs": numbers}
    means, deviations = (torch.tensor(v).view(2, 1, 1) for v in ([100.0, 500], [50.0, 200]))
    path = package(
        tmp_path / "q.zip", module, before=[fixed], channels=2, image=image,
        expected=lambda x: module((x - means) / deviations),
    )  # fmt: skip
    assert difference(opened(path)) < 1e-4


def test_old_fixed_mode_and_old_data_set_mode(tmp_path):
    module = Small().eval()
    fixed = {"id": "zero_mean_unit_variance",
             "kwargs": {"mode": "fixed", "axes": "yx", "mean": 120.0, "std": 40.0}}  # fmt: skip
    path = package(tmp_path / "p.zip", module, describe=description_04, before=[fixed],
                   expected=lambda x: module((x - 120) / 40))  # fmt: skip
    assert difference(opened(path)) < 1e-4
    dataset = {"id": "zero_mean_unit_variance", "kwargs": {"mode": "per_dataset", "axes": "cyx"}}
    path = package(tmp_path / "q.zip", module, describe=description_04, before=[dataset],
                   expected=lambda x: module(zero_mean(x)))  # fmt: skip
    guesses = {guess.about: guess for guess in opened(path).description.guesses}
    assert guesses["measured_on"].value == "each image"


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ([{"id": "binarize", "kwargs": {"threshold": 0.5}}], [], "asks for 'binarize' before"),
        ([{"id": "clip", "kwargs": {"min_percentile": 1.0}}], [], "'clip' at percentiles before"),
        ([{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}], [],
         "'zero_mean_unit_variance' of each row or slice on its own before"),
        ([{"id": "clip", "kwargs": {"min": 0.0}}, ZERO_MEAN_05], [], "after another step before"),
        ([{"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}], [], r"'ensure_dtype' \(uint8\)"),
        ([{"id": "scale_range", "kwargs": {"reference_tensor": "other"}}], [], "another tensor"),
        ([{"id": "scale_linear", "kwargs": {"gain": [1.0, 2.0], "axis": "channel"}}], [],
         "with 2 numbers along 'channel'"),
        ([], [{"id": "scale_linear", "kwargs": {"gain": 2.0}}], "asks for 'scale_linear' after"),
        ([], [{"id": "cellpose_flow_dynamics"}], "asks for 'cellpose_flow_dynamics' after"),
        ([], [{"id": "sigmoid"}, {"id": "softmax"}], "asks for 'softmax' after"),
    ],
)  # fmt: skip
def test_processing_that_is_not_done_here_is_named_and_never_left_out(
    before, after, sentence, tmp_path
):
    path = package(tmp_path / "p.zip", Small(), before=before, after=after)
    with pytest.raises(CheckpointError, match=sentence):
        opened(path)


def test_threshold_of_the_package_makes_the_cells(tmp_path):
    module = Small().eval()
    binarize = {"id": "binarize", "kwargs": {"threshold": 0.45}}
    path = package(
        tmp_path / "p.zip", module, after=[{"id": "sigmoid"}, binarize], before=[ZERO_MEAN_05],
        expected=lambda x: torch.sigmoid(module(zero_mean(x))) > 0.45,
    )  # fmt: skip
    network = opened(path)
    assert network.description.instances.foreground_threshold == 0.45
    assert difference(network) < 1e-3


def test_names_of_channels_are_their_roles(tmp_path):
    module = Small(classes=2)
    for names, after, roles in (
        (["foreground", "boundaries"], "sigmoid", ("cell", "border")),
        (["background", "nucleus"], "softmax", ("background", "cell")),
        (["channel0", "channel1"], "sigmoid", ("cell", "border")),
        (["channel0", "channel1"], "softmax", ("background", "cell")),
    ):
        path = package(tmp_path / "p.zip", module, names=names, after=[{"id": after}],
                       expected=module)  # fmt: skip
        meaning = opened(path).description.architecture.meaning
        assert (meaning.final, meaning.channels) == (after, roles)


def test_sigmoid_inside_the_network_is_found_by_its_own_test(tmp_path):
    module = Small(final="sigmoid").eval()
    path = package(tmp_path / "p.zip", module, formats=["pytorch_state_dict"],
                   before=[ZERO_MEAN_05], expected=lambda x: module(zero_mean(x)))  # fmt: skip
    network = opened(path, module)
    assert network.description.architecture.meaning.final == "sigmoid"
    assert "final" not in {guess.about for guess in network.description.guesses}
    assert difference(network) < 1e-4


def test_failed_own_test_is_told(tmp_path):
    module = Small().eval()
    path = package(tmp_path / "p.zip", module, expected=lambda x: module(x) + 1)
    network = opened(path)
    guess = network.description.guesses[-1]
    assert (guess.about, guess.value) == ("own_test", "not passed")
    assert "differs from the package's own test by 1" in guess.reason


def test_folder_and_description_open_like_the_zip(tmp_path):
    module = Small()
    path = package(tmp_path / "p.zip", module, expected=module)
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    for each in (folder, folder / "rdf.yaml"):
        assert difference(opened(each)) < 1e-4
    # Some programs pack the folder, not what is in it.
    with zipfile.ZipFile(tmp_path / "q.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"model/{file.name}")
    assert difference(opened(tmp_path / "q.zip")) < 1e-4


def rewritten(path, change):
    """Write a package again with another description."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    content = yaml.safe_load(files["rdf.yaml"])
    change(content, files)
    files["rdf.yaml"] = yaml.safe_dump(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def change_source(source):
    return lambda content, files: content["weights"]["onnx"].update(source=source)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c, f: c.update(format_version="0.3.0"), r"is in version 0\.3\.0 of the bioimage"),
        (lambda c, f: c.update(type="dataset"), "describes no model"),
        (lambda c, f: c.pop("inputs"), r"description that cannot be read \(KeyError: 'inputs'\)"),
        (lambda c, f: c.update(inputs=c["inputs"] * 2), "reads 2 inputs at once"),
        (lambda c, f: c["inputs"][0]["axes"].pop(0), "reads the axes 'cyx'"),
        (change_source("https://example.com/w.onnx"), "on the internet, from where nothing"),
        (change_source("../w.onnx"), r"asks for '\.\./w\.onnx', outside of the package"),
        (change_source("absent.onnx"), r"holds no 'absent\.onnx' that can be read"),
        (lambda c, f: f.update({"w.onnx": b"torn"}), r"holds another 'w\.onnx' than it describes"),
        (lambda c, f: c["weights"].update(onnx={"source": "network.py"}), "'network.py'"),
        (lambda c, f: c.update(weights={"tensorflow_js": {"source": "w.onnx"}}),
         "holds weights for tensorflow_js, and none can be opened here"),
        (lambda c, f: f.update({"out.npy": b"torn"}), r"The package's 'out\.npy' is damaged"),
    ],
)  # fmt: skip
def test_package_that_cannot_be_opened_is_one_sentence(change, sentence, tmp_path):
    path = rewritten(package(tmp_path / "p.zip", Small()), change)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        opened(path)
    assert str(caught.value).startswith("'p.zip' ")
    assert "napari-unet-" not in str(caught.value)  # nobody knows the temporary folder


def test_what_is_no_package_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"is no bioimage\.io package"):
        opened(tmp_path / "p.zip")
    (tmp_path / "rdf.yaml").write_text("a: [")
    with pytest.raises(CheckpointError, match="holds a damaged description"):
        opened(tmp_path / "rdf.yaml")
    with pytest.raises(CheckpointError, match="cannot be read"):
        opened(tmp_path / "absent.zip")


def test_unpacked_files_go_with_the_network(tmp_path, monkeypatch):
    import gc
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    network = opened(package(tmp_path / "p.zip", Small()))
    assert list((tmp_path / "temporary").iterdir())
    del network
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())


def places(content, path=()):
    """Where a value stands in nested lists and dictionaries."""
    yield path
    if isinstance(content, dict):
        for key, value in content.items():
            yield from places(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from places(value, (*path, index))


@pytest.mark.parametrize("describe", [description_04, description_05])
def test_description_that_is_damaged_anywhere_is_a_sentence_or_opens(
    describe, tmp_path, monkeypatch
):
    steps = [{"id": "scale_range", "kwargs": {"min_percentile": 1, "axes": "cyx", "mode": "a"}}]
    path = package(tmp_path / "p.zip", Small(), describe=describe, before=steps,
                   after=[{"id": "softmax", "kwargs": {}}])  # fmt: skip
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    network = load_ready_made(folder / "w.onnx", kind=ModelFileKind.ONNX, allow_code=False)
    monkeypatch.setattr(opening, "load_ready_made", lambda path, **options: network)
    description = folder / "rdf.yaml"
    text = description.read_text()
    for place in places(yaml.safe_load(text)):
        for junk in (None, "junk", [-1]):
            content = {"all": yaml.safe_load(text)}
            owner = content
            for key in ("all", *place)[:-1]:
                owner = owner[key]
            owner[("all", *place)[-1]] = junk
            description.write_text(yaml.safe_dump(content["all"]))
            with suppress(CheckpointError):
                opened(folder)  # nothing else is raised
