"""The weight map under the brush, in a real napari window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet import boundary_weight_map
from napari_unet.viewer import worker
from napari_unet.widgets.weight_map.widget import WeightMapWidget

pytestmark = pytest.mark.viewer


def show(viewer: Any, qtbot: QtBot) -> WeightMapWidget:
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Weight map")
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    return widget


def settle(qtbot: QtBot, widget: WeightMapWidget) -> None:
    qtbot.waitUntil(lambda: not widget.live.is_busy, timeout=60_000)


def brightness(viewer: Any) -> float:
    """Of the canvas, where the overlay alone is shown."""
    return float(viewer.screenshot(flash=False)[..., :3].mean())


def test_a_ridge_lights_up_between_two_painted_cells_and_goes_with_one(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    drag: Callable[..., None],
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.zeros((120, 160), np.int32), name="cells")
    widget = show(viewer, qtbot)
    overlay = viewer.layers["cells: weight map"]
    labels.visible = False
    dark = brightness(viewer)
    labels.visible = True
    assert widget.sentence.message.startswith("The labels hold no cell")
    widget.form.fields.fields["class_balance"].setChecked(False)

    labels.mode, labels.brush_size = "paint", 20
    for label, row in ((1, 45), (2, 68)):
        labels.selected_label = label
        drag(viewer, (row, 40), (row, 110))
    settle(qtbot, widget)

    assert set(np.unique(labels.data)) == {0, 1, 2}
    assert np.array_equal(overlay.data, boundary_weight_map(labels.data, class_balance=False))
    # A brush of 20 pixels leaves about three between two strokes that are 23 apart.
    assert overlay.data.max() > 5
    assert widget.sentence.message == ""
    labels.visible = False
    lit = brightness(viewer)
    labels.visible = True
    assert lit > dark + 1

    labels.undo()
    settle(qtbot, widget)
    assert np.array_equal(overlay.data, boundary_weight_map(labels.data, class_balance=False))
    assert overlay.data.max() == 1

    labels.redo()
    labels.mode = "erase"
    drag(viewer, (68, 40), (68, 110))
    settle(qtbot, widget)
    assert np.array_equal(overlay.data, boundary_weight_map(labels.data, class_balance=False))
    assert worker.stop_all()


def test_filling_a_cell_of_a_sample_changes_its_gaps_only(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    _, truth = viewer.open_sample("napari-unet-cells", "crowded")
    viewer.layers.selection.active = truth
    widget = show(viewer, qtbot)
    before = widget.live.overlay.data.copy()
    y, x = np.unravel_index(before.argmax(), before.shape)
    around = truth.data[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
    first, second = np.setdiff1d(around, 0)[:2]

    # Two cells become one: the gap between them is none any more.
    truth.fill(tuple(np.argwhere(truth.data == first)[0]), second)
    settle(qtbot, widget)

    after = widget.live.overlay.data
    assert np.array_equal(after, boundary_weight_map(truth.data))
    assert after[y, x] < before[y, x] - 5
    assert worker.stop_all()


def test_closing_the_dock_while_the_map_is_computed_leaves_nothing(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.ones((1500, 1500), np.int32), name="cells")
    callbacks = len(labels.events.paint.callbacks)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Weight map")
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)

    viewer.window.remove_dock_widget(dock)

    assert list(viewer.layers) == [labels]
    assert len(labels.events.paint.callbacks) == callbacks
    assert worker.stop_all()
