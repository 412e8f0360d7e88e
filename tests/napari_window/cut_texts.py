"""Which texts of a form cannot be read whole."""

from __future__ import annotations

from collections.abc import Iterator

from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QToolButton,
    QWidget,
)
from superqt import QCollapsible

from napari_unet.widgets.shared.choices import StillBox

_ROUNDING_PX = 2
_FEWEST = 6
"""Letters of a name that must be in sight."""


def cut_texts(form: QWidget) -> list[str]:
    """Describe each visible label, button and box of a form whose text is cut.

    What an area lets scroll up and down is no cut; what it would have to scroll sideways is.
    """
    found = [
        f"{type(each).__name__} {_text(each)!r}: {reason}"
        for each in form.findChildren(QWidget)
        if _is_shown(each) and (reason := _cut(each, form))
    ]
    return found + [
        f"{type(area).__name__} scrolls {area.horizontalScrollBar().maximum()} px sideways"
        for area in form.findChildren(QScrollArea)
        if area.isVisible() and area.horizontalScrollBar().maximum() > 0
    ]


def _is_shown(widget: QWidget) -> bool:
    """Whether it is neither hidden nor folded away."""
    each: QWidget | None = widget
    while each is not None:
        fold = each.parentWidget()
        if isinstance(fold, QCollapsible) and fold.content() is each and not fold.isExpanded():
            return False
        each = fold
    return widget.isVisible()


def _text(widget: QWidget) -> str:
    if isinstance(widget, QComboBox):
        return widget.currentText()
    if isinstance(widget, QAbstractSpinBox):
        return widget.text()
    return widget.text() if isinstance(widget, QLabel | QAbstractButton) else ""


def _cut(widget: QWidget, form: QWidget) -> str:
    if isinstance(widget, QLabel):
        needed = _label_size(widget)
    elif isinstance(widget, QAbstractButton) and widget.text():
        needed = _button_size(widget)
    elif isinstance(widget, QComboBox):
        return _cut_entry(widget) or _hidden_by_a_parent(widget, form)
    elif isinstance(widget, QAbstractSpinBox):
        edit = widget.lineEdit()
        shown = edit.contentsRect().width() - 2
        needed_px = widget.fontMetrics().horizontalAdvance(edit.text())
        return (
            f"{needed_px} px in {shown}" if needed_px > shown else _hidden_by_a_parent(widget, form)
        )
    else:
        return ""
    size = widget.size()
    if (
        needed.width() > size.width() + _ROUNDING_PX
        or needed.height() > size.height() + _ROUNDING_PX
    ):
        return f"needs {needed.width()} x {needed.height()}, has {size.width()} x {size.height()}"
    return _hidden_by_a_parent(widget, form)


def _label_size(label: QLabel) -> QSize:
    if not label.text():
        return QSize(0, 0)
    if not label.wordWrap():
        return label.sizeHint()
    return QSize(_longest_word(label), label.heightForWidth(label.width()))


def _longest_word(label: QLabel) -> int:
    """Width that a wrapped text cannot do without."""
    document = QTextDocument()
    document.setDefaultFont(label.font())
    is_rich = label.textFormat() == Qt.TextFormat.RichText or (
        label.textFormat() == Qt.TextFormat.AutoText and Qt.mightBeRichText(label.text())
    )
    (document.setHtml if is_rich else document.setPlainText)(label.text())
    document.setDocumentMargin(0)
    document.setTextWidth(label.contentsRect().width())
    # A line that cannot be broken makes the document wider than it was told.
    return round(document.idealWidth()) if document.idealWidth() > document.textWidth() else 0


def _button_size(button: QAbstractButton) -> QSize:
    if isinstance(button, QPushButton | QToolButton):
        margin = 2 * 3
        metrics = button.fontMetrics()
        return QSize(
            metrics.horizontalAdvance(button.text().replace("&", "")) + margin, metrics.height()
        )
    return button.sizeHint()


def _cut_entry(box: QComboBox) -> str:
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    needed = box.fontMetrics().horizontalAdvance(box.currentText())
    if needed <= field.width() + _ROUNDING_PX:
        return ""
    if isinstance(box, StillBox) and "…" in box.short_text and len(box.short_text) > _FEWEST:
        return ""  # it shows both ends, and the whole when the mouse rests on it
    return f"{needed} px in {field.width()}"


def _hidden_by_a_parent(widget: QWidget, form: QWidget) -> str:
    for parent in _parents(widget, form):
        corner = widget.mapTo(parent, QPoint(0, 0))
        box = QRect(corner, widget.size())
        room = parent.rect()
        if box.left() < -_ROUNDING_PX or box.right() > room.right() + _ROUNDING_PX:
            return (
                f"{box.left()}..{box.right()} in the {room.width()} px of {type(parent).__name__}"
            )
        if isinstance(parent.parentWidget(), QAbstractScrollArea):
            continue  # up and down it scrolls
        if _scrolls_above(parent, widget):
            continue
        if box.bottom() > room.bottom() + _ROUNDING_PX:
            return f"ends at {box.bottom()} in the {room.height()} px of {type(parent).__name__}"
    return ""


def _scrolls_above(parent: QWidget, widget: QWidget) -> bool:
    """Whether an area between the two lets what is below be reached."""
    each = widget.parentWidget()
    while each is not None and each is not parent:
        if isinstance(each, QAbstractScrollArea):
            return True
        each = each.parentWidget()
    return isinstance(parent, QAbstractScrollArea)


def _parents(widget: QWidget, form: QWidget) -> Iterator[QWidget]:
    each = widget.parentWidget()
    while each is not None:
        yield each
        if each is form:
            return
        each = each.parentWidget()
