"""The versions of a model: how good each is, where it came from, and the way back to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QGridLayout, QMessageBox, QWidget

from napari_unet.session import Session
from napari_unet.versions.history import bundled_versions
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.parts import Fold, action_button, while_alive
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.review.version_list import VersionList, details

if TYPE_CHECKING:
    from napari_unet.versions.history import ModelHistory, Version

_NONE_YET = "There are no versions yet; press Keep after a training to make the first one."


class HistoryPanel(QWidget):
    """Lists the versions in a folder, read and written beside the Qt thread."""

    version_chosen = Signal(object)
    """Carries the `Version` to go back to; loading it is for others."""
    refreshed = Signal()
    """The list shows what is in the folder."""

    def __init__(self, history: ModelHistory) -> None:
        super().__init__()
        self._history = history
        self._job = Job(self)
        self.list = VersionList()
        self.list.itemSelectionChanged.connect(self._on_selection_changed)
        self.list.renamed.connect(self._on_renamed)
        self.details, self.sentence = Sentence(), Sentence()
        self.buttons = {
            "back": action_button(
                "Go back to this version",
                "Use this version from now on. No other version is lost: you can come back to it "
                "in the same way.",
                self._on_back_clicked,
            ),
            "rename": action_button(
                "Rename",
                "Give this version another name (F2); press Enter when it is complete.",
                self.list.edit_name,
            ),
            "folder": action_button(
                "Show in folder",
                "Open the folder with the files of the versions; each works as a model file on "
                "other computers, too.",
                self._on_folder_clicked,
            ),
            "delete": action_button(
                "Delete…",
                "Delete this version for good, after a question.",
                self._on_delete_clicked,
            ),
        }
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for row, widget in enumerate((self.list, self.details, self.buttons["back"])):
            layout.addWidget(widget, row, 0, 1, 3)
        for column, name in enumerate(("rename", "folder", "delete")):
            layout.addWidget(self.buttons[name], 3, column)
        layout.addWidget(self.sentence, 4, 0, 1, 3)
        self._on_selection_changed()

    @property
    def versions(self) -> tuple[Version, ...]:
        """What is listed, the newest first."""
        return self.list.versions

    @property
    def selected(self) -> Version | None:
        """The version whose row is selected."""
        return self.list.selected

    def refresh(self, _cause: Any = None) -> None:
        """Read the folder again, in a worker."""
        self._read_after(None)

    def show_current(self, number: str | None) -> None:
        """Say which version is in use; None if it is another model."""
        self.list.current = number
        self.list.fill(self.versions)

    def stop(self) -> None:
        """Let go of what is not finished."""
        self._job.stop()

    def _read_after(self, change: Callable[[], Any] | None) -> None:
        """Change something in the folder, and read it again."""
        self._job.start(
            partial(_changed, self._history, change),
            on_result=self._on_listed,
            on_error=self._on_failed,
        )

    def _on_listed(self, versions: tuple[Version, ...]) -> None:
        self.list.fill(versions)
        self.sentence.show_text(_NONE_YET if all(each.is_bundled for each in versions) else "")
        self.refreshed.emit()

    def _on_failed(self, error: Exception) -> None:
        # A name that was not taken must not stay on the screen.
        self.list.fill(self.versions)
        self.sentence.show_error(failure_sentence(error))

    def _on_selection_changed(self) -> None:
        version = self.selected
        self.details.show_text("" if version is None else details(version, self.versions))
        is_own = version is not None and not version.is_bundled
        for button in self.buttons.values():
            button.setEnabled(is_own)
        self.buttons["folder"].setEnabled(not all(each.is_bundled for each in self.versions))
        is_current = version is not None and version.id == self.list.current
        self.buttons["back"].setEnabled(version is not None and not is_current)

    def _on_renamed(self, version: Version, name: str) -> None:
        self._read_after(partial(self._history.rename, version, name))

    def _on_back_clicked(self) -> None:
        if self.selected is not None:
            self.version_chosen.emit(self.selected)

    def _on_folder_clicked(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._history.folder)))

    def _on_delete_clicked(self) -> None:
        version = self.selected
        if version is None:
            return
        answer = QMessageBox.question(
            self,
            "Delete a version",
            f"Delete '{version.name}' for good? Versions that came from it stay.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._read_after(partial(self._history.delete, version))


class VersionsFold(Fold):
    """The panel, folded away; it follows the session, and reads the folder when it is unfolded."""

    chosen = Signal(str)
    """Carries the model file of the version to go back to, as text."""

    def __init__(self, history: ModelHistory, session: Session) -> None:
        self.panel = HistoryPanel(history)
        super().__init__("Versions", self.panel)
        self._history = history
        self._session = session
        self.setToolTip("<qt>Every network that was kept, and the way back to it.</qt>")
        self.toggled.connect(self.panel.refresh)
        self.panel.refreshed.connect(session.versions_changed.emit)
        self.panel.version_chosen.connect(self._on_version_chosen)
        session.network_loaded.connect(self._on_network_loaded)
        self._on_network_loaded()

    def _on_version_chosen(self, version: Version) -> None:
        self.chosen.emit(version.source)

    @while_alive
    def _on_network_loaded(self, _network: Any = None) -> None:
        self.panel.show_current(self._history.id_of(self._session.source))


def _changed(history: ModelHistory, change: Callable[[], Any] | None) -> tuple[Version, ...]:
    if change is not None:
        change()
    return (*history.versions(), *bundled_versions())
