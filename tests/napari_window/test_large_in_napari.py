"""The Large images widget in a real window: a slide is segmented in blocks and seen meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.blocks import growing
from napari_unet.files.images import read_labels
from napari_unet.files.samples import load_sample
from napari_unet.viewer.commands import PLUGIN
from napari_unet.widgets.large import shown

pytestmark = pytest.mark.viewer


def test_cells_appear_over_the_image_while_blocks_are_segmented(
    make_napari_viewer: Callable[[], Any],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As of an image of many thousand pixels.
    monkeypatch.setattr(growing, "_PLANE_PX", 1 << 14)
    monkeypatch.setattr(shown, "_REFRESH_S", 0.0)
    image = np.tile(load_sample("fluorescence").image.squeeze()[:256, :256], (2, 2))
    tifffile.imwrite(tmp_path / "slide.tif", image)
    viewer = make_napari_viewer(show=True)
    viewer.open(str(tmp_path / "slide.tif"), plugin="napari")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Large images")

    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.shown.layer is not None, timeout=120_000)
    layer = widget.shown.layer
    assert layer in viewer.layers
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=120_000)

    (labels,) = [each for each in viewer.layers if each.name.startswith("slide: ")]
    assert labels is not layer
    assert labels.data.max() > 40
    np.testing.assert_array_equal(
        labels.data, read_labels(tmp_path / "slide_labels.ome.zarr").array
    )
    assert widget.panel.message.startswith(f"{labels.data.max()} cells, in ")
    assert viewer.layers.selection.active == viewer.layers["slide"]
