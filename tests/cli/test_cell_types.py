"""Types of cells on the command line: learned from tables, and written as tables."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.training.typed_start import with_types

Output = Any
QUICK = ["--batch-size", "1", "--patch-size", "16", "--steps", "1", "--precision", "float32"]
QUICK += ["--device", "cpu"]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "types"
    folder.mkdir()
    for index in range(2):
        (folder / f"{index}.csv").write_text("label,type\n1,small\n2,large\n")
    return folder


def test_a_model_learns_the_types_of_the_tables(
    tmp_path: Path, model: str, training_folders: list[str], tables: Path, output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "mine"), "--from", model, *QUICK]

    assert main([*words, "--cell-types", str(tables), "--validation-fraction", "0"]) == 0

    description = load_checkpoint(tmp_path / "mine.safetensors").description
    assert description.cell_types == ("large", "small")
    _, error = output.read()
    assert "1 label image without a table of types" in error
    assert "2 of 6 cells have no type" in error


def test_a_new_model_says_the_types_that_it_learns(
    tmp_path: Path, training_folders: list[str], tables: Path, output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "mine"), *QUICK]
    words += ["--base-width", "4", "--depth", "1", "--cell-types", str(tables)]

    assert main([*words, "--validation-fraction", "0"]) == 0

    assert "learns background, cell: large, cell: small, border" in output.read()[0]


def test_types_of_classes_and_tables_of_other_cells_are_refused(
    tmp_path: Path, training_folders: list[str], tables: Path, output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "mine"), *QUICK]
    words += ["--cell-types", str(tables)]

    assert main([*words, "--label-kind", "classes"]) == 1
    assert "--cell-types are of labels whose numbers are cells" in output.complaint()
    (tables / "0.csv").write_text("label,type\n1,small\n9,large\n")
    assert main([*words, "--validation-fraction", "0"]) == 1
    assert "tells the type of label 9, which is not in the label image" in output.read()[1]


def test_segment_writes_the_type_of_each_cell_and_counts_them(
    tmp_path: Path, bright_is_cell: Any, cells_image: Any, save_image: Any, output: Output
) -> None:
    network = with_types(bright_is_cell(), ("large", "small"))
    network.unet.head.bias.data[1] += 1
    model = str(save_checkpoint(network, tmp_path / "typed"))
    for name in "ab":
        save_image(tmp_path / f"{name}.png", cells_image())
    images = [str(tmp_path / f"{name}.png") for name in "ab"]

    words = ["segment", *images, "--model", model, "--device", "cpu"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    assert main([*words[:2], *words[3:], "-o", str(tmp_path / "one.tif")]) == 0

    assert "a.png: 2 cells (2 large, 0 small) in " in output.read()[0]
    for path in (tmp_path / "out" / "types" / "b.csv", tmp_path / "one_types.csv"):
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [(row["label"], row["type"]) for row in rows] == [("1", "large"), ("2", "large")]
        # Of two types, one of which is e times as likely as the other.
        share = np.e / (1 + np.e)
        assert [float(row["probability"]) for row in rows] == pytest.approx([share] * 2, abs=1e-3)
