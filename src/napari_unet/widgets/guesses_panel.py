"""What a model file did not tell, so that it was guessed: to be looked at, tried and changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.engine.errors import UNetError
from napari_unet.layers import read_layer
from napari_unet.session import LoadedModel, Session
from napari_unet.widgets.faint_label import FaintLabel
from napari_unet.widgets.guess_jobs import Trial, change_guesses
from napari_unet.widgets.guess_row import GuessRow
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
        if [guess.about for guess in guesses] == list(self.rows):
            for guess in guesses:
                self.rows[guess.about].show_guess(guess)
            self._keep_trial(guesses)
            return
        self.trial.close_pictures()
        self._layout.removeWidget(self.trial)
        for row in self.rows.values():
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.rows = {guess.about: _row(guess) for guess in guesses}
        widest = max((row.title.sizeHint().width() for row in self.rows.values()), default=0)
        for row in self.rows.values():
            # One below the other, where they stand beside their boxes.
            row.title.setMinimumWidth(min(widest, _MOST_TITLE_PX))
            row.value_chosen.connect(self._on_value_chosen)
            row.trial_wanted.connect(self._on_trial_wanted)
            self._layout.addWidget(row)

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
        self._layout.removeWidget(self.trial)
        self._layout.insertWidget(self._layout.indexOf(row) + 1, self.trial)
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


def _row(guess: Guess) -> GuessRow | RolesRow:
    return RolesRow(guess) if guess.about == ROLES else GuessRow(guess)
