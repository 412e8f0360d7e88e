"""Small pictures of what pixels without a label can mean, drawn so that no words are needed."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.widgets.train.plan import Meaning

_SIDE_PX = 42
_UNITS = 52
"""Side of the picture in the units of what follows."""

_GROUND = QColor("#3a3f4b")
_UNKNOWN = QColor("#9aa0ad")
_CELLS = ((QColor("#e69f00"), QRectF(9, 11, 15, 13)), (QColor("#56b4e9"), QRectF(27, 22, 14, 16)))
_REGION = QRectF(5, 6, 40, 36)
_STROKE = (QPointF(8, 44), QPointF(20, 40), QPointF(44, 45))
_STROKE_COLOUR = QColor("#2fc79a")
_LINE = QColor("white")


class MeaningPicture(QWidget):
    """An image with two cells; what teaches nothing is pale and hatched.

    Parameters
    ----------
    meaning : {"reviewed", "regions", "painted"}

    Attributes
    ----------
    clicked : Signal
    """

    clicked = Signal()

    def __init__(self, meaning: Meaning) -> None:
        super().__init__()
        self._meaning = meaning
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As large as an icon that shows two cells."""
        return QSize(_SIDE_PX, _SIDE_PX)

    def mouseReleaseEvent(self, _event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell of the click: what is shown is what people reach for."""
        self.clicked.emit()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw what teaches nothing, what teaches background, and the cells."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(_SIDE_PX / _UNITS, _SIDE_PX / _UNITS)
        whole = QRectF(0, 0, _UNITS, _UNITS)
        painter.setClipRect(whole)
        if self._meaning == "reviewed":
            painter.fillRect(whole, _GROUND)
        else:
            painter.fillRect(whole, _UNKNOWN)
            painter.fillRect(whole, QBrush(_GROUND, Qt.BrushStyle.BDiagPattern))
        if self._meaning == "regions":
            painter.fillRect(_REGION, _GROUND)
            painter.setPen(QPen(_LINE, 1.5, Qt.PenStyle.DashLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(_REGION)
        if self._meaning == "painted":
            pen = QPen(_STROKE_COLOUR, 6)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            painter.setPen(pen)
            painter.drawPolyline(QPolygonF(_STROKE))
        painter.setPen(QPen(_LINE, 1))
        for colour, box in _CELLS:
            painter.setBrush(colour)
            painter.drawEllipse(box)
        painter.end()
