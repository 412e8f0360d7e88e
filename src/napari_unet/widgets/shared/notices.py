"""Sentences beside a bar whose colour says how bad it is, some with a button that helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

_COLOURS = {"error": "#d9534f", "warning": "#e0a030", "note": "#5b8fc9"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence as it is shown.

    Parameters
    ----------
    severity : {"error", "warning", "note"}
    text : str
    caption : str
        Of the button; there is none without it.
    tooltip : str
        Of the button.
    """

    severity: Literal["error", "warning", "note"]
    text: str
    caption: str = ""
    tooltip: str = ""


class Notices(QWidget):
    """Shows notices in their order; takes no room where there are none.

    Attributes
    ----------
    button_clicked : Signal
        Carries the place of the notice whose button was pressed.
    """

    button_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Notice, ...] = ()
        self._foot = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setVisible(False)

    @property
    def texts(self) -> list[str]:
        """The sentences that are shown."""
        return [notice.text for notice in self._shown]

    def show_notices(self, notices: Sequence[Notice], *, foot: str = "") -> None:
        """Replace what is shown.

        Parameters
        ----------
        notices : sequence of Notice
        foot : str
            A last line without a bar.
        """
        if (tuple(notices), foot) == (self._shown, self._foot):
            return
        self._shown, self._foot = tuple(notices), foot
        layout = self.layout()
        assert layout is not None  # noqa: S101 - set above
        while (item := layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for place, notice in enumerate(self._shown):
            layout.addWidget(self._entry(place, notice))
        if foot:
            layout.addWidget(QLabel(foot))
        self.setVisible(bool(self._shown))

    def _entry(self, place: int, notice: Notice) -> QFrame:
        entry = QFrame()
        entry.setObjectName("notice")
        colour = _COLOURS[notice.severity]
        entry.setStyleSheet(f"QFrame#notice {{ border-left: 3px solid {colour}; }}")
        layout = QVBoxLayout(entry)
        layout.setContentsMargins(6, 0, 0, 0)
        text = QLabel(notice.text)
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.PlainText)  # names of layers may hold anything
        layout.addWidget(text)
        if notice.caption:
            button = QPushButton(notice.caption)
            button.setToolTip(notice.tooltip)
            button.clicked.connect(partial(self._on_clicked, place))
            layout.addWidget(button)
        return entry

    def _on_clicked(self, place: int, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 - as Qt calls it
        self.button_clicked.emit(place)
