"""`napari-unet track` as a user meets it."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.files.images import write_labels
from napari_unet.files.tracking_challenge import read_challenge

pytest.importorskip("laptrack")

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""


def moving(frames: int = 3) -> np.ndarray:
    """Two squares that change their numbers in each frame; one goes right."""
    stack = np.zeros((frames, 24, 40), np.uint8)
    for at, image in enumerate(stack):
        image[2:8, 2 + at : 8 + at] = 1 + at % 2
        image[14:20, 30:36] = 2 - at % 2
    return stack


def test_a_file_with_all_frames_becomes_a_folder_of_the_challenge(
    tmp_path: Path, output: Output
) -> None:
    write_labels(tmp_path / "film.tif", moving(), axes="TYX")
    words = ["track", str(tmp_path / "film.tif"), "-o", str(tmp_path / "RES")]
    tables = ["--table", str(tmp_path / "cells.csv"), "--counts", str(tmp_path / "counts.csv")]
    assert main([*words, *tables]) == 0
    line, error = output.read()
    assert line.startswith("film.tif: 3 frames of 2 cells, 2 tracks, 0 divisions -> ")
    assert error == ""
    read = read_challenge(tmp_path / "RES")
    assert read.labels[:, 16, 32].tolist() == [2, 2, 2]
    assert read.labels[2, 4, 9] == 1
    with (tmp_path / "cells.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["track"] for row in rows] == list("111222")
    assert rows[2] == {
        "track": "1",
        "frame": "2",
        "y": "4.5",
        "x": "6.5",
        "label": "1",
        "area_px": "36",
        "parent": "0",
    }
    assert (tmp_path / "counts.csv").read_text().split() == ["frame,cells", "0,2", "1,2", "2,2"]


def test_a_folder_of_frames_is_read_in_natural_order(tmp_path: Path, output: Output) -> None:
    (tmp_path / "frames").mkdir()
    stack = moving(11)
    stack[10] = 0
    for at, image in enumerate(stack):
        tifffile.imwrite(tmp_path / "frames" / f"t{at}.tif", image)
    assert main(["track", str(tmp_path / "frames"), "-o", str(tmp_path / "RES")]) == 0
    assert "frames: 11 frames of 0 to 2 cells, 2 tracks, 0 divisions" in output.read()[0]
    assert not read_challenge(tmp_path / "RES").labels[10].any()


def test_settings_are_options(tmp_path: Path, output: Output) -> None:
    write_labels(tmp_path / "film.tif", moving(), axes="TYX")
    words = ["track", str(tmp_path / "film.tif"), "-o", str(tmp_path / "RES")]
    assert main([*words, "--largest-move", "0"]) == 1
    assert output.complaint() == "--largest-move is 0; use 1 or more pixels."
    assert not (tmp_path / "RES").exists()


def test_slices_that_may_be_no_frames_are_told_once(tmp_path: Path, output: Output) -> None:
    write_labels(tmp_path / "stack.tif", moving(), axes="ZYX")
    assert main(["track", str(tmp_path / "stack.tif"), "-o", str(tmp_path / "RES")]) == 0
    assert output.complaint().endswith(
        "the file does not say that its first axis is time; each slice is taken for a frame."
    )


def test_what_cannot_be_tracked_is_refused_before_anything_is_written(
    tmp_path: Path, output: Output
) -> None:
    write_labels(tmp_path / "plane.tif", moving()[0])
    words = ["track", str(tmp_path / "plane.tif"), "-o", str(tmp_path / "RES")]
    assert main(words) == 1
    assert "a time series has frames of 2 or 3 axes" in output.complaint()
    (tmp_path / "frames").mkdir()
    for name, side in (("a", 8), ("b", 9)):
        tifffile.imwrite(tmp_path / "frames" / f"{name}.tif", np.eye(side, dtype=np.uint8))
    assert main(["track", str(tmp_path / "frames"), "-o", str(tmp_path / "RES")]) == 1
    assert "b.tif' has shape (9, 9), and 'a.tif' (8, 8)" in output.complaint()
    assert not (tmp_path / "RES").exists()


def test_masks_are_refused(tmp_path: Path, output: Output) -> None:
    write_labels(tmp_path / "film.tif", (moving() > 0).astype(np.uint8), axes="TYX")
    words = ["track", str(tmp_path / "film.tif"), "-o", str(tmp_path / "RES")]
    assert main(words) == 1
    assert "--no-checks" in output.complaint()
    assert main([*words, "--no-checks"]) == 0


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, output: Output) -> None:
    write_labels(tmp_path / "film.tif", moving(), axes="TYX")
    assert main(["track", str(tmp_path / "film.tif"), "-o", str(tmp_path)]) == 1
    assert "is not empty" in output.complaint()


def test_without_laptrack_the_extra_is_named(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "laptrack", None)
    write_labels(tmp_path / "film.tif", moving(), axes="TYX")
    assert main(["track", str(tmp_path / "film.tif"), "-o", str(tmp_path / "RES")]) == 1
    assert "pip install 'napari-unet-cells[tracks]'" in output.complaint()
