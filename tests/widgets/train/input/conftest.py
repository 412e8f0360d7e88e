"""A Train widget on an empty viewer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.train.widget import TrainWidget


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(
    viewer: ViewerModel, threshold_network: Network, qtbot: QtBot, tmp_path: Path
) -> Iterator[TrainWidget]:
    session = Session()
    session.adopt(threshold_network, "")
    session.choose_device("cpu")
    widget = TrainWidget(viewer, session, tmp_path / "data")
    qtbot.addWidget(widget)
    widget.show()
    yield widget
    widget.close()
    assert worker.stop_all()
