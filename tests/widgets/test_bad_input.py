"""Bad input and bad luck: one sentence in the form and in napari, and nothing is lost."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.engine.base.device_errors import result_if_it_fits
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation import predictor, tiling
from napari_unet.engine.segmentation.bands import BandedUNet
from napari_unet.session import Session
from napari_unet.widgets.segment.widget import SegmentWidget


def test_without_an_image_it_says_where_to_find_one(person: Any) -> None:
    assert person.fail() == "There is no image layer; open an image, or one of File > Open Sample."


@pytest.mark.parametrize(
    "add",
    [
        lambda viewer: viewer.add_points(np.zeros((2, 2)), name="no image"),
        lambda viewer: viewer.add_surface((np.eye(3), np.array([[0, 1, 2]])), name="no image"),
        lambda viewer: viewer.add_tracks([[0, 0, 1.0, 1.0], [0, 1, 2.0, 2.0]], name="no image"),
        lambda viewer: viewer.add_labels(np.ones((8, 8), int), name="no image"),
    ],
    ids=["points", "surface", "tracks", "labels"],
)
def test_without_an_image_it_names_the_layer_that_is_none(
    viewer: ViewerModel, person: Any, add: Callable[[ViewerModel], Any]
) -> None:
    layer = add(viewer)

    message = person.fail()

    assert message == (
        "There is no image layer ('no image' is none); open an image, or one of File > Open Sample."
    )
    assert list(viewer.layers) == [layer]


@pytest.mark.parametrize(
    "add",
    [
        lambda viewer: viewer.add_points(np.zeros((2, 2))),
        lambda viewer: viewer.add_surface((np.eye(3), np.array([[0, 1, 2]]))),
        lambda viewer: viewer.add_tracks([[0, 0, 1.0, 1.0], [0, 1, 2.0, 2.0]]),
        lambda viewer: viewer.add_labels(np.ones((8, 8), int)),
    ],
    ids=["points", "surface", "tracks", "labels"],
)
def test_with_another_layer_selected_the_image_is_segmented_all_the_same(
    viewer: ViewerModel,
    person: Any,
    add: Callable[[ViewerModel], Any],
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares, name="squares")
    layer = add(viewer)
    assert viewer.layers.selection.active is layer

    assert person.run().startswith("3 cells in 'squares'")

    assert np.array_equal(person.result.data, square_labels)


# Pixels that are no numbers, and no pixels.


def test_nan_pixels_are_counted_and_the_remedy_named(viewer: ViewerModel, person: Any) -> None:
    image = np.zeros((32, 32))
    image[3, 4] = np.nan
    image[5, 6] = np.inf
    viewer.add_image(image, contrast_limits=(0, 1))

    message = person.fail()

    assert message.startswith("2 of 1024 pixels are NaN or infinite; replace them first")
    assert person.results == []


def give(layer: Image, data: Any) -> None:
    """Give a layer data that napari cannot show: it complains, and has them all the same."""
    with suppress(Exception):
        layer.data = data
    assert layer.data is data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            np.ones((32, 32), complex),
            (
                "The image has dtype complex128; the network reads whole or real numbers. Take its "
                "magnitude first, for example np.abs(image)."
            ),
        ),
        (
            np.ones((32, 32), "datetime64[s]"),
            (
                "The image has dtype datetime64[s]; the network reads whole or real numbers. "
                "Convert it first, for example image.astype('float32')."
            ),
        ),
        (
            np.ones((0, 32)),
            "Layer 'odd' has shape (0, 32) and no pixels; choose another one.",
        ),
        (
            np.ones(32),
            (
                "Layer 'odd' has shape (32,); this model reads 2-D images. Choose a layer with 2 "
                "axes, or another model."
            ),
        ),
    ],
    ids=["complex", "dates", "empty", "one axis"],
)
def test_data_that_napari_cannot_show_are_refused(
    viewer: ViewerModel, person: Any, data: NDArray[Any], sentence: str
) -> None:
    give(viewer.add_image(np.zeros((32, 32)), name="odd"), data)

    assert person.fail() == sentence
    assert person.results == []


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1), (2, 2), (3, 1, 50)])
def test_an_image_of_a_few_pixels_is_an_image(
    viewer: ViewerModel, person: Any, shape: tuple[int, ...]
) -> None:
    image = np.zeros(shape, np.float32)
    image[..., -1] = 1
    viewer.add_image(image)

    assert re.match(r"(1 cell|No cells were found) in", person.run())
    assert person.result.data.shape == shape


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_holds_no_cells(viewer: ViewerModel, person: Any, value: int) -> None:
    viewer.add_image(np.full((40, 50), value, np.uint8), name="flat")

    assert person.run().startswith("No cells were found in 'flat';")
    assert not person.result.data.any()


# Axes and channels.


def test_a_wrong_number_of_channels_is_told_with_the_way_out(
    viewer: ViewerModel, person: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((2, 16, 16)))
    person.widget.form.channel_choice.setCurrentText("All 2 of axis 0")

    message = person.fail()

    assert message.startswith("The image has 2 channels; this model reads 1. Choose one channel")
    assert person.results == []


def test_too_few_axes_for_a_network_of_stacks(
    viewer: ViewerModel, person: Any, session: Session, stack_network: Network
) -> None:
    session.adopt(stack_network, "")
    viewer.add_image(np.zeros((16, 16)), name="flat")

    assert person.fail() == (
        "Layer 'flat' has shape (16, 16); this model reads 3-D images. Choose a layer with 3 axes, "
        "or another model."
    )


def test_five_axes_are_slices_of_slices(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.broadcast_to(squares, (2, 2, 2, *squares.shape)).copy(), name="movie")
    viewer.dims.current_step = (1, 0, 1, 0, 0)

    assert person.run().startswith("3 cells in 'movie'")
    assert [at for at in np.ndindex(2, 2, 2) if person.result.data[at].any()] == [(1, 0, 1)]
    person.choose("stack")
    assert person.run().startswith("24 cells in 'movie'")


def test_micrometres_without_a_scale_are_refused(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((16, 16)))
    person.widget.form.size_choice.mode_box.setCurrentText("µm")

    assert person.fail().startswith("The cell size is in micrometres, but the layer's units are no")


def test_a_cell_size_that_makes_no_sense_is_refused(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((16, 16)))
    person.widget.form.size_choice.set_diameter_px(0.1)

    message = person.fail()

    assert message == (
        "A diameter of 0.1 pixels would resize the image 100 times; check the number, between "
        "1/20 and 20 times are possible."
    )


def test_an_image_out_of_view_is_told(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((16, 16)), name="far away")
    person.choose("view")
    person.look_at((15, 0), (15, 15))

    assert person.fail().startswith("Nothing of layer 'far away' is in view;")
    assert person.results == []


# The model.


def test_a_missing_model_file_is_named(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    person.widget.model_choice.load("/nowhere/model.safetensors")

    message = person.fail()

    assert message.startswith("There is no model '/nowhere/model.safetensors'; give a file")
    assert person.results == []


def test_without_any_model_it_says_how_to_get_one(
    viewer: ViewerModel,
    qtbot: QtBot,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.engine.models.checkpoint.bundled_models", dict)
    widget = SegmentWidget(viewer, Session())
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    assert widget.panel.message == (
        "No model came with this installation; choose a model file with '…'."
    )
    viewer.add_image(squares)

    widget.run()

    assert widget.panel.message == "No model is loaded; choose one, or a model file with '…'."
    assert not widget.panel.is_running


def test_a_model_file_deleted_after_loading_is_not_missed(
    viewer: ViewerModel, person: Any, model_file: Path, squares: NDArray[np.uint8]
) -> None:
    person.widget.model_choice.open(str(model_file))
    person.wait(lambda: not person.widget.model_choice.is_loading)
    model_file.unlink()
    viewer.add_image(squares)

    assert person.run().startswith("3 cells")
    assert person.result.metadata["napari_unet"]["model_source"] == str(model_file)


# What happens to layers while it runs.


def start_and_hold(person: Any, engine: Any, *, reports: int = 1) -> None:
    engine.holds_after = reports
    person.click()
    person.wait(engine.is_held.is_set)
    if reports:
        person.wait(lambda: bool(person.results) and not person.result.editable)


def test_renaming_layers_while_it_runs_changes_nothing(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    start_and_hold(person, engine)

    viewer.layers["squares"].name = "nuclei"
    person.result.name = "mine"
    engine.go_on.set()

    assert person.wait_for_the_end().startswith("3 cells in ")
    assert [layer.name for layer in viewer.layers] == ["nuclei", "mine"]
    assert person.widget.layer_choice.currentText() == "nuclei"
    person.run()
    assert len(person.results) == 1


def test_deleting_the_labels_while_they_are_filled_stops_it(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    start_and_hold(person, engine)

    viewer.layers.remove(person.result)

    assert person.message == "Layer 'squares: threshold' was removed; the segmentation stopped."
    assert not person.widget.panel.is_running
    assert [layer.name for layer in viewer.layers] == ["squares"]


def test_deleting_earlier_labels_before_the_first_tile_stops_it(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    person.run()
    start_and_hold(person, engine, reports=0)

    viewer.layers.remove(person.result)

    assert person.message == "Layer 'squares: threshold' was removed; the segmentation stopped."
    engine.holds_after = None
    assert person.run().startswith("3 cells")
    assert len(person.results) == 1


def test_deleting_the_image_keeps_the_slices_that_are_finished(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 3), name="stack")
    person.choose("stack")
    start_and_hold(person, engine, reports=3)
    person.wait(lambda: person.widget.panel.bar.format().startswith("slice 2"))

    viewer.layers.remove("stack")

    assert person.message == (
        "Layer 'stack' was removed; the segmentation stopped. 1 slice of 'stack: threshold' was "
        "finished and is kept."
    )
    assert [bool(plane.any()) for plane in person.result.data] == [True, False, False]
    assert person.result.editable


def test_other_data_in_the_image_before_the_first_tile_stop_it(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = viewer.add_image(squares, name="squares")
    start_and_hold(person, engine, reports=0)

    image.data = squares[:20]
    engine.go_on.set()

    assert person.wait_for_the_end() == (
        "The data of layer 'squares' were replaced; the segmentation stopped."
    )
    assert person.results == []
    assert person.run().startswith("2 cells")
    assert person.result.data.shape == (20, 80)


def test_other_data_in_the_image_half_way_stop_it_too(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    image = viewer.add_image(np.stack([squares] * 3), name="stack")
    person.choose("stack")
    start_and_hold(person, engine, reports=3)

    image.data = image.data[:, ::-1]
    engine.go_on.set()

    assert person.wait_for_the_end().startswith(
        "The data of layer 'stack' were replaced; the segmentation stopped."
    )
    assert person.result.editable


def test_other_data_in_the_labels_stop_it_and_stay(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    start_and_hold(person, engine)
    mine = np.full(squares.shape, 9, np.int32)

    person.result.data = mine
    engine.go_on.set()

    assert person.wait_for_the_end() == (
        "The data of layer 'squares: threshold' were replaced; the segmentation stopped."
    )
    assert person.result.data is mine
    assert (mine == 9).all()
    assert person.result.editable


def test_a_script_that_writes_into_the_labels_while_they_are_filled_keeps_its_pixels(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    start_and_hold(person, engine)
    notification_manager.records.clear()

    person.result.data[30, 20] = 99
    engine.go_on.set()
    person.wait_for_the_end()

    assert person.notified().startswith(
        "The labels were changed by something else while they were filled, so they stay as they "
        "are; Run again puts the cells into a new layer."
    )
    assert person.result.data[30, 20] == 99
    engine.holds_after = None
    person.run()
    first, second = person.results
    assert first.data[30, 20] == 99
    assert len(person.cells_in(second.data)) == 3


def test_the_brush_does_nothing_while_the_labels_are_filled(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    start_and_hold(person, engine)

    # What napari's own buttons and keys ask before they paint.
    assert not person.result.editable
    person.result.mode = "paint"

    assert person.result.mode == "pan_zoom"
    engine.go_on.set()
    person.wait_for_the_end()
    person.result.mode = "paint"
    assert person.result.mode == "paint"


def test_clearing_the_viewer_while_it_runs_stops_it(
    viewer: ViewerModel, person: Any, engine: Any, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares, name="squares")
    start_and_hold(person, engine)

    viewer.layers.clear()

    assert not person.widget.panel.is_running
    assert person.message.endswith("was removed; the segmentation stopped.")
    assert len(viewer.layers) == 0


def test_a_script_that_cannot_be_copied_meanwhile_does_not_disturb_a_run(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
) -> None:
    viewer.add_image(squares)
    start_and_hold(person, engine)
    person.widget.form.size_choice.mode_box.setCurrentText("µm")
    notification_manager.records.clear()

    person.widget.script_button.python_action.trigger()

    (notification,) = notification_manager.records
    assert notification.message.startswith("The cell size is in micrometres, but the layer's")
    assert person.widget.panel.is_running
    engine.go_on.set()
    assert person.wait_for_the_end().startswith("3 cells")
    assert np.array_equal(person.result.data, square_labels)


# The device.


class FailingNetwork:
    """Computes some tiles and then fails as a device does, on the CPU or as if on another one."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        *,
        after: int,
        times: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.calls = 0
        compute = BandedUNet.__call__

        def call(network: BandedUNet, *args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls > after and (times is None or self.calls <= after + times):
                raise error
            return compute(network, *args, **options)

        monkeypatch.setattr(BandedUNet, "__call__", call)
        there = torch.device(device)
        monkeypatch.setattr(
            tiling, "result_if_it_fits", lambda compute, _: result_if_it_fits(compute, there)
        )


def test_memory_that_runs_out_half_way_costs_only_smaller_tiles(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    square_labels: NDArray[np.int32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(squares)
    engine.tile_px = 48
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
    FailingNetwork(monkeypatch, error, after=2, times=1)

    message = person.run()

    assert message.startswith("3 cells in")
    assert "Memory ran out, so the tiles were made smaller" in message
    assert np.array_equal(person.result.data, square_labels)


def test_memory_that_is_not_enough_for_any_tile_is_told_and_cells_are_kept(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(np.stack([squares, squares]), name="stack")
    person.choose("stack")
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
    FailingNetwork(monkeypatch, error, after=1)

    message = person.fail()

    assert message.startswith("There is not enough memory on cpu even for the smallest tile")
    assert "choose another device or a smaller model." in message
    assert message.endswith("1 slice of 'stack: threshold' was finished and is kept.")
    assert [len(person.cells_in(plane)) for plane in person.result.data] == [3, 0]
    assert person.result.editable


def test_a_gpu_that_vanishes_half_way_is_told_and_earlier_labels_are_put_back(
    viewer: ViewerModel,
    person: Any,
    engine: Any,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = viewer.add_image(squares, name="squares")
    person.run()
    before = person.result.data.copy()
    image.data = squares[::-1].copy()
    engine.tile_px = 48
    error = RuntimeError("CUDA error: unspecified launch failure")
    FailingNetwork(monkeypatch, error, after=2, device="cuda:0")

    message = person.fail()

    assert message.startswith(
        "The GPU (cuda:0) stopped answering (CUDA error: unspecified launch failure); choose the "
        "CPU as device and run again, or restart napari to use the GPU."
    )
    assert message.endswith("'squares: threshold' is as it was.")
    assert np.array_equal(person.result.data, before)
    monkeypatch.undo()
    assert person.run().startswith("3 cells")
    assert np.array_equal(person.result.data > 0, squares[::-1] > 100)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
            (
                "There is not enough free memory on cuda:0 for the model; close other programs "
                "that use the GPU, or choose another device."
            ),
        ),
        (
            RuntimeError("CUDA error: device not ready\nCUDA kernel errors might be ..."),
            (
                "The GPU (cuda:0) stopped answering (CUDA error: device not ready); choose the "
                "CPU as device and run again, or restart napari to use the GPU."
            ),
        ),
    ],
    ids=["full", "lost"],
)
def test_a_gpu_that_cannot_take_the_model_is_told(
    viewer: ViewerModel,
    person: Any,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    sentence: str,
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    viewer.add_image(squares)
    monkeypatch.setattr(predictor, "resolve_device", lambda _: torch.device("cuda:0"))
    monkeypatch.setattr(predictor, "resolve_precision", lambda *_: torch.float32)
    monkeypatch.setattr(Network, "for_inference", refuse)

    assert person.fail() == sentence
    assert person.results == []


def test_an_error_of_the_network_that_nobody_foresaw_loses_nothing(
    viewer: ViewerModel,
    person: Any,
    squares: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(np.stack([squares, squares]), name="stack")
    person.choose("stack")
    FailingNetwork(monkeypatch, RuntimeError("the moon is full"), after=1)

    message = person.fail()

    assert message == (
        "Something went wrong that should not (RuntimeError: the moon is full); the log has the "
        "details. 1 slice of 'stack: threshold' was finished and is kept."
    )


def test_a_device_that_is_not_there_is_told_with_those_that_are(
    viewer: ViewerModel, person: Any, session: Session, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    session.choose_device("cuda:7")

    message = person.fail()

    assert message.startswith("Device 'cuda:7' is not there; this machine has ")
    assert message.endswith("Choose one of these or 'auto'.")
    session.choose_device("auto")
    assert person.run().startswith("3 cells")


def test_a_layer_too_large_for_the_memory_is_told(
    viewer: ViewerModel, person: Any, squares: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask.array

    huge = dask.array.zeros((10**7, *squares.shape), chunks=(1, *squares.shape), dtype=np.uint8)
    viewer.add_image(huge, name="huge", contrast_limits=(0, 255))
    monkeypatch.setattr(np, "zeros", refuse_large(np.zeros))

    message = person.fail()

    assert message == (
        "A layer of the size of 'huge' needs 190.7 GiB of memory, which is not free; segment it "
        "in blocks with Large images."
    )
    assert person.results == []


def refuse_large(make: Callable[..., Any]) -> Callable[..., Any]:
    def zeros(shape: Any, *args: Any, **options: Any) -> Any:
        if np.prod(shape, dtype=float) > 1e10:
            raise MemoryError
        return make(shape, *args, **options)

    return zeros


def test_labels_are_never_offered_as_an_image(viewer: ViewerModel, person: Any) -> None:
    viewer.add_image(np.zeros((8, 8)), name="image")
    labels = viewer.add_labels(np.ones((8, 8), int), name="labels")
    box = person.widget.layer_choice

    assert [box.itemText(i) for i in range(box.count())] == ["image"]
    viewer.layers.selection.active = labels
    assert isinstance(person.widget.form.layer, Image)
    assert not isinstance(person.widget.form.layer, Labels)
