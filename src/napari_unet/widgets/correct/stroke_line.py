"""The stroke that is being drawn, as a line over the canvas."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

_WIDTH_PX = 2.0
_DARK, _BRIGHT = "#000000", "#ffe14d"


class StrokeLine(QWidget):
    """Lies over a canvas, and lets the mouse through.

    It is no layer: adding one takes napari longer than the stroke.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._points: list[QPointF] = []
        self.hide()

    def show_stroke(self, points: Sequence[Sequence[float]]) -> None:
        """Show a line through points in pixels of the canvas, (x, y) each; none for no points."""
        self._points = [QPointF(float(x), float(y)) for x, y in points]
        canvas = self.parentWidget()
        if canvas is not None and self._points:
            self.setGeometry(canvas.rect())
            self.raise_()
        self.setVisible(bool(self._points))
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the line so that it is seen on dark and on bright images."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = QPolygonF(self._points)
        for colour, width in ((_DARK, 2 * _WIDTH_PX), (_BRIGHT, _WIDTH_PX)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawPolyline(line)
        painter.end()
