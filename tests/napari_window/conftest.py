"""A hand at the mouse and the wheel of a real napari window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication


def camera_of(viewer: Any) -> Any:
    # It moved to the scene in napari 0.9.
    return getattr(viewer, "scene", viewer).camera


@pytest.fixture
def zoom_to(qtbot: QtBot) -> Callable[..., None]:
    """Zoom in, and wait until napari has drawn it so."""

    def zoom_to(viewer: Any, center: tuple[float, ...], *, zoom: float = 4.0) -> None:
        before = viewer.layers[0].corner_pixels.copy()
        camera = camera_of(viewer)
        camera.center, camera.zoom = center, zoom
        qtbot.waitUntil(
            lambda: not np.array_equal(viewer.layers[0].corner_pixels, before), timeout=10_000
        )

    return zoom_to


@pytest.fixture
def drag(qtbot: QtBot) -> Callable[..., None]:
    """Press the mouse on one point of the world, move, and let go on another."""

    def drag(viewer: Any, start: tuple[float, float], stop: tuple[float, float]) -> None:
        camera, canvas = camera_of(viewer), viewer.window._qt_viewer.canvas.native
        middle = np.array([canvas.height(), canvas.width()]) / 2

        def send(kind: Any, share: float, button: Any, buttons: Any) -> None:
            point = np.asarray(start) + share * (np.asarray(stop) - np.asarray(start))
            y, x = middle + (point - np.asarray(camera.center[-2:])) * camera.zoom
            at = QPointF(x, y)
            event = QMouseEvent(
                kind, at, canvas.mapToGlobal(at), button, buttons, Qt.KeyboardModifier.NoModifier
            )
            QApplication.sendEvent(canvas, event)

        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        send(QEvent.Type.MouseMove, 0, none, none)
        send(QEvent.Type.MouseButtonPress, 0, left, left)
        for share in (0.2, 0.4, 0.6, 0.8, 1.0):
            expected = np.asarray(start) + share * (np.asarray(stop) - np.asarray(start))

            def has_moved(share: float = share, expected: Any = expected) -> bool:
                # napari drops moves that follow each other too fast.
                send(QEvent.Type.MouseMove, share, none, left)
                return bool(np.allclose(viewer.cursor.position[-2:], expected, atol=2))

            qtbot.waitUntil(has_moved, timeout=5000)
        send(QEvent.Type.MouseButtonRelease, 1, left, none)

    return drag
