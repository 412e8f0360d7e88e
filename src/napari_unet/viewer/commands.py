"""What napari's menus and command palette can do with this plugin beside opening one widget."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from npe2 import PluginManager
from qtpy.QtWidgets import QDockWidget, QWidget

PLUGIN = "napari-unet-cells"
WIDGETS = (
    *("Model", "Segment cells", "Weight map", "Train"),
    *("Cell types", "Correct", "Measure", "Evaluate", "Batch", "Large images", "Tracks"),
)
"""All widgets in working order, as the manifest names them."""


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
    make_widget = widget_class(name)
    found = [each for each in viewer.window.dock_widgets.values() if type(each) is make_widget]
    if found:
        widget: Any = found[0]
    else:
        widget = make_widget(viewer)
        # As the menu names it, which finds it by this title; napari's `add_plugin_dock_widget`
        # would give it another one, and the menu would open a second form.
        title = f"{name} ({PluginManager.instance().get_manifest(PLUGIN).display_name})"
        viewer.window.add_dock_widget(widget, name=title)
        widget.join_tabs()
    bring_to_front(widget)
    return widget


def widget_class(name: str) -> Any:
    """Import one of `WIDGETS`; any thread may."""
    (contribution,) = [
        each
        for each in PluginManager.instance().iter_widgets()
        if (each.plugin_name, each.display_name) == (PLUGIN, name)
    ]
    return contribution.get_callable()


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget is in; None if it is in none."""
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    return dock


def bring_to_front(widget: QWidget) -> None:
    """Show the dock of a widget, before the others if they are tabs."""
    dock = dock_of(widget)
    if dock is not None:
        dock.show()
        dock.raise_()
