"""Chooses a model and loads it into the session, off the Qt thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from napari_unet.session import Session
from napari_unet.widgets.choices import keep_narrow
from napari_unet.widgets.jobs import Machine, load_network
from napari_unet.worker import Worker

if TYPE_CHECKING:
    from napari_unet.engine.network import Network


class ModelChoice(QWidget):
    """Bundled models and model files; the chosen one becomes the session's.

    Parameters
    ----------
    session : Session
        Another widget may load its network: it is shown here, too.

    Attributes
    ----------
    devices_found : Signal
        Carries the names of this machine's devices, once.
    load_finished : Signal
        The session has the network.
    load_failed : Signal
        Carries the exception; the session keeps the network it had.
    load_ended : Signal
        After a load finished, failed or was stopped.
    """

    devices_found = Signal(object)
    load_finished = Signal()
    load_failed = Signal(object)
    load_ended = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._loader: Worker | None = None
        self._loading_source = ""
        self.box = QComboBox()
        self.box.setPlaceholderText("no model")
        keep_narrow(self.box)
        self.box.activated.connect(self._on_activated)
        self.file_button = QToolButton()
        self.file_button.setText("…")
        self.file_button.setToolTip("Choose a model file (.safetensors) of your own.")
        self.file_button.clicked.connect(self._on_file_button_clicked)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.file_button)
        session.network_loaded.connect(self._show_session)
        self._show_session()

    @property
    def is_loading(self) -> bool:
        """Whether a network is on its way."""
        return self._loader is not None

    def load(self, source: str = "") -> None:
        """Load a model in a worker; an earlier load that still runs is dropped.

        Parameters
        ----------
        source : str
            Bundled name or file; empty for the preferred bundled one.
        """
        if self._loader is not None:
            # Who waits for a network waits for the new one.
            self._loader.ended.disconnect(self.load_ended)
            self._loader.stop()
        is_loaded = self._session.network is not None and source == self._session.source
        self._loading_source = source
        self._loader = Worker(partial(load_network, source, is_loaded=is_loaded))
        self._loader.reported.connect(self._on_reported)
        self._loader.finished.connect(self._on_finished)
        self._loader.failed.connect(self._on_failed)
        self._loader.stopped.connect(self._on_stopped)
        self._loader.ended.connect(self.load_ended)
        # The window may go at any moment; its threads go with it.
        self.destroyed.connect(self._loader.stop)
        self._loader.start()

    def stop(self) -> None:
        """Drop a load that still runs."""
        if self._loader is not None:
            self._loader.stop()

    def _on_reported(self, report: Machine | Network) -> None:
        if isinstance(report, Machine):
            self._loading_source = report.source
            for name in report.models:
                self._add(name)
            if report.source:
                self._show(report.source)
            self.devices_found.emit(report.devices)
        else:
            self._session.adopt(report, self._loading_source)

    def _on_finished(self) -> None:
        self._loader = None
        self.load_finished.emit()

    def _on_failed(self, error: Exception) -> None:
        self._loader = None
        self.box.removeItem(self.box.findData(self._loading_source))
        self._show_session()
        self.load_failed.emit(error)

    def _on_stopped(self) -> None:
        self._loader = None

    def _show_session(self, _network: Network | None = None) -> None:
        # The session outlives the widget.
        if isalive(self) and self._session.source:
            self._show(self._session.source)

    def _add(self, source: str) -> None:
        if self.box.findData(source) < 0:
            self.box.addItem(Path(source).stem, source)

    def _show(self, source: str) -> None:
        self._add(source)
        self.box.setCurrentIndex(self.box.findData(source))
        self.box.setToolTip(f"The network that finds the cells: {source}")

    def _on_activated(self, index: int) -> None:
        self.load(self.box.itemData(index))

    def _on_file_button_clicked(self) -> None:
        kinds = "U-Net models (*.safetensors);;All files (*)"
        file, _ = QFileDialog.getOpenFileName(self, "Choose a model file", "", kinds)
        if file:
            self.load(file)
