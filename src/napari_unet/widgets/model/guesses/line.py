"""What every guess shows: its title, its reason, and a button that tries its choices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari_unet.engine.networks.guess import Guess

NARROW_BUTTON = "QPushButton { padding: 3px 8px; }"


class GuessLine(QWidget):
    """A guess; how it is chosen and where its parts stand is up to the subclass.

    Parameters
    ----------
    guess : Guess
    tried : str
        What the button shows a small picture of.

    Attributes
    ----------
    value_chosen : Signal
        Carries what the guess is about, and the value.
    trial_wanted : Signal
        Carries the guess.
    """

    value_chosen = Signal(str, str)
    trial_wanted = Signal(object)

    def __init__(self, guess: Guess, *, tried: str) -> None:
        super().__init__()
        self.guess = guess
        self.title = QLabel(guess.title)
        self.try_button = QPushButton("Try")
        self.try_button.setStyleSheet(NARROW_BUTTON)
        self.try_button.setToolTip(
            f"<qt>Try on this image: a small picture {tried}. Nothing is changed.</qt>"
        )
        self.try_button.clicked.connect(self._on_try_clicked)
        self.reason = FaintLabel()

    def _on_try_clicked(self) -> None:
        self.trial_wanted.emit(self.guess)
