"""The model files that a dialog offers, the ones opened last, and the boxes that list them."""

from __future__ import annotations

from html import escape
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QWidget

from napari_unet.engine.networks.bundled import model_name
from napari_unet.session import Session
from napari_unet.versions.history import Version, version_name
from napari_unet.viewer.model_reader import MODEL_PATTERNS
from napari_unet.widgets.shared.choices import StillBox
from napari_unet.widgets.shared.remembered import user_settings

_KINDS = {title: " ".join(patterns) for title, patterns in MODEL_PATTERNS.items()}
_OFFERED = {"Models": " ".join(_KINDS.values()), **_KINDS, "All files": "*"}

OPEN_FILTER = ";;".join(f"{title} ({patterns})" for title, patterns in _OFFERED.items())
"""What a dialog that opens a model lists."""


_MOST = 8
_FILES, _FOLDER, _LAST = "models/recent", "models/folder", "models/last"


class RecentModels:
    """Reads and writes the user's settings; every widget sees the same list."""

    def __init__(self) -> None:
        self._settings = user_settings()

    @property
    def files(self) -> list[str]:
        """Model files, the last one first; they may be gone."""
        value = self._settings.value(_FILES)
        # A list of one comes back from the file as text.
        return [value] if isinstance(value, str) else [str(file) for file in value or ()]

    @property
    def folder(self) -> str:
        """Where the last file was; empty before the first."""
        return str(self._settings.value(_FOLDER) or "")

    @property
    def last(self) -> str:
        """Bundled name or file of the model that was used last; empty before the first."""
        return str(self._settings.value(_LAST) or "")

    def use(self, source: str) -> None:
        """Remember the model that is used; one without a file cannot be found again."""
        if source:
            self._settings.setValue(_LAST, source)

    def add(self, file: str) -> None:
        """Put a file at the top and remember its folder."""
        others = [other for other in self.files if other != file]
        self._settings.setValue(_FILES, [file, *others][:_MOST])
        self._settings.setValue(_FOLDER, str(Path(file).parent))

    def remove(self, file: str) -> None:
        """Forget a file."""
        self._settings.setValue(_FILES, [other for other in self.files if other != file])

    def clear(self) -> None:
        """Forget every file."""
        self._settings.remove(_FILES)


class RecentMenu(QMenu):
    """Lists the recent files each time it opens."""

    chosen = Signal(str)
    """Carries the file."""
    cleared = Signal()
    """The list was emptied."""

    def __init__(self, recent: RecentModels, parent: QWidget) -> None:
        super().__init__(parent)
        self._recent = recent
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self._fill)
        self.triggered.connect(self._on_triggered)

    def _fill(self) -> None:
        self.clear()
        for file in self._recent.files:
            self._add(f"{Path(file).name} in {Path(file).parent}", f"Load {file}", file)
        self.addSeparator()
        clear = self._add(
            "Clear recent", "Forget these files; the files themselves stay where they are.", ""
        )
        clear.setEnabled(bool(self._recent.files))

    def _add(self, text: str, tip: str, file: str) -> QAction:
        action = QAction(text, self)
        action.setToolTip(tip)
        action.setData(file)
        self.addAction(action)
        return action

    def _on_triggered(self, action: QAction) -> None:
        if action.data():
            self.chosen.emit(str(action.data()))
        else:
            self._recent.clear()
            self.cleared.emit()


_NAME = Qt.ItemDataRole.UserRole + 1
"""Of an entry: what it is called, without a date."""


class ModelBox(StillBox):
    """Lists kept versions, the newest first, bundled models, files, and the one on its way.

    Attributes
    ----------
    bundled : tuple of str
        Names of the models that came with the installation.
    versions : tuple of Version
        What was kept after trainings, the newest first.
    """

    listed = Signal()
    """Other models are listed, or another one is shown."""

    def __init__(self, recent: RecentModels) -> None:
        super().__init__()
        self._recent = recent
        self._were_loaded: dict[str, None] = {}
        self.bundled: tuple[str, ...] = ()
        self.versions: tuple[Version, ...] = ()
        self.setPlaceholderText("no model")

    @property
    def short_text(self) -> str:
        """The chosen entry; without its date where there is no room for both."""
        short, name = super().short_text, self.currentData(_NAME)
        if not name or short == self.currentText():
            return short
        elide = Qt.TextElideMode.ElideMiddle
        return self.fontMetrics().elidedText(str(name), elide, self._field_px())

    def forget(self, file: str) -> None:
        """List a file no more."""
        self._recent.remove(file)
        self._were_loaded.pop(file, None)
        self.versions = tuple(each for each in self.versions if each.source != file)

    def forget_all(self) -> None:
        """List no file that is not recent any more."""
        self._were_loaded.clear()

    def show_models(self, session: Session, loading: str) -> None:
        """List the models; show the one that is on its way, or else the session's."""
        shown = loading or session.source
        if session.source:
            self._were_loaded[session.source] = None
        kept = {each.source: each for each in self.versions}
        files = (*self._recent.files, *self._were_loaded)
        every = dict.fromkeys([*kept, *self.bundled, *files, shown])
        sources = [each for each in every if each]
        self.clear()
        for index, source in enumerate(sources):
            version = kept.get(source)
            name = version.name if version else _caption(source, sources)
            self.addItem(f"{name}, {version.local_date}" if version else name, source)
            self.setItemData(index, source, Qt.ItemDataRole.ToolTipRole)
            self.setItemData(index, name, _NAME)
        if session.network is not None and not session.source:
            self.addItem(f"{session.network.description.name} (not saved)", "")
        self.setCurrentIndex(self.findData(shown))
        self.setToolTip(f"<qt>The network that finds the cells: {escape(shown)}</qt>")
        self.listed.emit()


def _caption(source: str, sources: list[str]) -> str:
    """Name of the version or of the file, with its folder where another has the same name."""
    path = Path(source)
    version = version_name(path)
    if version is not None:
        return version
    name = model_name(source)
    is_unique = sum(model_name(other) == name for other in sources) == 1
    return name if is_unique else f"{name} ({path.parent.name or 'bundled'})"
