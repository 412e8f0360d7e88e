"""The button that writes the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.files.measurements import PARQUET_SUFFIX, SUFFIX, Table, write_measurements
from napari_unet.viewer.worker import Job

_KINDS = {
    f"Comma-separated values (*{SUFFIX})": SUFFIX,
    f"Parquet (*{PARQUET_SUFFIX})": PARQUET_SUFFIX,
}


class SaveButton(QPushButton):
    """Asks for a name and a kind of file, and writes beside the Qt thread.

    Parameters
    ----------
    read : callable
        Returns the name of the layer, and its table; empty if there is none.
    """

    saved = Signal(str)
    """Carries a sentence."""
    failed = Signal(object)
    """Carries the exception."""

    def __init__(self, read: Callable[[], tuple[str, Table]]) -> None:
        super().__init__("Save table…")
        self.setToolTip(
            "<qt>Write the table for a spreadsheet or a script, as CSV or Parquet, which keeps "
            "the types of columns and all digits.</qt>"
        )
        self._read, self._path = read, Path()
        self._writing = Job(self)
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        layer_name, table = self._read()
        if not table:
            self.failed.emit(UNetError("There is no table yet; press Measure."))
            return
        name = re.sub(r"[^\w.-]+", "_", layer_name)
        file, kind = QFileDialog.getSaveFileName(
            self, "Save the table", f"{name}{SUFFIX}", ";;".join(_KINDS)
        )
        if not file:
            return
        self._path = _with_suffix(Path(file), _KINDS.get(kind, SUFFIX))
        self.setEnabled(False)
        self._writing.start(
            partial(write_measurements, self._path, table, overwrite=True),
            on_result=self._on_written,
            on_error=self.failed.emit,
            on_end=self._on_ended,
        )

    def _on_written(self, _result: Any = None) -> None:
        self.saved.emit(f"The table is in '{self._path}'.")

    def _on_ended(self) -> None:
        self.setEnabled(True)


def _with_suffix(path: Path, wanted: str) -> Path:
    """Give a file the ending of its kind, also where the name that was offered had another."""
    if path.suffix == "" or (wanted != SUFFIX and path.suffix == SUFFIX):
        return path.with_suffix(wanted)
    return path
