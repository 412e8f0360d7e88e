"""The Evaluate form as a script: it runs as it stands, and says the same as the form."""

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from known_labels import grid

from napari_unet.cli.program import main
from napari_unet.files.images import write_labels
from napari_unet.script import EvaluationRecipe, evaluation_command, evaluation_python

RECIPE = EvaluationRecipe("the truth", "cells", right_iou=0.7)


def cells() -> np.ndarray:
    """The first is missed, the second two rows too small: an IoU of 2/3."""
    found = np.where(grid() == 1, 0, grid())
    found[5:7, 11:17] = 0
    return found


def test_the_python_lines_run_in_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    layers = {
        "the truth": SimpleNamespace(data=grid()),
        "cells": SimpleNamespace(data=[cells(), cells()[::2, ::2]]),
    }
    lines = evaluation_python(dataclasses.replace(RECIPE, multiscale=("cells",)))
    exec(lines, {"viewer": SimpleNamespace(layers=layers)})  # noqa: S102 - our own lines
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "F1 0.939, AP 0.885",  # 23 right of 25 true and 24 found cells
        "missed (1,) () 0.0",
        "outline (2,) (2,) 0.667",
    ]


def test_what_is_usual_is_not_said() -> None:
    assert "find_errors(truth, cells)" in evaluation_python(EvaluationRecipe("a", "b"))
    by_slice = EvaluationRecipe("a", "b", by_slice=True)
    assert "find_errors(truth, cells, ndim=2)" in evaluation_python(by_slice)
    assert evaluation_command(by_slice, for_windows=False).splitlines()[1] == (
        "napari-unet evaluate a.tif b.tif --slices --report b_evaluation.html"
    )


def test_the_command_writes_the_report_once_the_layers_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    remark, command = evaluation_command(RECIPE, for_windows=False).splitlines()
    assert remark == (
        "# First save the layers 'the truth' as the_truth.tif, 'cells' as cells.tif (File > Save "
        "Selected Layers)."
    )
    write_labels(tmp_path / "the_truth.tif", grid())
    write_labels(tmp_path / "cells.tif", cells())
    assert main(shlex.split(command)[1:]) == 0
    assert "errors: 1 missed, 1 poor outline" in capsys.readouterr().out
    assert (tmp_path / "cells_evaluation.html").exists()


def test_an_iou_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "a.tif", grid())
    write_labels(tmp_path / "b.tif", cells())
    paths = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    assert main(["evaluate", *paths, "--right-iou", "0.3"]) == 1
    assert "A cell is to be right from an IoU of 0.3 on; use 0.5 to 1" in capsys.readouterr().err


def test_layers_whose_names_make_one_file_get_two() -> None:
    recipe = EvaluationRecipe("a:b", "a;b", image="a b")
    assert evaluation_command(recipe, for_windows=False).splitlines()[1] == (
        "napari-unet evaluate a_b.tif a_b_2.tif --report a_b_evaluation.html --images a_b_3.tif"
    )
