"""The versions of a model: how good each is, where it came from, and the way back to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.worker import Worker
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.version_text import average_precision, details, local_date

if TYPE_CHECKING:
    from napari_unet.versions import ModelHistory, Version

_log = logging.getLogger(__name__)

_LOWEST_LIST_PX = 110
_NAME, _AP, _DATE = 0, 1, 2
_NONE_YET = "There are no versions yet; press Keep after a training to make the first one."
_LIST_TOOLTIP = (
    "<qt>Every version of the model that was kept, the newest first. AP: share of cells that it "
    "finds right at an overlap of 0.5, before and after its training.</qt>"
)


class HistoryPanel(QWidget):
    """Lists the versions in a folder, read and written beside the Qt thread.

    Parameters
    ----------
    history : ModelHistory

    Attributes
    ----------
    version_chosen : Signal
        Carries the `Version` to go back to; loading it is for others.
    refreshed : Signal
        The list shows what is in the folder.
    """

    version_chosen = Signal(object)
    refreshed = Signal()

    def __init__(self, history: ModelHistory) -> None:
        super().__init__()
        self._history = history
        self._versions: tuple[Version, ...] = ()
        self._current: str | None = None
        self._worker: Worker | None = None
        self._build()
        self._lay_out()
        self._on_selection_changed()

    def _build(self) -> None:
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Version", "AP 0.5", "Kept"])
        self.list.setRootIsDecorated(False)
        self.list.setMinimumHeight(_LOWEST_LIST_PX)
        self.list.setToolTip(_LIST_TOOLTIP)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        header = self.list.header()
        assert header is not None  # noqa: S101 - a tree has one
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column in (_AP, _DATE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.list.itemSelectionChanged.connect(self._on_selection_changed)
        self.list.itemChanged.connect(self._on_item_changed)
        self.details = Sentence()
        self.buttons = {
            "back": _button(
                "Go back to this version",
                "Use this version from now on. No other "
                "version is lost: you can come back to it in the same way.",
            ),
            "rename": _button(
                "Rename", "Give this version another name (F2); press Enter when it is complete."
            ),
            "folder": _button(
                "Show in folder",
                "Open the folder with the files of the versions; "
                "each works as a model file on other computers, too.",
            ),
            "delete": _button("Delete…", "Delete this version for good, after a question."),
        }
        self.buttons["back"].clicked.connect(self._on_back_clicked)
        self.buttons["rename"].clicked.connect(self._on_rename_clicked)
        self.buttons["folder"].clicked.connect(self._on_folder_clicked)
        self.buttons["delete"].clicked.connect(self._on_delete_clicked)
        self.sentence = Sentence()

    def _lay_out(self) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list, 0, 0, 1, 3)
        layout.addWidget(self.details, 1, 0, 1, 3)
        layout.addWidget(self.buttons["back"], 2, 0, 1, 3)
        for column, name in enumerate(("rename", "folder", "delete")):
            layout.addWidget(self.buttons[name], 3, column)
        layout.addWidget(self.sentence, 4, 0, 1, 3)

    @property
    def versions(self) -> tuple[Version, ...]:
        """What is listed, the newest first."""
        return self._versions

    @property
    def selected(self) -> Version | None:
        """The version whose row is selected."""
        items = self.list.selectedItems()
        return self._versions[self.list.indexOfTopLevelItem(items[0])] if items else None

    def refresh(self, _cause: Any = None) -> None:
        """Read the folder again, in a worker."""
        self._run(partial(_listed, self._history), self._on_listed)

    def show_current(self, number: str | None) -> None:
        """Say which version is in use; None if it is another model."""
        self._current = number
        self._fill()

    def stop(self) -> None:
        """Let go of what is not finished."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    # -- jobs ------------------------------------------------------------------------------------

    def _run(self, work: Callable[[], Iterator[Any]], done: Callable[[Any], None]) -> None:
        self.stop()
        self._worker = Worker(work)
        self._worker.finished.connect(done)
        self._worker.failed.connect(self._on_failed)
        self.destroyed.connect(self._worker.stop)
        self._worker.start()

    def _on_listed(self, versions: tuple[Version, ...]) -> None:
        self._worker = None
        if isalive(self):
            self._versions = versions
            self._fill()
            self.sentence.show_text("" if versions else _NONE_YET)
            self.refreshed.emit()

    def _on_failed(self, error: Exception) -> None:
        self._worker = None
        if isalive(self):
            # A name that was not taken must not stay on the screen.
            self._fill()
            self.sentence.show_error(_told(error))

    # -- the list --------------------------------------------------------------------------------

    def _fill(self) -> None:
        selected = self.selected_id
        was_blocked = self.list.blockSignals(True)
        self.list.clear()
        for version in self._versions:
            item = QTreeWidgetItem([version.name, average_precision(version), local_date(version)])
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setData(_NAME, Qt.ItemDataRole.UserRole, version.id)
            item.setToolTip(_NAME, f"<qt>{escape(details(version, self._versions))}</qt>")
            font = item.font(_NAME)
            font.setBold(version.id == self._current)
            item.setFont(_NAME, font)
            self.list.addTopLevelItem(item)
            if version.id == selected:
                self.list.setCurrentItem(item)
        self.list.blockSignals(was_blocked)
        self._on_selection_changed()

    @property
    def selected_id(self) -> str:
        """Id of the selected version; empty if none is."""
        items = self.list.selectedItems()
        return str(items[0].data(_NAME, Qt.ItemDataRole.UserRole)) if items else ""

    def _on_selection_changed(self) -> None:
        version = self.selected
        self.details.show_text("" if version is None else details(version, self._versions))
        for button in self.buttons.values():
            button.setEnabled(version is not None)
        self.buttons["folder"].setEnabled(bool(self._versions))
        is_current = version is not None and version.id == self._current
        self.buttons["back"].setEnabled(version is not None and not is_current)

    def _on_item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        version = self._versions[self.list.indexOfTopLevelItem(item)]
        name = item.text(_NAME)
        if column == _NAME and name != version.name:
            self._run(partial(_renamed, self._history, version, name), self._on_listed)
        elif column != _NAME:
            self._fill()

    # -- the buttons -----------------------------------------------------------------------------

    def _on_back_clicked(self) -> None:
        if self.selected is not None:
            self.version_chosen.emit(self.selected)

    def _on_rename_clicked(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.list.editItem(item, _NAME)

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
            self._run(partial(_deleted, self._history, version), self._on_listed)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"<qt>{tooltip}</qt>")
    return button


def _told(error: Exception) -> str:
    if isinstance(error, UNetError):
        return str(error)
    _log.error("The versions could not be read or changed", exc_info=error)
    return (
        f"Something went wrong that should not ({type(error).__name__}: {error}); the log has the "
        "details."
    )


def _listed(history: ModelHistory) -> Iterator[tuple[Version, ...]]:
    yield history.versions()


def _renamed(history: ModelHistory, version: Version, name: str) -> Iterator[tuple[Version, ...]]:
    history.rename(version, name)
    yield history.versions()


def _deleted(history: ModelHistory, version: Version) -> Iterator[tuple[Version, ...]]:
    history.delete(version)
    yield history.versions()
