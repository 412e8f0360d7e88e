"""What the README tells a newcomer to type."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import napari_unet.cli.program
from napari_unet.files.samples import sample_files

README = Path(__file__).parents[1] / "README.md"


def _code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.M)


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = _code_blocks("python")
    picture, _ = sample_files("fluorescence")
    shutil.copy(picture, tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)

    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102

    result, image = names["result"], names["image"]
    assert result.labels.shape == image.shape
    assert result.labels.max() > 80  # a person saw 106
    assert result.scores.shape[1:] == image.shape


def test_command_examples_name_commands_that_exist() -> None:
    named = re.findall(r"^napari-unet ([a-z-]+)", "".join(_code_blocks("")), re.MULTILINE)

    assert set(named) == set(napari_unet.cli.program.COMMANDS) - {"demo"}
