"""What a model file did not tell, so that it was guessed: to be looked at, tried and changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.words import count
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer.layers import read_layer
from napari_unet.viewer.worker import Job
from napari_unet.widgets.model.guesses.row import GuessRow, RolesRow
from napari_unet.widgets.model.guesses.rows import GuessRows
from napari_unet.widgets.model.guesses.trial import GuessTrial
from napari_unet.widgets.model.jobs import change_guesses, try_guess
from napari_unet.widgets.shared.image_layers import SelectedImage
from napari_unet.widgets.shared.parts import in_column, while_alive
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import Guess

_TOLD = (
    "The file holds the weights, but not all that must be known to use them. If the cells come "
    "out wrong, another choice here may put it right; the file stays as it is."
)


class GuessesPanel(QWidget):
    """A row for each guess about the session's network; hidden where there are none.

    Parameters
    ----------
    image : SelectedImage
        On which guesses are tried.
    """

    failed = Signal(object)
    """Carries the exception; the session keeps the network it had."""
    changed = Signal(str)
    """Carries a sentence about what was changed."""

    def __init__(self, viewer: ViewerModel, session: Session, image: SelectedImage) -> None:
        super().__init__()
        self._viewer, self._session, self._image = viewer, session, image
        self._job = Job(self)
        self._changes: dict[str, str] = {}
        self._base: LoadedModel | None = None
        self._tried_with: dict[str, str] = {}
        self._guesses: dict[str, Guess] = {}
        self.heading = QLabel()
        self.heading.setWordWrap(True)
        self.list = GuessRows()
        self.list.value_chosen.connect(self._on_value_chosen)
        self.list.trial_wanted.connect(self._on_trial_wanted)
        self.trial = GuessTrial()
        self.trial.value_chosen.connect(self._on_value_chosen)
        layout = in_column(self.heading, FaintLabel(_TOLD), self.list, within=self, spacing=6)
        layout.setContentsMargins(0, 4, 0, 0)
        session.network_loaded.connect(self._show_guesses)
        self._show_guesses()

    @property
    def rows(self) -> dict[str, GuessRow | RolesRow]:
        """The rows, by what their guesses are about."""
        return self.list.rows

    @property
    def is_busy(self) -> bool:
        """Whether a change is still to come."""
        return self._job.is_running

    def stop(self) -> None:
        """Drop what runs."""
        self.trial.close_pictures()
        self._job.stop()

    @while_alive
    def _show_guesses(self, _network: Any = None) -> None:
        network = self._session.network
        guesses = network.description.guesses if network else ()
        self.setVisible(bool(guesses))
        self.heading.setText(f"<b>{count(len(guesses), 'thing')} had to be guessed</b>")
        before, self._guesses = self._guesses, {each.about: each for each in guesses}
        about = self.trial.about
        is_same = self._guesses.keys() == before.keys()
        if is_same and about and self._others(about) == self._tried_with:
            # The pictures stay as long as all else is as it was when they were made.
            self.trial.show_taken(self._guesses[about].value)
        else:
            self.trial.close_pictures()
            if not is_same:
                # Its row is about to go.
                self.trial.setParent(None)
        self.list.show_guesses(self._guesses)

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
        # What was chosen is not taken.
        self.list.show_guesses(self._guesses)
        if self.trial.about in self._guesses:
            self.trial.show_taken(self._guesses[self.trial.about].value)
        if self._session.model is self._base:
            self.failed.emit(error)

    # -- trying ------------------------------------------------------------------------------------

    def _on_trial_wanted(self, guess: Guess) -> None:
        network = self._session.network
        if network is None or guess.about not in self.rows:
            return
        self.list.place_below(guess.about, self.trial)
        layer = self._image.layer
        if layer is None:
            self.trial.show_refusal(guess, "There is no image to try it on; open one.")
            return
        try:
            image = read_layer(
                layer,
                self._viewer.dims,
                network_ndim=network.description.architecture.ndim,
                extent="view",
            )
        except UNetError as error:
            self.trial.show_refusal(guess, str(error))
            return
        self._tried_with = self._others(guess.about)
        values = self.rows[guess.about].tried_values()
        device = self._session.device
        self.trial.start(guess, values, partial(try_guess, network, guess, values, image, device))
