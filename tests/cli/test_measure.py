"""`napari-unet measure` as a user meets it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.files.images import write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def folders(
    tmp_path: Path, cells_image: Pixels, cells_labels: Pixels, save_image: Callable[..., str]
) -> tuple[Path, Path]:
    """Label images a_masks.tif and b_masks.tif of half a micrometre, and images a.png and b.png."""
    labels, images = tmp_path / "labels", tmp_path / "images"
    images.mkdir()
    for name in "ab":
        write_labels(labels / f"{name}_masks.tif", cells_labels(), pixel_size_um=(0.5, 0.5))
        save_image(images / f"{name}.png", cells_image())
    return labels, images


def test_each_label_image_gets_a_table_with_units_and_intensities(
    tmp_path: Path, folders: tuple[Path, Path], output: Output
) -> None:
    labels, images = folders
    words = ["measure", str(labels), "-o", str(tmp_path / "out"), "--on", f"dapi={images}"]
    assert main(words) == 0
    first, second = rows_of(tmp_path / "out" / "a_masks.csv")
    assert (first["label"], first["area_um2"], first["centroid_y_um"]) == ("1", "2.25", "2")
    assert (second["area_um2"], second["touches_border"]) == ("4", "False")
    assert second["intensity_mean_dapi"] == "200"
    assert (tmp_path / "out" / "b_masks.csv").exists()
    assert "a_masks.tif: 2 cells -> " in output.read()[0]

    assert main([*words, "--pixels", "--background", "--overwrite"]) == 0
    first, _ = rows_of(tmp_path / "out" / "a_masks.csv")
    assert (first["area_px2"], first["background_dapi"]) == ("9", "3")
    assert first["intensity_sum_dapi"] == str(9 * 197)


def test_one_table_has_a_column_that_names_the_image(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    labels, images = folders
    table = tmp_path / "new" / "all.csv"
    several = [str(path) for path in sorted(labels.iterdir())]
    assert main(["measure", *several, "-o", str(table), "--on", f"dapi={images}"]) == 0
    rows = rows_of(table)
    assert [row["image"] for row in rows] == ["a_masks.tif"] * 2 + ["b_masks.tif"] * 2
    assert list(rows[0])[:2] == ["image", "label"]

    one = tmp_path / "one.csv"
    assert main(["measure", several[0], "-o", str(one), "--on", f"x={images / 'b.png'}"]) == 0
    assert next(iter(rows_of(one)[0])) == "label"
    assert rows_of(one)[0]["intensity_mean_x"] == "200"


def test_labels_and_images_may_lie_in_one_folder(
    tmp_path: Path, cells_image: Pixels, cells_labels: Pixels, save_image: Callable[..., str]
) -> None:
    save_image(tmp_path / "a.png", cells_image())
    write_labels(tmp_path / "a_masks.tif", cells_labels())
    words = [str(tmp_path), "-o", str(tmp_path / "out"), "--on", f"dapi={tmp_path}"]
    assert main(["measure", *words]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_masks.csv"]


def test_a_stack_is_measured_slice_by_slice_or_as_a_whole(
    tmp_path: Path, cells_labels: Pixels, output: Output
) -> None:
    stack = tmp_path / "stack.tif"
    write_labels(stack, cells_labels(3, 24, 32), axes="ZYX", pixel_size_um=(2, 0.5, 0.5))
    table = tmp_path / "t.csv"
    assert main(["measure", str(stack), "-o", str(table)]) == 0
    rows = rows_of(table)
    assert [(row["slice"], row["label"]) for row in rows[:3]] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
    ]
    assert main(["measure", str(stack), "-o", str(table), "--3d", "--overwrite"]) == 0
    first, _ = rows_of(table)
    assert (first["volume_um3"], first["centroid_z_um"]) == (str(27 * 0.5), "2")
    output.read()

    flat = tmp_path / "flat.tif"
    write_labels(flat, cells_labels(3, 24, 32), axes="ZYX", pixel_size_um=(0.5, 0.5))
    assert main(["measure", str(flat), "-o", str(table), "--3d", "--overwrite"]) == 0
    assert "volume_px3" in rows_of(table)[0]
    assert "how far the slices are apart is not known" in output.complaint()

    write_labels(flat, cells_labels(3, 24, 32), axes="TYX", overwrite=True)
    assert main(["measure", str(flat), "-o", str(table), "--3d", "--overwrite"]) == 1
    assert "has frames and no slices; measure it without --3d" in output.complaint()
    assert main(["measure", str(flat), "-o", str(table), "--overwrite"]) == 0
    assert [row["frame"] for row in rows_of(table)] == ["1", "1", "2", "2", "3", "3"]


def test_channels_have_columns_of_their_own(
    tmp_path: Path, cells_labels: Pixels, save_image: Callable[..., str]
) -> None:
    labels, table = tmp_path / "a.tif", tmp_path / "t.csv"
    write_labels(labels, cells_labels())
    colours = np.stack([cells_labels() * 50, cells_labels(), cells_labels() * 0], axis=-1)
    words = ["measure", str(labels), "-o", str(table), "--on"]
    assert main([*words, f"he={save_image(tmp_path / 'a.png', colours)}"]) == 0
    row = rows_of(table)[1]
    named = [row[f"intensity_max_he_{colour}"] for colour in ("red", "green", "blue")]
    assert named == ["100", "2", "0"]

    planes = np.stack([cells_labels(), cells_labels() * 7]).astype(np.uint16)
    file = save_image(tmp_path / "b.tif", planes, imagej=True, metadata={"axes": "CYX"})
    assert main([*words, f"b={file}", "--overwrite"]) == 0
    assert rows_of(table)[1]["intensity_mean_b_2"] == "14"


def test_a_problem_with_one_is_told_and_the_others_go_on(
    tmp_path: Path,
    folders: tuple[Path, Path],
    cells_labels: Pixels,
    save_image: Callable[..., str],
    output: Output,
) -> None:
    labels, images = folders
    write_labels(labels / "c_masks.tif", cells_labels())
    (labels / "d_masks.tif").write_bytes(b"")
    save_image(images / "e.png", np.zeros((4, 4), np.uint8))
    save_image(images / "b.png", np.zeros((4, 4), np.uint8))
    table = tmp_path / "t.csv"
    assert main(["measure", str(labels), "-o", str(table), "--on", f"dapi={images}"]) == 1
    assert {row["image"] for row in rows_of(table)} == {"a_masks.tif"}
    lines = output.read()[1].splitlines()
    assert "1 image of dapi left out, without labels: e.png." in lines[0]
    assert "is 4 x 4 and its labels are 24 x 32; measure on an image of the same grid" in lines[1]
    assert "has no image of 'dapi'" in lines[2]
    assert "d_masks.tif' is empty" in lines[3]
    assert "3 of 4 label images failed" in lines[4]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--on", "images"], "--on images has no name for the columns"),
        (["--on", "a={images}", "--on", "a={images}"], "--on a=... is given twice"),
        (["--on", "a={out}"], "There is no file or folder"),
        (["--on", "a={other}"], "No image of --on a="),
    ],
)
def test_what_makes_no_sense_is_said_before_the_work(
    tmp_path: Path,
    folders: tuple[Path, Path],
    save_image: Callable[..., str],
    output: Output,
    words: list[str],
    complaint: str,
) -> None:
    labels, images = folders
    other = tmp_path / "other"
    other.mkdir()
    save_image(other / "z.png", np.zeros((4, 4), np.uint8))
    places = {"images": images, "other": other, "out": tmp_path / "nothing"}
    out = tmp_path / "t.csv"
    words = [word.format(**places) for word in words]
    assert main(["measure", str(labels), "-o", str(out), *words]) == 1
    assert complaint in output.complaint()
    assert not out.exists()


def test_nothing_is_overwritten_unless_asked_for(
    tmp_path: Path, folders: tuple[Path, Path], output: Output
) -> None:
    out = tmp_path / "t.csv"
    out.write_text("mine")
    assert main(["measure", str(folders[0]), "-o", str(out)]) == 1
    assert "exists already" in output.complaint()
    assert main(["measure", str(folders[0]), "-o", str(tmp_path / "t.tif")]) == 1
    assert "end it in .csv" in output.complaint()
    assert out.read_text() == "mine"


def test_a_picture_is_no_label_image_and_no_cells_are_an_empty_table(
    tmp_path: Path, save_image: Callable[..., str], output: Output
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    picture, table = save_image(tmp_path / "p.png", noise), tmp_path / "t.csv"
    assert main(["measure", picture, "-o", str(table)]) == 1
    assert "Or go on with --no-checks." in output.complaint()
    assert not table.exists()
    write_labels(tmp_path / "none.tif", np.zeros((9, 9), int))
    assert main(["measure", str(tmp_path / "none.tif"), "-o", str(table)]) == 0
    assert rows_of(table) == []
    assert table.read_text().startswith("label,area_px2,")
