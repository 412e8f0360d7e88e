"""What napari's menus and command palette can do with this plugin beside opening one widget."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer

PLUGIN = "napari-unet-cells"
WIDGETS = ("Model", "Segment cells")
"""All widgets in working order, as the manifest names them."""


def open_all_widgets(viewer: Viewer) -> None:
    """Open the plugin's widgets as tabs, with Segment in front."""
    for name in WIDGETS:
        viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    _segment_widget(viewer)


def segment_view(viewer: Viewer) -> None:
    """Segment what the canvas shows, with the settings of the Segment widget."""
    _segment_widget(viewer).run_view()


def _segment_widget(viewer: Viewer) -> Any:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment cells", tabify=True)
    dock.show()
    dock.raise_()
    return widget
