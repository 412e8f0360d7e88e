"""What napari's menus and command palette can do with this plugin beside opening one widget."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QDockWidget

PLUGIN = "napari-unet-cells"
WIDGETS = ("Model", "Segment cells", "Weight map", "Train")
"""All widgets in working order, as the manifest names them."""

_DISPLAY_NAME = "U-Net"


def open_all_widgets(viewer: Viewer) -> None:
    """Open the plugin's widgets as tabs, with Segment in front."""
    for name in WIDGETS:
        open_widget(viewer, name)
    open_widget(viewer, "Segment cells")


def segment_view(viewer: Viewer) -> None:
    """Segment what the canvas shows, with the settings of the Segment widget."""
    open_widget(viewer, "Segment cells").run_view()


def open_widget(viewer: Viewer, name: str) -> Any:
    """Open one of `WIDGETS` as a tab beside the others, or bring it to the front.

    Returns
    -------
    QWidget
        The plugin's own, not its dock.
    """
    # A menu names the dock after the plugin's display name, a call after its distribution.
    titles = (f"{name} ({_DISPLAY_NAME})", f"{name} ({PLUGIN})")
    found = [each for title, each in viewer.window.dock_widgets.items() if title in titles]
    if found:
        widget = found[0]
    else:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()
    return widget
