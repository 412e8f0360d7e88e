"""The button that writes the report of a comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.worker import Job
from napari_unet.widgets.evaluate.comparison import Compared, write_page

_SUFFIX = ".html"


class SaveButton(QPushButton):
    """Asks for a name, and writes beside the Qt thread.

    Parameters
    ----------
    read : callable
        Returns what was compared, if anything was.
    read_image : callable
        Returns name and pixels of what the pictures show, if anything.
    """

    saved = Signal(str)
    """Carries a sentence."""
    failed = Signal(object)
    """Carries the exception."""

    def __init__(
        self,
        read: Callable[[], Compared | None],
        read_image: Callable[[], tuple[str, Any] | None],
    ) -> None:
        super().__init__("Save report…")
        self.setToolTip(
            "<qt>Write figures, curve, errors and pictures of the worst places as one page for a "
            "browser.</qt>"
        )
        self._read, self._read_image = read, read_image
        self._writing = Job(self)
        self._path = Path()
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        compared = self._read()
        if compared is None:
            self.failed.emit(UNetError("There is nothing to report yet; press Compare."))
            return
        name = re.sub(r"[^\w.-]+", "_", f"{compared.request.found_name}_evaluation")
        file, _ = QFileDialog.getSaveFileName(
            self, "Save the report", f"{name}{_SUFFIX}", f"Web pages (*{_SUFFIX})"
        )
        if not file:
            return
        path = Path(file)
        self._path = path if path.suffix else path.with_suffix(_SUFFIX)
        self.setEnabled(False)
        self._writing.start(
            partial(write_page, self._path, compared, self._read_image()),
            on_result=self._on_written,
            on_error=self.failed.emit,
            on_end=self._on_ended,
        )

    def _on_written(self, _result: Any = None) -> None:
        self.saved.emit(f"The report is in '{self._path}'.")

    def _on_ended(self) -> None:
        self.setEnabled(True)
