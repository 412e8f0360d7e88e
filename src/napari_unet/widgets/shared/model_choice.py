"""Chooses a model, which becomes the session's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_unet.session import Session
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.model_files import OPEN_FILTER, ModelBox, RecentMenu, RecentModels
from napari_unet.widgets.shared.model_loader import ModelLoader
from napari_unet.widgets.shared.model_loading import Machine, list_versions
from napari_unet.widgets.shared.parts import action_button, in_row, while_alive

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.versions.history import Version


_NARROW_BUTTONS = """
QPushButton { padding: 4px 6px; }
QPushButton::menu-indicator { image: none; width: 0px; }
"""


class ModelChoice(QWidget):
    """Kept versions, bundled models and model files; the chosen one becomes the session's.

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
        self._listing = Job(self)
        self.recent = RecentModels()
        self._build(file_text)
        self._loader = ModelLoader(session, self)
        self._loader.found.connect(self._on_found)
        self._loader.changed.connect(self._fill)
        self._loader.started.connect(self.load_started)
        self._loader.finished.connect(self._on_finished)
        self._loader.failed.connect(self._on_failed)
        self._loader.ended.connect(self.load_ended)
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
        return self._loader.is_running

    @property
    def subject(self) -> object:
        """The model that is shown, be it on its way, for a `Sentence` that tells of it."""
        session = self._session
        return self._loader.source or session.source or session.model, dict(session.guesses)

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
        self._loader.load(source, reads_again=True)

    def load(self, source: str = "") -> None:
        """Load a model in a worker; an earlier load that still runs is dropped.

        Parameters
        ----------
        source : str
            Bundled name or file; empty for the one that was used last, or else the preferred
            bundled one. The session's own is not read again.
        """
        self._loader.load(source, last_used=self.recent.last, reads_again=False)

    def stop(self) -> None:
        """Drop a load that still runs, and a question that is open."""
        self._loader.stop()

    def _on_found(self, machine: Machine) -> None:
        self.box.bundled, self.box.versions = machine.models, machine.versions
        self._fill()
        self.devices_found.emit(machine.devices)

    def _on_finished(self, opened: str) -> None:
        listed = (*self.box.bundled, *(each.source for each in self.box.versions))
        if opened and opened not in listed:
            self.remember(opened)
        self.load_finished.emit()

    def _on_failed(self, error: Exception, source: str) -> None:
        if isinstance(error.__cause__, FileNotFoundError):
            self.box.forget(source)
            self._fill()
        self.load_failed.emit(error)

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
        self.box.show_models(self._session, self._loader.source)
