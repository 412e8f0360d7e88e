"""`napari-unet export` as a user meets it, and what the documentation says to do with the files."""

import json
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig

pytest.importorskip("onnxruntime")

PAGE = Path(__file__).parents[2] / "docs" / "export.md"

pytestmark = pytest.mark.filterwarnings(
    # bioimageio.spec leaves files open.
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::ResourceWarning",
)


def has_bioimageio() -> bool:
    if find_spec("bioimageio") is None:
        return False
    pydantic, spec = (
        tuple(int(part) for part in version(name).split(".")[:3])
        for name in ("pydantic", "bioimageio.spec")
    )
    return pydantic < (2, 14, 0) or spec >= (0, 5, 13)


needs_bioimageio = pytest.mark.skipif(
    not has_bioimageio(),
    reason="needs bioimageio.core, and for it pydantic below 2.14, as in constraints.txt",
)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = UNetConfig(base_width=4, depth=1)
    history = ({"date": "2026-11-20", "started_from": "nuclei", "steps": 250},)
    description = NetworkDescription("mine", config, licence="MIT", history=history)
    return save_checkpoint(Network(UNet(config).eval(), description), tmp_path / "mine")


def test_onnx_is_written_under_the_models_name_and_told_to_be_right(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--to", "onnx"]) == 0

    out, error = capsys.readouterr()
    assert out.startswith("mine.onnx  0.0 MB\nONNX Runtime gives the same output as we do")
    assert error == ""
    assert Path("mine.onnx").exists()


def test_state_dict_goes_into_a_folder_with_its_note(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--to", "state-dict", "-o", "for/bob/cells"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:2] == [str(Path("for/bob/cells.pt")), str(Path("for/bob/cells.json"))]
    facts = json.loads(Path("for/bob/cells.json").read_text("utf-8"))
    assert facts["history"] == "2026-11-20: 250 steps from 'nuclei'"

    Path("there").mkdir()
    assert main(["export", str(model), "--to", "state-dict", "-o", "there"]) == 0
    assert sorted(path.name for path in Path("there").iterdir()) == ["mine.json", "mine.pt"]


def test_the_ending_of_the_file_says_what_is_written_where_nothing_else_does(model: Path) -> None:
    assert main(["export", str(model), "-o", "cells.PT"]) == 0

    assert sorted(path.name for path in Path().glob("cells*")) == ["cells.PT", "cells.json"]
    assert load_checkpoint(Path("cells.PT")).description.architecture.widths == (4, 8)


def test_nothing_is_replaced_unasked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(model), "--to", "safetensors", "--licence", "CC0-1.0"]

    assert main(words) == 1
    assert "exists; choose another name or allow overwriting it." in capsys.readouterr().err
    assert load_checkpoint(model).description.licence == "MIT"

    assert main([*words, "--overwrite"]) == 0
    assert load_checkpoint(model).description.licence == "CC0-1.0"


@needs_bioimageio
def test_package_asks_for_what_the_collection_wants(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--licence", "mine alone"]) == 1
    assert "The licence is 'mine alone', which is no SPDX identifier" in capsys.readouterr().err

    assert main(["export", str(model)]) == 0
    out, error = capsys.readouterr()
    assert "The package passes the test of bioimageio.core" in out
    assert "names no authors; the BioImage Model Zoo asks for them (--authors)" in error


@pytest.mark.skipif(not PAGE.is_file(), reason="there is no docs/ here")
@needs_bioimageio
def test_examples_of_the_documentation_give_our_scores(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.random.default_rng(0).gamma(2.0, 20.0, (96, 80)).astype(np.uint8)
    tifffile.imwrite("image.tif", image)
    for name in ("bioimageio", "onnx", "state-dict"):
        assert main(["export", str(model), "--to", name, "--authors", "Ada L.", "Mary S."]) == 0
    assert capsys.readouterr().err == ""
    ours = segment(image, load_checkpoint(model), precision="float32", device="cpu").scores
    assert ours is not None

    text = PAGE.read_text("utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names: list[dict[str, Any]] = []
    for example in examples:
        names.append({})
        exec(example, names[-1])  # noqa: S102

    package, onnx, state_dict, python = names
    inside = (slice(None), slice(16, -16), slice(16, -16))
    np.testing.assert_allclose(package["scores"][inside], ours[inside], atol=1e-4)
    np.testing.assert_allclose(onnx["scores"], ours, atol=1e-4)
    with torch.inference_mode():
        scores = torch.softmax(state_dict["unet"](torch.from_numpy(onnx["batch"])), 1)
    np.testing.assert_allclose(scores[0].numpy(), ours, atol=1e-4)
    assert python["written"].path == Path("again.onnx")
