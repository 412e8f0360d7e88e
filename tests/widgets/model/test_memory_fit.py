"""Whether the selected image fits into memory."""

import re
from typing import Any

import numpy as np
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.engine.base import device
from napari_unet.engine.base.device import DeviceState
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget

GIB = 1 << 30


def give_memory(widget: ModelWidget, qtbot: QtBot, monkeypatch: Any, *states: DeviceState) -> None:
    monkeypatch.setattr(device, "device_states", lambda: states)
    with qtbot.waitSignal(widget.device_choice.refreshed, timeout=20_000):
        widget.device_choice.refresh()


def cpu(free_bytes: int, **more: Any) -> DeviceState:
    return DeviceState("cpu", "CPU", free_bytes, host_number_bytes=4, **more)


def test_without_an_image_it_says_that_it_would_tell(widget: ModelWidget) -> None:
    assert widget.fit.message == "Open an image to see whether it fits into memory."


def test_an_image_that_fits_is_told_with_numbers(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot, monkeypatch: Any
) -> None:
    give_memory(widget, qtbot, monkeypatch, cpu(21 * GIB))

    viewer.add_image(np.zeros((1024, 2048), np.uint8), name="x")

    qtbot.waitUntil(lambda: widget.fit.message.startswith("Image 'x'"), timeout=5000)
    assert re.fullmatch(
        r"Image 'x' \(1024 x 2048\) needs about 0\.\d GB of memory; 21\.0 GB are free: it fits\.",
        widget.fit.message,
    )
    viewer.layers["x"].name = "y"
    qtbot.waitUntil(lambda: widget.fit.message.startswith("Image 'y'"), timeout=5000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: widget.fit.message.startswith("Open an image"), timeout=5000)


def test_an_image_that_does_not_fit_is_told_with_what_to_do(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot, monkeypatch: Any
) -> None:
    viewer.add_image(np.zeros((4096, 4096), np.uint8), name="large")

    give_memory(widget, qtbot, monkeypatch, cpu(GIB // 4))

    assert re.fullmatch(
        r"Image 'large' \(4096 x 4096\) needs about 0\.\d GB of memory; 0\.2 GB are free\. "
        r"Segment the field of view only, or close other programs\.",
        widget.fit.message,
    )


def test_of_a_stack_a_slice_and_all_slices_are_told(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot, monkeypatch: Any
) -> None:
    stack = np.broadcast_to(np.zeros((1, 512, 512), np.uint8), (2000, 512, 512))
    viewer.add_image(stack, name="movie", contrast_limits=(0, 1))

    give_memory(widget, qtbot, monkeypatch, cpu(GIB))

    assert re.fullmatch(
        r"A slice of 'movie' \(512 x 512\) needs about 0\.1 GB of memory, all slices together "
        r"2\.0 GB; 1\.0 GB are free: a slice fits, all do not\.",
        widget.fit.message,
    )


def test_a_colour_image_is_no_stack(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot, monkeypatch: Any
) -> None:
    give_memory(widget, qtbot, monkeypatch, cpu(GIB))

    viewer.add_image(np.zeros((64, 80, 3), np.uint8), name="rgb")

    told = "Image 'rgb' (64 x 80) needs"
    qtbot.waitUntil(lambda: widget.fit.message.startswith(told), timeout=5000)


def test_another_kind_of_layer_leaves_the_image_in_place(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot
) -> None:
    viewer.add_image(np.zeros((30, 40)), name="x")
    viewer.add_points(np.zeros((1, 2)))

    qtbot.waitUntil(lambda: widget.fit.message.startswith("Image 'x'"), timeout=5000)


def test_a_gpu_is_told_with_its_own_memory(
    viewer: ViewerModel, widget: ModelWidget, session: Session, qtbot: QtBot, monkeypatch: Any
) -> None:
    viewer.add_image(np.zeros((30, 40)), name="x")
    roomy = DeviceState("cuda:0", "NVIDIA A100", 37 * GIB, is_preferred=True)
    full = DeviceState("cuda:1", "NVIDIA T400", GIB // 4)
    lost = DeviceState("cuda:2", "NVIDIA T4", None)

    give_memory(widget, qtbot, monkeypatch, roomy, full, lost, cpu(21 * GIB))

    assert widget.fit.message.endswith(
        "it fits. The network runs on NVIDIA A100 in tiles that fit into its 37.0 GB."
    )
    session.choose_device("cuda:1")
    assert widget.fit.message.endswith(
        "NVIDIA T400 has only 0.2 GB free: its tiles will be small and slow."
    )
    session.choose_device("cuda:2")
    assert widget.fit.message.endswith("NVIDIA T4 does not answer: choose another device.")
    session.choose_device("cpu")
    assert widget.fit.message.endswith("it fits.")


def test_another_layer_brings_the_free_memory_up_to_date(
    viewer: ViewerModel, widget: ModelWidget, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(widget.device_choice.refreshed, timeout=20_000):
        viewer.add_image(np.zeros((30, 40)))
