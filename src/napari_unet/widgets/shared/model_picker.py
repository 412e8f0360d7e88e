"""Picks a model by hand: from a box, from a file dialog, or from the menu of recent files."""

from __future__ import annotations

from html import escape
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unet.session import Session
from napari_unet.versions.history import version_name
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.shared.model_files import OPEN_FILTER, RecentMenu, RecentModels

_NARROW_BUTTONS = """
QPushButton { padding: 4px 6px; }
QPushButton::menu-indicator { image: none; width: 0px; }
"""


class ModelBox(StillBox):
    """Lists bundled models, recent files, those that were loaded, and the one on its way.

    Parameters
    ----------
    recent : RecentModels

    Attributes
    ----------
    bundled : tuple of str
        Names of the models that came with the installation.
    """

    def __init__(self, recent: RecentModels) -> None:
        super().__init__()
        self._recent = recent
        self._were_loaded: dict[str, None] = {}
        self.bundled: tuple[str, ...] = ()
        self.setPlaceholderText("no model")

    def forget(self, file: str) -> None:
        """List a file no more."""
        self._recent.remove(file)
        self._were_loaded.pop(file, None)

    def forget_all(self) -> None:
        """List no file that is not recent any more."""
        self._were_loaded.clear()

    def show_models(self, session: Session, loading: str) -> None:
        """List the models; show the one that is on its way, or else the session's."""
        shown = loading or session.source
        if session.source:
            self._were_loaded[session.source] = None
        every = dict.fromkeys([*self.bundled, *self._recent.files, *self._were_loaded, shown])
        sources = [each for each in every if each]
        self.clear()
        for source in sources:
            self.addItem(_caption(source, sources), source)
            self.setItemData(self.count() - 1, source, Qt.ItemDataRole.ToolTipRole)
        if session.network is not None and not session.source:
            self.addItem(f"{session.network.description.name} (not saved)", "")
        self.setCurrentIndex(self.findData(shown))
        self.setToolTip(f"<qt>The network that finds the cells: {escape(shown)}</qt>")


class ModelPicker(QWidget):
    """A box of models, with a button that opens a file and one that lists recent ones.

    Parameters
    ----------
    file_text : str
        Caption of the button that opens a file.

    Attributes
    ----------
    picked : Signal
        Carries a bundled name or a file.
    listed_anew : Signal
        The box has to be filled again.
    """

    picked = Signal(str)
    listed_anew = Signal()

    def __init__(self, file_text: str) -> None:
        super().__init__()
        self.recent = RecentModels()
        self.box = ModelBox(self.recent)
        self.box.activated.connect(self._on_activated)
        self.recent_menu = RecentMenu(self.recent, self)
        self.recent_menu.chosen.connect(self.picked)
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
    def folder(self) -> str:
        """Where the last model file was; empty before the first."""
        return self.recent.folder

    def remember(self, file: str) -> None:
        """Offer a file that was just written."""
        self.recent.add(file)
        self.listed_anew.emit()

    def _on_activated(self, index: int) -> None:
        source = str(self.box.itemData(index))
        if source:
            self.picked.emit(source)

    def _on_file_button_clicked(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Choose a model file", self.folder, OPEN_FILTER)
        if file:
            self.picked.emit(file)

    def _on_cleared(self) -> None:
        self.box.forget_all()
        self.listed_anew.emit()


def _caption(source: str, sources: list[str]) -> str:
    """Name of the version or of the file, with its folder where another has the same name."""
    path = Path(source)
    version = version_name(path)
    if version is not None:
        return version
    is_unique = sum(Path(other).stem == path.stem for other in sources) == 1
    return path.stem if is_unique else f"{path.stem} ({path.parent.name or 'bundled'})"
