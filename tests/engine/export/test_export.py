"""Exported models compute elsewhere what is computed here, and every refusal says what to do."""

import json
import threading
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.engine.base.errors import CheckpointError, ImageError, SettingsError, UNetError
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.export import export as export_module
from napari_unet.engine.export import onnx as onnx_export
from napari_unet.engine.export.export import export_formats, export_model, iterate_export
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.images.normalization import Normalization, Percentiles, TypeRange, ZeroMean
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import (
    Activation,
    Convolution,
    Input,
    Join,
    Norm,
    Pool,
    Upsample,
)
from napari_unet.engine.networks.network import (
    Network,
    NetworkDescription,
    TrainingIntensity,
    build_module,
)
from napari_unet.engine.networks.output_meaning import OutputMeaning
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.segmentation import iterate_scores

onnxruntime = pytest.importorskip("onnxruntime")


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(text).split(".")[:3])


needs_bioimageio = pytest.mark.skipif(
    find_spec("bioimageio") is None
    or (numbers("pydantic") >= (2, 14, 0) and numbers("bioimageio.spec") < (0, 5, 13)),
    reason="needs bioimageio.core, and for it pydantic below 2.14, as in constraints.txt",
)

# bioimageio.spec leaves files open, which Python remarks on whenever it finds one.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

HISTORY = (
    {"date": "2026-11-01T10:00:00+00:00", "started_from": None, "steps": 4900, "images": 383},
    {
        "date": "2026-11-20T10:00:00+00:00",
        "started_from": "nuclei",
        "steps": 250,
        "cells": 41,
        "start": {"name": "nuclei"},
    },
)


def network_of(config: Any, **facts: Any) -> Network:
    """Make a network with weights that make every pixel's scores its own."""
    torch.manual_seed(0)
    module = build_module(config)
    for name, buffer in module.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(*((-0.3, 0.3) if name.endswith("mean") else (0.5, 1.5)))
    roles = ("background", "cell", "border")[: config.classes]
    described = {"licence": "MIT", "history": HISTORY, "class_roles": roles, **facts}
    return Network(module.eval(), NetworkDescription("tiny cells", config, **described))


def graph(
    norm: str = "batch",
    final: str = "sigmoid",
    channels: tuple[str, ...] = ("cell",),
    names: tuple[str, ...] = ("in.conv", "in.bn", "deep.conv", "head"),
) -> Any:
    """Make somebody else's little U-Net: one level, corners aligned, a 3x3 head."""
    one, two, three = (1, 1), (2, 2), (3, 3)
    layers = (
        Input(),
        Convolution((0,), names[0], 1, 4, three, one, one, one),
        Norm((1,), names[1], 4, norm, tracks=norm == "batch"),
        Activation((2,), "leaky_relu"),
        Pool((3,), two),
        Convolution((4,), names[2], 4, 4, three, one, one, one),
        Activation((5,), "gelu"),
        Upsample((6,), two, align_corners=True),
        Join((3, 7)),
        Convolution((8,), names[3], 8, len(channels), three, one, one, one),
    )
    return GraphConfig(2, 1, layers, (9,), OutputMeaning(final, channels), "test")


def small(**options: Any) -> UNetConfig:
    return UNetConfig(**{"classes": 3, "base_width": 4, "depth": 1, **options})


@pytest.fixture(scope="module")
def translated() -> Any:
    """`small()` as ONNX, for tests of what comes after."""
    return onnx_export.onnx_model(network_of(small()))


def own_scores(network: Network, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(network.unet(torch.from_numpy(images)), dim=1).numpy()


# -- ONNX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        small(depth=2),
        small(padding="valid", up="interpolate", batch_norm=False),
        small(ndim=3, in_channels=2),
        small(ndim=3, depth=2, flat_levels=1),
        graph(),
        graph("instance", "softmax", ("background", "cell")),
    ],
    ids=["same", "valid", "3-D", "3-D, flat", "one sigmoid channel", "instance norm"],
)
def test_onnx_gives_our_scores_at_any_size(config: Any, tmp_path: Path) -> None:
    network = network_of(config)

    written = export_model(network, tmp_path / "cells", format="onnx")

    session = onnxruntime.InferenceSession(written.path, providers=["CPUExecutionProvider"])
    axes = [config.along(axis) for axis in range(config.ndim)]
    for number, factor in ((1, 7), (3, 4)):
        sizes = [
            each.valid_input_size(1) + each.size_multiple * (factor + 2 * axis)
            for axis, each in enumerate(axes)
        ]
        images = np.random.default_rng(factor).normal(size=(number, config.in_channels, *sizes))
        images = images.astype(np.float32)
        (scores,) = session.run(["scores"], {"image": images})
        np.testing.assert_allclose(scores, own_scores(network, images), atol=3e-5)
        assert scores[:, -1].std() > 1e-3, "scores of which all are equal show nothing"
    assert "ONNX Runtime gives the same output" in written.checks[0]
    assert [path.name for path in tmp_path.iterdir()] == ["cells.onnx"]


def test_onnx_says_what_it_is_and_where_it_comes_from(tmp_path: Path) -> None:
    network = network_of(small(), normalization=ZeroMean())

    path = export_model(network, tmp_path / "cells.onnx", format="onnx").path

    meta = onnxruntime.InferenceSession(path).get_modelmeta()
    facts = meta.custom_metadata_map
    assert meta.producer_name == "napari-unet-cells"
    assert "standard deviation" in facts["input"]
    assert "probabilities of background, cell, border" in facts["output"]
    assert "2026-11-20: 250 steps from 'nuclei' on 41 cells" in facts["history"]
    assert NetworkDescription.from_json(facts["description"]) == network.description
    assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()


def test_names_from_a_file_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("class.1", "", 'x"); open("owned", "w"); getattr(self, "', "x = open\n")
    network = network_of(graph(names=names))

    path = export_model(network, "cells", format="onnx").path

    assert [each.name for each in tmp_path.iterdir()] == ["cells.onnx"]
    images = np.random.default_rng(0).random((1, 1, 8, 6), np.float32)
    (scores,) = onnxruntime.InferenceSession(path).run(["scores"], {"image": images})
    np.testing.assert_allclose(scores, own_scores(network, images), atol=3e-5)


def test_values_that_are_no_probabilities_leave_without_softmax(tmp_path: Path) -> None:
    network = network_of(graph(final="none", channels=("denoised",)), class_roles=("denoised",))

    path = export_model(network, tmp_path / "clean", format="onnx").path

    images = np.random.default_rng(0).random((1, 1, 8, 6), np.float32)
    (values,) = onnxruntime.InferenceSession(path).run(["values"], {"image": images})
    with torch.inference_mode():
        ours = network.unet(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(values, ours, atol=1e-5)


def test_export_runs_in_a_worker_thread_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome: list[Any] = []

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome.extend(iterate_export(network_of(small()), tmp_path / "a", format="onnx"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    stages = [report.stage for report in outcome]
    assert stages == [
        "translating the network to ONNX",
        "checking it against our own output",
        "writing the file",
        "",
    ]
    assert [report.step for report in outcome] == [0, 1, 2, 3]
    assert outcome[-1].result.path.exists()
    assert capfd.readouterr() == ("", "")


def test_export_that_is_stopped_leaves_no_file(tmp_path: Path) -> None:
    for report in iterate_export(network_of(small()), tmp_path / "a", format="onnx"):
        if report.stage == "checking it against our own output":
            break

    assert list(tmp_path.iterdir()) == []


def test_onnx_with_other_scores_is_not_written(
    translated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(small())
    with torch.no_grad():
        network.unet.head.bias.add_(torch.tensor([1.0, -1.0, 0.0]))
    monkeypatch.setattr(export_module, "onnx_model", lambda _network: translated)

    with pytest.raises(CheckpointError, match=r"gives other scores as ONNX than here \(by up to 0"):
        export_model(network, tmp_path / "a.onnx", format="onnx")

    assert list(tmp_path.iterdir()) == []


def test_onnx_that_does_not_run_is_not_written(
    translated: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    broken = type(translated)()
    broken.CopyFrom(translated)
    broken.graph.node[0].op_type = "Convoluted"
    monkeypatch.setattr(export_module, "onnx_model", lambda _network: broken)

    with pytest.raises(CheckpointError, match=r"does not run there .*nothing was written"):
        export_model(network_of(small()), tmp_path / "a.onnx", format="onnx")

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_network_that_cannot_be_traced_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    network = network_of(small())

    class Moody(type(network.unet)):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            return y if float(y.sum()) > 0 else -y

    network.unet.__class__ = Moody
    with pytest.raises(CheckpointError, match="cannot be translated to ONNX") as caught:
        export_model(network, tmp_path / "a.onnx", format="onnx")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert list(tmp_path.iterdir()) == []


def test_network_beyond_two_gigabytes_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "_MOST_BYTES", 1000)

    with pytest.raises(CheckpointError, match="one ONNX file holds 2 GB at most"):
        export_model(network_of(small()), tmp_path / "a.onnx", format="onnx")


# -- state dict and our own file -------------------------------------------------------------------


@pytest.mark.parametrize("config", [small(), graph()], ids=["ours", "another's"])
def test_state_dict_has_the_authors_names_and_nothing_else(config: Any, tmp_path: Path) -> None:
    network = network_of(config)

    written = export_model(network, tmp_path / "cells", format="state-dict")

    weights = torch.load(written.path, weights_only=True)
    expected = network.unet.author_weights()
    assert isinstance(weights, dict)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert "head.weight" in weights


@pytest.mark.parametrize("is_zipped", [True, False])
def test_state_dict_keeps_what_was_tuned_even_if_its_note_is_lost(
    tmp_path: Path, is_zipped: bool
) -> None:
    network = network_of(small())
    tuned = replace(
        network.description,
        instances=InstanceSettings(
            seed_threshold=0.83,
            min_size_px=77,
            score_calibration=ScoreCalibration(slope=3.4, offset=-3.3),
        ),
        object_diameter_px=23.5,
        pixel_size_um=0.31,
    )
    written = export_model(Network(network.unet, tuned), tmp_path / "a.pt", format="state-dict")
    written.beside[0].unlink()
    if not is_zipped:  # as torch before 1.6 wrote it
        weights = torch.load(written.path, weights_only=True)
        torch.save(weights, written.path, _use_new_zipfile_serialization=False)

    found = load_checkpoint(written.path).description

    assert found.instances == tuned.instances
    assert (found.object_diameter_px, found.pixel_size_um) == (23.5, 0.31)


def test_note_beside_a_state_dict_tells_all_that_is_known(tmp_path: Path) -> None:
    network = network_of(graph())

    (note,) = export_model(network, tmp_path / "cells.pt", format="state-dict").beside

    facts = json.loads(note.read_text("utf-8"))
    assert note == tmp_path / "cells.json"
    assert facts["output"] == "Logits; a sigmoid makes each channel a probability, of cell."
    assert facts["licence"] == "MIT"
    assert "250 steps from 'nuclei'" in facts["history"]
    text = json.dumps(facts["description"])
    assert NetworkDescription.from_json(text) == network.description


def test_own_file_keeps_everything_and_takes_the_licence_that_is_given(tmp_path: Path) -> None:
    network = network_of(graph())

    written = export_model(
        network, tmp_path / "a", format="safetensors", settings=ExportSettings(licence="CC0-1.0")
    )

    again = load_checkpoint(written.path)
    assert again.description == replace(network.description, licence="CC0-1.0")
    images = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(own_scores(again, images), own_scores(network, images))


# -- bioimage.io -----------------------------------------------------------------------------------


def predicted(package: Path, image: np.ndarray) -> np.ndarray:
    """Scores of a raw (C, *S) image by bioimageio.core, from a package alone."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    model = load_model_description(package)
    sample = create_sample_for_model(model, inputs={"image": image[np.newaxis]})
    with create_prediction_pipeline(model) as pipeline:
        result = pipeline.predict_sample_without_blocking(
            sample, skip_input_padding=True, skip_output_cropping=True
        )
    return result.members["scores"].data.to_numpy()[0]


@needs_bioimageio
@pytest.mark.parametrize(
    ("config", "normalization", "dtype"),
    [
        (small(), Percentiles(2, 99), "uint8"),
        (small(ndim=3, in_channels=2), ZeroMean(), "float32"),
        (small(ndim=3, depth=2, flat_levels=2), ZeroMean(), "float32"),
        (small(in_channels=2), ZeroMean(per_channel=True), "float32"),
        (graph("instance"), TypeRange(), "uint16"),
    ],
    ids=["percentile", "3-D, zero-mean", "3-D, flat", "each channel apart", "another's, by type"],
)
def test_package_gives_the_scores_of_our_segmentation_from_the_raw_image(
    config: Any, normalization: Normalization, dtype: str, tmp_path: Path
) -> None:
    network = network_of(
        config, normalization=normalization, intensity=TrainingIntensity(dtype, 0, 1, 2)
    )
    size = {2: (64, 80), 3: (12, 24, 32)}[config.ndim]
    image = np.random.default_rng(1).gamma(2.0, 20.0, (config.in_channels, *size)).astype(dtype)

    written = export_model(network, tmp_path / "cells", format="bioimageio")

    settings = SegmentationSettings(channel_axis=0, precision="float32")
    *_, plane = iterate_scores(image, network, settings=settings, device="cpu")
    np.testing.assert_allclose(
        predicted(written.path, image.astype(np.float32)), plane.scores, atol=1e-3
    )
    assert plane.scores[-1].std() > 1e-3
    assert "passes the test of bioimageio.core" in written.checks[1]
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zip"]


@needs_bioimageio
def test_package_carries_the_model_its_papers_its_people_and_its_history(tmp_path: Path) -> None:
    from bioimageio.spec import load_model_description, save_bioimageio_package_as_folder

    network = network_of(small(padding="valid", classes=2), licence="CC-BY 4.0; ask before selling")
    settings = ExportSettings(authors=("Ada Lovelace",), citations=("10.1038/s41592-018-0261-2",))
    image = np.random.default_rng(0).integers(0, 255, (100, 90), np.uint8)

    path = export_model(
        network, tmp_path / "cells", format="bioimageio", settings=settings, image=image
    ).path

    model = load_model_description(path)
    assert str(model.license) == "CC-BY-4.0"
    assert [author.name for author in model.authors] == ["Ada Lovelace"]
    dois = [str(entry.doi) for entry in model.cite]
    assert dois == ["10.1007/978-3-319-24574-4_28", "10.1038/s41592-018-0261-2"]
    y = next(axis for axis in model.outputs[0].axes if axis.id == "y")
    assert y.size.offset == -network.description.architecture.size_loss_px
    assert model.config.model_extra["napari_unet"]["history"][1]["started_from"] == "nuclei"
    folder = save_bioimageio_package_as_folder(model, output_path=tmp_path / "opened")
    again = load_checkpoint(Path(folder) / "tiny-cells.safetensors")
    assert again.description == network.description
    raw = np.load(Path(folder) / "test_input.npy")
    assert raw[0, 0, 0, 0] in image
    assert "250 steps from 'nuclei'" in (Path(folder) / "README.md").read_text("utf-8")
    assert (Path(folder) / "cover.png").exists()


@needs_bioimageio
def test_package_is_made_offline_and_without_a_word(
    translated: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import socket

    monkeypatch.setattr(export_module, "onnx_model", lambda _network: translated)

    def refuse(*_: Any) -> None:
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    export_model(network_of(small()), tmp_path / "cells", format="bioimageio")

    assert capfd.readouterr() == ("", "")


@needs_bioimageio
@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ("", r"'tiny cells' does not say under which licence it may be used; .*licence='MIT'"),
        ("free for friends", r"The licence is 'free for friends', which is no SPDX identifier; "),
    ],
)
def test_package_without_a_licence_is_refused_before_any_work(
    licence: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=says):
        next(
            iterate_export(
                network_of(small(), licence=licence), tmp_path / "a", format="bioimageio"
            )
        )


@needs_bioimageio
def test_package_that_fails_the_test_is_not_written(
    translated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.engine.export import example as example_module

    network = network_of(small())
    honest = example_module.reference_scores
    monkeypatch.setattr(export_module, "onnx_model", lambda _network: translated)
    monkeypatch.setattr(example_module, "reference_scores", lambda *given: 1 - honest(*given))

    with pytest.raises(
        CheckpointError, match=r"does not take the package .*disagree with expected"
    ):
        export_model(network, tmp_path / "a", format="bioimageio")

    assert list(tmp_path.iterdir()) == []


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in export_formats()])
def test_existing_files_are_replaced_only_when_told(name: str, tmp_path: Path) -> None:
    kind = next(each for each in export_formats() if each.name == name)
    kind.path(tmp_path / "a").write_text("before")

    with pytest.raises(CheckpointError, match="exists; choose another name or allow overwriting"):
        export_model(network_of(small()), tmp_path / "a", format=name)

    assert kind.path(tmp_path / "a").read_text() == "before"


def test_note_of_another_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")

    with pytest.raises(CheckpointError, match=r"a\.json' exists"):
        export_model(network_of(small()), tmp_path / "a.pt", format="state-dict")

    export_model(network_of(small()), tmp_path / "a.pt", format="state-dict", overwrite=True)
    assert "tiny cells" in (tmp_path / "a.json").read_text()


@pytest.mark.parametrize("name", ["onnx", "state-dict", "safetensors"])
def test_missing_folder_is_told_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Cannot write .*choose a folder that exists"):
        export_model(network_of(small()), tmp_path / "nowhere" / "a", format=name)


@pytest.mark.parametrize(
    ("name", "extra"), [("onnx", r"\[onnx\]"), ("bioimageio", r"\[bioimageio,onnx\]")]
)
def test_missing_packages_are_named_by_their_extra(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "find_spec", lambda _name: None)

    with pytest.raises(CheckpointError, match=rf"pip install \"napari-unet-cells{extra}\""):
        export_model(network_of(small()), tmp_path / "a", format=name)


def test_formats_are_listed_with_whether_they_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(name: str) -> Any:
        if name.startswith("bioimageio."):
            raise ModuleNotFoundError(name)  # as Python does where the outer package is missing
        return object()

    monkeypatch.setattr(export_module, "find_spec", find)

    found = {each.name: each.is_installed for each in export_formats()}
    assert found == {"bioimageio": False, "onnx": True, "state-dict": True, "safetensors": True}


@needs_bioimageio
def test_image_that_does_not_fit_is_told_before_the_long_part(tmp_path: Path) -> None:
    wrong = np.zeros((2, 5, 64, 64), np.uint8)

    with pytest.raises(ImageError, match=r"The image has shape \(2, 5, 64, 64\)"):
        next(iterate_export(network_of(small()), tmp_path / "a", format="bioimageio", image=wrong))


def test_ready_made_network_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True, slots=True)
    class ReadyMade(UNetConfig):
        @property
        def is_trainable(self) -> bool:
            return False

    network = network_of(small())
    network.description = replace(network.description, architecture=ReadyMade(classes=3))

    with pytest.raises(CheckpointError, match="pass on the file that it came in"):
        export_model(network, tmp_path / "a", format="safetensors")


def test_unknown_format_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="use one of bioimageio, onnx, state-dict, safetensors"):
        export_model(network_of(small()), tmp_path / "a", format="keras")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"authors": ("A/B",)}, "give a name, without a slash"),
        ({"authors": (" ",)}, "give a name"),
        ({"citations": ("https://doi.org/10.1/2",)}, "give a DOI, such as 10.1007"),
    ],
)
def test_settings_that_no_package_takes_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UNetError, match=says):
        ExportSettings(**wrong)
