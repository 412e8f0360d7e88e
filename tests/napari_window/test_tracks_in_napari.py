"""The Tracks widget in a real window: lines, curve, table, mouse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPointF, Qt

from napari_unet.viewer.commands import PLUGIN

pytest.importorskip("laptrack")
pytestmark = pytest.mark.viewer


def test_curve_table_and_cells_lead_to_each_other(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    camera_of: Callable[[Any], Any],
    click_there: Callable[..., None],
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((5, 100, 100), np.int32)
    for at, image in enumerate(labels):
        image[10:30, 10 + 4 * at : 30 + 4 * at] = 1 + at % 2
    labels[2:, 60:90, 50:90] = 7
    viewer.add_labels(labels, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Tracks")

    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)
    assert widget.table.cells.rowCount() == 2
    assert [layer.name for layer in viewer.layers] == ["cells", "cells: tracked", "cells: tracks"]
    qtbot.waitUntil(lambda: widget.plot.has_plots and widget.plot.plot.width() > 50, timeout=20_000)

    plot = widget.plot.plot
    view = plot.getPlotItem().vb
    at = plot.mapFromScene(view.mapViewToScene(QPointF(3, 1)))
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert viewer.dims.current_step[0] == 3

    click_there(viewer, (75, 70))
    qtbot.waitUntil(lambda: widget.table.chosen == 2, timeout=5000)

    place = widget.table.visualRect(widget.table.cells.index(0, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 0
    assert camera_of(viewer).center[-2:] == pytest.approx((19.5, 19.5))
