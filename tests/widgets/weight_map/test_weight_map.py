"""The Weight map widget: the overlay follows the labels, and leaves nothing behind."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet import boundary_weight_map
from napari_unet.viewer import worker
from napari_unet.widgets.weight_map.widget import WeightMapWidget


@pytest.fixture
def widget(viewer: ViewerModel, shown: Callable[..., Any]) -> WeightMapWidget:
    return shown(WeightMapWidget(viewer))


@pytest.fixture
def labels(viewer: ViewerModel) -> Labels:
    """Two squares with a gap of four pixels, and room for a third one."""
    array = np.zeros((80, 90), np.int32)
    array[10:30, 10:30], array[10:30, 34:54] = 1, 2
    return viewer.add_labels(array, name="cells", scale=(0.5, 0.5), translate=(3, 4))


def settle(qtbot: QtBot, widget: WeightMapWidget) -> None:
    qtbot.waitUntil(lambda: not widget.live.is_busy, timeout=60_000)


def show(qtbot: QtBot, widget: WeightMapWidget) -> None:
    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    settle(qtbot, widget)


def test_the_map_lies_on_the_grid_of_the_labels_and_under_them(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)

    overlay = viewer.layers["cells: weight map"]
    assert np.array_equal(overlay.data, boundary_weight_map(labels.data))
    assert overlay.data[20, 31] > overlay.data[60, 60] + 5
    assert tuple(overlay.scale) == (0.5, 0.5)
    assert tuple(overlay.translate) == (3, 4)
    assert viewer.layers.index(overlay) == viewer.layers.index(labels) - 1
    assert tuple(overlay.contrast_limits) == (0, 10)
    assert widget.button.text() == "Hide"
    # Who paints goes on painting.
    assert viewer.layers.selection.active is labels


@pytest.mark.parametrize("edit", ["paint", "erase", "fill", "undo", "redo", "assign"])
def test_the_map_follows_each_kind_of_edit(
    widget: WeightMapWidget, labels: Labels, qtbot: QtBot, edit: str
) -> None:
    show(qtbot, widget)
    labels.brush_size = 10
    if edit in ("undo", "redo"):
        labels.paint((60, 40), 3)
        settle(qtbot, widget)
    before = labels.data.copy()
    if edit == "paint":
        labels.paint((60, 40), 3)
    elif edit == "erase":
        labels.paint((20, 31), 0)
        labels.paint((20, 36), 0)
    elif edit == "fill":
        labels.fill((20, 20), 7)
    elif edit == "assign":
        labels.data = np.roll(labels.data, 9, axis=0)
    else:
        labels.undo()
        if edit == "redo":
            labels.redo()

    qtbot.waitUntil(
        lambda: (
            not widget.live.is_busy
            and np.array_equal(widget.live.overlay.data, boundary_weight_map(labels.data))
        ),
        timeout=20_000,
    )
    assert np.array_equal(labels.data, before) == (edit == "redo")


def test_settings_change_the_map_and_the_colours_mean_the_same(
    widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)

    widget.form.fields.fields["w0"].setValue(20.0)
    widget.form.fields.fields["border_sigma_px"].setValue(8.0)
    settle(qtbot, widget)

    expected = boundary_weight_map(labels.data, w0=20.0, border_sigma_px=8.0)
    assert np.array_equal(widget.live.overlay.data, expected)
    assert tuple(widget.live.overlay.contrast_limits) == (0, 20)


def test_the_fiji_variant_starts_with_its_own_numbers(widget: WeightMapWidget) -> None:
    widget.form.variant_box.setCurrentIndex(1)

    assert (widget.form.settings.variant, widget.form.settings.w0) == ("fiji", 50.0)
    assert widget.form.settings.border_sigma_px == 6.0


def test_the_fiji_variant_shows_its_own_settings_and_formula(widget: WeightMapWidget) -> None:
    def shown() -> list[str]:
        return [name for name, field in widget.form.fields.fields.items() if not field.isHidden()]

    assert "class_balance" in shown()
    assert "background_weight" not in shown()
    paper = widget.form.formula.text()

    widget.form.variant_box.setCurrentIndex(1)

    assert "class_balance" not in shown()
    assert {"background_weight", "background_sigma_px"} <= set(shown())
    assert widget.form.formula.text() != paper


def test_sigma_can_be_a_length_in_the_unit_of_the_layer(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    labels.units = ("nm", "nm")
    widget.form.show_what_applies()
    assert [widget.form.unit_box.itemText(n) for n in range(2)] == ["pixels", "nm"]

    widget.form.unit_box.setCurrentIndex(1)

    # The map stays as it is: 5 pixels of 0.5 nm.
    assert widget.form.fields.fields["border_sigma_px"].value() == 2.5
    show(qtbot, widget)
    expected = boundary_weight_map(labels.data, border_sigma_px=2.5, spacing=(0.5, 0.5))
    assert np.array_equal(widget.live.overlay.data, expected)
    assert np.allclose(expected, boundary_weight_map(labels.data), atol=2e-6)
    pixel = widget.live.at(labels.data_to_world((20, 30)))
    assert (pixel.near, pixel.far) == (0.5, 2.0)


def test_the_map_moves_with_its_labels(
    widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)

    labels.scale, labels.translate = (0.25, 0.25), (1, 2)
    labels.units = ("um", "um")

    overlay = widget.live.overlay
    assert tuple(overlay.scale) == (0.25, 0.25)
    assert tuple(overlay.translate) == (1, 2)
    assert overlay.units == labels.units
    widget.form.unit_box.setCurrentIndex(1)
    settle(qtbot, widget)
    before = overlay.data.copy()
    # Pixels twice as large, sigma the same length: half as many pixels.
    labels.scale = (0.5, 0.5)
    settle(qtbot, widget)
    assert np.array_equal(overlay.data, boundary_weight_map(labels.data, border_sigma_px=2.5))
    assert not np.array_equal(overlay.data, before)


def test_a_length_is_told_in_pixels_again_where_the_layer_has_no_unit(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels
) -> None:
    labels.units = ("um", "um")
    widget.form.show_what_applies()
    widget.form.unit_box.setCurrentIndex(1)
    widget.form.fields.fields["border_sigma_px"].setValue(4.0)

    viewer.add_labels(np.zeros((9, 9), np.int32), name="no unit")

    assert widget.form.layer_choice.layer.name == "no unit"
    assert widget.form.unit_box.symbol == "px"
    assert not widget.form.unit_box.isEnabled()
    assert widget.form.fields.fields["border_sigma_px"].value() == 8.0


@pytest.mark.parametrize(
    ("units", "expected"), [(("um", "um", "um"), True), (("s", "um", "um"), False)]
)
def test_in_3d_every_axis_must_be_a_length(
    viewer: ViewerModel, widget: WeightMapWidget, units: tuple[str, ...], expected: bool
) -> None:
    viewer.add_labels(np.zeros((4, 9, 9), np.int32), units=units, scale=(2, 1, 1))
    assert widget.form.unit_box.isEnabled()

    widget.form.volume_box.setChecked(True)

    assert widget.form.unit_box.isEnabled() == expected


def test_each_slice_of_a_stack_has_its_map_when_it_is_looked_at(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    stack = viewer.add_labels(np.stack([labels.data, np.zeros_like(labels.data)]))
    stack.data[1, 40:50, 5:20], stack.data[1, 40:50, 22:40] = 4, 5
    viewer.dims.set_current_step(0, 0)
    show(qtbot, widget)
    assert not widget.live.overlay.data[1].any()

    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: bool(widget.live.overlay.data[1].any()), timeout=20_000)
    settle(qtbot, widget)

    for index in range(2):
        expected = boundary_weight_map(stack.data[index])
        assert np.array_equal(widget.live.overlay.data[index], expected)


def test_in_3d_distances_go_through_the_slices(
    viewer: ViewerModel, widget: WeightMapWidget, qtbot: QtBot
) -> None:
    volume = np.zeros((12, 20, 20), np.int32)
    volume[1:4, 5:15, 5:15], volume[6:9, 5:15, 5:15] = 1, 2
    viewer.add_labels(volume)
    widget.form.volume_box.setChecked(True)

    show(qtbot, widget)

    assert np.array_equal(widget.live.overlay.data, boundary_weight_map(volume))


def test_the_place_under_the_cursor_is_explained(
    widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)

    class Move:
        position = labels.data_to_world((20, 30))

    widget._on_mouse_moved(None, Move)

    weight = widget.live.overlay.data[20, 30]
    assert widget.hover.text() == (f"d<sub>1</sub> = 1 px, d<sub>2</sub> = 4 px, w = {weight:.2f}")


def test_hiding_it_leaves_no_listener_and_no_layer(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    before = {name: len(getattr(labels.events, name).callbacks) for name in ("paint", "set_data")}
    show(qtbot, widget)

    qtbot.mouseClick(widget.button, Qt.MouseButton.LeftButton)

    after = {name: len(getattr(labels.events, name).callbacks) for name in before}
    assert after == before
    assert list(viewer.layers) == [labels]
    assert widget.button.text() == "Show"


@pytest.mark.parametrize("gone", ["cells", "cells: weight map"])
def test_a_layer_that_is_removed_ends_it_with_a_word(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot, gone: str
) -> None:
    show(qtbot, widget)

    viewer.layers.remove(gone)

    assert widget.sentence.message == f"Layer '{gone}' was removed."
    assert not widget.button.isChecked()
    assert widget.live.labels is None


def test_labels_of_another_shape_get_a_new_overlay(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)

    labels.data = labels.data[5:45, 5:60].copy()

    qtbot.waitUntil(lambda: widget.live.overlay.data.shape == (40, 55), timeout=20_000)
    settle(qtbot, widget)
    assert np.array_equal(widget.live.overlay.data, boundary_weight_map(labels.data))
    assert len(viewer.layers) == 2


def test_a_mask_is_told_from_cells(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    labels.data = (labels.data > 0).astype(np.int32)

    show(qtbot, widget)

    assert widget.sentence.message.startswith("The labels are a mask: every cell has the number 1")
    assert widget.remedy.isVisible()


def test_one_click_makes_cells_of_a_mask_and_shows_their_map(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    mask = (labels.data > 0).astype(np.int32)
    labels.data = mask.copy()
    show(qtbot, widget)

    qtbot.mouseClick(widget.remedy, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cells: pieces" in viewer.layers, timeout=20_000)
    settle(qtbot, widget)

    pieces = viewer.layers["cells: pieces"]
    assert set(np.unique(pieces.data)) == {0, 1, 2}
    assert np.array_equal(pieces.data > 0, mask > 0)
    assert tuple(pieces.scale) == (0.5, 0.5)
    assert np.array_equal(labels.data, mask)
    assert widget.live.labels == pieces
    assert np.array_equal(widget.live.overlay.data, boundary_weight_map(pieces.data))
    assert widget.sentence.message == ""
    assert not widget.remedy.isVisible()


def test_a_mask_that_goes_while_its_pieces_are_numbered_leaves_nothing(
    viewer: ViewerModel, widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    labels.data = (labels.data > 0).astype(np.int32)
    show(qtbot, widget)

    qtbot.mouseClick(widget.remedy, Qt.MouseButton.LeftButton)
    viewer.layers.remove(labels)

    assert worker.stop_all()
    qtbot.wait(50)
    assert len(viewer.layers) == 0
    assert not widget.remedy.isVisible()


def test_a_map_that_takes_long_to_draw_is_drawn_less_often(
    widget: WeightMapWidget, labels: Labels, qtbot: QtBot
) -> None:
    show(qtbot, widget)
    live = widget.live

    live._on_drawn(time.perf_counter() - 0.2)

    assert live._pause.interval() >= 600
    labels.paint((60, 40), 3)
    assert live.is_busy
    # The next layer starts with the usual pause.
    live.start(labels, widget.form.settings)
    assert live._pause.interval() < 100


def test_without_labels_it_says_how_to_get_some(widget: WeightMapWidget, qtbot: QtBot) -> None:
    notification_manager.records.clear()

    show(qtbot, widget)

    assert widget.sentence.message.startswith("There is no labels layer; run Segment cells")
    assert notification_manager.records[-1].message == widget.sentence.message
    assert not widget.button.isChecked()


def test_closing_the_widget_takes_the_overlay_and_the_listeners_away(
    viewer: ViewerModel, labels: Labels, qtbot: QtBot
) -> None:
    widget = WeightMapWidget(viewer)
    qtbot.addWidget(widget)
    show(qtbot, widget)

    widget.close()

    assert list(viewer.layers) == [labels]
    assert widget._on_mouse_moved not in viewer.mouse_move_callbacks
    assert worker.stop_all()


def test_everything_that_can_be_set_says_what_it_does(widget: WeightMapWidget) -> None:
    for child in (
        widget.form.layer_choice,
        widget.form.variant_box,
        widget.form.unit_box,
        widget.form.volume_box,
        widget.button,
        *widget.form.fields.fields.values(),
    ):
        assert len(child.toolTip()) > 20, child
