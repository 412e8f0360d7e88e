"""Chooses a model and loads it into the session, off the Qt thread."""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError
from napari_unet.session import LoadedModel, Session
from napari_unet.versions.history import version_name
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.shared.code_question import CodeQuestion
from napari_unet.widgets.shared.model_files import OPEN_FILTER, RecentMenu, RecentModels
from napari_unet.widgets.shared.model_jobs import LoadRequest, Machine, load_network

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network


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

    Attributes
    ----------
    devices_found : Signal
        Carries the names of this machine's devices, once.
    load_started : Signal
        Carries the name of the model.
    load_finished : Signal
        The session has the network.
    load_failed : Signal
        Carries the exception; the session keeps the network it had.
    load_ended : Signal
        After a load finished, failed or was stopped.
    """

    devices_found = Signal(object)
    load_started = Signal(str)
    load_finished = Signal()
    load_failed = Signal(object)
    load_ended = Signal()

    def __init__(self, session: Session, *, file_text: str = "…") -> None:
        super().__init__()
        self._session = session
        self._job = Job(self)
        self._loading_source = ""
        self._opened = ""
        self._question: CodeQuestion | None = None
        self._turn = 0
        self._bundled: tuple[str, ...] = ()
        self._recent = RecentModels()
        self._were_loaded: dict[str, None] = {}
        self._build(file_text)
        session.network_loaded.connect(self._show_session)
        self._fill()

    def _build(self, file_text: str) -> None:
        self.box = StillBox()
        self.box.setPlaceholderText("no model")
        self.box.activated.connect(self._on_activated)
        self.recent_menu = RecentMenu(self._recent, self)
        self.recent_menu.chosen.connect(self.open)
        self.recent_menu.cleared.connect(self._on_cleared)
        self.file_button = QPushButton(file_text)
        self.file_button.setToolTip(
            "<qt>Choose a model file: of this plugin, PyTorch weights, TorchScript, ONNX or a "
            "bioimage.io package.</qt>"
        )
        self.file_button.clicked.connect(self._on_file_button_clicked)
        self.recent_button = QPushButton("▾")
        self.recent_button.setToolTip("Choose from the model files that you opened last.")
        self.recent_button.setMenu(self.recent_menu)
        self.setStyleSheet(_NARROW_BUTTONS)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.file_button)
        layout.addWidget(self.recent_button)

    @property
    def is_loading(self) -> bool:
        """Whether a network is on its way."""
        return self._job.is_running

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
        request = LoadRequest(source, loaded_source, session.file_hash, reads_again, allows_code)
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

    @property
    def folder(self) -> str:
        """Where the last model file was; empty before the first."""
        return self._recent.folder

    def remember(self, file: str) -> None:
        """Offer a file that was just written."""
        self._recent.add(file)
        self._fill()

    def stop(self) -> None:
        """Drop a load that still runs, and a question that is open."""
        self._drop_question()
        if self.is_loading:
            self._job.stop()
            self._forget_load()
            self.load_ended.emit()

    def _drop_question(self) -> None:
        if self._question is not None:
            question, self._question = self._question, None
            question.answered.disconnect()
            question.close()

    def _on_reported(self, report: Machine | LoadedModel) -> None:
        if isinstance(report, Machine):
            self._bundled = report.models
            self._loading_source = report.source
            self._fill()
            self.devices_found.emit(report.devices)
        else:
            self._session.adopt_model(report, request=self._turn)

    def _on_finished(self, _last: Machine | LoadedModel) -> None:
        if self._opened and self._opened not in self._bundled:
            self._recent.add(self._opened)
        self._forget_load()
        self.load_finished.emit()
        self.load_ended.emit()

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error.__cause__, FileNotFoundError):
            self._recent.remove(self._loading_source)
            self._were_loaded.pop(self._loading_source, None)
        source, opened = self._loading_source, bool(self._opened)
        self._forget_load()
        if isinstance(error, CodeInFileError):
            self._ask(source, str(error), reads_again=opened)
        else:
            self.load_failed.emit(error)
        self.load_ended.emit()

    def _ask(self, source: str, sentence: str, *, reads_again: bool) -> None:
        """Load the file once more if its code may run."""
        self._question = CodeQuestion(source, sentence, self)
        self._question.answered.connect(partial(self._on_answered, source, reads_again))
        self._question.open()

    def _on_answered(self, source: str, reads_again: bool, may_run: bool) -> None:  # noqa: FBT001 - as the signal carries it
        self._question = None
        if may_run:
            self._load(source, reads_again=reads_again, allows_code=True)
        else:
            refused = CheckpointError(
                f"'{source}' was not opened, and none of its code was run; the loaded model is as "
                "it was."
            )
            self.load_failed.emit(refused)

    def _forget_load(self) -> None:
        self._loading_source = ""
        self._fill()

    def _show_session(self, _network: Network | None = None) -> None:
        # The session outlives the widget.
        if isalive(self):
            self._fill()

    def _fill(self) -> None:
        """List bundled, recent, and what is loaded or on its way, which is shown."""
        shown = self._loading_source or self._session.source
        if self._session.source:
            self._were_loaded[self._session.source] = None
        files = [*self._recent.files, *self._were_loaded]
        sources = [each for each in dict.fromkeys([*self._bundled, *files, shown]) if each]
        self.box.clear()
        for source in sources:
            self.box.addItem(_caption(source, sources), source)
            self.box.setItemData(self.box.count() - 1, source, Qt.ItemDataRole.ToolTipRole)
        network = self._session.network
        if network is not None and not self._session.source:
            self.box.addItem(f"{network.description.name} (not saved)", "")
        self.box.setCurrentIndex(self.box.findData(shown))
        self.box.setToolTip(f"<qt>The network that finds the cells: {escape(shown)}</qt>")

    def _on_activated(self, index: int) -> None:
        source = str(self.box.itemData(index))
        if source:
            self.open(source)

    def _on_file_button_clicked(self) -> None:
        file, _ = QFileDialog.getOpenFileName(
            self, "Choose a model file", self._recent.folder, OPEN_FILTER
        )
        if file:
            self.open(file)

    def _on_cleared(self) -> None:
        self._were_loaded.clear()
        self._fill()


def _caption(source: str, sources: list[str]) -> str:
    """Name of the version or of the file, with its folder where another has the same name."""
    path = Path(source)
    version = version_name(path)
    if version is not None:
        return version
    is_unique = sum(Path(other).stem == path.stem for other in sources) == 1
    return path.stem if is_unique else f"{path.stem} ({path.parent.name or 'bundled'})"
