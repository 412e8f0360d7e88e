"""The choice of what pixels without a label mean: the question that a training hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Shapes
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QGridLayout, QLabel, QRadioButton, QSizePolicy, QSpinBox, QWidget

from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form
from napari_unet.widgets.train.plan import Meaning

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIDE_PX = 42
_UNITS = 52
"""Side of the picture in the units of what follows."""

_GROUND = QColor("#3a3f4b")
_UNKNOWN = QColor("#9aa0ad")
_CELLS = ((QColor("#e69f00"), QRectF(9, 11, 15, 13)), (QColor("#56b4e9"), QRectF(27, 22, 14, 16)))
_REGION = QRectF(5, 6, 40, 36)
_STROKE = (QPointF(8, 44), QPointF(20, 40), QPointF(44, 45))
_SLICES = (QRectF(6, 8, 40, 10), QRectF(6, 33, 40, 10))
_IN_SLICES = (QRectF(13, 10, 9, 6), QRectF(28, 35, 10, 6))
_TICK = (QPointF(12, 17), QPointF(16, 22), QPointF(23, 10))
_STROKE_COLOUR = QColor("#2fc79a")
_LINE = QColor("white")


class MeaningPicture(QWidget):
    """An image with two cells; what teaches nothing is pale and hatched."""

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
        if self._meaning == "seen":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_GROUND)
            painter.drawEllipse(_CELLS[0][1].adjusted(-6, -6, 6, 6))
        if self._meaning == "slices":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_GROUND)
            painter.drawRects(*_SLICES)
        painter.setPen(QPen(_LINE, 1))
        shown = _IN_SLICES if self._meaning == "slices" else [box for _, box in _CELLS]
        for (colour, _), box in zip(_CELLS, shown, strict=True):
            painter.setBrush(colour)
            painter.drawEllipse(box)
        if self._meaning == "seen":
            painter.setPen(QPen(_STROKE_COLOUR, 4))
            painter.drawPolyline(QPolygonF(_TICK))
        painter.end()


_CAPTIONS: dict[Meaning, str] = {
    "reviewed": "Everything was reviewed",
    "regions": "Only inside regions",
    "painted": "Only what I painted",
    "slices": "Painted slices only",
    "seen": "Only what I looked over",
}
_TOOLTIPS: dict[Meaning, str] = {
    "reviewed": (
        "<qt>Each cell of the image has a label, so all the rest is background. A cell that was "
        "forgotten teaches the network not to find such cells.</qt>"
    ),
    "regions": (
        "<qt>Inside the shapes of a Shapes layer each cell has a label and the rest is background. "
        "What lies outside teaches nothing, whether there are cells or not.</qt>"
    ),
    "painted": (
        "<qt>Only painted pixels teach anything. Paint some background too, with a number of its "
        "own, or the network never learns where a cell ends.</qt>"
    ),
    "slices": (
        "<qt>In each slice that shows a label, each cell has one, and the rest of the slice is "
        "background. All other slices teach nothing: paint three to six, far apart.</qt>"
    ),
    "seen": (
        "<qt>Cells that you marked right or corrected in the Correct widget, and the background "
        "around them. All other cells teach nothing, and neither do their surroundings.</qt>"
    ),
}
_HIGHEST_LABEL = 2**31 - 1


class UnlabelledChoice(QWidget):
    """Ways to read pixels without a label, each beside a small picture of it."""

    changed = Signal()
    """Another meaning, another layer of regions or another background label."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._pictures: dict[Meaning, MeaningPicture] = {}
        self.buttons = {meaning: QRadioButton(text) for meaning, text in _CAPTIONS.items()}
        self.regions_choice = LayerChoice(viewer, Shapes)
        self.regions_choice.setToolTip(
            "<qt>Shapes layer whose rectangles, ellipses and polygons surround what was reviewed. "
            "Make one with the polygon button above the layer list.</qt>"
        )
        self.background_box = QSpinBox()
        self.background_box.setRange(0, _HIGHEST_LABEL)
        self.background_box.setSpecialValueText("none")
        self.background_box.setKeyboardTracking(False)
        self.background_box.setToolTip(
            "<qt>The number that you painted background with; pixels with it are no cell. 'none' "
            "if only cells were painted.</qt>"
        )
        self._lay_out()
        self.buttons["reviewed"].setChecked(True)
        for meaning in ("slices", "seen"):
            self.offer(meaning, is_there=False)
        self._show_what_applies()
        for button in self.buttons.values():
            button.toggled.connect(self._on_toggled)
        self.regions_choice.currentIndexChanged.connect(self.changed)
        self.background_box.valueChanged.connect(self.changed)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(4)
        for row, (meaning, button) in enumerate(self.buttons.items()):
            picture = self._pictures[meaning] = MeaningPicture(meaning)
            picture.clicked.connect(button.click)
            for widget in (picture, button):
                widget.setToolTip(_TOOLTIPS[meaning])
            grid.addWidget(picture, row, 0)
            grid.addWidget(button, row, 1, Qt.AlignmentFlag.AlignVCenter)
        form = narrow_form()
        self._asked_for: dict[Meaning, tuple[QWidget, QWidget]] = {}
        for meaning, text, field in (
            ("regions", "Regions", self.regions_choice),
            ("painted", "Background label", self.background_box),
        ):
            caption = QLabel(text)
            caption.setToolTip(field.toolTip())
            form.addRow(caption, field)
            self._asked_for[meaning] = caption, field
        in_column(grid, form, within=self)

    @property
    def meaning(self) -> Meaning:
        """What is chosen."""
        return next(meaning for meaning, button in self.buttons.items() if button.isChecked())

    @property
    def regions_layer(self) -> Shapes | None:
        """What surrounds reviewed pixels; None if that is not asked, or no such layer is there."""
        layer: Shapes | None = self.regions_choice.layer
        return layer if self.meaning == "regions" else None

    @property
    def background_label(self) -> int | None:
        """Number of painted background; None if that is not asked, or none was painted."""
        label = int(self.background_box.value())
        return label or None if self.meaning == "painted" else None

    def choose(self, meaning: Meaning) -> None:
        """Choose what pixels without a label mean."""
        self.buttons[meaning].setChecked(True)

    def offer(self, meaning: Meaning, *, is_there: bool) -> None:
        """Offer a meaning only where there is anything that it could be said of."""
        for part in (self._pictures[meaning], self.buttons[meaning]):
            part.setVisible(is_there)
        if not is_there and self.meaning == meaning:
            self.choose("reviewed")

    def _show_what_applies(self) -> None:
        for meaning, parts in self._asked_for.items():
            for part in parts:
                part.setVisible(meaning == self.meaning)

    def _on_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        # The button that goes out tells, too.
        if is_on:
            self._show_what_applies()
            self.changed.emit()
