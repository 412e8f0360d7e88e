"""A Model widget, and what a user does in it."""

import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.shared.model_choice import ModelChoice


@pytest.fixture
def widget(viewer: ViewerModel, session: Session, qtbot: QtBot) -> Iterator[ModelWidget]:
    widget = _open_widget(qtbot, viewer, session)
    yield widget
    widget.close()
    assert worker.stop_all()


def _open_widget(qtbot: QtBot, viewer: ViewerModel, session: Session) -> ModelWidget:
    widget = ModelWidget(viewer, session)
    qtbot.addWidget(widget)
    with qtbot.waitSignal(widget.device_choice.refreshed, timeout=20_000):
        widget.show()
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    return widget


@pytest.fixture
def open_widget() -> Any:
    return _open_widget


@pytest.fixture
def other_file(model_file: Path, threshold_network: Network) -> Path:
    """Another model, which says so."""
    description = replace(threshold_network.description, name="other")
    return save_checkpoint(
        Network(threshold_network.unet, description), model_file.parent / "other"
    )


def _wait_for_load(qtbot: QtBot, widget: ModelWidget, load: Callable[[], object]) -> None:
    with qtbot.waitSignal(widget.model_choice.load_ended, timeout=20_000):
        load()


@pytest.fixture
def wait_for_load() -> Any:
    return _wait_for_load


def _open_file(qtbot: QtBot, widget: ModelWidget, file: Path, monkeypatch: Any) -> str:
    """Choose a file in the dialog; return the folder that the dialog started in."""
    started_in = []

    def choose(_parent: QWidget, _title: str, folder: str, *_: str) -> tuple[str, str]:
        started_in.append(folder)
        return str(file), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", choose)
    _wait_for_load(
        qtbot,
        widget,
        lambda: qtbot.mouseClick(widget.model_choice.file_button, Qt.MouseButton.LeftButton),
    )
    return started_in[0]


@pytest.fixture
def open_file() -> Any:
    return _open_file


def _pick(widget: ModelWidget, source: str) -> None:
    box = widget.model_choice.box
    index = box.findData(source)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


@pytest.fixture
def pick() -> Any:
    return _pick


def _entries(choice: ModelChoice) -> list[str]:
    return [choice.box.itemText(index) for index in range(choice.box.count())]


@pytest.fixture
def entries() -> Any:
    return _entries


def _recent(choice: ModelChoice) -> list[str]:
    """Files in the menu beside the button."""
    choice.recent_menu.aboutToShow.emit()
    return [str(action.data()) for action in choice.recent_menu.actions() if action.data()]


@pytest.fixture
def recent() -> Any:
    return _recent


def _failure(widget: ModelWidget) -> str:
    """The sentence that the widget and the one new notification both show."""
    (notification,) = notification_manager.records
    assert notification.message == widget.sentence.message
    assert widget.sentence.isVisible()
    return widget.sentence.message


@pytest.fixture
def failure() -> Any:
    return _failure


@pytest.fixture(autouse=True)
def _no_notifications_yet() -> None:
    notification_manager.records.clear()


def _drop(widget: ModelWidget, *files: Path) -> bool:
    """Drag files over the widget and let go; return whether it offered to take them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file)) for file in files])
    rest = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    with warnings.catch_warnings():
        # PySide6 has marked the event's only constructor as deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        entering = QDragEnterEvent(QPoint(5, 5), *rest, Qt.KeyboardModifier.NoModifier)
    entering.ignore()
    widget.dragEnterEvent(entering)
    if entering.isAccepted():
        widget.dropEvent(QDropEvent(QPointF(5, 5), *rest, Qt.KeyboardModifier.NoModifier))
    return entering.isAccepted()


@pytest.fixture
def drop() -> Any:
    return _drop


def _no_engine_thread() -> bool:
    return not any(thread.name == "napari-unet" for thread in threading.enumerate())


@pytest.fixture
def no_engine_thread() -> Any:
    return _no_engine_thread
