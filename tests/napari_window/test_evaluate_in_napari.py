"""The Evaluate widget in a real window: mouse, table and brush."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.viewer.commands import PLUGIN

pytestmark = pytest.mark.viewer


def test_errors_and_rows_lead_to_each_other_and_the_brush_is_followed(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    camera_of: Callable[[Any], Any],
    click_there: Callable[..., None],
) -> None:
    viewer = make_napari_viewer(show=True)
    truth = np.zeros((100, 100), np.int32)
    truth[10:30, 10:30], truth[60:90, 50:90] = 1, 2
    found = np.where(truth == 2, 2, 0)
    found[75:90, 50:90] = 3
    viewer.add_labels(truth, name="truth")
    cells = viewer.add_labels(found, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Evaluate")

    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)
    assert widget.table.cells.rowCount() == 2

    click_there(viewer, (20, 20))
    qtbot.waitUntil(lambda: widget.table.chosen == 2, timeout=5000)

    place = widget.table.visualRect(widget.table.cells.index(0, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert camera_of(viewer).center[-2:] == pytest.approx((74.5, 69.5))

    cells.visible, cells.mode = True, "fill"
    viewer.layers.selection.active = cells
    cells.fill((80, 60), 2)
    assert widget.sentence.message.startswith("The labels have changed")
    qtbot.waitUntil(lambda: widget.table.cells.rowCount() == 1, timeout=20_000)
    assert viewer.layers["cells: errors"].data[80, 60] == 1

    viewer.layers.remove(cells)
    assert widget.table.cells.rowCount() == 0
    assert widget.gestures.layer is None
    assert [layer.name for layer in viewer.layers] == ["truth"]
