"""A box that is changed on purpose only, and never widens its dock."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QComboBox

from napari_unet.widgets.choices import keep_narrow


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

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Change the choice only where the box has the focus: a stray turn loads nothing."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)
