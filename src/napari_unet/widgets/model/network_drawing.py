"""A network to scale: for each block a bar, as wide as its features and as high as its pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip

from napari_unet.widgets.model.network_bars import (
    PAD_PX,
    TOP_LINES,
    Bar,
    NetworkFacts,
    network_bars,
    network_rows,
)

_DARK = {"down": QColor("#56b4e9"), "up": QColor("#e69f00"), "bottom": QColor("#cc79a7")}
_LIGHT = {"down": QColor("#0072b2"), "up": QColor("#c46a00"), "bottom": QColor("#a3487c")}
_FONT_SHARE = 0.86

_SKIPS = {
    "concatenate": "Skip connection: the features of the way down are put beside those of the "
    "way up.",
    "add": "Skip connection: the features of the way down are added to those of the way up.",
    "multiply": "Skip connection: the way up weighs the features of the way down.",
}


class NetworkDrawing(QLabel):
    """Draws what a worker has found out; a plain box where the layers are not known.

    It is a label because themes give those the size of their type.
    """

    def __init__(self) -> None:
        super().__init__()
        self._facts: NetworkFacts | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(policy)
        self.setVisible(False)

    def show_facts(self, facts: NetworkFacts | None) -> None:
        """Draw a network; nothing without one."""
        self._facts = facts
        self.setVisible(facts is not None)
        self.setAccessibleName("Picture of the network")
        self.setAccessibleDescription(" ".join(bar.tooltip for bar in self.bars()))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As high as its rows."""
        line = self._metrics().height()
        rows = network_rows(self._facts, line) if self._facts is not None else []
        # One line above for what goes in, one below for the size at the bottom.
        height = rows[-1][1] + line if rows else TOP_LINES * line
        return QSize(240, int(height + line + 2 * PAD_PX))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks get a narrow drawing."""
        return QSize(120, self.sizeHint().height())

    def bars(self) -> list[Bar]:
        """Every block, with its place in the widget as it is now."""
        if self._facts is None:
            return []
        return list(network_bars(self._facts, self.width(), self._metrics()))

    def _small(self) -> QFont:
        font = QFont(self.font())
        if font.pointSizeF() > 0:
            font.setPointSizeF(_FONT_SHARE * font.pointSizeF())
        else:
            font.setPixelSize(max(1, round(_FONT_SHARE * font.pixelSize())))
        return font

    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(self._small())

    # -- drawing ---------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw connections first, bars above them, and what is written beside."""
        if self._facts is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._small())
        text = self.palette().color(self.foregroundRole())
        colours = _DARK if text.lightness() > 127 else _LIGHT
        faint = QColor(text)
        faint.setAlphaF(0.35)
        self._draw_ends(painter, text, self._facts)
        bars = self.bars()
        if bars:
            self._draw_lines(painter, faint, bars)
            for bar in bars:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours[bar.side])
                painter.drawRoundedRect(bar.box, 1.5, 1.5)
                self._write_beside(painter, text, bar)
        else:
            self._draw_box(painter, text, faint)
        painter.end()

    def _draw_ends(self, painter: QPainter, text: QColor, facts: NetworkFacts) -> None:
        """Say what goes in, on the left, and what comes out, on the right."""
        metrics = self._metrics()
        goes_in = "1 channel in" if facts.in_channels == 1 else f"{facts.in_channels} channels in"
        width = metrics.horizontalAdvance(goes_in)
        room = self.width() - 5 * PAD_PX - width
        comes_out = metrics.elidedText(
            f"out: {', '.join(facts.class_roles)}", Qt.TextElideMode.ElideRight, room
        )
        painter.setPen(text)
        row = QRectF(PAD_PX, PAD_PX / 2, self.width() - 2 * PAD_PX, metrics.height())
        painter.drawText(row, Qt.AlignmentFlag.AlignLeft, goes_in)
        painter.drawText(row, Qt.AlignmentFlag.AlignRight, comes_out)

    def _draw_lines(self, painter: QPainter, faint: QColor, bars: Sequence[Bar]) -> None:
        painter.setPen(QPen(faint, 1.2))
        for side in ("down", "up"):
            chain = [bar.box for bar in bars if bar.side in (side, "bottom")]
            for upper, lower in itertools.pairwise(chain):
                start = QPointF(upper.center().x(), upper.bottom())
                if lower is bars[-1].box and bars[-1].side == "bottom":
                    # Down, and from the side into the lowest bar.
                    corner = QPointF(start.x(), lower.center().y())
                    painter.drawLine(start, corner)
                    painter.drawLine(corner, lower.center())
                else:
                    painter.drawLine(start, QPointF(lower.center().x(), lower.top()))
        painter.setPen(QPen(faint, 1.2, Qt.PenStyle.DashLine))
        for _, (left, right, y) in self._skips(bars):
            painter.drawLine(QPointF(left, y), QPointF(right, y))

    def _skips(self, bars: Sequence[Bar]) -> Iterator[tuple[str, tuple[float, float, float]]]:
        """Kind and place of the skip connections, from the end of a bar to the next one's."""
        assert self._facts is not None  # noqa: S101 - asked only with facts
        by_row = {
            (bar.side, bar.box.center().y()): bar for bar in bars if bar.side in ("down", "up")
        }
        rows = sorted({y for _, y in by_row})
        for level, y in zip(self._facts.levels, rows, strict=False):
            down, up = by_row.get(("down", y)), by_row.get(("up", y))
            if level.skip and down is not None and up is not None:
                yield level.skip, (down.box.right(), up.box.left(), y)

    def _write_beside(self, painter: QPainter, text: QColor, bar: Bar) -> None:
        metrics = self._metrics()
        width, line = metrics.horizontalAdvance(bar.features), metrics.height()
        y = bar.box.center().y() - line / 2
        left = bar.box.left() - PAD_PX - width if bar.side == "up" else bar.box.right() + PAD_PX
        self._write(painter, text, QRectF(left, y, width, line), bar.features)
        if bar.size:
            width = metrics.horizontalAdvance(bar.size)
            left = (self.width() - width) / 2
            if bar.side == "bottom":
                y = bar.box.bottom() + 1
            self._write(painter, text, QRectF(left, y, width, line), bar.size)

    def _write(self, painter: QPainter, text: QColor, box: QRectF, words: str) -> None:
        """Write on a piece of ground, so that no line goes through the words."""
        ground = self.palette().color(self.backgroundRole())
        painter.fillRect(box.adjusted(-3, 0, 3, 0), ground)
        painter.setPen(text)
        painter.drawText(box.adjusted(-2, 0, 2, 0), Qt.AlignmentFlag.AlignCenter, words)

    def _draw_box(self, painter: QPainter, text: QColor, faint: QColor) -> None:
        line = self._metrics().height()
        box = QRectF(PAD_PX, PAD_PX + line, self.width() - 2 * PAD_PX, TOP_LINES * line)
        painter.setPen(QPen(faint, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 6, 6)
        painter.setPen(text)
        words = "A ready-made network:\nwhat is inside is not in sight"
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, words)

    def event(self, event: QEvent | None) -> bool:
        """Tell of the block, or of the skip connection, under the mouse."""
        if event is not None and event.type() == QEvent.Type.FontChange:
            self.updateGeometry()
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self._told_at(QPointF(event.pos())), self)
            return True
        return bool(super().event(event))

    def _told_at(self, place: QPointF) -> str:
        bars = self.bars()
        for bar in bars:
            if bar.box.adjusted(-4, -6, 4, 6).contains(place):
                return f"<qt>{bar.tooltip}</qt>"
        for kind, (left, right, y) in self._skips(bars):
            if left < place.x() < right and abs(place.y() - y) < self._metrics().height() / 2:
                return f"<qt>{_SKIPS[kind]}</qt>"
        return ""
