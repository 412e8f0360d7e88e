"""One thing that a model file did not tell: what is taken, what else it could be, and why."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.images.normalization import OFFERED
from napari_unet.widgets.shared.choices import StillBox, narrow_form
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Guess


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


class GuessRow(GuessLine):
    """Shows one guess, and lets the user take another value.

    Parameters
    ----------
    guess : Guess
    """

    def __init__(self, guess: Guess) -> None:
        super().__init__(guess, tried="of what each choice makes of the middle of what you see")
        self.box = StillBox()
        self.box.activated.connect(self._on_activated)
        field = QHBoxLayout()
        field.setSpacing(4)
        field.addWidget(self.box, 1)
        field.addWidget(self.try_button)
        form = narrow_form()
        form.addRow(self.title, field)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addLayout(form)
        layout.addWidget(self.reason)
        self.show_guess(guess)

    def show_guess(self, guess: Guess) -> None:
        """Show the same guess with what is taken now."""
        self.guess = guess
        self.box.clear()
        for option in guess.options:
            self.box.addItem(option_text(option, guess.about), option)
        self.box.setCurrentIndex(self.box.findData(guess.value))
        self.box.setToolTip(f"<qt>{escape(guess.reason)}</qt>")
        self.title.setToolTip(self.box.toolTip())
        self.reason.show_text(sentence(guess.reason))
        # There is nothing to compare where there is no choice.
        self.try_button.setEnabled(len(guess.options) > 1)

    def tried_values(self) -> tuple[str, ...]:
        """What is worth a picture, what is taken now first."""
        value = self.guess.value
        return (value, *(each for each in self.guess.options if each != value))

    def _on_activated(self, index: int) -> None:
        value = str(self.box.itemData(index))
        if value != self.guess.value:
            self.value_chosen.emit(self.guess.about, value)


_WORDS = {
    **{("normalization", each.label): each.choice for each in OFFERED},
    ("final", "softmax"): "softmax over all",
    ("final", "sigmoid"): "sigmoid of each",
    ("final", "probability"): "nothing, they are scores",
    ("final", "none"): "nothing, they are no classes",
}


def sentence(reason: str) -> str:
    """Begin with a capital letter and end with a full stop."""
    text = reason[:1].upper() + reason[1:]
    return text if not text or text.endswith(".") else f"{text}."


def option_text(option: str, about: str = "") -> str:
    """Words for a value: "leaky_relu" is "leaky relu"."""
    return _WORDS.get((about, option), option.replace("_", " "))
