"""A hand at the mouse and the wheel of a real napari window."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unet.session import shared_session


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the plugin keeps what is the user's; the session has its model again after the test."""
    monkeypatch.setattr("napari_unet.versions.notes.user_data_path", lambda *_, **__: tmp_path)
    # The session is the process's, as in napari: other tests begin with its own model again.
    source = shared_session().source
    yield tmp_path
    shared_session().load(source or "nuclei")


def _camera_of(viewer: Any) -> Any:
    # It moved to the scene in napari 0.9.
    return getattr(viewer, "scene", viewer).camera


@pytest.fixture
def camera_of() -> Callable[[Any], Any]:
    """Returns the camera of a viewer."""
    return _camera_of


@pytest.fixture
def zoom_to(qtbot: QtBot) -> Callable[..., None]:
    """Zoom in, and wait until napari has drawn it so."""

    def zoom_to(viewer: Any, center: tuple[float, ...], *, zoom: float = 4.0) -> None:
        before = viewer.layers[0].corner_pixels.copy()
        camera = _camera_of(viewer)
        camera.center, camera.zoom = center, zoom
        qtbot.waitUntil(
            lambda: not np.array_equal(viewer.layers[0].corner_pixels, before), timeout=10_000
        )

    return zoom_to


LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


def send(viewer: Any, kind: Any, at: Any, button: Any, buttons: Any) -> None:
    """Send what the mouse does at a point of the world to the canvas."""
    camera, canvas = _camera_of(viewer), viewer.window._qt_viewer.canvas.native
    middle = np.array([canvas.height(), canvas.width()]) / 2
    y, x = middle + (np.asarray(at) - np.asarray(camera.center[-2:])) * camera.zoom
    point = QPointF(x, y)
    none = Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(kind, point, canvas.mapToGlobal(point), button, buttons, none)
    QApplication.sendEvent(canvas, event)


@pytest.fixture
def drag(qtbot: QtBot) -> Callable[..., None]:
    """Press the mouse on one point of the world, move, and let go on another."""

    def drag(viewer: Any, start: tuple[float, float], stop: tuple[float, float]) -> None:
        way = np.asarray(stop) - np.asarray(start)
        send(viewer, QEvent.Type.MouseMove, start, NONE, NONE)
        send(viewer, QEvent.Type.MouseButtonPress, start, LEFT, LEFT)
        for share in (0.2, 0.4, 0.6, 0.8, 1.0):
            expected = np.asarray(start) + share * way

            def has_moved(expected: Any = expected) -> bool:
                # napari drops moves that follow each other too fast.
                send(viewer, QEvent.Type.MouseMove, expected, NONE, LEFT)
                return bool(np.allclose(viewer.cursor.position[-2:], expected, atol=2))

            qtbot.waitUntil(has_moved, timeout=5000)
        send(viewer, QEvent.Type.MouseButtonRelease, stop, LEFT, NONE)

    return drag


@pytest.fixture
def click() -> Callable[..., None]:
    """Press and let go of a button on a point of the world."""

    def click(viewer: Any, at: tuple[float, float], *, button: Any = LEFT) -> None:
        send(viewer, QEvent.Type.MouseMove, at, NONE, NONE)
        send(viewer, QEvent.Type.MouseButtonPress, at, button, button)
        send(viewer, QEvent.Type.MouseButtonRelease, at, button, NONE)

    return click


@pytest.fixture
def click_there(qtbot: QtBot) -> Callable[..., None]:
    """Look at a point of the world from near, and click on it."""

    def click_there(viewer: Any, at: tuple[float, float]) -> None:
        camera, canvas = _camera_of(viewer), viewer.window._qt_viewer.canvas.native
        camera.center, camera.zoom = at, 3.0
        qtbot.wait(200)
        qtbot.mouseClick(canvas, LEFT, pos=canvas.rect().center())

    return click_there
