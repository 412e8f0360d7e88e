"""The Batch widget in a real window: a folder is segmented, a row clicked, a cell corrected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_unet.batch.queue import Queue
from napari_unet.files.images import read_labels
from napari_unet.files.samples import load_sample
from napari_unet.viewer.commands import PLUGIN, open_widget

pytestmark = pytest.mark.viewer

LEFT = Qt.MouseButton.LeftButton


def test_a_folder_is_segmented_and_a_result_corrected_by_the_mouse(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    click: Callable[..., None],
) -> None:
    image = load_sample("fluorescence").image[:128, :128]
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Batch")
    rows = widget.table.images

    qtbot.mouseClick(widget.form.folder_button, LEFT)
    qtbot.waitUntil(lambda: rows.rowCount() == 2, timeout=10_000)
    # Opens Segment cells behind it, waits for its model, and runs.
    qtbot.mouseClick(widget.panel.button, LEFT)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=120_000)
    assert [row.entry.state for row in rows.rows] == ["done", "done"]
    assert widget.isVisible()

    place = widget.table.visualRect(rows.index(1, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), LEFT, pos=place)
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=10_000)
    qtbot.waitUntil(lambda: not widget.results.is_opening, timeout=10_000)
    labels = viewer.layers[1]
    cells = rows.rows[1].entry.outcome.cells
    assert open_widget(viewer, "Correct").layer_choice.layer == labels
    qtbot.wait(300)
    labels.mode = "fill"
    labels.selected_label = 0
    inside = np.argwhere(labels.data == 1)
    click(viewer, tuple(inside[len(inside) // 2]))
    qtbot.waitUntil(lambda: not np.any(labels.data == 1), timeout=5_000)
    qtbot.mouseClick(widget.form.save_button, LEFT)
    qtbot.waitUntil(lambda: rows.rows[1].entry.is_corrected, timeout=10_000)

    assert rows.rows[1].entry.outcome.cells == cells - 1
    assert 1 not in read_labels(tmp_path / "cells" / "b.tif").array
    assert [each.is_corrected for each in Queue.read(tmp_path / "cells").entries] == [False, True]
