"""A training in a real window: added in Train, run in Batch, its model taken from the row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.batch.queue import Queue
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.session import shared_session
from napari_unet.viewer.commands import PLUGIN, open_widget
from napari_unet.widgets.train.form import TrainForm

pytestmark = pytest.mark.viewer

LEFT = Qt.MouseButton.LeftButton


@pytest.mark.usefixtures("data_folder")
def test_a_training_is_added_by_the_mouse_and_its_row_gives_the_model(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = TrainingSettings.from_nothing(
        steps=6, batch_size=1, patch_size_px=32, validation_interval=0
    )
    monkeypatch.setattr(TrainForm, "settings", lambda *_: quick)
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 10:30], labels[40:55, 35:55] = 1, 2
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image((100 * (labels > 0)).astype(np.uint8), name="picture")
    viewer.add_labels(labels, name="cells")
    viewer.layers.selection.active = image
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    qtbot.waitUntil(lambda: not train.form.model_choice.is_loading, timeout=30_000)
    train.form.anew_box.setChecked(True)
    train.form.hold_out_box.setChecked(False)
    batch = open_widget(viewer, "Batch")
    batch.form.choose_folder(tmp_path / "out")
    train.raise_()

    qtbot.mouseClick(train.queue_button, LEFT)
    rows = batch.table.images
    qtbot.waitUntil(lambda: rows.rowCount() == 1, timeout=20_000)
    assert batch.isVisible()
    assert rows.rows[0].texts(None)[:2] == ("Train new", "waiting")
    viewer.layers["cells"].data = labels * 0  # what was added stays as it was

    qtbot.mouseClick(batch.panel.button, LEFT)
    qtbot.waitUntil(lambda: not batch.panel.is_running, timeout=120_000)

    assert batch.panel.message == "1 of 1 training done."
    (entry,) = Queue.read(tmp_path / "out").trainings
    assert (entry.state, entry.outcome.steps) == ("done", 6)
    place = batch.table.visualRect(rows.index(0, 0)).center()
    qtbot.mouseClick(batch.table.viewport(), LEFT, pos=place)
    model = str(tmp_path / "out" / "models" / "new.safetensors")
    qtbot.waitUntil(lambda: shared_session().source == model, timeout=20_000)
    assert "'new' is the model now. 6 steps" in batch.panel.message
