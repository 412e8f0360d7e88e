"""One training of the form, from the click to what came of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.session import Session, Turn
from napari_unet.viewer.layers import LayerImage, find_layer, read_layer
from napari_unet.viewer.worker import Job
from napari_unet.widgets.train.plan import IS_FINISHED, Plan
from napari_unet.widgets.train.preview import Previewed, PreviewLayer
from napari_unet.widgets.train.reports import Control, Report, Trained
from napari_unet.widgets.train.review.comparison import Compared
from napari_unet.widgets.train.training import run_training

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.versions.autosave import InterruptedTraining

_LOOK_MS = 300


class TrainingJob(QObject):
    """Owns the thread of a training, the preview layer, its reports and its results.

    Parameters
    ----------
    parent : QWidget
        When it is destroyed, the training ends.

    Attributes
    ----------
    plan : Plan, optional
        Of the last training.
    trained : Trained, optional
        What came of it, until it is kept or discarded.
    compared : Compared, optional
        How it differs from the network that it started from, once that is known.
    stopped : InterruptedTraining, optional
        What the last training left to go on with.
    """

    reported = Signal(object)
    """Carries each `Report`, once it has been taken in here."""
    failed = Signal(object)
    """Carries the exception."""
    ended = Signal()
    """The thread is done, whichever way."""

    def __init__(self, viewer: ViewerModel, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._job = Job(self)
        self._control = Control()
        self._turn: Turn | None = None
        self.preview = PreviewLayer(viewer)
        self.plan: Plan | None = None
        self.trained: Trained | None = None
        self.compared: Compared | None = None
        self.stopped: InterruptedTraining | None = None
        # Where the view is, for the preview; asked on this thread, used on the other.
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._on_look)

    @property
    def is_running(self) -> bool:
        """Whether it still trains, or compares."""
        return self._job.is_running

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._control.cancel.is_set()

    def start(self, plan: Plan) -> None:
        """Train; what the last training left is dropped.

        Raises
        ------
        TrainingError
            If another form trains.
        """
        self._job.stop()  # it only compares
        self._turn = turn = self._session.begin_training()
        self.plan, self._control = plan, Control()
        self.clear()
        if plan.resumes is None:
            self.preview.remove()
            if self.stopped is not None and self.stopped.about.get(IS_FINISHED):
                self.stopped.discard()  # nobody kept it
        self._on_look()
        self._look.start()
        self._job.start(
            partial(turn.during, partial(run_training, plan, self._control)),
            on_report=self._on_report,
            on_error=self.failed.emit,
            on_end=self._on_end,
        )

    def plan_of(self, interrupted: InterruptedTraining) -> Plan | None:
        """Plan of a training that has ended here, to go on exactly as it was begun.

        None if an earlier napari began it: then the form says how it goes on.
        """
        if self.plan is None or self.stopped != interrupted:
            return None
        return replace(self.plan, resumes=interrupted)

    def stop(self) -> None:
        """End after the step that runs; the best network so far is kept, and can go on."""
        self._control.cancel.set()

    def close(self) -> bool:
        """End at once, and take the preview away; return whether anything ran."""
        was_running = self._job.is_running
        self._job.stop()
        self.preview.remove()
        return was_running

    def clear(self) -> None:
        """Drop what came of the last training."""
        self.trained = self.compared = None

    def _on_report(self, report: Report) -> None:
        if isinstance(report, Previewed):
            self.preview.show(report)
        elif isinstance(report, Trained) and report.steps:
            self.trained, self.stopped = report, report.interrupted
        elif isinstance(report, Compared):
            if self.trained is None:
                return  # it was kept or discarded meanwhile
            self.compared = report
        self.reported.emit(report)

    def _on_end(self) -> None:
        self._look.stop()
        if self._turn is not None:
            self._turn.end()
        self.ended.emit()

    def _on_look(self) -> None:
        self._control.view = self._view()

    def _view(self) -> LayerImage | None:
        """Field of view of the first image."""
        if self.plan is None or not self.plan.sources:
            return None
        image = self.plan.sources[0].image
        layer = find_layer(self._viewer, image.layer_id)
        if not isinstance(layer, Image):
            return None
        try:
            return read_layer(
                layer,
                self._viewer.dims,
                network_ndim=sum(isinstance(part, slice) for part in image.plane),
                extent="view",
                channel_axis=None if layer.rgb else image.channel_axis,
            )
        except UNetError:
            return None  # out of sight, so that nobody misses it
