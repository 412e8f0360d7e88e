"""One thing that a model file did not tell: what is taken, what else it could be, and why."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_unet.widgets.model.guesses.words import (
    option_text,
    roles_of,
    roles_text,
    roles_with,
    sentence,
)
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.shared.parts import in_column, in_row, narrow_form
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Guess

NARROW_BUTTON = "QPushButton { padding: 3px 8px; }"


class GuessLine(QWidget):
    """A guess; how it is chosen and where its parts stand is up to the subclass.

    Parameters
    ----------
    tried : str
        What the button shows a small picture of.
    """

    value_chosen = Signal(str, str)
    """Carries what the guess is about, and the value."""
    trial_wanted = Signal(object)
    """Carries the guess."""

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

    def tried_values(self) -> tuple[str, ...]:
        """What is worth a picture, what is taken now first."""
        raise NotImplementedError

    def show_guess(self, guess: Guess) -> None:
        """Show the same guess with what is taken now."""
        self.guess = guess
        self._fill_boxes(f"<qt>{escape(guess.reason)}</qt>")
        self.reason.show_text(sentence(guess.reason))
        # There is nothing to compare where there is no choice.
        self.try_button.setEnabled(len(self.tried_values()) > 1)

    def _fill_boxes(self, tooltip: str) -> None:
        raise NotImplementedError

    def _choose(self, value: str) -> None:
        if value != self.guess.value:
            self.value_chosen.emit(self.guess.about, value)

    def _on_try_clicked(self) -> None:
        self.trial_wanted.emit(self.guess)


class GuessRow(GuessLine):
    """Shows one guess, and lets the user take another value."""

    def __init__(self, guess: Guess) -> None:
        super().__init__(guess, tried="of what each choice makes of the middle of what you see")
        self.box = StillBox()
        self.box.activated.connect(self._on_activated)
        field = in_row(self.box, self.try_button, spacing=4)
        field.setStretch(0, 1)
        form = narrow_form()
        form.addRow(self.title, field)
        in_column(form, self.reason, within=self, spacing=1)
        self.show_guess(guess)

    def _fill_boxes(self, tooltip: str) -> None:
        self.box.clear()
        for option in self.guess.options:
            self.box.addItem(option_text(option, self.guess.about), option)
        self.box.setCurrentIndex(self.box.findData(self.guess.value))
        for widget in (self.box, self.title):
            widget.setToolTip(tooltip)

    def tried_values(self) -> tuple[str, ...]:
        """What is worth a picture, what is taken now first."""
        value = self.guess.value
        return (value, *(each for each in self.guess.options if each != value))

    def _on_activated(self, index: int) -> None:
        self._choose(str(self.box.itemData(index)))


_ASKED = {"cell": "Cells", "background": "Background", "border": "Borders"}
_MOST_TRIED = 9


class RolesRow(GuessLine):
    """Shows what the output channels mean, and lets the user say otherwise.

    Parameters
    ----------
    guess : Guess
        Its value names the channels, with commas between them.
    """

    def __init__(self, guess: Guess) -> None:
        super().__init__(guess, tried="with each channel taken for the cells")
        self.boxes: dict[str, StillBox] = {}
        form = narrow_form()
        for role, caption in _ASKED.items():
            box = StillBox()
            box.activated.connect(partial(self._on_activated, role))
            form.addRow(caption, box)
            self.boxes[role] = box
        head = in_row(self.title, self.try_button)
        head.setStretch(0, 1)
        in_column(head, form, self.reason, within=self, spacing=2)
        self.show_guess(guess)

    def _fill_boxes(self, tooltip: str) -> None:
        roles = roles_of(self.guess.value)
        for role, box in self.boxes.items():
            box.clear()
            box.addItem("no channel", -1)
            for number, name in enumerate(roles):
                own = "" if name in _ASKED or name == "unused" else f" ({name})"
                box.addItem(f"channel {number + 1}{own}", number)
            box.setCurrentIndex(roles.index(role) + 1 if role in roles else 0)
            box.setToolTip(tooltip)

    def tried_values(self) -> tuple[str, ...]:
        """What is worth a picture, what is taken now first."""
        roles = roles_of(self.guess.value)
        cells = [roles_with(roles, "cell", number) for number in range(len(roles))]
        values = [self.guess.value, *self.guess.options, *map(", ".join, cells)]
        # One picture for each channel: where the borders are changes little.
        different: dict[str, str] = {}
        for value in values:
            different.setdefault(roles_text(value), value)
        return tuple(different.values())[:_MOST_TRIED]

    def _on_activated(self, role: str, index: int) -> None:
        number = int(self.boxes[role].itemData(index))
        roles = roles_with(roles_of(self.guess.value), role, None if number < 0 else number)
        self._choose(", ".join(roles))
