"""A box that is changed on purpose only, and never widens its dock."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter

from napari_unet.widgets.shared.choices import keep_narrow


class StillBox(QComboBox):
    """Cuts long entries while it is closed, and lets the wheel scroll the dock."""

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def showPopup(self) -> None:  # noqa: N802
        """Open the list, as wide as its longest entry."""
        view = self.view()
        if view is not None:
            view.setMinimumWidth(view.sizeHintForColumn(0))
        super().showPopup()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the box as always, with dots where its text is cut."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter, style = QStylePainter(self), self.style()
        if style is not None:
            field = style.subControlRect(
                QStyle.ComplexControl.CC_ComboBox,
                option,
                QStyle.SubControl.SC_ComboBoxEditField,
                self,
            )
            option.currentText = self.fontMetrics().elidedText(
                option.currentText, Qt.TextElideMode.ElideRight, field.width()
            )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Change the choice only where the box has the focus: a stray turn loads nothing."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)
