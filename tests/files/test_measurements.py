"""Tables of measurements: written, and put below each other."""

import sys
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


def test_parquet_keeps_types_and_all_digits(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    columns = {
        "label": np.array([1, 2]),
        "area_um2": np.array([1 / 3, np.nan]),
        "touches_border": np.array([True, False]),
        "type": np.array(["a", None], object),
    }

    write_measurements(path, columns)

    table = parquet.read_table(path)
    assert table.to_pydict() == {
        "label": [1, 2],
        "area_um2": [1 / 3, None],
        "touches_border": [True, False],
        "type": ["a", None],
    }
    assert [str(each.type) for each in table.schema] == ["int64", "double", "bool", "string"]
    with pytest.raises(FileError, match="exists already"):
        write_measurements(path, columns)


def test_parquet_without_its_package_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(
        FileError, match=r"pip install 'napari-unet-cells\[parquet\]'\", or write a"
    ):
        write_measurements(tmp_path / "t.parquet", {"label": [1]})
    assert not list(tmp_path.iterdir())
