"""Loads models into the session, one at a time, off the Qt thread."""

from __future__ import annotations

from functools import partial

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError
from napari_unet.engine.networks.bundled import model_name
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.model_loading import (
    CodeQuestion,
    LoadRequest,
    Machine,
    Missed,
    load_network,
)


class ModelLoader(QObject):
    """What is on its way into the session, and the question that may hold it up.

    Parameters
    ----------
    parent : QWidget
        The question is asked before it.

    Attributes
    ----------
    source : str
        Of the model on its way; empty without one.
    """

    found = Signal(object)
    """Carries the `Machine`: what there is to choose from."""
    changed = Signal()
    """Another model is on its way, or none."""
    started = Signal(str)
    """Carries the name of the model."""
    finished = Signal(str)
    """The session has the network; carries the source that a user picked by hand, if one did."""
    failed = Signal(object, str)
    """Carries the exception and the source; the session keeps the network it had."""
    ended = Signal()
    """After a load finished, failed or was stopped."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._window = session, parent
        self._job = Job(self)
        self.source = ""
        self._opened = ""
        self._missed: Missed | None = None
        self._question: CodeQuestion | None = None
        self._turn = 0

    @property
    def is_running(self) -> bool:
        """Whether a network is on its way."""
        return self._job.is_running

    def load(
        self, source: str, *, last_used: str = "", reads_again: bool, allows_code: bool = False
    ) -> None:
        """Load a model in a worker, as a `LoadRequest` says; an earlier load is dropped."""
        # Whoever asks for another model has answered.
        self._drop_question()
        session = self._session
        loaded_source = None if session.network is None else session.source
        request = LoadRequest(
            source, loaded_source, session.file_hash, reads_again, allows_code, last_used
        )
        # A model that nobody named gives way to one that somebody did.
        self._turn = session.request() if source and (reads_again or not request.is_loaded) else 0
        self.source, self._opened = source, source if reads_again else ""
        self._job.start(
            partial(load_network, request),
            on_report=self._on_reported,
            on_result=self._on_finished,
            on_error=self._on_failed,
        )
        self.changed.emit()
        if self._turn:
            self.started.emit(model_name(source))

    def stop(self) -> None:
        """Drop a load that still runs, and a question that is open."""
        self._drop_question()
        if self.is_running:
            self._job.stop()
            self._forget()
            self.ended.emit()

    def _drop_question(self) -> None:
        # It deletes itself once it is answered.
        if self._question is not None and isalive(self._question):
            self._question.drop()
        self._question = None

    def _on_reported(self, report: Machine | Missed | LoadedModel) -> None:
        if isinstance(report, Missed):
            self._missed = report
        elif isinstance(report, Machine):
            self.source = report.source
            self.found.emit(report)
        else:
            self._session.adopt_model(report, request=self._turn)
            if self._session.model is not report:
                self._missed = None  # of several forms that opened at once another one tells it

    def _on_finished(self, _last: Machine | Missed | LoadedModel) -> None:
        opened = self._opened
        self._forget()
        self.finished.emit(opened)
        missed, self._missed = self._missed, None
        if missed is not None:
            self.failed.emit(CheckpointError(missed.sentence), "")
        self.ended.emit()

    def _on_failed(self, error: Exception) -> None:
        source, opened = self.source, bool(self._opened)
        self._forget()
        if isinstance(error, CodeInFileError):
            self._question = CodeQuestion(source, str(error), self._window)
            again = partial(self.load, source, reads_again=opened, allows_code=True)
            self._question.allowed.connect(again)
            self._question.refused.connect(self._on_refused)
            self._question.open()
        else:
            self.failed.emit(error, source)
        self.ended.emit()

    def _on_refused(self, error: CheckpointError) -> None:
        self.failed.emit(error, "")

    def _forget(self) -> None:
        self.source = ""
        self.changed.emit()
