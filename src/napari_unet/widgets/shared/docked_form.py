"""What all forms of the plugin have in common: they live in a dock, and may leave it."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget


class DockedForm(QWidget):
    """A form that stops what it has begun when it is closed or leaves its dock."""

    def stop_all(self) -> None:
        """Stop whatever runs, and let go of the viewer."""
        raise NotImplementedError

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            left_dock = event.type() == QEvent.Type.ParentChange and self.parent() is None
            if left_dock or event.type() == QEvent.Type.Close:
                self.stop_all()
        return bool(super().event(event))


def scrolled(widget: QWidget) -> QScrollArea:
    """Put a widget into an area that scrolls: unfolded and in large type, it may be too high."""
    area = QScrollArea()
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setWidget(widget)
    return area
