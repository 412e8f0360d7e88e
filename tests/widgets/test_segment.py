"""The Segment widget as a user meets it: clicks, sentences and the labels that appear."""

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils import progress
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_unet import worker
from napari_unet.engine import segmentation
from napari_unet.engine.network import Network
from napari_unet.engine.segmentation import SegmentationReport
from napari_unet.installation import InstallationError
from napari_unet.session import Session
from napari_unet.widgets.segment import SegmentWidget


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(viewer: ViewerModel, session: Session, qtbot: QtBot) -> Iterator[SegmentWidget]:
    widget = SegmentWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.show()
    wait_until_loaded(qtbot, widget)
    yield widget
    widget.close()
    assert worker.stop_all()


def wait_until_loaded(qtbot: QtBot, widget: SegmentWidget) -> None:
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)


def click(qtbot: QtBot, widget: SegmentWidget) -> None:
    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)


def click_and_wait(qtbot: QtBot, widget: SegmentWidget) -> None:
    click(qtbot, widget)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=20_000)


def labels_layers(viewer: ViewerModel) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


class HeldEngine:
    """Stands in for the engine: gives the reports of a run and waits where it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reports: list[Any]) -> None:
        self._reports = reports
        self.go_on = threading.Event()
        monkeypatch.setattr(segmentation, "iterate_segmentation", self.iterate)

    def iterate(self, *_: Any, **__: Any) -> Iterator[Any]:
        for report in self._reports:
            if isinstance(report, Exception):
                raise report
            yield report
        while not self.go_on.wait(0.01):
            yield self._reports[-1]


def test_one_click_gives_the_cells_as_a_layer(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares, name="squares", scale=(0.5, 0.5), translate=(3, 4))

    click_and_wait(qtbot, widget)

    (labels,) = labels_layers(viewer)
    assert np.array_equal(labels.data, square_labels)
    assert labels.name == "squares: threshold"
    assert tuple(labels.scale) == (0.5, 0.5)
    assert tuple(labels.translate) == (3, 4)
    assert re.fullmatch(r"3 cells in 'squares' \(\d+\.\d s\)\.", widget.panel.message)
    assert widget.panel.button.text() == "Run"
    assert not widget.panel.bar.isVisible()


def test_after_a_run_the_image_is_still_the_choice(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")

    click_and_wait(qtbot, widget)
    click_and_wait(qtbot, widget)

    assert widget.layer_choice.currentText() == "squares"
    assert len(labels_layers(viewer)) == 1


def test_a_click_while_the_model_is_loading_runs_as_soon_as_it_is_there(
    viewer: ViewerModel, qtbot: QtBot, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    widget = SegmentWidget(viewer, Session())
    qtbot.addWidget(widget)
    widget.model_choice.load(str(model_file))
    viewer.add_image(squares)

    click(qtbot, widget)

    assert widget.panel.button.text() == "Stop"
    assert widget.panel.bar.format() == "loading the model"
    qtbot.waitUntil(lambda: bool(labels_layers(viewer)), timeout=20_000)
    qtbot.waitUntil(lambda: widget.panel.message.startswith("3 cells in"), timeout=5000)


def test_stop_while_the_model_is_loading_takes_the_click_back(
    viewer: ViewerModel, qtbot: QtBot, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    widget = SegmentWidget(viewer, Session())
    qtbot.addWidget(widget)
    widget.model_choice.load(str(model_file))
    viewer.add_image(squares)

    click(qtbot, widget)
    click(qtbot, widget)
    wait_until_loaded(qtbot, widget)

    assert widget.panel.message == "Stopped; the layers are as they were."
    assert labels_layers(viewer) == []


def test_leaving_napari_while_the_model_is_loading_takes_the_click_back(
    viewer: ViewerModel, qtbot: QtBot, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    widget = SegmentWidget(viewer, Session())
    qtbot.addWidget(widget)
    widget.model_choice.load(str(model_file))
    viewer.add_image(squares)
    notification_manager.records.clear()
    click(qtbot, widget)

    assert worker.stop_all()

    assert not widget.model_choice.is_loading
    assert not notification_manager.records
    assert labels_layers(viewer) == []


def test_another_model_chosen_while_a_click_waits_is_the_one_that_runs(
    viewer: ViewerModel, qtbot: QtBot, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    session = Session()
    widget = SegmentWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.model_choice.load(str(model_file))
    viewer.add_image(squares)
    click(qtbot, widget)

    widget.model_choice.load(str(other))

    qtbot.waitUntil(lambda: bool(labels_layers(viewer)), timeout=20_000)
    assert session.source == str(other)


def test_progress_is_told_in_tiles_and_slices(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(2, 8, 1, 3)])

    click(qtbot, widget)

    bar = widget.panel.bar
    qtbot.waitUntil(lambda: bar.format() == "slice 2 of 3, tile 3 of 8", timeout=5000)
    assert (bar.value(), bar.maximum()) == (10, 24)
    (activity,) = [each for each in progress._all_instances if each.total == 24]
    assert (activity.n, activity.desc) == (10, "slice 2 of 3, tile 3 of 8: ")
    click(qtbot, widget)
    assert activity not in progress._all_instances


def test_after_the_last_tile_it_says_what_still_takes_time(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(8, 8, 0, 1)])

    click(qtbot, widget)

    qtbot.waitUntil(lambda: widget.panel.bar.format() == "telling cells apart", timeout=5000)


def test_stop_turns_back_into_run_at_once_and_adds_nothing(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    click(qtbot, widget)
    qtbot.waitUntil(lambda: widget.panel.bar.format() == "tile 2 of 4", timeout=5000)
    assert widget.panel.button.text() == "Stop"

    click(qtbot, widget)

    assert widget.panel.button.text() == "Run"
    assert widget.panel.message == "Stopped; the layers are as they were."
    assert worker.stop_all()
    assert labels_layers(viewer) == []


def test_a_run_after_a_stop_works(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    click(qtbot, widget)
    click(qtbot, widget)

    click_and_wait(qtbot, widget)

    assert len(labels_layers(viewer)) == 1
    assert widget.panel.message.startswith("3 cells")


def test_removing_the_image_stops_its_segmentation(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares, name="squares")
    viewer.add_image(squares, name="other")
    viewer.layers.selection.active = viewer.layers["squares"]
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    click(qtbot, widget)

    viewer.layers.remove("other")
    assert widget.panel.is_running
    viewer.layers.remove("squares")

    assert not widget.panel.is_running
    assert widget.panel.message == "Layer 'squares' was removed; the segmentation stopped."


def test_a_stack_offers_every_slice_and_takes_the_shown_one_by_default(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares)
    assert not widget.every_slice_box.isVisible()
    stack = np.stack([np.flipud(squares), squares])
    viewer.add_image(stack, name="stack")
    assert widget.every_slice_box.isVisible()
    viewer.dims.set_current_step(0, 1)

    click_and_wait(qtbot, widget)

    (labels,) = labels_layers(viewer)
    assert np.array_equal(labels.data[1], square_labels)
    assert not labels.data[0].any()


def test_every_slice_numbers_the_cells_of_the_stack_through(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(np.stack([squares, squares]))
    widget.every_slice_box.setChecked(True)

    click_and_wait(qtbot, widget)

    (labels,) = labels_layers(viewer)
    assert np.array_equal(labels.data[0], square_labels)
    assert np.array_equal(labels.data[1] > 0, square_labels > 0)
    assert set(np.unique(labels.data)) == set(range(7))
    assert widget.panel.message.startswith("6 cells in ")


def test_a_diameter_resizes_the_image_to_what_the_model_knows(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares.repeat(2, axis=0).repeat(2, axis=1))
    widget.diameter_box.setValue(20.0)

    click_and_wait(qtbot, widget)

    (labels,) = labels_layers(viewer)
    assert labels.metadata["napari_unet"]["settings"]["diameter_px"] == 20.0
    assert labels.data.shape == (128, 160)
    assert labels.data.max() == 3


def test_the_first_step_of_the_diameter_goes_to_what_the_model_knows(
    widget: SegmentWidget,
) -> None:
    box = widget.diameter_box
    assert (box.text(), box.diameter_px) == ("automatic", None)
    assert "(10 px)" in box.toolTip()

    box.stepUp()
    assert box.diameter_px == 10.0
    box.stepUp()
    assert box.diameter_px == 11.0


def test_an_image_without_cells_gives_a_hint(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot
) -> None:
    viewer.add_image(np.zeros((32, 32), np.uint8), name="dark")

    click_and_wait(qtbot, widget)

    assert widget.panel.message == (
        "No cells were found in 'dark'; set the cell diameter, or choose another model."
    )


def failure(qtbot: QtBot, widget: SegmentWidget) -> str:
    """Click, and return the sentence that the widget and the notification both show."""
    notification_manager.records.clear()
    click_and_wait(qtbot, widget)
    (notification,) = notification_manager.records
    assert notification.message == widget.panel.message
    assert widget.panel.label.isVisible()
    return widget.panel.message


def test_without_an_image_it_says_where_to_find_one(widget: SegmentWidget, qtbot: QtBot) -> None:
    assert failure(qtbot, widget) == (
        "There is no image layer; open an image, or one of File > Open Sample."
    )


def test_nan_pixels_are_named_with_a_remedy(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot
) -> None:
    image = np.zeros((32, 32))
    image[3, 4] = np.nan
    viewer.add_image(image, contrast_limits=(0, 1))

    message = failure(qtbot, widget)

    assert message.startswith("1 of 1024 pixels are NaN or infinite; replace them first")
    assert labels_layers(viewer) == []


def test_five_axes_with_every_slice_are_refused_with_a_way_out(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot
) -> None:
    viewer.add_image(np.zeros((2, 2, 2, 8, 8)), name="movie")
    widget.every_slice_box.setChecked(True)

    assert failure(qtbot, widget).startswith("Layer 'movie' has shape (2, 2, 2, 8, 8);")


def test_a_missing_model_file_is_named(
    viewer: ViewerModel, widget: SegmentWidget, qtbot: QtBot, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    widget.model_choice.load("/nowhere/model.safetensors")

    message = failure(qtbot, widget)

    assert message.startswith("There is no model '/nowhere/model.safetensors';")
    assert labels_layers(viewer) == []


def test_without_any_model_it_says_how_to_get_one(
    viewer: ViewerModel,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.engine.checkpoint.bundled_models", dict)
    widget = SegmentWidget(viewer, Session())
    qtbot.addWidget(widget)
    widget.show()
    wait_until_loaded(qtbot, widget)
    assert widget.panel.message == (
        "No model came with this installation; choose a model file with '…'."
    )
    viewer.add_image(squares)

    assert failure(qtbot, widget) == "No model is loaded; choose one, or a model file with '…'."


def test_an_unforeseen_error_is_shown_and_logged_with_its_details(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1), RuntimeError("cuBLAS is tired")])

    with caplog.at_level(logging.ERROR):
        message = failure(qtbot, widget)

    assert message == (
        "Something went wrong that should not (RuntimeError: cuBLAS is tired); "
        "the layers are as they were, the log has the details."
    )
    assert "Traceback" in caplog.text
    assert labels_layers(viewer) == []


def test_a_model_that_fails_to_load_does_not_disturb_a_run(
    viewer: ViewerModel,
    widget: SegmentWidget,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    click(qtbot, widget)

    with qtbot.waitSignal(widget.model_choice.load_failed, timeout=20_000):
        widget.model_choice.load("/nowhere/model.safetensors")

    assert widget.panel.is_running


def test_closing_the_window_while_running_ends_the_thread(
    viewer: ViewerModel,
    session: Session,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    widget = SegmentWidget(viewer, session)
    qtbot.addWidget(widget)
    wait_until_loaded(qtbot, widget)
    click(qtbot, widget)

    widget.close()

    assert not widget.panel.is_running
    qtbot.waitUntil(no_engine_thread, timeout=5000)


def no_engine_thread() -> bool:
    return not any(thread.name == "napari-unet" for thread in threading.enumerate())


def test_taking_the_widget_out_of_its_dock_ends_the_thread(
    viewer: ViewerModel,
    session: Session,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    dock = QWidget()
    qtbot.addWidget(dock)
    widget = SegmentWidget(viewer, session)
    widget.setParent(dock)
    wait_until_loaded(qtbot, widget)
    click(qtbot, widget)
    assert not no_engine_thread()

    widget.setParent(None)

    qtbot.waitUntil(no_engine_thread, timeout=5000)


def test_a_deleted_widget_leaves_no_thread_and_no_slot_behind(
    viewer: ViewerModel,
    session: Session,
    threshold_network: Network,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares, name="squares")
    HeldEngine(monkeypatch, [SegmentationReport(1, 4, 0, 1)])
    dock = QWidget()
    widget = SegmentWidget(viewer, session)
    widget.setParent(dock)
    wait_until_loaded(qtbot, widget)
    click(qtbot, widget)

    with qtbot.waitSignal(widget.destroyed, timeout=5000):
        dock.deleteLater()

    qtbot.waitUntil(no_engine_thread, timeout=5000)
    session.adopt(threshold_network, "elsewhere")
    viewer.layers["squares"].name = "renamed"
    viewer.layers.clear()


def test_two_widgets_share_the_network(
    viewer: ViewerModel, widget: SegmentWidget, session: Session, model_file: Path, qtbot: QtBot
) -> None:
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    second = SegmentWidget(viewer, session)
    qtbot.addWidget(second)
    wait_until_loaded(qtbot, second)

    with qtbot.waitSignal(second.model_choice.load_ended, timeout=20_000):
        second.model_choice.load(str(other))

    assert widget.model_choice.box.currentText() == "other"


def test_everything_that_can_be_set_says_what_it_does(widget: SegmentWidget) -> None:
    for child in (
        widget.layer_choice,
        widget.model_choice.box,
        widget.model_choice.file_button,
        widget.device_choice,
        widget.diameter_box,
        widget.every_slice_box,
        widget.panel.button,
    ):
        assert len(child.toolTip()) > 20, child


def test_long_names_and_messages_do_not_widen_the_dock(
    viewer: ViewerModel, widget: SegmentWidget
) -> None:
    viewer.add_image(np.zeros((8, 8)), name="a very long name of a layer " * 5)
    widget.panel.show_error("There is no model '/somewhere/" + "a-folder/" * 30 + "model'.")

    assert widget.minimumSizeHint().width() <= 300


def test_beside_the_other_distribution_it_says_which_to_uninstall_and_does_not_run(
    viewer: ViewerModel, session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise InstallationError("'napari-unet' 1.2 is installed; uninstall it.")

    monkeypatch.setattr("napari_unet.widgets.segment.check_installation", refuse)
    viewer.add_image(np.zeros((16, 16)))
    widget = SegmentWidget(viewer, session)
    qtbot.addWidget(widget)
    wait_until_loaded(qtbot, widget)
    assert "uninstall it" in widget.panel.message
    click(qtbot, widget)
    assert "uninstall it" in widget.panel.message
    assert not labels_layers(viewer)
    widget.close()
