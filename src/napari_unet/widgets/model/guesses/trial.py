"""Pictures of what each value of a guess makes of the visible image; a click takes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QPushButton, QToolButton, QWidget
from superqt import QFlowLayout

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.words import count
from napari_unet.viewer.worker import Job
from napari_unet.widgets.model.guesses.row import NARROW_BUTTON
from napari_unet.widgets.model.guesses.words import ROLES, option_text, roles_text
from napari_unet.widgets.shared.parts import in_column, in_row
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari_unet.engine.foreign.dry_run import DryRun
    from napari_unet.engine.networks.network import Guess

_SIDE_PX = 76
_STYLE = """
QToolButton { border: 2px solid transparent; border-radius: 3px; padding: 1px; }
QToolButton:hover { border-color: #5b8fc9; }
QToolButton:checked { border-color: #2fa36b; background: transparent; }
"""


class GuessTrial(QWidget):
    """Shows the values of one guess side by side, as they are computed."""

    value_chosen = Signal(str, str)
    """Carries what the guess is about, and the value."""
    ended = Signal()
    """All pictures are there, or it was stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._job = Job(self)
        self._guess: Guess | None = None
        self._open: list[str] = []
        self.pictures: dict[str, TrialPicture] = {}
        self.sentence = Sentence()
        self.button = QPushButton("Stop")
        self.button.clicked.connect(self._on_button_clicked)
        self._flow = QFlowLayout()
        self._flow.setHorizontalSpacing(2)
        self._flow.setVerticalSpacing(2)
        self.button.setStyleSheet(NARROW_BUTTON)
        foot = in_row(self.sentence, self.button)
        foot.setStretch(0, 1)
        in_column(self._flow, foot, within=self).setContentsMargins(0, 2, 0, 4)
        self.setVisible(False)

    @property
    def about(self) -> str:
        """What the guess is about; empty without one."""
        return self._guess.about if self._guess else ""

    @property
    def is_running(self) -> bool:
        """Whether pictures are still to come."""
        return self._job.is_running

    def start(self, guess: Guess, values: Sequence[str], work: Callable[[], Any]) -> None:
        """Show what `work` reports of each value of a guess, in this order."""
        self.close_pictures()
        self._guess = guess
        for value in values:
            self._add_picture(value)
        self._open = list(values)
        self.show_taken(guess.value)
        self._show_progress()
        self.button.setText("Stop")
        self.setVisible(True)
        self._job.start(
            work,
            on_report=self._on_reported,
            on_error=self._on_failed,
            on_stop=self._on_stopped,
            on_end=self._on_ended,
        )

    def show_refusal(self, guess: Guess, sentence: str) -> None:
        """Say why nothing can be tried."""
        self.close_pictures()
        self._guess = guess
        self.sentence.show_error(sentence)
        self.button.setText("Close")
        self.setVisible(True)

    def show_taken(self, value: str) -> None:
        """Mark the picture of what is taken now."""
        for each, picture in self.pictures.items():
            picture.setChecked(each == value)

    def stop(self) -> None:
        """Compute no more pictures; those that are there stay."""
        self._job.stop()

    def close_pictures(self) -> None:
        """Stop, and take the pictures away."""
        self.stop()
        self._guess = None
        for picture in self.pictures.values():
            self._flow.removeWidget(picture)
            picture.hide()
            picture.deleteLater()
        self.pictures = {}
        self.sentence.show_text("")
        self.setVisible(False)

    def _add_picture(self, value: str) -> None:
        picture = TrialPicture(self._words(value))
        picture.clicked.connect(partial(self._on_picture_clicked, value))
        self._flow.addWidget(picture)
        self.pictures[value] = picture

    def _words(self, value: str) -> str:
        return roles_text(value) if self.about == ROLES else option_text(value, self.about)

    def _on_reported(self, run: DryRun) -> None:
        picture = self.pictures.get(run.value)
        if picture is None or run.value not in self._open:
            return
        picture.show_run(run)
        self._open.remove(run.value)
        self._show_progress()

    def _show_progress(self) -> None:
        count = len(self.pictures)
        if self._open:
            self.sentence.show_text(f"Trying {count - len(self._open) + 1} of {count} …")
        else:
            self.sentence.show_text("Orange is what it takes for cells; click on the best.")

    def _on_failed(self, error: Exception) -> None:
        is_told = isinstance(error, UNetError)
        self.sentence.show_error(str(error) if is_told else f"It cannot be tried ({error}).")
        self._leave_open()

    def _on_stopped(self) -> None:
        if self._open:
            self.sentence.show_text("Stopped.")
        self._leave_open()

    def _leave_open(self) -> None:
        for value in self._open:
            self.pictures[value].show_below("not tried")
        self._open = []

    def _on_ended(self) -> None:
        self.button.setText("Close")
        self.ended.emit()

    def _on_button_clicked(self) -> None:
        if self.is_running:
            self.stop()
        else:
            self.close_pictures()

    def _on_picture_clicked(self, value: str, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 - as Qt calls it
        if self._guess is not None:
            self.show_taken(value)
            self.value_chosen.emit(self._guess.about, value)


class TrialPicture(QToolButton):
    """Empty until the value was tried; then a click takes it.

    Parameters
    ----------
    words : str
        For the value.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.setStyleSheet(_STYLE)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setCheckable(True)
        self.setIconSize(QSize(_SIDE_PX, _SIDE_PX))
        blank = QPixmap(_SIDE_PX, _SIDE_PX)
        blank.fill(Qt.GlobalColor.transparent)
        self.setIcon(QIcon(blank))
        self.setFixedWidth(_SIDE_PX + 8)
        self.setEnabled(False)
        self.show_below("…")

    def show_below(self, text: str) -> None:
        """Write a line below the words for the value."""
        metrics, cut = self.fontMetrics(), Qt.TextElideMode.ElideRight
        lines = [metrics.elidedText(line, cut, _SIDE_PX) for line in (self._words, text)]
        self.setText("\n".join(lines))

    def show_run(self, run: DryRun) -> None:
        """Show what the value makes of the image."""
        below = "not possible" if run.picture is None else "no cells told"
        if run.cells is not None:
            below = count(run.cells, "cell")
        self.show_below(below)
        told = f"{self._words}: {run.sentence or f'{below}.'}"
        if run.picture is not None:
            self.setIcon(QIcon(_pixmap(run.picture)))
            self.setEnabled(True)
            told += " Click to take it."
        self.setToolTip(f"<qt>{escape(told)}</qt>")


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
