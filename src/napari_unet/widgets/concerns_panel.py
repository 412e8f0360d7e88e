"""What may go wrong, in plain words, each with the one click that puts it right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_unet.guard import Concern

_COLOURS = {"warning": "#e0a030", "note": "#5b8fc9"}


class ConcernsPanel(QWidget):
    """Shows concerns, most important first; nothing where there are none.

    Attributes
    ----------
    remedy_chosen : Signal
        Carries the changes of the concern whose button was pressed.
    """

    remedy_chosen = Signal(dict)

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Concern, ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setVisible(False)

    @property
    def texts(self) -> list[str]:
        """The sentences that are shown."""
        return [concern.text for concern in self._shown]

    def show_concerns(self, concerns: Sequence[Concern]) -> None:
        """Replace what is shown."""
        if tuple(concerns) == self._shown:
            return
        self._shown = tuple(concerns)
        layout = self.layout()
        assert layout is not None  # noqa: S101 - set above
        while (item := layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for concern in self._shown:
            layout.addWidget(self._entry(concern))
        self.setVisible(bool(self._shown))

    def _entry(self, concern: Concern) -> QFrame:
        entry = QFrame()
        entry.setObjectName("concern")
        colour = _COLOURS[concern.severity]
        entry.setStyleSheet(f"QFrame#concern {{ border-left: 3px solid {colour}; }}")
        layout = QVBoxLayout(entry)
        layout.setContentsMargins(6, 0, 0, 0)
        text = QLabel(concern.text)
        text.setWordWrap(True)
        layout.addWidget(text)
        if concern.remedy:
            button = QPushButton(concern.remedy)
            button.setToolTip("Change the form as this says; nothing runs yet.")
            changes: dict[str, Any] = dict(concern.changes)
            button.clicked.connect(partial(self._on_clicked, changes))
            layout.addWidget(button)
        return entry

    def _on_clicked(self, changes: dict[str, Any], _checked: bool = False) -> None:  # noqa: FBT001, FBT002 - as Qt calls it
        self.remedy_chosen.emit(changes)
