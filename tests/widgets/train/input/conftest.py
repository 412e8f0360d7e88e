"""A Train widget on an empty viewer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.widgets.train.widget import TrainWidget


@pytest.fixture
def widget(
    viewer: ViewerModel, threshold_network: Network, tmp_path: Path, shown: Callable[..., Any]
) -> TrainWidget:
    session = Session()
    session.adopt(threshold_network, "")
    session.choose_device("cpu")
    return shown(TrainWidget(viewer, session, tmp_path / "data"))
