"""A row for each thing that a model file did not tell, how its layers are built folded away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unet.widgets.model.guesses.row import GuessRow, RolesRow
from napari_unet.widgets.model.guesses.words import ROLES, sentence
from napari_unet.widgets.shared.parts import in_column

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Guess

_MOST_TITLE_PX = 110
_FIRST = ("roles", "final", "normalization")
"""What the network gives out, and what it is given, decide most."""

_MOST_UNFOLDED = 2
_FOLD_STYLE = "QPushButton { text-align: left; padding: 4px 6px; }"


class GuessRows(QWidget):
    """Shows what is taken for each guess, and lets the user take something else.

    Attributes
    ----------
    rows : dict of str to GuessRow or RolesRow
        By what the guesses are about, from top to bottom.
    """

    value_chosen = Signal(str, str)
    """Carries what a guess is about, and the value."""
    trial_wanted = Signal(object)
    """Carries the guess."""

    def __init__(self) -> None:
        super().__init__()
        self._guesses: dict[str, Guess] = {}
        self.rows: dict[str, GuessRow | RolesRow] = {}
        self._folded_abouts: list[str] = []
        self._folded = QWidget()
        self._open, self._fold = in_column(spacing=8), in_column(within=self._folded, spacing=8)
        self.more = QPushButton()
        self.more.setCheckable(True)
        self.more.setStyleSheet(_FOLD_STYLE)
        self.more.toggled.connect(self._on_more_toggled)
        in_column(self._open, self.more, self._folded, within=self, spacing=6)

    def show_guesses(self, guesses: Mapping[str, Guess]) -> None:
        """Show what is taken now; new rows only where the guesses are about other things."""
        is_same = guesses.keys() == self._guesses.keys()
        ordered = sorted(guesses.values(), key=_rank)
        self._guesses = {each.about: each for each in ordered}
        if is_same:
            for about, row in self.rows.items():
                row.show_guess(self._guesses[about])
            self._drop_repeated_reasons()
            return
        for row in self.rows.values():
            row.hide()
            row.deleteLater()
        self.rows = {}
        rest = [about for about in self._guesses if about not in _FIRST]
        self._folded_abouts = rest if len(rest) > _MOST_UNFOLDED else []
        self._add([each for each in self._guesses if each not in self._folded_abouts])
        self.more.setVisible(bool(self._folded_abouts))
        self._on_more_toggled(self.more.isChecked())

    def place_below(self, about: str, widget: QWidget) -> None:
        """Put a widget right below a row."""
        for layout in (self._open, self._fold):
            layout.removeWidget(widget)
        layout = self._layout_of(about)
        layout.insertWidget(layout.indexOf(self.rows[about]) + 1, widget)

    def _layout_of(self, about: str) -> QVBoxLayout:
        return self._fold if about in self._folded_abouts else self._open

    def _on_more_toggled(self, is_open: bool) -> None:  # noqa: FBT001 - as Qt calls it
        """Show how the layers are put together; nobody waits for rows that nobody sees."""
        arrow, count = "▾" if is_open else "▸", len(self._folded_abouts)
        self.more.setText(f"{arrow} How its layers are built ({count})")
        if is_open:
            self._add([each for each in self._folded_abouts if each not in self.rows])
        self._folded.setVisible(is_open and count > 0)

    def _add(self, abouts: Sequence[str]) -> None:
        rows = {about: _row(self._guesses[about]) for about in abouts}
        widest = max((row.title.sizeHint().width() for row in rows.values()), default=0)
        for about, row in rows.items():
            # One below the other, where they stand beside their boxes.
            row.title.setMinimumWidth(min(widest, _MOST_TITLE_PX))
            row.value_chosen.connect(self.value_chosen)
            row.trial_wanted.connect(self.trial_wanted)
            self._layout_of(about).addWidget(row)
        self.rows |= rows
        self._drop_repeated_reasons()

    def _drop_repeated_reasons(self) -> None:
        """Say once what holds for several rows, one after the other."""
        before: tuple[bool, str] | None = None
        for about, row in self.rows.items():
            own = (about in _FIRST, row.guess.reason)
            row.reason.show_text("" if own == before else sentence(row.guess.reason))
            before = own


def _rank(guess: Guess) -> int:
    return _FIRST.index(guess.about) if guess.about in _FIRST else len(_FIRST)


def _row(guess: Guess) -> GuessRow | RolesRow:
    return RolesRow(guess) if guess.about == ROLES else GuessRow(guess)
