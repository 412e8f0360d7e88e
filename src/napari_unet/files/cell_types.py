"""Tables of the types of cells, as CSV: one row for each label."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason
from napari_unet.files.image_file import image_stem
from napari_unet.files.images import replacing
from napari_unet.files.pairs import names_go_together

if TYPE_CHECKING:
    from napari_unet.engine.images.image import LabelImage
    from napari_unet.engine.labels.cell_types import CellTypes

SUFFIX = ".csv"
COLUMNS = ("label", "type", "probability")
_LABEL_COLUMNS = ("label", "index")
_SEPARATORS = ",;\t"


def read_cell_types(path: Path, labels: LabelImage) -> dict[int, str]:
    """Read the types of the cells of a label image.

    Parameters
    ----------
    path : Path
        With the columns "label" (or "index") and "type", among others; commas,
        semicolons or tabs between them. A row without a type says nothing.
    labels : integer array

    Returns
    -------
    dict of int to str

    Raises
    ------
    FileError
        If it is no such table, or tells of a label twice or of one that is not
        there.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"Cannot read the types of cells '{path}' ({system_reason(error)}); give a CSV table "
            "with the columns label and type."
        ) from error
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip().lower() for name in next(rows, [])]
    label_column = next((name for name in _LABEL_COLUMNS if name in names), None)
    if label_column is None or "type" not in names:
        found = ", ".join(filter(None, names)) or "none"
        raise FileError(
            f"'{path}' has the columns {found}; a table of the types of cells has a column "
            "'label' and a column 'type'."
        )
    label_at, type_at = names.index(label_column), names.index("type")
    types: dict[int, str] = {}
    for row in rows:
        if not any(map(str.strip, row)):
            continue
        number = _number(row[label_at] if label_at < len(row) else "", path, rows.line_num)
        if number in types:
            raise FileError(
                f"'{path}' tells the type of label {number} twice; leave one row for each label."
            )
        types[number] = row[type_at].strip() if type_at < len(row) else ""
    typed = {number: name for number, name in types.items() if name}
    _check_there(path, typed, labels)
    return typed


def _number(text: str, path: Path, line: int) -> int:
    try:
        value = float(text)
        number = int(value)
    except (ValueError, OverflowError):
        number, value = 0, 0.5
    if value != number or number < 1:
        raise FileError(
            f"Line {line} of '{path}' has the label '{text.strip()}'; labels of cells are whole "
            "numbers from 1."
        )
    return number


def _check_there(path: Path, types: Iterable[int], labels: LabelImage) -> None:
    absent = sorted(set(types) - set(np.unique(labels).tolist()))
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise FileError(
            f"'{path}' tells the type of label {absent[0]}{more}, which is not in the label image; "
            "give the table that belongs to it, or take these rows out."
        )


def tables_of(tables: Path, pairs: Sequence[tuple[Path, Path]]) -> dict[Path, Path]:
    """Find the table of types of each pair of an image and its labels.

    Parameters
    ----------
    tables : Path
        A folder of tables, each with the name of the labels or of the image,
        or a single table for a single pair.
    pairs : sequence of (image, labels)

    Returns
    -------
    dict of Path to Path
        For each label image that has one its table.

    Raises
    ------
    FileError
        If there is no table, or none that belongs to any of them.
    """
    if tables.is_file():
        if len(pairs) > 1:
            raise FileError(
                f"'{tables}' is one table, and there are {len(pairs)} label images; give a folder "
                "with a table for each."
            )
        return {labels: tables for _, labels in pairs}
    there = sorted(tables.glob(f"*{SUFFIX}")) if tables.is_dir() else []
    if not there:
        raise FileError(
            f"There is no table of types in '{tables}'; give a folder of CSV files with the "
            "columns label and type, named as the label images are."
        )
    found: dict[Path, Path] = {}
    for image, labels in pairs:
        stems = (image_stem(labels), image_stem(image))
        same = [path for stem in stems for path in there if path.stem == stem]
        alike = [path for stem in stems for path in there if names_go_together(stem, path.stem)]
        for path in (*same, *alike)[:1]:
            found[labels] = path
    if not found:
        raise FileError(
            f"No table in '{tables}' has the name of a label image (for example "
            f"'{there[0].name}' and '{pairs[0][1].name}'); name them alike."
        )
    return found


def write_cell_types(path: Path, types: CellTypes, *, overwrite: bool = False) -> None:
    """Write the types of cells as a table that `read_cell_types` reads.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    rows = zip(types.labels.tolist(), types.types, types.probabilities.tolist(), strict=True)
    table.writerows((label, name, f"{probability:.4f}") for label, name, probability in rows)
    with replacing(path, overwrite=overwrite) as stream:
        stream.write(text.getvalue().encode())
