"""What napari's menus, keys and command palette do with the plugin in a real window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.files.samples import DEMO_SAMPLE, load_sample
from napari_unet.viewer.commands import WIDGETS, open_all_widgets, segment_view
from napari_unet.widgets.segment.widget import SegmentWidget

pytestmark = pytest.mark.viewer

_PLUGIN = "napari-unet-cells"


def docks_of(viewer: Any) -> dict[str, Any]:
    return dict(viewer.window._wrapped_dock_widgets)


def segment_widgets(viewer: Any) -> list[SegmentWidget]:
    return [each for each in viewer.window.dock_widgets.values() if type(each) is SegmentWidget]


def entries_of_the_layers_menu(viewer: Any) -> dict[str, Any]:
    menus = {action.text(): action.menu() for action in viewer.window.layers_menu.actions()}
    return {action.text(): action for action in menus["Segment"].actions()}


def test_the_layers_menu_opens_the_segment_widget(make_napari_viewer: Callable[[], Any]) -> None:
    viewer = make_napari_viewer()

    entries_of_the_layers_menu(viewer)["Segment cells (U-Net)"].trigger()

    (widget,) = viewer.window.dock_widgets.values()
    assert isinstance(widget, SegmentWidget)


def test_one_command_opens_all_widgets_as_tabs_with_segment_in_front(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)

    entries_of_the_layers_menu(viewer)["Open all widgets (U-Net)"].trigger()

    docks = {title.partition(" (")[0]: dock for title, dock in docks_of(viewer).items()}
    assert list(docks) == list(WIDGETS)
    segment, window = docks.pop("Segment cells"), viewer.window._qt_window
    for other in docks.values():
        qtbot.waitUntil(
            lambda dock=other: dock in window.tabifiedDockWidgets(segment), timeout=5000
        )
    qtbot.waitUntil(lambda: not segment.visibleRegion().isEmpty(), timeout=5000)
    assert all(other.visibleRegion().isEmpty() for other in docks.values())


def test_opening_all_widgets_again_opens_none_twice(
    make_napari_viewer: Callable[[], Any],
) -> None:
    viewer = make_napari_viewer()

    open_all_widgets(viewer)
    open_all_widgets(viewer)

    assert len(viewer.window.dock_widgets) == len(WIDGETS)


def test_a_widget_that_a_menu_has_opened_is_not_opened_again(
    make_napari_viewer: Callable[[], Any],
) -> None:
    viewer = make_napari_viewer()
    entries_of_the_layers_menu(viewer)["Segment cells (U-Net)"].trigger()

    open_all_widgets(viewer)

    assert len(segment_widgets(viewer)) == 1
    assert len(viewer.window.dock_widgets) == len(WIDGETS)


def test_the_key_for_the_view_opens_the_widget_again_when_its_dock_was_closed(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(load_sample(DEMO_SAMPLE).image, name="cells")
    _, first = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")
    viewer.window.remove_dock_widget(first)
    assert segment_widgets(viewer) == []

    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)

    (second,) = segment_widgets(viewer)
    assert second is not first
    qtbot.waitUntil(lambda: second.panel.message.endswith("s)."), timeout=60_000)
    assert not first.panel.is_running


def test_every_command_is_in_the_command_palette(make_napari_viewer: Callable[[], Any]) -> None:
    make_napari_viewer()
    titles = {
        command.title
        for command in get_app_model().registered_actions.values()
        if command.id.startswith(_PLUGIN)
    }

    assert {
        "Segment cells (U-Net)",
        "Model (U-Net)",
        "Open all widgets (U-Net)",
        "Segment this view (U-Net)",
    } <= titles


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_the_view_is_segmented_by_the_command_whether_the_widget_is_open_or_not(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot, is_open: bool
) -> None:
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.tile(load_sample(DEMO_SAMPLE).image, (2, 2)), name="cells")
    before = image.corner_pixels.copy()
    # It moved to the scene in napari 0.9.
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (260, 300), 4.0
    qtbot.waitUntil(lambda: not np.array_equal(image.corner_pixels, before), timeout=10_000)
    if is_open:
        viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")

    segment_view(viewer)

    (widget,) = segment_widgets(viewer)
    qtbot.waitUntil(lambda: widget.panel.message.endswith("s)."), timeout=60_000)
    (labels,) = [layer for layer in viewer.layers if "napari_unet" in layer.metadata]
    assert labels.metadata["napari_unet"]["extent"] == "view"
    assert labels.data.any()
    assert not labels.data[600:].any()


def menu_entry(viewer: Any, name: str) -> Any:
    return entries_of_the_layers_menu(viewer)[f"{name} (U-Net)"]


def are_tabs(viewer: Any) -> bool:
    first, *others = docks_of(viewer).values()
    return set(others) <= set(viewer.window._qt_window.tabifiedDockWidgets(first))


def test_widgets_that_the_menu_opens_are_tabs_with_the_last_one_in_front(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)

    menu_entry(viewer, "Segment cells").trigger()
    menu_entry(viewer, "Train").trigger()

    qtbot.waitUntil(lambda: are_tabs(viewer), timeout=5000)
    segment, train = docks_of(viewer).values()
    qtbot.waitUntil(lambda: not train.visibleRegion().isEmpty(), timeout=5000)
    assert segment.visibleRegion().isEmpty()
    # A tab has no room for the name of the plugin.
    assert [segment.windowTitle(), train.windowTitle()] == ["Segment cells", "Train"]


def test_the_menu_knows_the_widget_that_a_command_has_opened(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(load_sample(DEMO_SAMPLE).image)
    entries_of_the_layers_menu(viewer)["Segment this view (U-Net)"].trigger()
    (widget,) = segment_widgets(viewer)
    (title,) = docks_of(viewer)
    assert title == "Segment cells (U-Net)"

    menu_entry(viewer, "Segment cells").trigger()
    menu_entry(viewer, "Segment cells").trigger()

    assert segment_widgets(viewer) == [widget]
    assert list(docks_of(viewer)) == [title]
    widget.stop()


def test_a_second_widget_of_a_kind_gives_way_to_the_first(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    # As `napari --with` and scripts open it: under another title than the menu.
    _, first = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment cells")

    menu_entry(viewer, "Segment cells").trigger()

    qtbot.waitUntil(lambda: segment_widgets(viewer) == [first], timeout=5000)
    segment_view(viewer)
    assert segment_widgets(viewer) == [first]


def test_a_widget_on_another_side_stays_there(
    make_napari_viewer: Callable[[], Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    menu_entry(viewer, "Segment cells").trigger()
    (dock,) = docks_of(viewer).values()
    window = viewer.window._qt_window
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)

    menu_entry(viewer, "Train").trigger()
    qtbot.wait(100)

    assert window.dockWidgetArea(dock) == Qt.DockWidgetArea.LeftDockWidgetArea
    assert docks_of(viewer)["Train (U-Net)"] not in window.tabifiedDockWidgets(dock)
