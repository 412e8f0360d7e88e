"""`napari-unet segment --volume`: whole cells of stacks, and the offer where there are discs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_unet.cli import main
from napari_unet.files.images import read_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""


def stack() -> np.ndarray:
    """Two cells beside each other, one in all slices and one in two."""
    is_cell = np.zeros((6, 24, 32), bool)
    is_cell[:, 3:9, 3:9] = is_cell[1:3, 14:20, 14:20] = True
    noise = np.random.default_rng(0).integers(0, 30, is_cell.shape)
    return (noise + 200 * is_cell).astype(np.uint8)


@pytest.fixture
def volume(tmp_path: Path, save_image: Callable[..., str]) -> str:
    options = {"imagej": True, "resolution": (4, 4)}
    metadata = {"axes": "ZYX", "spacing": 0.25, "unit": "um"}
    return save_image(tmp_path / "stack.tif", stack(), metadata=metadata, **options)


def test_discs_come_with_the_offer_and_linked_they_are_whole(
    tmp_path: Path, model: str, output: Output, volume: str
) -> None:
    words = ["segment", volume, "--model", model, "-o", str(tmp_path / "out.tif"), "--overwrite"]

    assert main([*words, "--every-slice"]) == 0
    out, error = output.read()
    assert "stack.tif: 8 cells in " in out
    assert error.endswith(
        "stack.tif: These are 8 discs in the 6 slices of 'stack.tif', because a cell counts in "
        "each slice that it reaches; linked where neighbouring slices overlap they are 2 cells. "
        "To link them: --volume linked.\n"
    )

    for way in ("linked", "three_planes"):
        assert main([*words, "--volume", way, "--min-seed", "1"]) == 0
        out, error = output.read()
        assert "stack.tif: 2 cells in " in out
        assert error == ""
        labels = read_labels(tmp_path / "out.tif").array
        assert np.array_equal(labels > 0, stack() > 100)


def test_whole_cells_are_measured_as_volumes(
    tmp_path: Path, model: str, output: Output, volume: str
) -> None:
    words = ["segment", volume, "--model", model, "-o", str(tmp_path / "out.tif")]

    assert main([*words, "--volume", "linked", "--measure"]) == 0

    (table,) = tmp_path.glob("out_*.csv")
    assert len(pd.read_csv(table, comment="#")) == 2
    assert "2 cells" in output.read()[0]


def test_frames_of_a_movie_are_not_linked_and_not_offered(
    tmp_path: Path, model: str, output: Output, save_image: Callable[..., str]
) -> None:
    movie = save_image(tmp_path / "movie.tif", stack(), imagej=True, metadata={"axes": "TYX"})
    words = ["segment", movie, "--model", model, "-o", str(tmp_path / "out.tif")]

    assert main([*words, "--every-slice"]) == 0
    assert output.read()[1] == ""

    assert main([*words, "--overwrite", "--volume", "linked"]) == 1
    assert "is a time series, whose frames --volume linked would take" in output.complaint()


def test_unknown_distance_between_slices_is_told(
    tmp_path: Path, model: str, output: Output, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "plain.tif", stack(), photometric="minisblack")
    words = ["segment", image, "--model", model, "-o", str(tmp_path / "out.tif")]

    assert main([*words, "--volume", "three_planes"]) == 0
    assert "does not say how far apart its slices are" in output.complaint()

    assert main([*words, "--overwrite", "--volume", "three_planes", "--anisotropy", "2"]) == 0
    assert output.read()[1] == ""
