"""`napari-unet segment` says once which other model fits better what it finds doubtful."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.cli import better_model, main
from napari_unet.engine.base.errors import DeviceError
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.versions import kept_versions

Make = Callable[..., Network]
Save = Callable[..., str]


@pytest.fixture
def bright(sure_above: Make, tmp_path: Path) -> str:
    """A model that doubts what it finds in dim squares."""
    return str(save_checkpoint(sure_above(0.5), tmp_path / "bright"))


@pytest.fixture
def folder(tmp_path: Path, dim_squares: NDArray[np.uint8], save_image: Save) -> str:
    """Four images of dim squares."""
    (tmp_path / "in").mkdir()
    for name in "abcd":
        save_image(tmp_path / "in" / f"{name}.tif", dim_squares)
    return str(tmp_path / "in")


def segmented(folder: str, tmp_path: Path, model: str, output: Any) -> list[str]:
    """Segment a folder; return what was said of other models."""
    assert main(["segment", folder, "-o", str(tmp_path / "out"), "--model", model]) == 0
    out, error = output.read()
    assert len(out.splitlines()) == 4
    assert error.count("not to be trusted") == 4
    return [line for line in error.splitlines() if "ther model" in line or "fits better" in line]


def test_it_is_said_once_in_a_run_and_the_option_can_be_copied(
    folder: str, bright: str, sure_above: Make, tmp_path: Path, output: Any
) -> None:
    kept_versions().keep(sure_above(0.25), name="dim cells")

    (line,) = segmented(folder, tmp_path, bright, output)

    assert line.endswith(
        f": This image looks unlike what '{bright}' learned; 'dim cells' fits better: "
        "--model 'dim cells'"
    )
    assert (tmp_path / "out" / "summary.csv").read_text().count("fits better") == 1
    again = ["segment", folder, "-o", str(tmp_path / "again"), "--model", "dim cells"]
    assert main(again) == 0
    assert output.read()[1] == ""


def test_nothing_is_said_where_no_model_fits_and_few_images_are_tried(
    folder: str,
    bright: str,
    sure_above: Make,
    tmp_path: Path,
    output: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept_versions().keep(sure_above(0.51), name="no better")
    engine, trials = better_model.iterate_suggestion, []

    def noted(*arguments: Any, **options: Any) -> Any:
        trials.append(arguments)
        return engine(*arguments, **options)

    monkeypatch.setattr(better_model, "iterate_suggestion", noted)

    assert segmented(folder, tmp_path, bright, output) == []
    assert len(trials) == 3


def test_a_trial_that_fails_costs_no_image(
    folder: str, bright: str, tmp_path: Path, output: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise DeviceError("The GPU is gone; start again.")

    monkeypatch.setattr(better_model, "iterate_suggestion", fail)

    (line,) = segmented(folder, tmp_path, bright, output)

    assert line.endswith("Other models could not be tried on it: The GPU is gone; start again.")
    assert len(list((tmp_path / "out").glob("*.tif"))) == 4
