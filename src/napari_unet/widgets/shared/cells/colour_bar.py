"""A bar of colours with the values at its ends."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.viewer.cells.cell_colours import value_colours

_BAR_PX = 10
_GAP_PX = 2
_STOPS = 9


class ColourBar(QWidget):
    """Shows which value has which colour; takes no room until `show_range`."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = 0.0, 1.0
        self.texts = ("", "")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.hide()

    def show_range(self, low: float, high: float) -> None:
        """Show these values at the ends."""
        self.low, self.high = low, high
        self.texts = (f"{low:.4g}", f"{high:.4g}")
        self.setToolTip(f"<qt>From {self.texts[0]} to {self.texts[1]}.</qt>")
        self.show()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As high as the bar and a line of text."""
        return QSize(80, _BAR_PX + _GAP_PX + self.fontMetrics().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the colours, and the values below."""
        shares = np.linspace(0, 1, _STOPS)
        gradient = QLinearGradient(0, 0, self.width(), 0)
        for share, colour in zip(shares, value_colours(shares, 0, 1).tolist(), strict=True):
            gradient.setColorAt(share, QColor.fromRgbF(*colour))
        painter = QPainter(self)
        painter.fillRect(QRectF(0, 0, self.width(), _BAR_PX), gradient)
        below = QRectF(0, _BAR_PX + _GAP_PX, self.width(), self.fontMetrics().height())
        sides = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight)
        for text, side in zip(self.texts, sides, strict=True):
            painter.drawText(below, int(side.value), text)
        painter.end()
