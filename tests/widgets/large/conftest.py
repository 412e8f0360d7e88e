"""Someone at the Large images widget, and images in files."""

import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_unet.engine.cluster.hands import OneProcess
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.viewer.zarr_layers import read_layers
from napari_unet.widgets.large.widget import LargeWidget
from napari_unet.widgets.segment.widget import SegmentWidget


class Person:
    """Someone at the widget."""

    def __init__(self, qtbot: QtBot, widget: LargeWidget, viewer: ViewerModel) -> None:
        self.qtbot, self.widget, self.viewer = qtbot, widget, viewer
        self.form, self.panel = widget.form, widget.panel

    def wait(self, is_so: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(is_so, timeout=30_000)

    def press(self) -> None:
        self.qtbot.mouseClick(self.panel.button, Qt.MouseButton.LeftButton)

    def run(self) -> str:
        self.press()
        self.wait(lambda: not self.panel.is_running)
        return str(self.panel.message)

    def open(self, path: Path) -> Image:
        is_zarr = path.suffix == ".zarr"
        data = (
            read_layers(str(path))[0] if is_zarr else (tifffile.imread(path), {"name": path.stem})
        )
        with layer_source(path=str(path)):
            layers = self.viewer.add_image(data[0], **data[1])
        self.wait(lambda: self.form.facts is not None)
        return layers[0] if isinstance(layers, list) else layers

    def copied(self) -> list[str]:
        """The words of the command that the button copies."""
        self.qtbot.mouseClick(self.widget.command_button, Qt.MouseButton.LeftButton)
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        return shlex.split(clipboard.text())

    @property
    def labels(self) -> list[Labels]:
        return [each for each in self.viewer.layers if isinstance(each, Labels)]


@pytest.fixture
def person(
    viewer: ViewerModel, session: Session, widget: SegmentWidget, qtbot: QtBot
) -> Iterator[Person]:
    large = LargeWidget(viewer, session, lambda: widget)
    qtbot.addWidget(large)
    large.show()
    yield Person(qtbot, large, viewer)
    large.close()
    assert worker.stop_all()


@pytest.fixture
def image(tmp_path: Path, squares: NDArray[np.uint8]) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, squares)
    return path


class Held:
    """The engine in this process, which waits before a stage."""

    def __init__(self, before: str) -> None:
        self.before, self.is_held, self.go_on = before, threading.Event(), threading.Event()

    def hold(self, stage: str) -> None:
        if stage == self.before:
            self.is_held.set()
            assert self.go_on.wait(30)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Held]]:
    """Has the engine in this process wait before a stage."""
    made: list[Held] = []
    done = OneProcess.done

    def hold(before: str) -> Held:
        one = Held(before)
        made.append(one)

        def done_or_held(self: OneProcess, stage: str, *given: Any) -> Any:
            one.hold(stage)
            return done(self, stage, *given)

        monkeypatch.setattr(OneProcess, "done", done_or_held)
        return one

    yield hold
    for each in made:
        each.go_on.set()


@pytest.fixture
def two_channels(tmp_path: Path, squares: NDArray[np.uint8]) -> Path:
    """An OME-Zarr of the squares upside down, and as they are, on a ground that is not quite even.

    Its pixels are half a micrometre wide.
    """
    squares = squares + np.arange(squares.size, dtype=np.uint8).reshape(squares.shape) % 7
    group = zarr.open_group(tmp_path / "cells.ome.zarr", mode="w")
    group.create_array("0", data=np.stack([squares[::-1], squares]), chunks=(1, 32, 32))
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx"),
    ]
    scale = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    dataset = {"path": "0", "coordinateTransformations": scale}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [dataset]}]}
    return tmp_path / "cells.ome.zarr"
