"""The Measure widget in a real window: mouse, brush and table."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unet.viewer.commands import PLUGIN

pytestmark = pytest.mark.viewer


def test_cells_and_rows_lead_to_each_other_and_the_brush_is_followed(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    camera_of: Callable[[Any], Any],
    click_there: Callable[..., None],
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((100, 100), np.int32)
    labels[10:30, 10:30], labels[60:90, 50:90] = 1, 2
    viewer.add_image(labels.astype(np.uint8), name="image")
    layer = viewer.add_labels(labels, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")

    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.table.cells.rowCount() == 2, timeout=60_000)
    qtbot.waitUntil(lambda: widget.gestures.layer is not None, timeout=5000)

    click_there(viewer, (75, 70))
    qtbot.waitUntil(lambda: widget.table.chosen == 2, timeout=5000)

    place = widget.table.visualRect(widget.table.cells.index(0, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert camera_of(viewer).center[-2:] == pytest.approx((19.5, 19.5))

    layer.mode = "paint"
    layer.paint((50, 10), 7)
    assert widget.sentence.message.startswith("The labels have changed")
    qtbot.waitUntil(lambda: widget.table.cells.rowCount() == 3, timeout=20_000)
    assert layer.features["index"].tolist() == [1, 2, 7]
    assert layer.mode == "paint"

    viewer.layers.remove(layer)
    assert widget.table.cells.rowCount() == 0
    assert widget.gestures.layer is None


def plotted(viewer: Any, qtbot: QtBot) -> Any:
    """Four cells, the Measure widget with their table, and its plot of brightness over area."""
    labels = np.zeros((100, 100), np.int32)
    image = np.zeros((100, 100), np.uint8)
    for number, (y, x) in enumerate(((5, 5), (5, 55), (55, 5), (55, 55)), 1):
        where = slice(y, y + 10 * number), slice(x, x + 40)
        labels[where], image[where] = number, 50 * number
    viewer.add_image(image, name="image", visible=False)
    viewer.add_labels(labels, name="cells", opacity=1)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")
    viewer.window._qt_window.resize(1200, 900)
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.table.cells.rowCount() == 4, timeout=60_000)
    widget.plot_fold.expand()
    qtbot.waitUntil(lambda: widget.plot.has_plots, timeout=60_000)
    widget.plot.y_box.choose_value("intensity_mean_image")
    qtbot.wait(300)
    return widget


def on_plot(widget: Any, x: float, y: float) -> QPoint:
    plot = widget.plot.plot
    return plot.mapFromScene(plot.getViewBox().mapViewToScene(QPointF(x, y)))


def drag(widget: Any, qtbot: QtBot, *places: tuple[float, float], loop: bool = False) -> None:
    port = widget.plot.plot.viewport()
    keys = Qt.KeyboardModifier.ShiftModifier if loop else Qt.KeyboardModifier.NoModifier
    points = [on_plot(widget, *place) for place in places]
    qtbot.mousePress(port, Qt.MouseButton.LeftButton, keys, points[0])
    for point in points[1:]:
        # `mouseMove` of Qt's tests says nothing of the button that is down.
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(point),
            QPointF(port.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            keys,
        )
        QApplication.sendEvent(port, event)
        qtbot.wait(50)
    qtbot.mouseRelease(port, Qt.MouseButton.LeftButton, keys, points[-1])


def test_drags_on_the_plot_select_in_the_table_and_on_the_canvas_and_dots_lead_to_cells(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot, camera_of: Callable[[Any], Any]
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = plotted(viewer, qtbot)
    # Areas 400, 800, 1200, 1600; brightness 50, 100, 150, 200.
    drag(widget, qtbot, (1000, 120), (1300, 160), (1400, 170))
    assert widget.table.selected_labels.tolist() == [3]
    drag(widget, qtbot, (600, 60), (800, 180), (1250, 160), (1500, 60), loop=True)
    assert widget.table.selected_labels.tolist() == [2, 3]
    qtbot.waitUntil(lambda: viewer.layers["cells"].get_color(4)[3] < 0.2, timeout=5000)

    place = on_plot(widget, 400, 50)
    qtbot.mouseClick(widget.plot.plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: widget.table.chosen == 1, timeout=5000)
    assert camera_of(viewer).center[-2:] == pytest.approx((9.5, 24.5))
    assert viewer.layers["cells"].get_color(4)[3] == 1


def test_the_canvas_shows_the_colours_of_a_column(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = plotted(viewer, qtbot)
    widget.colours.outliers_box.setChecked(False)
    widget.colours.column_box.choose_value("area_px2")

    def shown(number: int) -> np.ndarray:
        widget.table.cell_chosen.emit(number)
        qtbot.wait(200)
        picture = viewer.screenshot(canvas_only=True, flash=False)
        return picture[picture.shape[0] // 2, picture.shape[1] // 2, :3].astype(int)

    assert np.abs(shown(1) - (68, 1, 84)).max() <= 3
    assert np.abs(shown(4) - (253, 231, 36)).max() <= 3
    widget.colours.column_box.choose_value("")
    own = viewer.layers["cells"].get_color(4)[:3] * 255
    assert np.abs(shown(4) - own).max() <= 3
