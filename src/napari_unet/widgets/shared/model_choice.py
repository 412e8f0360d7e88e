"""Chooses a model and loads it into the session, off the Qt thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.model_files import OPEN_FILTER, ModelBox, RecentMenu, RecentModels
from napari_unet.widgets.shared.model_loading import (
    CodeQuestion,
    LoadRequest,
    Machine,
    Missed,
    list_versions,
    load_network,
)
from napari_unet.widgets.shared.parts import action_button, in_row, while_alive

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.versions.history import Version


_NARROW_BUTTONS = """
QPushButton { padding: 4px 6px; }
QPushButton::menu-indicator { image: none; width: 0px; }
"""


class ModelChoice(QWidget):
    """Bundled models and model files; the chosen one becomes the session's.

    Parameters
    ----------
    session : Session
        Another widget may load its network: it is shown here, too.
    file_text : str
        Caption of the button that opens a file.
    """

    devices_found = Signal(object)
    """Carries the names of this machine's devices, once."""
    load_started = Signal(str)
    """Carries the name of the model."""
    load_finished = Signal()
    """The session has the network."""
    load_failed = Signal(object)
    """Carries the exception; the session keeps the network it had."""
    load_ended = Signal()
    """After a load finished, failed or was stopped."""

    def __init__(self, session: Session, *, file_text: str = "…") -> None:
        super().__init__()
        self._session = session
        self._job, self._listing = Job(self), Job(self)
        self._missed: Missed | None = None
        self._loading_source = ""
        self._opened = ""
        self._question: CodeQuestion | None = None
        self._turn = 0
        self.recent = RecentModels()
        self._build(file_text)
        session.network_loaded.connect(self._on_network_loaded)
        session.versions_changed.connect(self._list_versions)
        self._fill()

    def _build(self, file_text: str) -> None:
        self.box = ModelBox(self.recent)
        self.box.activated.connect(self._on_activated)
        self.recent_menu = RecentMenu(self.recent, self)
        self.recent_menu.chosen.connect(self.open)
        self.recent_menu.cleared.connect(self._on_cleared)
        self.file_button = action_button(
            file_text,
            "Choose a model file: of this plugin, PyTorch weights, TorchScript, ONNX or a "
            "bioimage.io package.",
            self._on_file_button_clicked,
        )
        self.recent_button = QPushButton("▾")
        self.recent_button.setToolTip("Choose from the model files that you opened last.")
        self.recent_button.setMenu(self.recent_menu)
        self.setStyleSheet(_NARROW_BUTTONS)
        layout = in_row(self.box, self.file_button, self.recent_button, within=self, spacing=2)
        layout.setStretch(0, 1)

    @property
    def is_loading(self) -> bool:
        """Whether a network is on its way."""
        return self._job.is_running

    @property
    def subject(self) -> object:
        """The model that is shown, be it on its way, for a `Sentence` that tells of it."""
        session = self._session
        return self._loading_source or session.source or session.model, dict(session.guesses)

    def remember(self, file: str) -> None:
        """Offer a file that was just written."""
        self.recent.add(file)
        self._fill()

    def _on_activated(self, index: int) -> None:
        source = str(self.box.itemData(index))
        if source:
            self.open(source)

    def _on_file_button_clicked(self) -> None:
        file, _ = QFileDialog.getOpenFileName(
            self, "Choose a model file", self.recent.folder, OPEN_FILTER
        )
        if file:
            self.open(file)

    def _on_cleared(self) -> None:
        self.box.forget_all()
        self._fill()

    def open(self, source: str) -> None:
        """Load what a user picked by hand: read the file again, and keep it as a recent one."""
        self._load(source, reads_again=True)

    def load(self, source: str = "") -> None:
        """Load a model in a worker; an earlier load that still runs is dropped.

        Parameters
        ----------
        source : str
            Bundled name or file; empty for the preferred bundled one. The
            session's own is not read again.
        """
        self._load(source, reads_again=False)

    def _load(self, source: str, *, reads_again: bool, allows_code: bool = False) -> None:
        # Whoever asks for another model has answered.
        self._drop_question()
        session = self._session
        loaded_source = None if session.network is None else session.source
        request = LoadRequest(
            source,
            loaded_source,
            session.file_hash,
            reads_again,
            allows_code,
            self.recent.last,
        )
        # A model that nobody named gives way to one that somebody did.
        self._turn = session.request() if source and (reads_again or not request.is_loaded) else 0
        self._loading_source, self._opened = source, source if reads_again else ""
        self._job.start(
            partial(load_network, request),
            on_report=self._on_reported,
            on_result=self._on_finished,
            on_error=self._on_failed,
        )
        self._fill()
        if self._turn:
            self.load_started.emit(Path(source).stem)

    def stop(self) -> None:
        """Drop a load that still runs, and a question that is open."""
        self._drop_question()
        if self.is_loading:
            self._job.stop()
            self._forget_load()
            self.load_ended.emit()

    def _drop_question(self) -> None:
        # It deletes itself once it is answered.
        if self._question is not None and isalive(self._question):
            self._question.drop()
        self._question = None

    def _on_reported(self, report: Machine | Missed | LoadedModel) -> None:
        if isinstance(report, Missed):
            self._missed = report
        elif isinstance(report, Machine):
            self.box.bundled, self.box.versions = report.models, report.versions
            self._loading_source = report.source
            self._fill()
            self.devices_found.emit(report.devices)
        else:
            self._session.adopt_model(report, request=self._turn)
            if self._session.model is not report:
                self._missed = None  # several forms opened at once, and the first has told it

    def _on_finished(self, _last: Machine | Missed | LoadedModel) -> None:
        listed = (*self.box.bundled, *(each.source for each in self.box.versions))
        if self._opened and self._opened not in listed:
            self.recent.add(self._opened)
        self._forget_load()
        self.load_finished.emit()
        missed, self._missed = self._missed, None
        if missed is not None:
            self.load_failed.emit(CheckpointError(missed.sentence))
        self.load_ended.emit()

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error.__cause__, FileNotFoundError):
            self.box.forget(self._loading_source)
        source, opened = self._loading_source, bool(self._opened)
        self._forget_load()
        if isinstance(error, CodeInFileError):
            self._question = CodeQuestion(source, str(error), self)
            again = partial(self._load, source, reads_again=opened, allows_code=True)
            self._question.allowed.connect(again)
            self._question.refused.connect(self.load_failed)
            self._question.open()
        else:
            self.load_failed.emit(error)
        self.load_ended.emit()

    def _forget_load(self) -> None:
        self._loading_source = ""
        self._fill()

    @while_alive
    def _on_network_loaded(self, _network: Network) -> None:
        self.recent.use(self._session.source)
        self._fill()
        # It may be one that has just been kept.
        self._list_versions()

    @while_alive
    def _list_versions(self) -> None:
        self._listing.start(list_versions, on_result=self._on_versions_listed)

    def _on_versions_listed(self, versions: tuple[Version, ...]) -> None:
        if versions != self.box.versions:
            self.box.versions = versions
            self._fill()

    @while_alive
    def _fill(self, _network: Network | None = None) -> None:
        self.box.show_models(self._session, self._loading_source)
