"""Loads that overlap, in one widget and in several."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget

from napari_unet.engine.models import checkpoint
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.segment.widget import SegmentWidget


class SlowDisk:
    """Holds chosen files back until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(checkpoint, "load_checkpoint", self.load)

    def hold(self, file: Path) -> threading.Event:
        self.held[str(file)] = threading.Event()
        return self.held[str(file)]

    def load(self, source: str, **_: Any) -> Network:
        self.asked.append(source)
        while source in self.held and not self.held[source].wait(0.01):
            # Here a stop is noticed.
            torch.zeros(1)
        return load_checkpoint(source)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    for event in disk.held.values():
        event.set()


def test_while_a_model_is_loading_its_name_is_shown(
    wait_for_load: Any, widget: ModelWidget, other_file: Path, disk: SlowDisk, qtbot: QtBot
) -> None:
    let_go = disk.hold(other_file)

    widget.model_choice.open(str(other_file))

    assert widget.sentence.message == "Loading the model 'other' …"
    assert widget.model_choice.box.currentText() == "other"
    wait_for_load(qtbot, widget, let_go.set)
    assert not widget.sentence.isVisible()


def test_of_two_loads_in_one_widget_the_later_one_counts(
    no_engine_thread: Any,
    recent: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    session: Session,
    model_file: Path,
    other_file: Path,
    disk: SlowDisk,
    qtbot: QtBot,
) -> None:
    third = model_file.with_name("third.safetensors")
    third.write_bytes(model_file.read_bytes())
    disk.hold(other_file)
    widget.model_choice.open(str(other_file))
    qtbot.waitUntil(lambda: disk.asked == [str(other_file)], timeout=20_000)

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(third)))
    disk.held[str(other_file)].set()
    qtbot.waitUntil(no_engine_thread, timeout=20_000)

    assert session.source == str(third)
    assert recent(widget.model_choice) == [str(third)]


def test_of_two_loads_in_two_widgets_the_later_one_counts(
    open_widget: Any,
    wait_for_load: Any,
    widget: ModelWidget,
    viewer: ViewerModel,
    session: Session,
    model_file: Path,
    other_file: Path,
    disk: SlowDisk,
    qtbot: QtBot,
) -> None:
    third = model_file.with_name("third.safetensors")
    third.write_bytes(model_file.read_bytes())
    second = open_widget(qtbot, viewer, session)
    let_go = disk.hold(other_file)
    widget.model_choice.open(str(other_file))
    qtbot.waitUntil(lambda: disk.asked == [str(other_file)], timeout=20_000)

    wait_for_load(qtbot, second, lambda: second.model_choice.open(str(third)))
    wait_for_load(qtbot, widget, let_go.set)

    assert session.source == str(third)
    for each in (widget, second):
        assert each.model_choice.box.currentText() == "third"
        assert str(third) in each.text.toPlainText()
    second.close()


def test_model_and_segment_widgets_show_the_same_model_whoever_loads_it(
    wait_for_load: Any,
    widget: ModelWidget,
    viewer: ViewerModel,
    session: Session,
    model_file: Path,
    other_file: Path,
    qtbot: QtBot,
) -> None:
    segment = SegmentWidget(viewer, session)
    qtbot.addWidget(segment)
    qtbot.waitUntil(lambda: not segment.model_choice.is_loading, timeout=20_000)

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))
    assert segment.model_choice.box.currentText() == "other"

    with qtbot.waitSignal(segment.model_choice.load_ended, timeout=20_000):
        segment.model_choice.load(str(model_file))
    assert widget.model_choice.box.currentText() == "threshold"
    assert str(model_file) in widget.text.toPlainText()
    segment.close()


def test_a_model_that_was_chosen_is_not_replaced_by_the_default_of_a_new_widget(
    wait_for_load: Any, viewer: ViewerModel, other_file: Path, disk: SlowDisk, qtbot: QtBot
) -> None:
    session = Session()
    first = ModelWidget(viewer, session)
    qtbot.addWidget(first)
    disk.held["nuclei"] = threading.Event()
    second = ModelWidget(viewer, session)
    qtbot.addWidget(second)

    wait_for_load(qtbot, first, lambda: first.model_choice.open(str(other_file)))
    wait_for_load(qtbot, second, disk.held["nuclei"].set)

    assert session.source == str(other_file)
    assert second.model_choice.box.currentText() == "other"
    first.close()
    second.close()


def test_a_network_without_a_file_is_shown_by_its_name(
    widget: ModelWidget, session: Session, threshold_network: Network
) -> None:
    session.adopt(threshold_network, "")

    assert widget.model_choice.box.currentText() == "threshold (not saved)"
    assert "Only in memory, not saved." in widget.text.toPlainText()


@pytest.mark.parametrize("leave", ["close", "undock", "delete"])
def test_leaving_while_a_model_is_loading_ends_the_thread(
    no_engine_thread: Any,
    viewer: ViewerModel,
    session: Session,
    threshold_network: Network,
    other_file: Path,
    disk: SlowDisk,
    qtbot: QtBot,
    leave: str,
) -> None:
    dock = QWidget()
    widget = ModelWidget(viewer, session)
    widget.setParent(dock)
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    disk.hold(other_file)
    widget.model_choice.open(str(other_file))
    qtbot.waitUntil(lambda: disk.asked == [str(other_file)], timeout=20_000)

    if leave == "close":
        widget.close()
    elif leave == "undock":
        widget.setParent(None)
    else:
        with qtbot.waitSignal(widget.destroyed, timeout=5000):
            dock.deleteLater()

    qtbot.waitUntil(no_engine_thread, timeout=5000)
    assert not notification_manager.records
    session.adopt(threshold_network, "elsewhere")
    viewer.add_image(np.zeros((4, 4)))
    if leave != "delete":
        widget.deleteLater()
        dock.deleteLater()
