"""Tables of measurements: written, and put below each other."""

from pathlib import Path

import numpy as np
import pytest

from napari_unet.engine.base.errors import FileError
from napari_unet.files.measurements import joined_tables, write_measurements


def test_a_table_is_written_with_what_is_no_number_left_empty(tmp_path: Path) -> None:
    columns = {
        "label": np.array([1, 2**40]),
        "area_um2": np.array([2.5, np.nan]),
        "touches_border": np.array([True, False]),
        "type": ["a, b", None],
    }
    write_measurements(tmp_path / "t.csv", columns)
    lines = (tmp_path / "t.csv").read_text("utf-8").splitlines()
    assert lines == [
        "label,area_um2,touches_border,type",
        '1,2.5,True,"a, b"',
        "1099511627776,,False,",
    ]


def test_a_table_is_not_overwritten(tmp_path: Path) -> None:
    write_measurements(tmp_path / "t.csv", {"label": [1]})
    with pytest.raises(FileError, match="exists already"):
        write_measurements(tmp_path / "t.csv", {"label": [2]})
    write_measurements(tmp_path / "t.csv", {"label": [2]}, overwrite=True)
    assert (tmp_path / "t.csv").read_text().split() == ["label", "2"]


def test_tables_of_other_columns_are_put_below_each_other() -> None:
    joined = joined_tables([{"a": [1, 2]}, {"b": np.array([3.0]), "a": [4]}, {"a": []}])
    assert joined == {"a": [1, 2, 4], "b": [None, None, 3.0]}
    assert joined_tables([]) == {}
