"""Tables of types of cells: read as people write them, and refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError
from napari_unet.files.cell_types import (
    read_cell_types,
    read_probabilities,
    tables_of,
    write_cell_types,
)

LABELS = np.array([[1, 2, 0, 30]])


def table(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "cells.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "label,type\n1,mitotic\n30,other\n",
        "Label;Area;Type\r\n1;12,5;mitotic\r\n30;9,5; other \r\n",
        "index\ttype\n30.0\tother\n1.0\tmitotic\n2.0\t\n\n",
    ],
)
def test_tables_of_several_programs_are_read(tmp_path: Path, text: str) -> None:
    assert read_cell_types(table(tmp_path, text), LABELS) == {1: "mitotic", 30: "other"}


def test_a_table_of_excel_begins_with_a_mark(tmp_path: Path) -> None:
    path = table(tmp_path, "label,type\n2,größer\n", encoding="utf-8-sig")
    assert read_cell_types(path, LABELS) == {2: "größer"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has the columns none; a table of the types of cells has"),
        ("cell,kind\n1,a\n", "has the columns cell, kind; a table"),
        ("label,type\n1,a\n1,b\n", "Line 3 of .* tells the type of label 1 again"),
        ("label,type\n1,a\n7,b\n8,b\n", r"tells the type of label 7 \(and 1 more\), which is not"),
        ("label,type\n1,a\nx,b\n", "Line 3 of .* has the label 'x'"),
        ("label,type\n0,a\n", "has the label '0'"),
        ("label,type\n1.5,a\n", "has the label '1.5'"),
        ("label,type\ninf,a\n", "has the label 'inf'"),
    ],
)
def test_what_is_no_table_of_these_cells_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FileError, match=said):
        read_cell_types(table(tmp_path, text), LABELS)


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Cannot read the types of cells"):
        read_cell_types(table(tmp_path, "label,type\n1,größer\n", encoding="latin-1"), LABELS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_cell_types(tmp_path / "t.csv", {30: "a", 1: "b"}, {1: 0.75})
    assert (tmp_path / "t.csv").read_text() == "label,type,probability\n1,b,0.7500\n30,a,\n"
    assert read_cell_types(tmp_path / "t.csv", LABELS) == {1: "b", 30: "a"}
    assert read_probabilities(tmp_path / "t.csv") == {1: 0.75}
    with pytest.raises(FileError, match="exists already"):
        write_cell_types(tmp_path / "t.csv", {}, {})


def test_tables_have_the_names_of_the_labels_or_of_the_images(tmp_path: Path) -> None:
    for name in ("a_masks_types.csv", "b.csv"):
        (tmp_path / name).touch()
    pairs = [(Path(f"i/{n}.png"), Path(f"l/{n}_masks.tif")) for n in "abc"]

    assert tables_of(tmp_path, pairs) == {
        pairs[0][1]: tmp_path / "a_masks_types.csv",
        pairs[1][1]: tmp_path / "b.csv",
    }
    assert tables_of(tmp_path / "b.csv", pairs[:1]) == {pairs[0][1]: tmp_path / "b.csv"}
    with pytest.raises(FileError, match="is one table, and there are 3 label images"):
        tables_of(tmp_path / "b.csv", pairs)
    with pytest.raises(FileError, match=r"No table in .* has the name of a label image"):
        tables_of(tmp_path, pairs[2:])
    with pytest.raises(FileError, match="There is no table of types"):
        tables_of(tmp_path / "elsewhere", pairs)
