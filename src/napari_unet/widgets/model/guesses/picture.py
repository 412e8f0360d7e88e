"""A small picture of what one value of a guess makes of the image."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QToolButton

if TYPE_CHECKING:
    from napari_unet.engine.foreign.dry_run import DryRun

_SIDE_PX = 76
_STYLE = """
QToolButton { border: 2px solid transparent; border-radius: 3px; padding: 1px; }
QToolButton:hover { border-color: #5b8fc9; }
QToolButton:checked { border-color: #2fa36b; background: transparent; }
"""


class TrialPicture(QToolButton):
    """Empty until the value was tried; then a click takes it.

    Parameters
    ----------
    words : str
        For the value.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.setStyleSheet(_STYLE)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setCheckable(True)
        self.setIconSize(QSize(_SIDE_PX, _SIDE_PX))
        blank = QPixmap(_SIDE_PX, _SIDE_PX)
        blank.fill(Qt.GlobalColor.transparent)
        self.setIcon(QIcon(blank))
        self.setFixedWidth(_SIDE_PX + 8)
        self.setEnabled(False)
        self.show_below("…")

    def show_below(self, text: str) -> None:
        """Write a line below the words for the value."""
        metrics, cut = self.fontMetrics(), Qt.TextElideMode.ElideRight
        lines = [metrics.elidedText(line, cut, _SIDE_PX) for line in (self._words, text)]
        self.setText("\n".join(lines))

    def show_run(self, run: DryRun) -> None:
        """Show what the value makes of the image."""
        below = "not possible" if run.picture is None else "no cells told"
        if run.cells is not None:
            below = "1 cell" if run.cells == 1 else f"{run.cells} cells"
        self.show_below(below)
        told = f"{self._words}: {run.sentence or f'{below}.'}"
        if run.picture is not None:
            self.setIcon(QIcon(_pixmap(run.picture)))
            self.setEnabled(True)
            told += " Click to take it."
        self.setToolTip(f"<qt>{escape(told)}</qt>")


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
