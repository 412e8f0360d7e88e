"""Settings every test needs; napari's own fixtures come from its pytest plugin."""

import gc
import os
from collections.abc import Iterator

import pytest


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


def _has_display() -> bool:
    return bool(
        os.uname().sysname == "Darwin"
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    )
