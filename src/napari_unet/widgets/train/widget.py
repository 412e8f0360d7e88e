"""The Train widget: painted layers in, a better network out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QVBoxLayout

from napari_unet.engine.base.errors import UNetError
from napari_unet.installation import InstallationError, check_installation
from napari_unet.script import training_command, training_python
from napari_unet.session import Session, shared_session
from napari_unet.viewer.commands import open_widget
from napari_unet.viewer.warm_up import preparation
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.shared.buttons import ScriptButton
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, action_button, in_row
from napari_unet.widgets.train.advice import TrainAdvice
from napari_unet.widgets.train.for_batch import QueuedTraining
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.job import TrainingJob
from napari_unet.widgets.train.outcome import TrainOutcome
from napari_unet.widgets.train.reports import Begun, Learned, Report, Trained
from napari_unet.widgets.train.review.comparison import Compared
from napari_unet.widgets.train.review.history_panel import VersionsFold
from napari_unet.widgets.train.review.uncertainty_search import UncertaintySearch

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.versions.autosave import InterruptedTraining


class TrainWidget(DockedForm):
    """Choose images and labels, press Train, watch, keep what is better.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    folder : Path, optional
        Where versions and running trainings are kept; the user's data folder without it.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        session: Session | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(napari_viewer)
        self._session = session or shared_session()
        self.form = TrainForm(napari_viewer, self._session)
        self.panel, self.curves = self.form.panel, self.form.curves
        self.job = TrainingJob(napari_viewer, self._session, self)
        self.advice = TrainAdvice(self.form, self._session, self.form.read_sources)
        self.outcome = TrainOutcome(napari_viewer, self._session, self.job, folder)
        self.uncertainty = UncertaintySearch(napari_viewer, self._session, self.form.read_sources)
        self.versions = VersionsFold(self.outcome.history, self._session)
        self.script_button = ScriptButton(
            lambda: self.form.read_plan().recipe, training_python, training_command
        )
        self.queue_button = action_button(
            "Add to the queue",
            "Let this training wait in the queue of Batch, with its layers as they are now. It "
            "runs there among other trainings and images, and what is better is kept by itself.",
            self.queue,
        )
        self._lay_out()
        self._connect()
        self.form.model_choice.load(self._session.source)
        preparation.ask_for("weights", "cells")
        try:
            check_installation()
        except UNetError as error:
            self._on_failed(error)

    def _lay_out(self) -> None:
        for part in (self.outcome, self.uncertainty, self.versions):
            self.form.results.addWidget(part)
        self.form.foot.addLayout(in_row(self.script_button, self.queue_button, spacing=4))
        self._scroll_area = Scrolled(self.form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._scroll_area)

    def _connect(self) -> None:
        self.panel.run_clicked.connect(self.train)
        self.panel.stop_clicked.connect(self.stop)
        self.job.reported.connect(self._on_reported)
        self.job.failed.connect(self._on_training_failed)
        self.outcome.settled.connect(self._on_settled)
        self.outcome.resumed.connect(self.train)
        self.outcome.segmented.connect(self._on_segment_wanted)
        self.outcome.correction_wanted.connect(self.uncertainty.start)
        self.advice.correction_wanted.connect(self.uncertainty.start)
        self.uncertainty.found.connect(partial(self._scroll_area.bring_up, self.uncertainty))
        self.versions.chosen.connect(self.form.model_choice.load)
        models = (self.form.model_choice.load_started, self._session.network_loaded)
        inputs = (self.form.input_changed, self.form.pairs.listed)
        self.panel.label.follow(self._subject, *inputs, *models)
        self.script_button.copied.connect(self._on_copied)
        self.form.model_choice.load_failed.connect(self._on_failed)
        patches, copying = self.form.augmented_button, self.script_button
        for part in (patches, self.advice, self.outcome, copying):
            part.failed.connect(self._on_failed)

    def _subject(self) -> object:
        """What the form shows, as far as a message may be about it."""
        if self.job.trained is not None:
            return self.job.trained  # until it is kept or discarded, whatever is chosen meanwhile
        return self.form.pairs.subject, self.form.begins_anew, self.form.model_choice.subject

    def train(self, interrupted: InterruptedTraining | None = None) -> None:
        """Train with what the form says, or go on with what was stopped or ended with napari."""
        if self.panel.is_running:
            return
        try:
            check_installation()
            plan = self.job.plan_of(interrupted) if interrupted else None
            if interrupted is None:
                self.advice.ask()
            if plan is None:
                folder = self.outcome.autosave_folder
                plan = replace(self.form.read_plan(), autosave_folder=folder, resumes=interrupted)
            elif self.form.length.is_changed:
                plan = replace(plan, recipe=self.form.with_chosen_end(plan.recipe))
            self.job.start(plan)
            self.form.length.is_changed = False
        except UNetError as error:
            self._on_failed(error)
            return
        if interrupted is None:
            self.curves.clear()
        self.outcome.clear()
        self.curves.show()
        self._scroll_area.bring_up(self.curves)
        self.panel.show_running("reading the images")

    def queue(self) -> None:
        """Add what the form says to the queue of the Batch form."""
        try:
            training = QueuedTraining(self.form.read_plan(), self._session.file_hash)
        except UNetError as error:
            self._on_failed(error)
            return
        open_widget(self._viewer, "Batch").add_training(training)

    def stop(self) -> None:
        """End after the step that runs; the best network so far is kept, and can go on."""
        if self.panel.is_running:
            self.job.stop()
            self.panel.show_progress(0, 0, "stopping")

    def _on_reported(self, report: Report) -> None:
        if isinstance(report, Begun):
            self.panel.show_progress(0, 1000, "the first step")
        elif isinstance(report, Learned):
            self.curves.add_reports(report.steps)
            if report.step_s is not None and self.job.plan is not None:
                self.form.length.take_pace(report.step_s, self.job.plan.recipe.settings)
            if not self.job.is_stopping:
                done = round(1000 * report.steps[-1].share)
                self.panel.show_progress(done, 1000, report.text, says_time=True)
        elif isinstance(report, Trained):
            self.panel.show_idle(report.sentence)
            self.form.show_time()
            if report.steps:
                self.outcome.show_trained()
                self._scroll_area.bring_up(self.outcome)
        elif isinstance(report, Compared):
            self.outcome.show_compared()
            self._scroll_area.bring_up(self.outcome)

    def _on_settled(self, sentence: str) -> None:
        self.job.preview.remove()
        self.versions.panel.refresh()
        self.panel.show_idle(sentence)
        show_info(sentence)

    def _on_segment_wanted(self) -> None:
        open_widget(self._viewer, "Segment cells").run()

    def _on_copied(self, sentence: str) -> None:
        show_info(sentence)
        if not self.panel.is_running:
            self.panel.show_idle(sentence)

    def _on_training_failed(self, error: Exception) -> None:
        self.panel.show_idle()
        self._on_failed(error)

    def _on_failed(self, error: Exception) -> None:
        message = failure_sentence(error, kept="The model is as it was.")
        if not self.panel.is_running:  # a training that runs goes on
            self.panel.show_error(message, lasts=isinstance(error, InstallationError))
        show_error(message)

    def stop_all(self) -> None:
        """End the training, let go of what is not finished, and take the preview away."""
        if self.job.close():
            self.panel.show_idle("The training was closed; what was autosaved is offered again.")
        others = (self.uncertainty, self.advice, self.versions.panel)
        for part in (self.form.augmented_button, *others):
            part.stop()
        self.form.model_choice.stop()
