"""A network whose answer is known, a session that has it, and someone at the Segment widget."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known_networks import unet_of_brightness
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.architecture import NetworkModule
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Convolution, Input, Join, Pool, Upsample
from napari_unet.engine.networks.network import Guess, Network, NetworkDescription
from napari_unet.engine.networks.output_meaning import OutputMeaning
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation import segmentation
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.segment.widget import SegmentWidget


def network_of_brightness(ndim: int, name: str) -> Network:
    """A real U-Net whose weights make it answer "cell" where the image is above one half."""
    config = UNetConfig(
        in_channels=1, classes=2, ndim=ndim, base_width=1, depth=1, batch_norm=False
    )
    unet = unet_of_brightness(config, [-20.0, 20.0], [10.0, -10.0])
    description = NetworkDescription(
        name,
        config,
        normalization=Percentiles(0, 100),
        object_diameter_px=10.0,
        instances=InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0),
    )
    return Network(unet, description)


@pytest.fixture
def threshold_network() -> Network:
    """Answers "cell" where an image is above one half."""
    return network_of_brightness(2, "threshold")


@pytest.fixture
def stack_network() -> Network:
    """Answers "cell" where a stack is above one half."""
    return network_of_brightness(3, "threshold-3d")


@pytest.fixture
def foreign_network() -> Network:
    """A graph of layers that answers "cell" where an image is above one half; two guesses."""
    one, two, pad = (1, 1), (2, 2), (1, 1)
    layers = (
        Input(),
        Convolution((0,), "enc", 1, 2, (3, 3), one, pad, one),
        Pool((1,), two),
        Convolution((2,), "middle", 2, 4, (3, 3), one, pad, one),
        Upsample((3,), two, "nearest"),
        Join((1, 4)),
        Convolution((5,), "dec", 6, 2, (3, 3), one, pad, one),
        Convolution((6,), "fc", 2, 1, one, one, (0, 0), one),
    )
    config = GraphConfig(2, 1, layers, (7,), OutputMeaning("sigmoid", ("cell",)), "a course")
    unet = GraphNetwork(config)
    with torch.no_grad():
        for name, weight in unet.author_weights().items():
            weight.zero_()
            if name in ("enc.weight", "dec.weight"):
                weight[0, 0, 1, 1] = 1
            if name == "fc.weight":
                weight[0, 0] = 20
            if name == "fc.bias":
                weight.fill_(-10)
    guesses = (
        Guess("activation", "Activation", "relu", ("relu", "leaky_relu", "elu"), "Most use it."),
        Guess(
            "final",
            "Output",
            "sigmoid",
            ("sigmoid", "probability", "softmax"),
            "It has one channel.",
        ),
    )
    description = NetworkDescription(
        "foreign",
        config,
        normalization=Percentiles(0, 100),
        instances=InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0),
        guesses=guesses,
    )
    return Network(unet.eval(), description)


class ReadyMade:
    """Shape of a network whose layers nobody knows."""

    ndim, in_channels, classes, widths = 2, 1, 2, (8,)
    sentence, inexact_because, is_trainable = "TorchScript program", "it is measured", False
    size_multiple, size_loss_px, margin_px, tile_overlap_px = 1, 0, 3, 3
    meaning, levels = None, ()

    def level_sizes(self, shape: Any) -> tuple[()]:
        return ()

    def read_as(self, meaning: OutputMeaning) -> Any:
        raise NotImplementedError

    def along(self, axis: int) -> Any:
        return self

    def output_size(self, input_size: int) -> int:
        return input_size

    def valid_input_size(self, output_at_least: int) -> int:
        return output_at_least

    def numbers_at_once(self, sizes: Any) -> int:
        return 8 * int(np.prod(sizes))

    def to_json(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def ready_made_network() -> Network:
    """Cannot learn, and cannot be taken apart."""
    module = NetworkModule()
    module.config = ReadyMade()
    return Network(module, NetworkDescription("ready", ReadyMade()))


@pytest.fixture
def model_file(threshold_network: Network, tmp_path: Path) -> Path:
    return save_checkpoint(threshold_network, tmp_path / "threshold")


@pytest.fixture
def session(threshold_network: Network, model_file: Path) -> Session:
    session = Session()
    session.adopt(threshold_network, str(model_file))
    return session


@pytest.fixture
def squares() -> NDArray[np.uint8]:
    """Three bright squares of 10 x 10 pixels on a dark ground, 64 x 80."""
    image = np.full((64, 80), 20, np.uint8)
    image[5:15, 5:15] = image[5:15, 30:40] = image[40:50, 60:70] = 200
    return image


@pytest.fixture
def square_labels(squares: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The squares of `squares`, numbered in reading order."""
    labels = np.zeros(squares.shape, np.int32)
    labels[5:15, 5:15], labels[5:15, 30:40], labels[40:50, 60:70] = 1, 2, 3
    return labels


@pytest.fixture
def faint() -> NDArray[np.float32]:
    """Three squares whose cell scores are 1, 0.69 and 0.6, 64 x 80."""
    image = np.zeros((64, 80), np.float32)
    image[5:15, 5:15], image[5:15, 30:40], image[40:50, 60:70] = 1, 0.52, 0.51
    return image


class Person:
    """Someone at the Segment widget: clicks, waits for what comes, and reads it."""

    def __init__(self, qtbot: QtBot, viewer: ViewerModel, widget: SegmentWidget) -> None:
        self.qtbot = qtbot
        self.viewer = viewer
        self.widget = widget

    @property
    def message(self) -> str:
        """The sentence in the form."""
        return str(self.widget.panel.message)

    @staticmethod
    def cells_in(labels: NDArray[np.integer[Any]]) -> set[int]:
        """Numbers of the cells in labels."""
        return set(np.unique(labels).tolist()) - {0}

    @property
    def results(self) -> list[Labels]:
        """Labels layers that runs made, the oldest first."""
        return [layer for layer in self.viewer.layers if "napari_unet" in layer.metadata]

    @property
    def result(self) -> Labels:
        """The only one."""
        (labels,) = self.results
        return labels

    def click(self) -> None:
        """Press the button, be it Run or Stop."""
        self.qtbot.mouseClick(self.widget.panel.button, Qt.MouseButton.LeftButton)

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        self.qtbot.waitUntil(is_so, timeout=20_000)

    def run(self) -> str:
        """Press Run and wait until it is over; return the sentence in the form."""
        self.click()
        return self.wait_for_the_end()

    def wait_for_the_end(self) -> str:
        """Wait until nothing runs; return the sentence in the form."""
        self.wait(lambda: not self.widget.panel.is_running and not self.widget.live.is_busy)
        return self.message

    def fail(self) -> str:
        """Press Run; return the sentence that the form and napari's notification both show."""
        notification_manager.records.clear()
        self.run()
        return self.notified()

    def notified(self) -> str:
        """The sentence that the form and napari's only notification both show."""
        (notification,) = notification_manager.records
        assert notification.message == self.message
        assert self.widget.panel.label.isVisible()
        return self.message

    def choose(self, extent: str) -> None:
        """Choose how much is segmented."""
        self.widget.form.extent_choice.choose(extent)
        assert self.widget.form.extent_choice.extent == extent

    def look_at(self, *corners: tuple[float, ...]) -> None:
        """Zoom the chosen image to these corners: napari notes them when it draws."""
        self.widget.form.layer.corner_pixels = np.array(corners)

    def set(self, name: str, value: Any) -> str:
        """Set a slider, a number or a check box, and wait for the cells to follow."""
        form = self.widget.form
        field = {**form.common.fields, **form.rare.fields}[name]
        (field.setChecked if isinstance(value, bool) else field.setValue)(value)
        return self.wait_for_the_end()


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def shown(qtbot: QtBot) -> Iterator[Callable[[QWidget], QWidget]]:
    """Shows a widget, and closes it after the test; nothing that it began goes on then.

    To be the last argument of a fixture: what came before it outlives the widget.
    """
    widgets = []

    def show(widget: QWidget) -> QWidget:
        qtbot.addWidget(widget)
        widget.show()
        widgets.append(widget)
        return widget

    yield show
    for widget in widgets:
        widget.close()
    assert worker.stop_all()


@pytest.fixture
def widget(
    viewer: ViewerModel, session: Session, qtbot: QtBot, shown: Callable[..., Any]
) -> SegmentWidget:
    widget = shown(SegmentWidget(viewer, session))
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=60_000)
    return widget


@pytest.fixture
def person(qtbot: QtBot, viewer: ViewerModel, widget: SegmentWidget) -> Person:
    return Person(qtbot, viewer, widget)


def paint(labels: Labels) -> None:
    """A dot, as the brush makes it."""
    labels.brush_size = 1
    labels.paint((30, 20), 99)


def write_behind_napari(labels: Labels) -> None:
    """A dot, as a script makes it."""
    labels.data[30, 20] = 99


def replace_the_data(labels: Labels) -> None:
    """A dot in a copy of the labels, which the layer is given instead."""
    other = labels.data.copy()
    other[30, 20] = 99
    labels.data = other


@pytest.fixture(params=[paint, write_behind_napari, replace_the_data])
def edit(request: pytest.FixtureRequest) -> Callable[[Labels], None]:
    """Every way to put a dot numbered 99 at (30, 20)."""
    return request.param


class HeldEngine:
    """The real engine, which waits or fails where it is told, and takes small tiles.

    Attributes
    ----------
    tile_px : int, optional
        Length of a tile.
    holds_after : int, optional
        Number of reports after which it goes on only when `go_on` is set.
    error : Exception, optional
        Raised once it goes on.
    runs : list of keyword arguments
        Of the runs so far.
    """

    def __init__(self) -> None:
        self.tile_px: int | None = None
        self.holds_after: int | None = None
        self.error: Exception | None = None
        self.is_held = threading.Event()
        self.go_on = threading.Event()
        self.runs: list[dict[str, Any]] = []
        self._iterate = segmentation.iterate_planes

    def iterate(self, image: Any, network: Network, **options: Any) -> Iterator[Any]:
        self.runs.append(dict(options))
        settings = replace(options.pop("settings"), tile_px=self.tile_px)
        if self.holds_after == 0:
            self._hold()
        reports = self._iterate(image, network, settings=settings, **options)
        for number, report in enumerate(reports, start=1):
            yield report
            if number == self.holds_after:
                self._hold()

    def _hold(self) -> None:
        self.is_held.set()
        while not self.go_on.wait(0.01):
            # Here, as in the network, a Stop is noticed.
            torch.zeros(1)
        if self.error is not None:
            raise self.error


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldEngine]:
    engine = HeldEngine()
    monkeypatch.setattr(segmentation, "iterate_planes", engine.iterate)
    yield engine
    engine.go_on.set()
