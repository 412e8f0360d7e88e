"""Asks whether the code in a model file may run; only a click on yes is a yes."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

_TOLD = (
    "It could read your files, delete them, or send them away. Whatever you choose, you are asked "
    "again the next time."
)


class CodeQuestion(QMessageBox):
    """A window that asks, and holds nothing else up.

    Parameters
    ----------
    source : str
        The model file.
    sentence : str
        What the engine found in it.
    parent : QWidget

    Attributes
    ----------
    answered : Signal
        Carries whether the code may run.
    """

    answered = Signal(bool)

    def __init__(self, source: str, sentence: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Run the code in this model file?")
        self.setTextFormat(Qt.TextFormat.PlainText)
        # How to say yes in Python is of no use here.
        self.setText(sentence.replace(" (allow_code=True)", ""))
        self.setInformativeText(_TOLD)
        self.yes_button = self.addButton(
            f"Run the code of '{Path(source).name}'", QMessageBox.ButtonRole.AcceptRole
        )
        self.no_button = self.addButton("Do not open it", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.no_button)
        self.setEscapeButton(self.no_button)
        self.finished.connect(self._on_finished)

    def _on_finished(self, _result: int) -> None:
        self.answered.emit(self.clickedButton() is self.yes_button)
