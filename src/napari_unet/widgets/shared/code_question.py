"""Asks whether the code in a model file may run; only a click on yes is a yes."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_unet.engine.base.errors import CheckpointError

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
    allowed : Signal
        The code may run, this time.
    refused : Signal
        Carries what is said then.
    """

    allowed = Signal()
    refused = Signal(object)

    def __init__(self, source: str, sentence: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._source = source
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
        if self.clickedButton() is self.yes_button:
            self.allowed.emit()
            return
        self.refused.emit(
            CheckpointError(
                f"'{self._source}' was not opened, and none of its code was run; the loaded model "
                "is as it was."
            )
        )

    def drop(self) -> None:
        """Close the window without an answer."""
        self.blockSignals(True)
        self.close()
