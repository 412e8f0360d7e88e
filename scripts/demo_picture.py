"""Take the README's picture: the demo sample, segmented in napari.

Needs a display: xvfb-run -s "-screen 0 1400x1000x24" python scripts/demo_picture.py
"""

from __future__ import annotations

from pathlib import Path

import napari
from qtpy.QtCore import QTimer

from napari_unet.sample_data import DEMO_SAMPLE

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.png"
SETTLE_MS = 1500


def take() -> None:
    """Open, run, wait for the labels, and save what the window shows."""
    viewer = napari.Viewer()
    viewer.window.resize(1180, 780)
    viewer.open_sample("napari-unet-cells", DEMO_SAMPLE)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment cells")

    def save() -> None:
        viewer.screenshot(str(PICTURE), canvas_only=False)
        viewer.close()

    viewer.layers.events.inserted.connect(lambda _: QTimer.singleShot(SETTLE_MS, save))
    QTimer.singleShot(SETTLE_MS, widget.run)
    napari.run()


if __name__ == "__main__":
    take()
