"""The Segment widget as a user meets it: clicks, sentences and the labels that appear."""

import logging
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils import progress
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget

from napari_unet.engine.networks.network import Network
from napari_unet.installation import InstallationError
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.viewer.warm_up import PREPARING, Preparation
from napari_unet.widgets.segment.widget import SegmentWidget

STOPPED = "Stopped. The layers are as they were."


def no_engine_thread() -> bool:
    return not any(thread.name == "napari-unet" for thread in threading.enumerate())


def test_one_click_gives_the_cells_as_a_layer(
    viewer: ViewerModel,
    person: Any,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares, name="squares", scale=(0.5, 0.5), translate=(3, 4))

    message = person.run()

    labels = person.result
    assert np.array_equal(labels.data, square_labels)
    assert labels.name == "squares: threshold"
    assert tuple(labels.scale) == (0.5, 0.5)
    assert tuple(labels.translate) == (3, 4)
    assert labels.editable
    assert re.fullmatch(r"3 cells in 'squares' \(\d+\.\d s\)\.", message)
    assert person.widget.panel.button.text() == "Run"
    assert not person.widget.panel.bar.isVisible()


def test_a_single_cell_is_told_as_one(viewer: ViewerModel, person: Any) -> None:
    image = np.zeros((20, 20))
    image[5:15, 5:15] = 1
    viewer.add_image(image, name="one")

    assert person.run().startswith("1 cell in 'one' (")


def test_after_a_run_the_image_is_still_the_choice(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")

    person.run()
    person.run()

    assert person.widget.layer_choice.currentText() == "squares"
    assert len(person.results) == 1


def test_a_click_while_the_model_is_loading_runs_as_soon_as_it_is_there(
    viewer: ViewerModel, qtbot: QtBot, person: Any, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.open(str(model_file))

    person.click()

    assert person.widget.panel.button.text() == "Stop"
    assert person.widget.panel.bar.format() == "loading the model"
    person.wait(lambda: person.message.startswith("3 cells in"))


def test_that_there_is_no_image_is_told_before_the_model_is_loaded(
    person: Any, model_file: Path
) -> None:
    person.widget.model_choice.open(str(model_file))

    person.click()

    assert person.widget.model_choice.is_loading
    assert person.message.startswith("There is no image layer; open an image")
    assert person.widget.panel.button.text() == "Run"


def test_a_first_run_says_in_words_that_the_computer_is_prepared(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.add_image(squares)
    compiled = threading.Event()
    slow = Preparation({"cells": lambda: compiled.wait(30) and None})
    monkeypatch.setattr("napari_unet.widgets.segment.runs.preparation", slow)

    person.click()

    bar = person.widget.panel.bar
    person.wait(lambda: bar.format() == PREPARING)
    # A bar without a range moves of itself, and shows no text.
    assert bar.maximum() > 0
    assert person.results == []
    compiled.set()
    person.wait(lambda: person.message.startswith("3 cells in"))


def test_stop_while_the_computer_is_prepared_leaves_no_layer_and_no_thread(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.add_image(squares)
    compiled = threading.Event()
    slow = Preparation({"cells": lambda: compiled.wait(30) and None})
    monkeypatch.setattr("napari_unet.widgets.segment.runs.preparation", slow)
    person.click()
    person.wait(lambda: person.widget.panel.bar.format() == PREPARING)

    person.click()

    assert person.message == STOPPED
    person.wait(lambda: not [t for t in threading.enumerate() if t.name == "napari-unet"])
    compiled.set()
    assert person.results == []


def test_stop_while_the_model_is_loading_takes_the_click_back(
    viewer: ViewerModel, person: Any, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.open(str(model_file))

    person.click()
    person.click()
    person.wait(lambda: not person.widget.model_choice.is_loading)

    assert person.message == STOPPED
    assert person.results == []


def test_leaving_napari_while_the_model_is_loading_takes_the_click_back(
    viewer: ViewerModel, person: Any, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.open(str(model_file))
    notification_manager.records.clear()
    person.click()

    assert worker.stop_all()

    assert not person.widget.model_choice.is_loading
    assert not notification_manager.records
    assert person.results == []


def test_another_model_chosen_while_a_click_waits_is_the_one_that_runs(
    viewer: ViewerModel,
    person: Any,
    session: Session,
    model_file: Path,
    squares: NDArray[np.uint8],
) -> None:
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    viewer.add_image(squares)
    person.widget.model_choice.open(str(model_file))
    person.click()

    person.widget.model_choice.open(str(other))

    person.wait(lambda: person.message.startswith("3 cells in"))
    assert session.source == str(other)
    assert person.result.metadata["napari_unet"]["model_source"] == str(other)


def test_progress_is_told_in_tiles_and_slices(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares, squares, squares]))
    person.choose("stack")
    # A slice is four tiles, and a report with its cells.
    engine.tile_px, engine.holds_after = 48, 5 + 2

    person.click()

    bar = person.widget.panel.bar
    person.wait(lambda: bar.format() == "slice 2 of 3, tile 3 of 4")
    assert (bar.value(), bar.maximum()) == (6, 12)
    (activity,) = [each for each in progress._all_instances if each.total == 12]
    assert (activity.n, activity.desc) == (6, "slice 2 of 3, tile 3 of 4: ")
    person.click()
    assert activity not in progress._all_instances


def test_after_the_last_tile_it_says_what_still_takes_time(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    engine.holds_after = 1

    person.click()

    person.wait(lambda: person.widget.panel.bar.format() == "telling cells apart")


def test_removing_the_image_stops_its_segmentation(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    viewer.add_image(squares, name="other")
    viewer.layers.selection.active = viewer.layers["squares"]
    engine.holds_after = 0
    person.click()
    person.wait(engine.is_held.is_set)

    viewer.layers.remove("other")
    assert person.widget.panel.is_running
    viewer.layers.remove("squares")

    assert not person.widget.panel.is_running
    assert person.message == "Layer 'squares' was removed; the segmentation stopped."


def test_a_stack_offers_every_slice_and_takes_the_shown_one_by_default(
    viewer: ViewerModel,
    person: Any,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    choice = person.widget.form.extent_choice
    viewer.add_image(squares)
    assert [choice.itemText(i) for i in range(choice.count())] == ["Whole image", "Field of view"]
    viewer.add_image(np.stack([np.flipud(squares), squares]), name="stack")
    assert [choice.itemText(i) for i in range(choice.count())] == [
        "This slice",
        "Every slice",
        "Field of view",
    ]
    assert choice.extent == "slice"
    viewer.dims.set_current_step(0, 1)

    person.run()

    assert np.array_equal(person.result.data[1], square_labels)
    assert not person.result.data[0].any()


def test_one_slice_goes_into_its_place_and_the_next_one_beside_it(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.stack([squares, squares]))
    viewer.dims.set_current_step(0, 1)
    person.run()
    labels = person.result

    viewer.dims.set_current_step(0, 0)
    person.run()

    assert person.result is labels
    assert np.array_equal(labels.data[1], square_labels)
    assert np.array_equal(labels.data[0], np.where(square_labels > 0, square_labels + 3, 0))


def test_every_slice_numbers_the_cells_of_the_stack_through(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.stack([squares, squares]))
    person.choose("stack")

    message = person.run()

    labels = person.result
    assert np.array_equal(labels.data[0], square_labels)
    assert np.array_equal(labels.data[1] > 0, square_labels > 0)
    assert set(np.unique(labels.data)) == set(range(7))
    assert message.startswith("6 cells in ")


def test_every_slice_of_a_time_series_of_stacks(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.broadcast_to(squares, (2, 3, *squares.shape)).copy(), name="series")
    person.choose("stack")

    message = person.run()

    assert message.startswith("18 cells in 'series'")
    labels = person.result.data
    assert np.array_equal(labels > 0, np.broadcast_to(square_labels > 0, labels.shape))
    assert set(np.unique(labels)) == set(range(19))


def test_the_slice_that_is_done_is_shown_until_the_user_goes_to_another_one(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.broadcast_to(squares, (2, 2, *squares.shape)).copy())
    person.choose("stack")
    engine.holds_after = 6
    person.click()
    person.wait(lambda: viewer.dims.current_step[:2] == (1, 0))

    viewer.dims.set_current_step(0, 0)
    engine.go_on.set()
    person.wait_for_the_end()

    assert viewer.dims.current_step[:2] == (0, 0)


def test_a_network_of_stacks_finds_cells_through_the_slices(
    viewer: ViewerModel, person: Any, session: Session, stack_network: Network
) -> None:
    session.adopt(stack_network, "")
    image = np.zeros((8, 16, 16), np.float32)
    image[1:5, 2:7, 2:7] = image[3:7, 9:14, 9:14] = 1
    viewer.add_image(image, name="stack")
    assert [person.widget.form.extent_choice.itemText(i) for i in range(2)] == [
        "Whole image",
        "Field of view",
    ]

    message = person.run()

    assert message.startswith("2 cells in 'stack'")
    labels = person.result.data
    assert set(np.unique(labels[1:5, 2:7, 2:7])) == {1}
    assert np.array_equal(labels > 0, image > 0.5)


def test_of_a_model_that_knows_how_far_slices_are_apart_the_voxels_of_the_image_are_shown(
    viewer: ViewerModel, person: Any, session: Session, stack_network: Network
) -> None:
    form = person.widget.form
    image = np.zeros((8, 16, 16), np.float32)
    image[1:5, 2:7, 2:7] = image[3:7, 9:14, 9:14] = 1
    layer = viewer.add_image(image, name="stack", scale=(2, 0.5, 0.5))
    session.adopt(stack_network, "")
    assert not form.voxels.isVisibleTo(form)
    known = replace(stack_network.description, anisotropy=2.0)
    session.adopt(Network(stack_network.unet, known), "")
    assert form.voxels.isVisibleTo(form)
    assert form.voxels.message == "2 x 0.5 x 0.5, slices 4 pixels apart (the model learned on 2)"
    layer.scale = (4, 0.5, 0.5)
    assert "slices 8 pixels apart" in form.voxels.message

    assert person.run().startswith("2 cells in 'stack'")

    assert person.result.metadata["napari_unet"]["settings"]["anisotropy"] == 8.0
    assert np.array_equal(person.result.data > 0, image > 0.5)


def test_a_network_of_stacks_takes_a_time_series_one_stack_after_the_other(
    viewer: ViewerModel, person: Any, session: Session, stack_network: Network
) -> None:
    session.adopt(stack_network, "")
    image = np.zeros((2, 8, 16, 16), np.float32)
    image[:, 1:5, 2:7, 2:7] = 1
    viewer.add_image(image)
    viewer.dims.set_current_step(0, 1)

    assert person.run().startswith("1 cell in")
    assert not person.result.data[0].any()
    person.choose("stack")
    assert person.run().startswith("2 cells in")

    assert np.array_equal(person.result.data > 0, image > 0.5)


def test_an_image_without_cells_gives_a_hint(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((32, 32), np.uint8), name="dark")

    assert person.run() == (
        "No cells were found in 'dark'; lower the foreground threshold, set the cell size, or "
        "choose another model."
    )
    assert not person.result.data.any()


def test_two_runs_at_once_are_one(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    engine.holds_after = 1
    person.click()
    person.wait(engine.is_held.is_set)

    person.widget.run()
    person.widget.run()
    engine.go_on.set()
    person.wait_for_the_end()

    assert len(engine.runs) == 1
    assert len(person.results) == 1


def test_a_remedy_sets_the_fields_of_the_form(
    viewer: ViewerModel, person: Any, session: Session, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="first")
    viewer.add_image(np.stack([squares] * 3), name="channels")
    viewer.add_image(squares, name="last")
    form = person.widget.form

    form.apply_changes(
        {
            "layer": "channels",
            "channel_axis": 0,
            "channel": 2,
            "extent": "view",
            "diameter_px": 12.5,
            "device": "cpu",
            "averaging": "flips",
            "min_size_px": 7,
            "fill_holes": False,
        }
    )

    assert form.layer is viewer.layers["channels"]
    assert (form.channel_choice.channel_axis, form.channel_choice.channel) == (0, 1)
    assert form.extent_choice.extent == "view"
    assert (form.settings().diameter_px, form.settings().averaging) == (12.5, "flips")
    assert session.device == "cpu"
    assert (form.instances().min_size_px, form.instances().fill_holes) == (7, False)

    form.apply_changes({"layer": "first", "diameter_px": None, "channel_axis": None})

    assert form.layer is viewer.layers["first"]
    assert form.settings().diameter_px is None


def test_a_remedy_can_turn_averaging_on_while_the_cell_size_makes_no_sense(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    form = person.widget.form
    form.size_choice.mode_box.setCurrentText("µm")

    form.apply_changes({"averaging": "flips"})

    assert form.better.averaging == "flips"


def test_the_models_own_settings_come_with_the_model_and_can_be_taken_back_to(
    person: Any, session: Session, threshold_network: Network
) -> None:
    form = person.widget.form
    assert form.instances() == threshold_network.description.instances

    person.set("foreground_threshold", 0.7)
    person.set("fill_holes", False)
    assert form.instances() != threshold_network.description.instances
    form.reset_button.click()

    assert form.instances() == threshold_network.description.instances
    assert "(10 pixels)" in form.size_choice.mode_box.toolTip()


def test_the_device_of_the_session_is_where_it_runs(
    viewer: ViewerModel, person: Any, engine: Any, session: Session, squares: NDArray[np.uint8]
) -> None:
    session.choose_device("cpu")
    viewer.add_image(squares)

    person.run()

    assert engine.runs[0]["device"] == "cpu"


def test_an_unforeseen_error_is_shown_and_logged_with_its_details(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    caplog: pytest.LogCaptureFixture,
) -> None:
    viewer.add_image(squares)
    engine.holds_after, engine.error = 0, RuntimeError("cuBLAS is tired")
    engine.go_on.set()

    with caplog.at_level(logging.ERROR):
        message = person.fail()

    assert message == (
        "Something went wrong that should not (RuntimeError: cuBLAS is tired); "
        "the log has the details. The layers are as they were."
    )
    assert "Traceback" in caplog.text
    assert person.results == []


def test_a_model_that_fails_to_load_does_not_disturb_a_run(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares)
    engine.tile_px, engine.holds_after = 48, 2
    person.click()
    person.wait(lambda: bool(person.results))
    notification_manager.records.clear()

    with qtbot.waitSignal(person.widget.model_choice.load_failed, timeout=20_000):
        person.widget.model_choice.load("/nowhere/model.safetensors")

    assert person.widget.panel.is_running
    (notification,) = notification_manager.records
    assert notification.message.startswith("There is no model '/nowhere/model.safetensors';")
    engine.go_on.set()
    assert person.wait_for_the_end().startswith("3 cells")
    assert np.array_equal(person.result.data, square_labels)


def test_closing_the_window_while_running_ends_the_thread(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    engine.holds_after = 1
    person.click()
    person.wait(engine.is_held.is_set)

    person.widget.close()

    assert not person.widget.panel.is_running
    person.wait(no_engine_thread)


def test_taking_the_widget_out_of_its_dock_ends_the_thread(
    viewer: ViewerModel, person: Any, engine: Any, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    engine.holds_after = 1
    dock = QWidget()
    qtbot.addWidget(dock)
    person.widget.setParent(dock)
    person.click()
    person.wait(engine.is_held.is_set)
    assert not no_engine_thread()

    person.widget.setParent(None)

    person.wait(no_engine_thread)


def test_a_deleted_widget_leaves_no_thread_and_no_slot_behind(
    viewer: ViewerModel,
    session: Session,
    threshold_network: Network,
    engine: Any,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
) -> None:
    viewer.add_image(squares, name="squares")
    engine.holds_after = 1
    dock = QWidget()
    widget = SegmentWidget(viewer, session)
    widget.setParent(dock)
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    widget.run()
    qtbot.waitUntil(engine.is_held.is_set, timeout=20_000)

    with qtbot.waitSignal(widget.destroyed, timeout=5000):
        dock.deleteLater()

    qtbot.waitUntil(no_engine_thread, timeout=5000)
    session.adopt(threshold_network, "elsewhere")
    session.choose_device("cpu")
    viewer.layers["squares"].name = "renamed"
    viewer.layers["renamed"].data = squares[:10]
    viewer.layers.selection.active = viewer.layers["renamed"]
    viewer.layers.clear()


def test_two_widgets_share_the_network(
    viewer: ViewerModel, person: Any, session: Session, model_file: Path, qtbot: QtBot
) -> None:
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    second = SegmentWidget(viewer, session)
    qtbot.addWidget(second)
    person.wait(lambda: not second.model_choice.is_loading)

    with qtbot.waitSignal(second.model_choice.load_ended, timeout=20_000):
        second.model_choice.load(str(other))

    assert person.widget.model_choice.box.currentText() == "other"


def test_everything_that_can_be_set_says_what_it_does(person: Any) -> None:
    form = person.widget.form
    settings = (*form.common.fields.values(), *form.rare.fields.values())
    for child in (
        form.layer_choice,
        form.channel_choice,
        form.model_choice.box,
        form.model_choice.file_button,
        form.extent_choice,
        form.size_choice.mode_box,
        form.size_choice.box,
        form.size_choice.draw_button,
        form.device_choice,
        form.scores_box,
        form.reset_button,
        form.panel.button,
        *settings,
        form.better.copies_box,
        form.better.second_box,
    ):
        assert len(child.toolTip()) > 20, child


def test_long_names_and_messages_do_not_widen_the_dock(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((3, 8, 8)), name="a very long name of a layer " * 5)
    person.widget.form.more.expand(animate=False)
    person.widget.form.better_fold.expand(animate=False)
    person.widget.form.better.choose_averaging("flips+rotations")
    person.widget.panel.show_error("There is no model '/somewhere/" + "a-folder/" * 30 + "model'.")

    assert person.widget.form.minimumSizeHint().width() <= 300


def test_beside_the_other_distribution_it_says_which_to_uninstall_and_does_not_run(
    viewer: ViewerModel, session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise InstallationError("'napari-unet' 1.2 is installed; uninstall it.")

    monkeypatch.setattr("napari_unet.widgets.segment.widget.check_installation", refuse)
    viewer.add_image(np.zeros((16, 16)))
    widget = SegmentWidget(viewer, session)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    assert "uninstall it" in widget.panel.message

    widget.run()

    assert "uninstall it" in widget.panel.message
    assert not widget.panel.is_running
    assert [type(layer) for layer in viewer.layers] == [Image]
    widget.close()


def test_a_short_last_axis_is_offered_as_channels(
    person: Any, squares: NDArray[np.uint8], square_labels: NDArray[np.int32]
) -> None:
    image = np.random.default_rng(0).integers(0, 5, (*squares.shape, 5)).astype(np.uint8)
    image[..., 3] = squares
    person.viewer.add_image(image, name="five", rgb=False)

    person.widget.form.apply_changes({"channel_axis": 2, "channel": 4})
    assert person.run().startswith("3 cells in 'five'")
    np.testing.assert_array_equal(person.result.data, square_labels)
