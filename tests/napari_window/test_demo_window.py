"""`napari-unet demo` where there is a screen."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import napari
import pytest

from napari_unet.cli.commands import demo

pytestmark = pytest.mark.viewer


def test_demo_opens_the_sample_with_the_widget_docked_and_its_cells_found(
    make_napari_viewer: Callable[[], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **_: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    monkeypatch.setattr(demo, "has_screen", lambda: True)

    assert demo.run(Namespace(no_window=False, model="nuclei")) == 0

    assert any("Segment cells" in name for name in viewer.window.dock_widgets)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=60_000)
    found = viewer.layers[-1].data
    assert found.shape == viewer.layers["fluorescence"].data.shape
    assert found.max() > 80  # a person saw 106
