"""What a model file did not tell, so that it was guessed: to be looked at, tried and changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer.layers import read_layer
from napari_unet.viewer.worker import Job
from napari_unet.widgets.model.guesses.jobs import Trial, change_guesses
from napari_unet.widgets.model.guesses.roles_row import ROLES, RolesRow
from napari_unet.widgets.model.guesses.row import GuessRow, sentence
from napari_unet.widgets.model.guesses.trial import GuessTrial
from napari_unet.widgets.shared.selected_image import SelectedImage
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.guess import Guess

_TOLD = (
    "The file holds the weights, but not all that must be known to use them. If the cells come "
    "out wrong, another choice here may put it right; the file stays as it is."
)


_MOST_TITLE_PX = 110
_FIRST = ("roles", "final", "normalization")
_MOST_UNFOLDED = 2
_FOLD_STYLE = "QPushButton { text-align: left; padding: 4px 6px; }"


class GuessesPanel(QWidget):
    """A row for each guess about the session's network; hidden where there are none.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    image : SelectedImage
        On which guesses are tried.

    Attributes
    ----------
    failed : Signal
        Carries the exception; the session keeps the network it had.
    changed : Signal
        Carries a sentence about what was changed.
    """

    failed = Signal(object)
    changed = Signal(str)

    def __init__(self, viewer: ViewerModel, session: Session, image: SelectedImage) -> None:
        super().__init__()
        self._viewer, self._session, self._image = viewer, session, image
        self._job = Job(self)
        self._changes: dict[str, str] = {}
        self._base: LoadedModel | None = None
        self._tried_with: dict[str, str] = {}
        self._guesses: dict[str, Guess] = {}
        self._folded_abouts: list[str] = []
        self.rows: dict[str, GuessRow | RolesRow] = {}
        self.heading = QLabel()
        self.heading.setWordWrap(True)
        self.trial = GuessTrial()
        self.trial.value_chosen.connect(self._on_value_chosen)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 0)
        self._layout.setSpacing(6)
        self._layout.addWidget(self.heading)
        self._layout.addWidget(FaintLabel(_TOLD))
        self._rows_layout = QVBoxLayout()
        self._layout.addLayout(self._rows_layout)
        self._folded = QWidget()
        self._more_layout = QVBoxLayout(self._folded)
        for each in (self._rows_layout, self._more_layout):
            each.setContentsMargins(0, 0, 0, 0)
            each.setSpacing(8)
        self.more = QPushButton()
        self.more.setCheckable(True)
        self.more.setStyleSheet(_FOLD_STYLE)
        self.more.toggled.connect(self._on_more_toggled)
        self._layout.addWidget(self.more)
        self._layout.addWidget(self._folded)
        session.network_loaded.connect(self._on_network_loaded)
        self._show_guesses()

    @property
    def is_busy(self) -> bool:
        """Whether a change is still to come."""
        return self._job.is_running

    def stop(self) -> None:
        """Drop what runs."""
        self.trial.close_pictures()
        self._job.stop()

    def _on_network_loaded(self, _network: Any = None) -> None:
        # The session outlives the widget.
        if isalive(self):
            self._show_guesses()

    def _show_guesses(self) -> None:
        network = self._session.network
        guesses = network.description.guesses if network else ()
        self.setVisible(bool(guesses))
        count = "1 thing" if len(guesses) == 1 else f"{len(guesses)} things"
        self.heading.setText(f"<b>{count} had to be guessed</b>")
        # What the network gives out, and what it is given, decide most.
        before = self._guesses
        self._guesses = {each.about: each for each in sorted(guesses, key=_rank)}
        if self._guesses.keys() == before.keys():
            for about, row in self.rows.items():
                row.show_guess(self._guesses[about])
            self._drop_repeated_reasons()
            self._keep_trial()
            return
        self.trial.close_pictures()
        self.trial.setParent(None)
        for row in self.rows.values():
            row.hide()
            row.deleteLater()
        self.rows = {}
        rest = [about for about in self._guesses if about not in _FIRST]
        self._folded_abouts = rest if len(rest) > _MOST_UNFOLDED else []
        self._add_rows([each for each in self._guesses if each not in self._folded_abouts])
        self.more.setVisible(bool(self._folded_abouts))
        self._on_more_toggled(self.more.isChecked())

    def _on_more_toggled(self, is_open: bool) -> None:  # noqa: FBT001 - as Qt calls it
        """Show how the layers are put together; nobody waits for rows that nobody sees."""
        arrow, count = "▾" if is_open else "▸", len(self._folded_abouts)
        self.more.setText(f"{arrow} How its layers are built ({count})")
        if is_open:
            self._add_rows([each for each in self._folded_abouts if each not in self.rows])
        self._folded.setVisible(is_open and count > 0)

    def _add_rows(self, abouts: Sequence[str]) -> None:
        rows = {about: _row(self._guesses[about]) for about in abouts}
        widest = max((row.title.sizeHint().width() for row in rows.values()), default=0)
        for about, row in rows.items():
            # One below the other, where they stand beside their boxes.
            row.title.setMinimumWidth(min(widest, _MOST_TITLE_PX))
            row.value_chosen.connect(self._on_value_chosen)
            row.trial_wanted.connect(self._on_trial_wanted)
            is_folded = about in self._folded_abouts
            (self._more_layout if is_folded else self._rows_layout).addWidget(row)
        self.rows |= rows
        self._drop_repeated_reasons()

    def _drop_repeated_reasons(self) -> None:
        """Say once what holds for several rows, one after the other."""
        before: tuple[bool, str] | None = None
        for about, row in self.rows.items():
            own = (about in _FIRST, row.guess.reason)
            row.reason.show_text("" if own == before else sentence(row.guess.reason))
            before = own

    def _keep_trial(self) -> None:
        """Keep the pictures only as long as all else is as it was when they were made."""
        about = self.trial.about
        if about and self._others(about) == self._tried_with:
            self.trial.show_taken(self._guesses[about].value)
        else:
            self.trial.close_pictures()

    def _others(self, about: str) -> dict[str, str]:
        """What is taken for everything else."""
        return {each.about: each.value for each in self._guesses.values() if each.about != about}

    # -- changing ----------------------------------------------------------------------------------

    def _on_value_chosen(self, about: str, value: str) -> None:
        model = self._session.model
        if model is None:
            return
        if self.is_busy and self._base is model:
            # What was chosen a moment ago counts, too.
            self._changes[about] = value
        else:
            self._changes = {about: value}
        self._base = model
        self._job.start(
            partial(change_guesses, model, dict(self._changes)),
            on_result=partial(self._on_changed, self._session.request()),
            on_error=self._on_failed,
        )

    def _on_changed(self, request: int, model: LoadedModel) -> None:
        titles = [self._guesses[each].title for each in self._changes if each in self._guesses]
        self._session.adopt_model(model, request=request)
        if self._session.model is model:
            self.changed.emit(f"Changed: {', '.join(titles)}. The file stays as it is.")

    def _on_failed(self, error: Exception) -> None:
        for row in self.rows.values():
            row.show_guess(row.guess)
        if self.trial.about in self.rows:
            self.trial.show_taken(self.rows[self.trial.about].guess.value)
        if self._session.model is self._base:
            self.failed.emit(error)

    # -- trying ------------------------------------------------------------------------------------

    def _on_trial_wanted(self, guess: Guess) -> None:
        network, row = self._session.network, self.rows.get(guess.about)
        if network is None or row is None:
            return
        for layout in (self._rows_layout, self._more_layout):
            if layout.indexOf(row) >= 0:
                layout.removeWidget(self.trial)
                layout.insertWidget(layout.indexOf(row) + 1, self.trial)
                break
        layer = self._image.layer
        if layer is None:
            self.trial.show_refusal(guess, "There is no image to try it on; open one.")
            return
        try:
            image = read_layer(
                layer, self._viewer.dims, network_ndim=network.description.unet.ndim, extent="view"
            )
        except UNetError as error:
            self.trial.show_refusal(guess, str(error))
            return
        self._tried_with = self._others(guess.about)
        trial = Trial(network, guess.about, row.tried_values(), self._session.device)
        self.trial.start(trial, guess, image)


def _rank(guess: Guess) -> int:
    return _FIRST.index(guess.about) if guess.about in _FIRST else len(_FIRST)


def _row(guess: Guess) -> GuessRow | RolesRow:
    return RolesRow(guess) if guess.about == ROLES else GuessRow(guess)
