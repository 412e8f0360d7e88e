"""A plot on which a drag draws around what is selected; import this only beside pyqtgraph."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QPainterPath
from qtpy.QtWidgets import QGraphicsPathItem

_LINE, _FILL = "#ff9a00", QColor(255, 154, 0, 40)


class DraggedBox(pg.ViewBox):  # type: ignore[misc]
    """Tells of rectangles that are dragged, of loops that are drawn with Shift, and of clicks."""

    drawn = Signal(object)
    """Carries the corners, a list of (x, y), as the axes count."""
    clicked = Signal(float, float)
    """Carries the place, as the axes count."""

    def __init__(self) -> None:
        super().__init__()
        self._points: list[QPointF] = []
        self._line = QGraphicsPathItem(self)
        self._line.setPen(pg.mkPen(_LINE, width=1.5))
        self._line.setBrush(pg.mkBrush(_FILL))
        self._line.hide()

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:  # noqa: ARG002, N802
        """Draw, and tell of it once the button goes up; pyqtgraph calls it."""
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        event.accept()
        if event.isStart():
            self._points = [QPointF(event.buttonDownPos())]
        self._points.append(QPointF(event.pos()))
        is_loop = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        corners = self._points if is_loop else _corners(self._points[0], self._points[-1])
        if event.isFinish():
            self._line.hide()
            places = [self.mapToView(corner) for corner in corners]
            self.drawn.emit([(place.x(), place.y()) for place in places])
            return
        path = QPainterPath(corners[0])
        for corner in corners[1:]:
            path.lineTo(corner)
        path.closeSubpath()
        self._line.setPath(path)
        self._line.show()

    def mouseClickEvent(self, event: Any) -> None:  # noqa: N802
        """Tell where it was; pyqtgraph calls it."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            place = self.mapToView(QPointF(event.pos()))
            self.clicked.emit(place.x(), place.y())


class Dots(pg.ScatterPlotItem):  # type: ignore[misc]
    """Leaves clicks to the box below, which knows the nearest dot."""

    def mouseClickEvent(self, event: Any) -> None:  # noqa: N802
        """Let it through; pyqtgraph calls it."""
        event.ignore()


def _corners(one: QPointF, other: QPointF) -> list[QPointF]:
    return [
        QPointF(one.x(), one.y()),
        QPointF(other.x(), one.y()),
        QPointF(other.x(), other.y()),
        QPointF(one.x(), other.y()),
    ]
