"""Model files that are opened by napari itself, and what the Model widget shows of them."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.session import Session, shared_session
from napari_unet.viewer import worker
from napari_unet.viewer.commands import open_widget
from napari_unet.widgets.model.widget import ModelWidget

pytestmark = pytest.mark.viewer

PLUGIN = "napari-unet-cells"


@pytest.fixture(autouse=True)
def session() -> Iterator[Session]:
    yield shared_session()
    assert worker.stop_all()
    shared_session.cache_clear()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    config = UNetConfig(base_width=2, depth=2, classes=2)
    network = Network(UNet(config), NetworkDescription("mine", config))
    return save_checkpoint(network, tmp_path / "mine")


def model_widget(viewer: Any) -> ModelWidget:
    (widget,) = (
        each for each in viewer.window.dock_widgets.values() if isinstance(each, ModelWidget)
    )
    return widget


def test_a_model_opened_as_a_file_goes_to_the_model_widget(
    make_napari_viewer: Callable[[], Any], model_file: Path, session: Session, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)

    assert viewer.open(str(model_file), plugin=PLUGIN) == []

    widget = model_widget(viewer)
    qtbot.waitUntil(lambda: session.source == str(model_file), timeout=30_000)
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=30_000)
    assert widget.model_choice.box.currentText() == "mine"
    assert list(viewer.layers) == []


def test_a_model_opened_with_shift_held_is_loaded(
    make_napari_viewer: Callable[[], Any], model_file: Path, session: Session, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    assert viewer.open([str(model_file)], stack=True, plugin=PLUGIN) == []
    qtbot.waitUntil(lambda: session.source == str(model_file), timeout=30_000)


def test_a_model_dropped_on_the_window_is_loaded(
    make_napari_viewer: Callable[[], Any], model_file: Path, session: Session, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(model_file))])
    rest = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    with warnings.catch_warnings():
        # PySide6 has marked the events' only constructors as deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        entering = QDragEnterEvent(QPoint(50, 50), *rest, Qt.KeyboardModifier.NoModifier)
        dropped = QDropEvent(QPointF(50, 50), *rest, Qt.KeyboardModifier.NoModifier)

    # A drop goes where the mouse has entered before.
    for event in (entering, dropped):
        QApplication.sendEvent(viewer.window._qt_viewer, event)

    qtbot.waitUntil(lambda: session.source == str(model_file), timeout=30_000)
    assert model_widget(viewer).isVisible()


def test_a_file_that_is_no_model_is_told_in_the_model_widget(
    make_napari_viewer: Callable[[], Any], tmp_path: Path, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    page = tmp_path / "model.pt"
    page.write_text("<html>Not found</html>")

    viewer.open(str(page), plugin=PLUGIN)

    widget = model_widget(viewer)
    qtbot.waitUntil(lambda: str(page) in widget.sentence.message, timeout=30_000)


def test_an_archive_without_a_model_is_left_to_napari(
    make_napari_viewer: Callable[[], Any], tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    path = tmp_path / "notes.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("notes.txt", "none")

    with pytest.raises(ValueError, match=r"notes\.zip"):
        viewer.open(str(path), plugin=PLUGIN)

    assert not [each for each in viewer.window.dock_widgets.values() if type(each) is ModelWidget]


def test_what_helps_is_done_in_the_segment_widget(
    make_napari_viewer: Callable[[], Any], model_file: Path, session: Session, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    session.load(str(model_file))
    colour = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    colour[..., 1] *= 2
    viewer.add_image(colour, name="colour")
    widget = open_widget(viewer, "Model")
    qtbot.waitUntil(lambda: bool(widget.concerns.texts), timeout=30_000)

    widget.concerns.findChild(QPushButton).click()

    segment = open_widget(viewer, "Segment cells")
    assert segment.form.channel_choice.channel == 1
    qtbot.waitUntil(lambda: not segment.model_choice.is_loading, timeout=30_000)
