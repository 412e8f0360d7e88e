"""What a model file did not tell, so that it was guessed: to be looked at, tried and changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.errors import UNetError
from napari_unet.layers import read_layer
from napari_unet.session import LoadedModel, Session
from napari_unet.widgets.faint_label import FaintLabel
from napari_unet.widgets.guess_jobs import Trial, change_guesses
from napari_unet.widgets.guess_row import GuessRow, sentence
from napari_unet.widgets.guess_trial import GuessTrial
from napari_unet.widgets.roles_row import ROLES, RolesRow
from napari_unet.widgets.selected_image import SelectedImage
from napari_unet.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.guess import Guess

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
        self._worker: Worker | None = None
        self._changes: dict[str, str] = {}
        self._base: LoadedModel | None = None
        self._tried_with: dict[str, str] = {}
        self._folded_count = 0
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
        return self._worker is not None

    def stop(self) -> None:
        """Drop what runs."""
        self.trial.close_pictures()
        if self._worker is not None:
            self._worker.stop()

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
        if {guess.about for guess in guesses} == self.rows.keys():
            for guess in guesses:
                self.rows[guess.about].show_guess(guess)
            self._drop_repeated_reasons()
            self._keep_trial(guesses)
            return
        self.trial.close_pictures()
        self.trial.setParent(None)
        for row in self.rows.values():
            row.hide()
            row.deleteLater()
        rows = {guess.about: _row(guess) for guess in guesses}
        # What the network gives out, and what it is given, decide most.
        self.rows = {about: rows[about] for about in sorted(rows, key=_rank)}
        widest = max((row.title.sizeHint().width() for row in self.rows.values()), default=0)
        for row in self.rows.values():
            # One below the other, where they stand beside their boxes.
            row.title.setMinimumWidth(min(widest, _MOST_TITLE_PX))
            row.value_chosen.connect(self._on_value_chosen)
            row.trial_wanted.connect(self._on_trial_wanted)
        self._place_rows()

    def _place_rows(self) -> None:
        """Fold away how the layers are put together, if there is much of it."""
        first = [row for about, row in self.rows.items() if about in _FIRST]
        rest = [row for about, row in self.rows.items() if about not in _FIRST]
        is_folded = len(rest) > _MOST_UNFOLDED
        self._folded_count = len(rest) if is_folded else 0
        self.more.setVisible(is_folded)
        self._on_more_toggled(self.more.isChecked())
        for row in first:
            self._rows_layout.addWidget(row)
        for row in rest:
            (self._more_layout if is_folded else self._rows_layout).addWidget(row)
        self._drop_repeated_reasons()

    def _on_more_toggled(self, is_open: bool) -> None:  # noqa: FBT001 - as Qt calls it
        arrow = "▾" if is_open else "▸"
        self.more.setText(f"{arrow} How its layers are built ({self._folded_count})")
        self._folded.setVisible(is_open and self._folded_count > 0)

    def _drop_repeated_reasons(self) -> None:
        """Say once what holds for several rows, one after the other."""
        before: tuple[bool, str] | None = None
        for about, row in self.rows.items():
            own = (about in _FIRST, row.guess.reason)
            row.reason.show_text("" if own == before else sentence(row.guess.reason))
            before = own

    def _keep_trial(self, guesses: tuple[Guess, ...]) -> None:
        """Keep the pictures only as long as all else is as it was when they were made."""
        others = {each.about: each.value for each in guesses if each.about != self.trial.about}
        if self.trial.about and others == self._tried_with:
            self.trial.show_taken(self.rows[self.trial.about].guess.value)
        else:
            self.trial.close_pictures()

    # -- changing ----------------------------------------------------------------------------------

    def _on_value_chosen(self, about: str, value: str) -> None:
        model = self._session.model
        if model is None:
            return
        if self._worker is not None and self._base is model:
            # What was chosen a moment ago counts, too.
            self._changes[about] = value
        else:
            self._changes = {about: value}
        if self._worker is not None:
            self._worker.stop()
        self._base = model
        request = self._session.request()
        self._worker = Worker(partial(change_guesses, model, dict(self._changes)))
        self._worker.finished.connect(partial(self._on_changed, request))
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        self.destroyed.connect(self._worker.stop)
        self._worker.start()

    def _on_changed(self, request: int, model: LoadedModel) -> None:
        titles = [self.rows[about].guess.title for about in self._changes if about in self.rows]
        self._session.adopt_model(model, request=request)
        if self._session.model is model:
            self.changed.emit(f"Changed: {', '.join(titles)}. The file stays as it is.")

    def _on_failed(self, error: Exception) -> None:
        for row in self.rows.values():
            row.show_guess(row.guess)
        if self.trial.about in self.rows:
            self.trial.show_taken(self.rows[self.trial.about].guess.value)
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._worker = None

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
        self._tried_with = {
            about: other.guess.value for about, other in self.rows.items() if about != guess.about
        }
        trial = Trial(network, guess.about, row.tried_values(), self._session.device)
        self.trial.start(trial, guess, image)


def _rank(about: str) -> int:
    return _FIRST.index(about) if about in _FIRST else len(_FIRST)


def _row(guess: Guess) -> GuessRow | RolesRow:
    return RolesRow(guess) if guess.about == ROLES else GuessRow(guess)
