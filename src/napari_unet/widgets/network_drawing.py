"""A network to scale: for each block a bar, as wide as its features and as high as its pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip

from napari_unet.widgets.network_facts import NetworkFacts

if TYPE_CHECKING:
    from napari_unet.engine.network_levels import Block, Level

_DARK = {"down": QColor("#56b4e9"), "up": QColor("#e69f00"), "bottom": QColor("#cc79a7")}
_LIGHT = {"down": QColor("#0072b2"), "up": QColor("#c46a00"), "bottom": QColor("#a3487c")}
_FONT_SHARE = 0.86
_TOP_LINES = 3.2
"""Height of a full-resolution bar in lines of text."""

_LEAST_BAR_PX = 3.0
_GAP_PX = 9.0
_PAD_PX = 5.0
_INSET_PX = 7.0
_LEAST_ARM_PX = 22.0
_MOST_BOTTOM = 0.42
"""Width of the lowest bar as a share of the drawing."""

_SKIPS = {
    "concatenate": "Skip connection: the features of the way down are put beside those of the "
    "way up.",
    "add": "Skip connection: the features of the way down are added to those of the way up.",
    "multiply": "Skip connection: the way up weighs the features of the way down.",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One block as it is drawn.

    Parameters
    ----------
    side : {"down", "up", "bottom"}
    box : QRectF
    features, size : str
        What is written beside it; nothing if empty.
    tooltip : str
    """

    side: str
    box: QRectF
    features: str
    size: str
    tooltip: str


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
        rows = self._rows()
        line = self._metrics().height()
        # One line above for what goes in, one below for the size at the bottom.
        height = rows[-1][1] + line if rows else _TOP_LINES * line
        return QSize(240, int(height + line + 2 * _PAD_PX))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks get a narrow drawing."""
        return QSize(120, self.sizeHint().height())

    def bars(self) -> list[Bar]:
        """Every block, with its place in the widget as it is now."""
        return list(self._bars(self._facts)) if self._facts is not None else []

    # -- where everything is ---------------------------------------------------------------------

    def _small(self) -> QFont:
        font = QFont(self.font())
        if font.pointSizeF() > 0:
            font.setPointSizeF(_FONT_SHARE * font.pointSizeF())
        else:
            font.setPixelSize(max(1, round(_FONT_SHARE * font.pixelSize())))
        return font

    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(self._small())

    def _rows(self) -> list[tuple[float, float, float]]:
        """Top and bottom of each level's row, and height of its bars, below the first line."""
        line, rows, top = self._metrics().height(), [], 0.0
        for level in self._facts.levels if self._facts else ():
            bar = max(_LEAST_BAR_PX, _TOP_LINES * line / max(level.scale))
            height = max(bar, line)
            rows.append((top, top + height, bar))
            top += height + _GAP_PX
        return rows

    def _bars(self, facts: NetworkFacts) -> Iterator[Bar]:
        metrics, rows = self._metrics(), self._rows()
        sizes = [_size_text(facts, number) for number in range(len(facts.levels))]
        number_px = max(
            (
                metrics.horizontalAdvance(str(block.features))
                for level in facts.levels
                for block in (level.down, level.up)
                if block is not None
            ),
            default=0.0,
        )
        size_px = max(map(metrics.horizontalAdvance, sizes), default=0.0)
        inner = self.width() - 2 * _PAD_PX
        arm = (inner - 2 * number_px - size_px - 6 * _PAD_PX) / 2
        if arm < _LEAST_ARM_PX:
            # In large type the tooltips alone have the sizes.
            sizes = [""] * len(sizes)
            arm = (inner - 2 * number_px - 4 * _PAD_PX) / 2
        px_per_feature = _px_per_feature(facts.levels, arm, _MOST_BOTTOM * inner)
        top = _PAD_PX + metrics.height()
        for number, (level, row) in enumerate(zip(facts.levels, rows, strict=True)):
            middle = top + (row[0] + row[1]) / 2
            is_bottom = number == len(facts.levels) - 1 and level.up is None
            inset = min(_INSET_PX * number, max(0.0, arm / 4))
            for side, block in (("down", level.down), ("up", level.up)):
                if block is None:
                    continue
                width = max(_LEAST_BAR_PX, px_per_feature * block.features)
                left = _PAD_PX + inset
                if is_bottom:
                    left = (self.width() - width) / 2
                elif side == "up":
                    left = self.width() - left - width
                yield Bar(
                    "bottom" if is_bottom else side,
                    QRectF(left, middle - row[2] / 2, width, row[2]),
                    str(block.features),
                    sizes[number] if side == "down" or level.down is None else "",
                    _tooltip(facts, number, side, block),
                )

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
        room = self.width() - 5 * _PAD_PX - width
        comes_out = metrics.elidedText(
            f"out: {', '.join(facts.class_roles)}", Qt.TextElideMode.ElideRight, room
        )
        painter.setPen(text)
        row = QRectF(_PAD_PX, _PAD_PX / 2, self.width() - 2 * _PAD_PX, metrics.height())
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
        left = bar.box.left() - _PAD_PX - width if bar.side == "up" else bar.box.right() + _PAD_PX
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
        box = QRectF(_PAD_PX, _PAD_PX + line, self.width() - 2 * _PAD_PX, _TOP_LINES * line)
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


def _px_per_feature(levels: Sequence[Level], arm: float, bottom: float) -> float:
    """Width of one feature, so that the arms and the bottom have room."""
    factors = []
    for number, level in enumerate(levels):
        room = bottom if number == len(levels) - 1 and level.up is None else arm * 0.75
        factors += [room / block.features for block in (level.down, level.up) if block is not None]
    return min(factors, default=1.0)


def _size_text(facts: NetworkFacts, number: int) -> str:
    if number >= len(facts.sizes):
        return ""
    sizes = facts.sizes[number]
    return " x ".join(map(str, sizes.down or sizes.up))


def _tooltip(facts: NetworkFacts, number: int, side: str, block: Block) -> str:
    level, count = facts.levels[number], len(facts.levels)
    way = {"down": "on the way down", "up": "on the way up"}[side]
    if number == count - 1 and level.up is None:
        way = "the bottom of the U"
    kernel = " x ".join(map(str, block.kernel))
    how = {
        0: "No convolutions of its own",
        1: f"1 convolution of {kernel} pixels",
    }.get(block.convolutions, f"{block.convolutions} convolutions of {kernel} pixels")
    text = f"Level {number + 1} of {count}, {way}. {how}, up to {block.features} features."
    if number < len(facts.sizes):
        sizes = facts.sizes[number]
        pixels = sizes.up if side == "up" else sizes.down
        text += f" Your image has {' x '.join(map(str, pixels))} pixels here"
        if max(level.scale) > 1:
            text += f", each as wide as {max(level.scale)} of its own"
        text += "."
    return text
