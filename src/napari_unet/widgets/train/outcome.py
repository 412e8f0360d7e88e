"""What becomes of a training: compared, kept as a version or discarded, or gone on with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from napari_unet.session import LoadedModel, Session
from napari_unet.versions.autosave import InterruptedTraining, find_interrupted
from napari_unet.versions.history import ModelHistory
from napari_unet.versions.notes import data_folder
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import action_button, in_column, in_row
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.job import TrainingJob
from napari_unet.widgets.train.plan import IS_FINISHED, Plan
from napari_unet.widgets.train.review.change_layer import ChangesInView
from napari_unet.widgets.train.review.comparison_panel import ComparisonPanel
from napari_unet.widgets.train.review.version_list import keep_interrupted, keep_trained

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.training.knowledge.bank import Bank
    from napari_unet.widgets.train.reports import Trained


_KEEP, _KEEP_ANYWAY = "Keep", "Keep all the same"
_VERSIONS, _AUTOSAVES = "versions", "trainings"


def _images_of(plan: Plan, trained: Trained) -> Bank:
    from napari_unet.engine.training.knowledge.bank import bank_of

    return bank_of(trained.learned, plan.start_file)


class TrainOutcome(QWidget):
    """Buttons below the curves: Keep, Discard, Train further; and what an earlier napari left.

    Parameters
    ----------
    job : TrainingJob
        It holds the results.
    folder : Path, optional
        Where versions and running trainings are kept; the user's data folder without it.
    """

    settled = Signal(str)
    """Carries a sentence: kept, or discarded."""
    resumed = Signal(object)
    """Carries the `InterruptedTraining` that is to go on; None for the model that was kept."""
    correction_wanted = Signal()
    """What was learned is not better, and somebody asks what to correct."""
    segmented = Signal()
    """The image is to be segmented with the model that was kept."""
    failed = Signal(object)
    """Carries the exception."""

    def __init__(
        self, viewer: ViewerModel, session: Session, job: TrainingJob, folder: Path | None = None
    ) -> None:
        super().__init__()
        self._session = session
        self._job = job
        root = folder or data_folder()
        self.autosave_folder = root / _AUTOSAVES
        self.history = ModelHistory(root / _VERSIONS)
        self._interrupted: InterruptedTraining | None = None
        self._writing = Job(self)
        self._changes = ChangesInView(viewer)
        self._build()
        self.look_for_interrupted()

    def _build(self) -> None:
        self.sentence = Sentence()
        self.comparison = ComparisonPanel()
        self.comparison.change_chosen.connect(self._changes.look_at)
        self.keep_button = action_button(
            _KEEP,
            "Write the new network as a version of its own and use it from now on; the model that "
            "you started from stays as it is.",
            self.keep,
        )
        self.images_box = QCheckBox("Keep the images, too")
        self.images_box.setToolTip(
            "<qt>Keep the labelled parts of the images beside the new version, in your data folder "
            "and nowhere else. Trainings that begin with it learn them again, so that they are not "
            "forgotten.</qt>"
        )
        self.discard_button = action_button(
            "Discard", "Drop what was learned and stay with the model.", self.discard
        )
        self.resume_button = action_button(
            "Train further",
            "Go on where the training ended, for as long again; after a stop as if there had been "
            "none.",
            self._on_resume_clicked,
        )
        self.where_button = action_button(
            "Show where",
            "Look for the places in which the model is least sure: to correct these helps most.",
            self.correction_wanted.emit,
        )
        self.segment_button = action_button(
            "Segment again", "Run Segment cells with the model that was kept.", self.segmented
        )
        buttons = in_row(*self._buttons, spacing=4)
        in_column(self.sentence, self.comparison, self.images_box, buttons, within=self)
        self.clear()

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return (
            self.keep_button,
            self.discard_button,
            self.resume_button,
            self.where_button,
            self.segment_button,
        )

    def _offer(self, *buttons: QPushButton) -> None:
        for button in self._buttons:
            button.setVisible(button in buttons)
            button.setEnabled(True)
        # What an earlier napari has left does not hold its images.
        self.images_box.setVisible(self.keep_button in buttons and self._job.trained is not None)

    @property
    def is_busy(self) -> bool:
        """Whether something is being written or read."""
        return self._writing.is_running

    def clear(self) -> None:
        """Show nothing, as when a training begins."""
        self.images_box.setChecked(False)
        self._changes.remove()
        self.keep_button.setText(_KEEP)
        self._interrupted = None
        self.comparison.clear()
        self.sentence.show_text("")
        self._offer()

    def show_trained(self) -> None:
        """Offer what can be done with a training that has ended."""
        self.clear()
        self._interrupted = self._job.stopped
        self.sentence.show_text("Comparing with the model before …")
        resume = (self.resume_button,) if self._interrupted else ()
        self._offer(self.keep_button, self.discard_button, *resume)

    def show_compared(self) -> None:
        """Say what has changed, and show it on the labels of the first image."""
        compared = self._job.compared
        if compared is None:
            return
        self.sentence.show_text(compared.sentence)
        if compared.verdict is not None and not compared.verdict.is_better:
            self.keep_button.setText(_KEEP_ANYWAY)
            self.where_button.show()
        if compared.view is not None:
            self.comparison.show_comparison(compared.view.comparison, compared.view.sentence)
            self._changes.show(compared.view)

    def look_for_interrupted(self) -> None:
        """Offer a training that ended with an earlier napari."""
        found = find_interrupted(self.autosave_folder)
        if not found or self._job.trained is not None:
            return
        self._interrupted = found[0]
        about = found[0].about
        images = ", ".join(f"'{name}'" for name in about.get("images", ())) or "images"
        how = "ended and was not kept" if about.get(IS_FINISHED) else "was interrupted"
        self.sentence.show_text(
            f"A training of '{about.get('model') or 'a new network'}' on {images} {how} after step "
            f"{found[0].step}. Keep what it had learned, or open the images and labels again and "
            "train further."
        )
        self._offer(self.keep_button, self.discard_button, self.resume_button)

    def keep(self) -> None:
        """Write the network as a new version, and make it the session's."""
        job = self._job
        if job.trained is not None:
            network = job.plan.network if job.plan else None
            parent = self.history.id_of(job.plan.recipe.model) if job.plan and network else None
            images_of = None
            if self.images_box.isChecked() and job.plan:
                images_of = partial(_images_of, job.plan)
            work = partial(keep_trained, self.history, job.trained, job.compared, parent, images_of)
        elif self._interrupted is not None:
            work = partial(keep_interrupted, self.history, self._interrupted)
        else:
            return
        for button in self._buttons:
            button.setEnabled(False)
        self._writing.start(work, on_result=self._on_kept, on_error=self._on_failed)

    def discard(self) -> None:
        """Drop what was learned."""
        self._settle("Discarded; the model is as it was.")
        self.look_for_interrupted()

    def _settle(self, sentence: str) -> None:
        if self._interrupted is not None:
            self._interrupted.discard()
        self.clear()
        self._job.clear()
        self.settled.emit(sentence)

    def _on_kept(self, model: LoadedModel) -> None:
        self._session.adopt_model(model, request=self._session.request())
        self._settle(f"Kept as '{model.network.description.name}', which is the model now.")
        self._offer(self.segment_button, self.resume_button)

    def _on_failed(self, error: Exception) -> None:
        self._offer(*(button for button in self._buttons if not button.isHidden()))
        self.failed.emit(error)

    def _on_resume_clicked(self) -> None:
        self.resumed.emit(self._interrupted)
