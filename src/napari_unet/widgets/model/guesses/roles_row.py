"""Which output channel of a network is the cell, which the background, which the border."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout

from napari_unet.widgets.model.guesses.row import GuessLine, sentence
from napari_unet.widgets.shared.choices import StillBox, narrow_form

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Guess

ROLES = "roles"
"""What the guess is about."""

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
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.try_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addLayout(form)
        layout.addWidget(self.reason)
        self.show_guess(guess)

    def show_guess(self, guess: Guess) -> None:
        """Show the same guess with what is taken now."""
        self.guess = guess
        roles = roles_of(guess.value)
        for role, box in self.boxes.items():
            box.clear()
            box.addItem("no channel", -1)
            for number, name in enumerate(roles):
                own = "" if name in _ASKED or name == "unused" else f" ({name})"
                box.addItem(f"channel {number + 1}{own}", number)
            box.setCurrentIndex(roles.index(role) + 1 if role in roles else 0)
            box.setToolTip(f"<qt>{escape(guess.reason)}</qt>")
        self.reason.show_text(sentence(guess.reason))
        self.try_button.setEnabled(len(self.tried_values()) > 1)

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
        value = ", ".join(roles)
        if value != self.guess.value:
            self.value_chosen.emit(self.guess.about, value)


def roles_of(value: str) -> tuple[str, ...]:
    """Names of the channels."""
    return tuple(part.strip() for part in value.split(","))


def roles_with(roles: Sequence[str], role: str, channel: int | None) -> tuple[str, ...]:
    """Names of the channels when one role is given to another channel, or to none.

    Whoever had the role gets what that channel was before.
    """
    found = list(roles)
    before = found.index(role) if role in found else None
    if channel == before:
        return tuple(found)
    freed = None if channel is None else found[channel]
    if before is not None:
        found[before] = freed if freed is not None else _own_name(before, found)
    if channel is not None:
        found[channel] = role
    return tuple(found)


def _own_name(channel: int, roles: Sequence[str]) -> str:
    """Name a channel that plays no part in telling cells."""
    if "unused" in roles:
        return "unused"
    name = f"class {channel + 1}"
    return name if name not in roles else f"{name} too"


def roles_text(value: str) -> str:
    """Short words for what the channels mean."""
    roles = roles_of(value)
    return f"cells: {roles.index('cell') + 1}" if "cell" in roles else "no cells"
