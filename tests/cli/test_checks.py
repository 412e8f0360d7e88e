"""What is found in files before the work: told in a line each, or refused with the way out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import checks, main
from napari_unet.files.images import read_labels, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]

STEP = ["--batch-size", "1", "--patch-size", "16", "--precision", "float32", "--device", "cpu"]
STEP += ["--steps", "1"]


def as_masks(folder: Path, *names: str) -> None:
    """Replace label images by masks, 255 where there is a cell."""
    for name in names:
        labels = read_labels(folder / name).array
        write_labels(folder / name, np.where(labels > 0, 255, 0), overwrite=True)


@pytest.fixture
def picture() -> np.ndarray:
    """An image of 60 x 60 pixels as a camera takes it."""
    y, x = np.indices((60, 60))
    away = np.hypot(y % 20 - 10, x % 20 - 10)
    noise = np.random.default_rng(0).normal(0, 4, (60, 60))
    return (20 + 150 * np.clip(7 - away, 0, 1) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def pictured_cells() -> np.ndarray:
    """Labels of that image, one number for each of nine cells."""
    y, x = np.indices((60, 60))
    is_cell = np.hypot(y % 20 - 10, x % 20 - 10) < 7
    return np.where(is_cell, 1 + 3 * (y // 20) + x // 20, 0).astype(np.uint8)


# -- train -----------------------------------------------------------------------------------------


def test_masks_are_refused_for_a_training_unless_it_is_wanted(
    tmp_path: Path, output: Output, train_words: list[str]
) -> None:
    as_masks(tmp_path / "labels", *(f"{number}_masks.tif" for number in range(3)))
    train_words += STEP

    assert main(train_words) == 1

    assert output.complaint() == (
        "'0.png' is a mask: 2 separate pieces have the one number 255, so the network would take "
        "them for one cell. The same goes for 2 more: 1.png, 2.png. Number the pieces first, which "
        "the Train widget offers, and in Python napari_unet.repair. Or go on with --no-checks."
    )
    assert not (tmp_path / "m.safetensors").exists()
    assert main([*train_words, "--no-checks"]) == 0
    assert output.complaint().startswith("The network has hardly learned")


def test_one_mask_among_others_is_told_and_the_training_goes_on(
    tmp_path: Path, output: Output, train_words: list[str]
) -> None:
    as_masks(tmp_path / "labels", "1_masks.tif")
    train_words += STEP

    assert main(train_words) == 0

    assert output.read()[1].startswith(
        "napari-unet: '1.png' is a mask: 2 separate pieces have the one number"
    )


def test_folders_given_the_wrong_way_round_are_refused(
    tmp_path: Path,
    model: str,
    output: Output,
    picture: np.ndarray,
    pictured_cells: np.ndarray,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / "image.tif", picture)
    write_labels(tmp_path / "labels.tif", pictured_cells)
    files = [image, str(tmp_path / "labels.tif")]
    words = ["-o", str(tmp_path / "m"), "--from", model, *STEP]

    assert main(["train", *reversed(files), *words]) == 1
    assert output.complaint() == (
        "'labels.tif' looks like an image rather than labels, as most pixels have another number "
        "than their neighbours; and its image like labels, so give the two the other way round. "
        "Or go on with --no-checks."
    )

    write_labels(tmp_path / "copy.tif", pictured_cells)
    assert main(["train", files[1], str(tmp_path / "copy.tif"), *words]) == 1
    assert "looks like labels or a mask rather than an image of cells" in output.complaint()

    assert main(["train", *files, *words]) == 0
    # One step is told to be too few, and nothing else is said.
    assert output.complaint().startswith("The network has hardly learned")


def test_many_images_are_looked_at_evenly_and_that_is_said(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    monkeypatch.setattr(checks, "MOST_LOOKED_AT", 2)
    as_masks(tmp_path / "labels", "1_masks.tif")
    train_words += STEP

    assert main([*train_words, "--validation-fraction", "0"]) == 0

    assert output.read()[1].startswith(
        "napari-unet: looking at 2 of 3 images and their labels for what may spoil the result.\n"
    )


def test_some_of_many_are_the_first_the_last_and_those_between() -> None:
    assert checks.evenly(range(11), 3) == [0, 5, 10]
    assert checks.evenly(range(2), 3) == [0, 1]


# -- evaluate --------------------------------------------------------------------------------------


def test_masks_are_refused_for_an_evaluation_unless_it_is_wanted(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    truth, prediction = str(tmp_path / "t.tif"), str(tmp_path / "p.tif")
    write_labels(Path(truth), cells_labels() > 0)
    write_labels(Path(prediction), cells_labels())

    assert main(["evaluate", truth, prediction]) == 1

    complaint = output.complaint()
    assert complaint.startswith(
        f"'{truth}' is a mask: 2 separate pieces have the one number 1, so "
    )
    assert "they count as one cell" in complaint
    assert complaint.endswith("Or go on with --no-checks.")
    assert main(["evaluate", truth, prediction, "--no-checks", "--json"]) == 0
    out, error = output.read()
    assert json.loads(out)["images"][0]["true_cells"] == 1
    assert error == ""


def test_number_in_several_places_is_told_beside_the_table(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    torn = np.hstack([cells_labels(), cells_labels()])
    for name in ("t.tif", "u.tif"):
        write_labels(tmp_path / name, torn)

    assert main(["evaluate", str(tmp_path / "t.tif"), str(tmp_path / "u.tif")]) == 0

    out, error = output.read()
    assert "2 true cells" in out
    assert f"2 numbers lie in several places of '{tmp_path / 't.tif'}', in 4 pieces" in error


# -- weight-map ------------------------------------------------------------------------------------


def test_image_is_no_labels_to_draw_weights_of(
    tmp_path: Path, output: Output, picture: np.ndarray, save_image: Callable[..., str]
) -> None:
    image = save_image(tmp_path / "a.tif", picture)
    words = ["weight-map", image, "-o", str(tmp_path / "w.tif")]

    assert main(words) == 1

    assert output.complaint() == (
        f"'{image}' looks like an image rather than labels, as most pixels have another number "
        "than their neighbours; choose the labels of this image. Or go on with --no-checks."
    )
    assert not (tmp_path / "w.tif").exists()
    assert main([*words, "--no-checks"]) == 0


def test_cells_that_share_a_number_are_told_unless_pieces_are_numbered(
    tmp_path: Path, output: Output, cells_labels: Pixels
) -> None:
    write_labels(tmp_path / "a.tif", np.hstack([cells_labels(), cells_labels()]))
    words = ["weight-map", str(tmp_path / "a.tif"), "-o", str(tmp_path / "w.tif"), "--overwrite"]

    assert main(words) == 0
    assert output.complaint().endswith("cells that do not touch need numbers of their own.")
    assert main([*words, "--pieces"]) == 0
    assert output.read()[1] == ""


# -- segment ---------------------------------------------------------------------------------------


def test_labels_among_images_are_refused_and_the_others_are_segmented(
    tmp_path: Path, model: str, output: Output, picture: np.ndarray, pictured_cells: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    write_labels(tmp_path / "in" / "a.tif", picture)
    write_labels(tmp_path / "in" / "b.tif", pictured_cells)
    words = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model]

    assert main(words) == 1

    error = output.read()[1].splitlines()
    assert error[0] == (
        f"napari-unet: '{tmp_path / 'in' / 'b.tif'}' looks like labels or a mask rather than an "
        "image of cells. Choose the image that it was made from. Or go on with --no-checks."
    )
    (line,) = error[1:]
    assert line == (
        "napari-unet: 1 of 2 images failed: b.tif. To do only these again: napari-unet segment "
        f"--continue -o {tmp_path / 'out'}"
    )
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == ["a.tif"]
    assert main([*words, "--no-checks", "--overwrite"]) == 0
    assert output.read()[1] == ""


def test_channels_that_are_mixed_are_told_with_the_option_that_chooses_one(
    tmp_path: Path,
    model: str,
    output: Output,
    picture: np.ndarray,
    save_image: Callable[..., str],
) -> None:
    channels = np.stack([picture // 4, picture, picture // 4])
    image = save_image(tmp_path / "a.tif", channels, imagej=True, metadata={"axes": "CYX"})
    words = ["segment", image, "-o", str(tmp_path / "out.tif"), "--model", model]

    assert main(words) == 0

    assert output.complaint() == (
        f"The 3 channels of '{image}' are mixed into grey as if they were red, green and blue. "
        "Choose the one that shows the cells (--channel 2 --channel-axis 0)."
    )


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_images_and_masks_in_one_folder_are_no_two_results(
    tmp_path: Path,
    output: Output,
    picture: np.ndarray,
    pictured_cells: np.ndarray,
    save_image: Callable[..., str],
    command: str,
) -> None:
    image = save_image(tmp_path / "x.tif", picture)
    write_labels(tmp_path / "x_masks.tif", pictured_cells)

    assert main([command, str(tmp_path), str(tmp_path)]) == 1

    assert f"'{image}' looks like an image rather than labels" in output.complaint()
