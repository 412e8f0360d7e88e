"""Tables of the types of cells, as CSV: one row for each label."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason
from napari_unet.files.image_file import image_stem, replacing
from napari_unet.files.pairs import names_go_together

if TYPE_CHECKING:
    from napari_unet.engine.images.image import LabelImage

SUFFIX = ".csv"
ENDING = "_types"
"""Of a table beside its labels, which it is named after: cells_types.csv beside cells.tif."""

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
    names: dict[int, str] = {}
    for line, number, row in _rows(path):
        if number in names:
            raise FileError(
                f"Line {line} of '{path}' tells the type of label {number} again; leave one row "
                "for each label."
            )
        names[number] = row.get("type", "").strip()
    typed = {number: name for number, name in names.items() if name}
    _check_there(path, typed, labels)
    return typed


def read_probabilities(path: Path) -> dict[int, float]:
    """Read how sure the types in a table are: of those that a network has predicted.

    Raises
    ------
    FileError
        If it is no such table.
    """
    found = {}
    for _, number, row in _rows(path):
        with suppress(ValueError):  # a person gave this type
            found[number] = float(row.get("probability", ""))
    return found


def _rows(path: Path) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Rows of a table: number of the line, label, and cells by the names of their columns."""
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
    columns = [name.strip().lower() for name in next(rows, [])]
    label = next((name for name in _LABEL_COLUMNS if name in columns), None)
    if label is None or "type" not in columns:
        found = ", ".join(filter(None, columns)) or "none"
        raise FileError(
            f"'{path}' has the columns {found}; a table of the types of cells has a column "
            "'label' and a column 'type'."
        )
    for row in rows:
        if any(map(str.strip, row)):
            named = dict(zip(columns, row, strict=False))
            yield rows.line_num, _number(named.get(label, ""), path, rows.line_num), named


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
        A folder of tables, each with the name of the labels or of the image
        and perhaps "_types", or a single table for a single pair.
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
        named = [(path, path.stem.removesuffix(ENDING)) for path in there]
        same = [path for stem in stems for path, name in named if name == stem]
        alike = [path for stem in stems for path, name in named if names_go_together(stem, name)]
        for path in (*same, *alike)[:1]:
            found[labels] = path
    if not found:
        raise FileError(
            f"No table in '{tables}' has the name of a label image (for example "
            f"'{there[0].name}' and '{pairs[0][1].name}'); name them alike."
        )
    return found


def table_beside(labels: Path) -> Path:
    """Where the types of the cells of a label image are kept."""
    return labels.with_name(f"{image_stem(labels)}{ENDING}{SUFFIX}")


def write_cell_types(
    path: Path,
    types: Mapping[int, str],
    probabilities: Mapping[int, float],
    *,
    overwrite: bool = False,
) -> None:
    """Write the types of cells as a table that `read_cell_types` reads.

    Parameters
    ----------
    types : mapping of int to str
        By label.
    probabilities : mapping of int to float
        As far as they are known.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for label, name in sorted(types.items()):
        known = probabilities.get(label)
        table.writerow((label, name, "" if known is None else f"{known:.4f}"))
    with replacing(path, overwrite=overwrite) as stream:
        stream.write(text.getvalue().encode())
