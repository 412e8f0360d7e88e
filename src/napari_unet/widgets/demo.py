"""What `napari-unet demo` shows where there is a display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.sample_data import DEMO_SAMPLE, sample_layers

if TYPE_CHECKING:
    from napari import Viewer


def open_demo(sample: str = DEMO_SAMPLE) -> Viewer:
    """Open napari with a bundled sample, dock Segment and run it.

    The caller starts the event loop with `napari.run()`.

    Parameters
    ----------
    sample : str
        One of `sample_names()`.

    Returns
    -------
    napari Viewer
    """
    import napari
    from napari.layers import Layer

    viewer = napari.Viewer(title="napari-unet demo")
    for layer_data in sample_layers(sample):
        viewer.add_layer(Layer.create(*layer_data))
    viewer.layers.selection.active = viewer.layers[sample]
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment cells")
    widget.run()
    return viewer
