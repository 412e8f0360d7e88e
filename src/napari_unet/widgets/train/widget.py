"""The Train widget: painted layers in, a better network out."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_unet.engine.base.errors import TrainingError, UNetError
from napari_unet.installation import check_installation
from napari_unet.script import TrainRecipe, training_command, training_python
from napari_unet.session import Session, shared_session
from napari_unet.viewer.commands import open_widget
from napari_unet.viewer.layers import LayerImage, read_layer
from napari_unet.viewer.worker import Worker
from napari_unet.widgets.shared.run_panel import ScriptButton
from napari_unet.widgets.train.advice import TrainAdvice
from napari_unet.widgets.train.augmented_patches import PatchesJob
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.history_panel import HistoryPanel
from napari_unet.widgets.train.job import (
    Begun,
    Learned,
    Previewed,
    Report,
    Trained,
    Validated,
    Wish,
    teach,
)
from napari_unet.widgets.train.outcome import TrainOutcome
from napari_unet.widgets.train.plan import PairSource, Plan, read_pair
from napari_unet.widgets.train.preview_layer import PreviewLayer
from napari_unet.widgets.train.review.uncertainty_search import DoubtSearch

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.versions import InterruptedTraining, Version


_log = logging.getLogger(__name__)

_LOOK_MS = 300


class TrainWidget(QWidget):
    """Choose images and labels, press Train, watch, keep what is better.

    Parameters
    ----------
    napari_viewer : napari viewer
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
        super().__init__()
        self._viewer = napari_viewer
        self._session = session or shared_session()
        self._folder = folder
        self._worker: Worker | None = None
        self._wish = Wish()
        self._plan: Plan | None = None
        self._stopped: InterruptedTraining | None = None
        self._held_out = ""
        self._build()
        self.form.model_choice.load(self._session.source)
        try:
            check_installation()
        except UNetError as error:
            self._on_failed(error)

    def _build(self) -> None:
        self.form = TrainForm(self._viewer, self._session)
        self.panel, self.curves = self.form.panel, self.form.curves
        self.panel.run_clicked.connect(self.train)
        self.panel.stop_clicked.connect(self.stop)
        self.form.model_choice.load_failed.connect(self._on_failed_beside)
        self.preview = PreviewLayer(self._viewer)
        self.advice = TrainAdvice(self.form, self._session, self._read_sources)
        self.advice.failed.connect(self._on_failed_beside)
        self.outcome = TrainOutcome(self._viewer, self._session, self._folder)
        self.outcome.settled.connect(self._on_settled)
        self.outcome.failed.connect(self._on_failed)
        self.outcome.resumed.connect(self.resume)
        self.outcome.segmented.connect(self._on_segment_wanted)
        self.form.add_result(self.outcome)
        self.doubt = DoubtSearch(self._viewer, self._session, self._read_sources)
        self.doubt.failed.connect(self._on_failed_beside)
        self.doubt.found.connect(partial(self._bring_up, self.doubt))
        self.form.add_result(self.doubt)
        self.patches = PatchesJob(self._viewer, self.form.augmented_button, self.read_plan)
        self.patches.failed.connect(self._on_failed_beside)
        self._build_history()
        self.script_button = ScriptButton(self.read_recipe, training_python, training_command)
        self.script_button.copied.connect(self._on_copied)
        self.script_button.failed.connect(self._on_failed_beside)
        self.form.add_at_foot(self.script_button)
        # Where the view is, for the preview; asked on this thread, used on the other.
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._on_look)
        self._scroll_area = scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(scroll)

    def _build_history(self) -> None:
        self.history = HistoryPanel(self.outcome.history)
        self.history.version_chosen.connect(self._on_version_chosen)
        self._session.network_loaded.connect(self._on_network_loaded)
        folded = QCollapsible("Versions")
        folded.setDuration(0)
        folded.addWidget(self.history)
        folded.toggled.connect(self.history.refresh)
        folded.setToolTip("<qt>Every network that was kept, and the way back to it.</qt>")
        self.versions = folded
        self.form.add_result(folded)
        self._on_network_loaded()

    # -- the form ------------------------------------------------------------------

    def read_plan(self, resumes: InterruptedTraining | None = None) -> Plan:
        """What the form says.

        Raises
        ------
        UNetError
            If it is not complete.
        """
        network = None if self.form.begins_anew else self._session.network
        if network is None and not self.form.begins_anew:
            raise UNetError("No model is loaded; choose one, or tick 'Begin with nothing'.")
        if network is not None and network.description.not_trainable_because:
            raise TrainingError(network.description.not_trainable_because)
        return Plan(
            self._read_sources(),
            self.form.unlabelled.meaning,
            self.form.unlabelled.background_label,
            network,
            self.form.settings(),
            holds_out=self.form.hold_out_box.isChecked(),
            device=self._session.device,
            autosave_folder=self.outcome.autosave_folder,
            folders=tuple(self.form.pairs.folders),
            about={
                "model": "" if network is None else network.description.name,
                "source": "" if network is None else self._session.source,
                "images": [str(image.name) for image, _ in self.form.pairs.pairs],
                "labels": [str(labels.name) for _, labels in self.form.pairs.pairs],
            },
            resumes=resumes,
        )

    def read_recipe(self) -> TrainRecipe:
        """What the form says, for a script.

        Raises
        ------
        UNetError
            If it is not complete.
        """
        self._read_sources()
        pairs = [(str(image.name), str(labels.name)) for image, labels in self.form.pairs.pairs]
        return TrainRecipe(
            tuple(pairs),
            self._session.source,
            self.form.begins_anew,
            self.form.unlabelled.meaning,
            self.form.unlabelled.background_label,
            self.form.settings(),
            self.form.hold_out_box.isChecked(),
            self._session.device,
            tuple((str(images), str(labels)) for images, labels in self.form.pairs.folders),
            self._session.guesses,
        )

    def _read_sources(self) -> tuple[PairSource, ...]:
        pairs = self.form.pairs.pairs
        if not pairs and not self.form.pairs.folders:
            raise TrainingError(
                "There is no image with labels; open an image, run Segment cells or add a Labels "
                "layer, and paint."
            )
        network = self._session.network
        ndim = 2 if network is None or self.form.begins_anew else network.description.unet.ndim
        regions = self.form.unlabelled.regions_layer
        return tuple(
            read_pair(image, labels, self._viewer.dims, network_ndim=ndim, regions=regions)
            for image, labels in pairs
        )

    # -- running -------------------------------------------------------------------

    def train(self) -> None:
        """Train with what the form says."""
        self._start(None)

    def resume(self, interrupted: InterruptedTraining) -> None:
        """Go on with a training that was stopped, or that ended with napari."""
        self._start(interrupted)

    def _start(self, interrupted: InterruptedTraining | None) -> None:
        if self.panel.is_running:
            return
        if self._worker is not None:
            self._worker.stop()  # it only compares
        try:
            check_installation()
            if self._plan is not None and interrupted and self._stopped == interrupted:
                # Exactly as it was begun, whatever the form says now.
                plan = replace(self._plan, resumes=interrupted)
            else:
                plan = self.read_plan(interrupted)
            self._session.begin_training()
        except UNetError as error:
            self._on_failed(error)
            return
        self._plan, self._wish = plan, Wish()
        if interrupted is None:
            self.curves.clear()
            self.preview.remove()
        self.outcome.clear()
        self.curves.show()
        self._bring_up(self.curves)
        self._on_look()
        self._worker = Worker(partial(teach, plan, self._wish))
        self._worker.reported.connect(self._on_reported)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        self.destroyed.connect(self._worker.stop)
        self._worker.start()
        self._look.start()
        self.panel.show_running("reading the images")

    def stop(self) -> None:
        """End after the step that runs; the best network so far is kept, and can go on."""
        if self.panel.is_running:
            self._wish.stops.set()
            self.panel.show_progress(0, 0, "stopping")

    def _on_look(self) -> None:
        self._wish.view = self._view()

    def _view(self) -> LayerImage | None:
        """Field of view of the first image."""
        if self._plan is None:
            return None
        wanted = self._plan.sources[0].image if self._plan.sources else None
        for layer in self._viewer.layers:
            if wanted is not None and str(layer.unique_id) == wanted.layer_id:
                ndim = sum(isinstance(part, slice) for part in wanted.plane)
                try:
                    return read_layer(
                        layer,
                        self._viewer.dims,
                        network_ndim=ndim,
                        extent="view",
                        channel_axis=None if layer.rgb else wanted.channel_axis,
                    )
                except UNetError:
                    return None  # out of sight, so that nobody misses it
        return None

    def _on_reported(self, report: Report) -> None:
        if isinstance(report, Begun):
            self._held_out = report.sentence
            self.panel.show_progress(0, 1000, "the first step")
        elif isinstance(report, Learned):
            self.curves.add_steps(report.steps, report.losses)
            text = f"step {report.steps[-1]}, {report.steps_per_s:.1f} a second"
            if not self._wish.stops.is_set():
                self.panel.show_progress(round(1000 * report.share), 1000, text)
        elif isinstance(report, Validated):
            found = report.evaluation
            self.curves.add_validation(
                report.step,
                report.loss,
                None if found is None else found.pooled(0.5).average_precision,
                None if found is None else found.mean_matched_iou,
            )
        elif isinstance(report, Previewed):
            self.preview.show(report)
        elif isinstance(report, Trained):
            self._on_trained(report)
        else:
            self.outcome.show_compared(report)
            self._bring_up(self.outcome)

    def _on_trained(self, trained: Trained) -> None:
        if trained.steps == 0:
            self.panel.show_idle("Stopped before the first step; everything is as it was.")
            return
        how = "Trained" if trained.is_finished else "Stopped"
        told = f"{how} after {trained.steps} steps ({trained.seconds:.0f} s). {self._held_out}"
        self.panel.show_idle(" ".join((told, *trained.notes)))
        self._stopped = trained.interrupted
        if self._plan is not None:
            self.outcome.show_trained(trained, self._plan)
            self._bring_up(self.outcome)

    def _bring_up(self, part: QWidget) -> None:
        """Scroll to a part of the form once it has got its place."""
        QTimer.singleShot(0, partial(self._on_placed, part))

    def _on_placed(self, part: QWidget) -> None:
        if isalive(self):
            self._scroll_area.ensureWidgetVisible(part)

    def _on_settled(self, sentence: str) -> None:
        self.preview.remove()
        self.history.refresh()
        self.panel.show_idle(sentence)
        show_info(sentence)

    def _on_segment_wanted(self) -> None:
        open_widget(self._viewer, "Segment cells").run()

    def _on_version_chosen(self, version: Version) -> None:
        self.form.model_choice.load(str(version.path))

    def _on_network_loaded(self, _network: Any = None) -> None:
        if isalive(self):
            self.history.show_current(self.outcome.version_of(self._session.source))

    def _on_copied(self, sentence: str) -> None:
        show_info(sentence)
        if not self.panel.is_running:
            self.panel.show_idle(sentence)

    def _on_failed(self, error: Exception) -> None:
        message = _told(error)
        self.panel.show_error(message)
        show_error(message)

    def _on_failed_beside(self, error: Exception) -> None:
        if self.panel.is_running:
            show_error(_told(error))  # what runs goes on
        else:
            self._on_failed(error)

    def _on_ended(self) -> None:
        self._worker = None
        self._look.stop()
        self._session.end_training()

    def reset_choices(self, event: Any = None) -> None:
        """List the layers afresh; napari calls this when they change."""
        if isalive(self):
            self.form.pairs.reset_choices(event)

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            left_dock = event.type() == QEvent.Type.ParentChange and self.parent() is None
            if left_dock or event.type() == QEvent.Type.Close:
                self._stop_all()
        return bool(super().event(event))

    def _stop_all(self) -> None:
        self._look.stop()
        if self._worker is not None:
            self._worker.stop()
            self.panel.show_idle("The training was closed; what was autosaved is offered again.")
        self.patches.stop()
        self.doubt.stop()
        self.preview.remove()
        self.advice.stop()
        self.history.stop()
        self.form.model_choice.stop()


def _told(error: Exception) -> str:
    if isinstance(error, UNetError):
        return str(error)
    _log.error("The training failed", exc_info=error)
    return (
        f"Something went wrong that should not ({type(error).__name__}: {error}); the log has the "
        "details. The model is as it was."
    )
