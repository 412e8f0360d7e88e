"""Tables of measurements, as CSV or Parquet: a row for each cell, units in the names of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import replacing

SUFFIX, PARQUET_SUFFIX = ".csv", ".parquet"
SUFFIXES = (SUFFIX, PARQUET_SUFFIX)

Table: TypeAlias = Mapping[str, Sequence[Any] | NDArray[Any]]
"""Columns of one length, by name."""

_EXTRA = "pip install 'napari-unet-cells[parquet]'"

_DIGITS = 10
"""That a number is written with."""


def write_measurements(path: Path, columns: Table, *, overwrite: bool = False) -> None:
    """Write a table; what is no number is left empty.

    Parameters
    ----------
    path : Path
        Ending in `.parquet` for Parquet, which keeps the types of columns and all digits; else
        CSV.
    columns : Table
    overwrite : bool

    Raises
    ------
    FileError
        If the file exists or cannot be written, or for Parquet without pyarrow; then nothing has
        changed.
    """
    if path.suffix.lower() == PARQUET_SUFFIX:
        _write_parquet(path, columns, overwrite=overwrite)
        return
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(columns)
    table.writerows(zip(*map(_texts, columns.values()), strict=True))
    with replacing(path, overwrite=overwrite) as stream:
        stream.write(text.getvalue().encode())


def _write_parquet(path: Path, columns: Table, *, overwrite: bool) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise FileError(
            f"'{path}' is written with the package pyarrow; run \"{_EXTRA}\", or write a .csv file."
        ) from error
    arrays = {
        name: pyarrow.array(np.asarray(column, object).tolist(), from_pandas=True)
        for name, column in columns.items()
    }
    with replacing(path, overwrite=overwrite) as stream:
        parquet.write_table(pyarrow.table(arrays), stream)


def joined_tables(tables: Iterable[Table]) -> dict[str, list[Any]]:
    """Put tables below each other; what one of them does not have is None there."""
    joined: dict[str, list[Any]] = {}
    rows = 0
    for table in tables:
        added = len(next(iter(table.values()), ()))
        for name in table:
            joined.setdefault(name, [None] * rows).extend(table[name])
        rows += added
        for column in joined.values():
            column.extend([None] * (rows - len(column)))
    return joined


def _texts(column: Sequence[Any] | NDArray[Any]) -> list[str]:
    return [_text(value) for value in np.asarray(column, object).tolist()]


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
