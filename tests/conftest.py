"""Settings every test needs; napari's own fixtures come from its pytest plugin."""

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.engine.networks.network import Network


def pytest_configure() -> None:
    # Tiny networks: more threads would only wait for each other. Before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # On a machine without a display Qt would abort the whole run. Tests that need only Qt then
    # run offscreen; those that need OpenGL are marked `viewer` and are run under Xvfb.
    if os.name == "posix" and not _has_display():
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    for item in items:
        if item.get_closest_marker("viewer"):
            item.add_marker(pytest.mark.skip(reason="needs a display: run `make test`"))


@pytest.fixture(autouse=True)
def _viewers_are_gone_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    # A closed viewer is garbage in cycles, and Python collects in whichever thread comes by. If
    # that is the worker of a later test, PySide6 deletes the viewer's OpenGL context there, and
    # Qt's own thread goes on with it: a crash.
    yield
    if request.node.get_closest_marker("viewer"):
        from qtpy.QtCore import QCoreApplication, QEvent

        gc.collect()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()


@pytest.fixture(autouse=True)
def _models_of_the_user_stay_alone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setattr("napari_unet.versions.notes.user_data_path", lambda *_, **__: folder)


@pytest.fixture(autouse=True)
def _settings_of_the_user_stay_alone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if {"qapp", "qtbot", "make_napari_viewer"} & set(request.fixturenames):
        from qtpy.QtCore import QSettings

        folder = str(tmp_path_factory.mktemp("settings"))
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder)


@pytest.fixture
def sure_above() -> Callable[..., "Network"]:
    """Makes a tiny network: the further a pixel is above a brightness, the surer it is a cell.

    Of `dim_squares`, one with a brightness of 0.5 is in doubt, as it would be of images unlike
    those of its training, and one with 0.25 is sure.
    """
    from known_networks import unet_of_brightness

    from napari_unet.engine.base.settings import InstanceSettings
    from napari_unet.engine.images.normalization import Percentiles
    from napari_unet.engine.networks.network import (
        Network,
        NetworkDescription,
        TrainingIntensity,
    )
    from napari_unet.engine.networks.unet import UNetConfig

    def make(
        brightness: float, name: str = "stand-in", *, slope: float = 20, **facts: Any
    ) -> Network:
        config = UNetConfig(in_channels=1, classes=2, base_width=1, depth=1, batch_norm=False)
        unet = unet_of_brightness(
            config, [-slope, slope], [slope * brightness, -slope * brightness]
        )
        description = NetworkDescription(
            name,
            config,
            normalization=Percentiles(0, 100),
            instances=InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0),
            object_diameter_px=10.0,
            intensity=TrainingIntensity("uint8", 0, 0, 200),
        )
        return Network(unet, replace(description, **facts))

    return make


@pytest.fixture
def dim_squares() -> "NDArray[np.uint8]":
    """Three squares, half as bright as the one bright pixel, 64 x 80."""
    import numpy as np

    image = np.zeros((64, 80), np.uint8)
    image[5:15, 5:15] = image[5:15, 30:40] = image[40:50, 60:70] = 104
    image[60, 4] = 200
    return image


def _has_display() -> bool:
    return bool(
        os.uname().sysname == "Darwin"
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    )
