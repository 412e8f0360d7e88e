"""The device box: what there is, how much memory is free, and one choice for all widgets."""

import logging
import re
import threading
from collections.abc import Iterator

import pytest
import torch
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base import device
from napari_unet.engine.base.device import DeviceState
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.shared.device_choice import DeviceChoice

GIB = 1 << 30
CPU = DeviceState("cpu", "CPU", 20 * GIB, host_number_bytes=4)
SMALL = DeviceState("cuda:0", "NVIDIA T400", 2 * GIB)
LARGE = DeviceState("cuda:1", "NVIDIA A100", 37 * GIB, is_preferred=True)


class Machine:
    """A computer whose devices come and go."""

    def __init__(self) -> None:
        self.states: tuple[DeviceState, ...] = (SMALL, LARGE, CPU)
        self.questions = 0
        self.answers = threading.Event()
        self.answers.set()

    def ask(self) -> tuple[DeviceState, ...]:
        self.questions += 1
        while not self.answers.wait(0.01):
            # Here a stop is noticed.
            torch.zeros(1)
        return self.states


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(device, "device_states", machine.ask)
    yield machine
    machine.answers.set()
    assert worker.stop_all()


def shown(qtbot: QtBot, session: Session) -> DeviceChoice:
    """A box that is in sight and knows the devices."""
    choice = DeviceChoice(session)
    qtbot.addWidget(choice)
    with qtbot.waitSignal(choice.refreshed, timeout=20_000):
        choice.show()
    return choice


def texts(choice: DeviceChoice) -> list[str]:
    return [choice.itemText(index) for index in range(choice.count())]


def choose(choice: DeviceChoice, name: str) -> None:
    index = choice.findData(name)
    choice.setCurrentIndex(index)
    choice.activated.emit(index)


def refresh(qtbot: QtBot, choice: DeviceChoice) -> None:
    with qtbot.waitSignal(choice.refreshed, timeout=20_000):
        choice.refresh()


def test_this_machines_processor_is_there_with_its_free_memory(qtbot: QtBot) -> None:
    choice = shown(qtbot, Session())

    cpu = choice.itemText(choice.findData("cpu"))
    assert re.fullmatch(r"CPU, \d+\.\d GB free", cpu)
    assert choice.device == "auto"
    assert choice.currentText().startswith("Automatic: ")


def test_each_gpu_has_its_name_and_memory_and_automatic_says_which_it_takes(
    qtbot: QtBot, machine: Machine
) -> None:
    assert texts(shown(qtbot, Session())) == [
        "Automatic: NVIDIA A100",
        "NVIDIA T400 (cuda:0), 2.0 GB free",
        "NVIDIA A100 (cuda:1), 37.0 GB free",
        "CPU, 20.0 GB free",
    ]


def test_until_the_devices_answer_their_names_are_listed(qtbot: QtBot) -> None:
    choice = DeviceChoice(Session())
    qtbot.addWidget(choice)

    choice.add_devices(("cuda:0", "cpu"))
    choice.add_devices(("cuda:0", "cpu"))

    assert texts(choice) == ["Automatic", "GPU (cuda:0)", "CPU"]


def test_the_choice_is_the_sessions_and_every_box_follows_it(
    qtbot: QtBot, machine: Machine
) -> None:
    session = Session()
    first, second = shown(qtbot, session), shown(qtbot, session)

    choose(first, "cuda:1")

    assert session.device == second.device == "cuda:1"
    session.choose_device("cpu")
    assert first.device == second.device == "cpu"


def test_a_device_that_a_script_chose_is_shown_before_anything_is_known(qtbot: QtBot) -> None:
    session = Session()
    session.choose_device("cuda:3")
    choice = DeviceChoice(session)
    qtbot.addWidget(choice)

    assert (choice.device, choice.currentText()) == ("cuda:3", "GPU (cuda:3)")


def test_opening_the_list_brings_the_free_memory_up_to_date(qtbot: QtBot, machine: Machine) -> None:
    choice = shown(qtbot, Session())
    machine.states = (DeviceState("cpu", "CPU", 3 * GIB, is_preferred=True),)

    with qtbot.waitSignal(choice.refreshed, timeout=20_000):
        qtbot.mouseClick(choice, Qt.MouseButton.LeftButton)
    choice.hidePopup()

    assert texts(choice) == ["Automatic: CPU", "CPU, 3.0 GB free"]


def test_a_gpu_that_vanished_leaves_the_list_unless_it_is_the_choice(
    qtbot: QtBot, machine: Machine
) -> None:
    choice = shown(qtbot, Session())
    choose(choice, "cuda:1")
    machine.states = (CPU,)

    refresh(qtbot, choice)

    assert texts(choice)[1:] == ["cuda:1, not on this machine", "CPU, 20.0 GB free"]
    assert choice.device == "cuda:1"
    choose(choice, "cpu")
    refresh(qtbot, choice)
    assert texts(choice)[1:] == ["CPU, 20.0 GB free"]


def test_devices_that_cannot_be_asked_stay_listed_and_the_log_says_why(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("the driver is tired")

    choice = shown(qtbot, Session())
    before = texts(choice)
    monkeypatch.setattr(device, "device_states", fail)

    with caplog.at_level(logging.ERROR):
        choice.refresh()
        qtbot.waitUntil(lambda: "the driver is tired" in caplog.text, timeout=20_000)

    assert texts(choice) == before


def test_one_question_at_a_time(qtbot: QtBot, machine: Machine) -> None:
    choice = shown(qtbot, Session())
    asked = machine.questions
    machine.answers.clear()

    with qtbot.waitSignal(choice.refreshed, timeout=20_000):
        choice.refresh()
        choice.refresh()
        machine.answers.set()

    assert machine.questions == asked + 1


def test_hiding_the_box_while_a_device_is_slow_leaves_no_thread(
    qtbot: QtBot, machine: Machine
) -> None:
    choice = shown(qtbot, Session())
    asked = machine.questions
    machine.answers.clear()
    choice.refresh()
    qtbot.waitUntil(lambda: machine.questions > asked, timeout=20_000)

    choice.hide()

    qtbot.waitUntil(no_engine_thread, timeout=5000)


def no_engine_thread() -> bool:
    return not any(thread.name == "napari-unet" for thread in threading.enumerate())


def test_a_deleted_box_hears_nothing_more(qtbot: QtBot, machine: Machine) -> None:
    session, parent = Session(), QWidget()
    choice = DeviceChoice(session)
    choice.setParent(parent)

    with qtbot.waitSignal(choice.destroyed, timeout=5000):
        parent.deleteLater()

    session.choose_device("cpu")


def test_a_long_name_does_not_widen_the_dock_and_can_be_read_in_full(
    qtbot: QtBot, machine: Machine
) -> None:
    name = "NVIDIA RTX 6000 Ada Generation Max-Q Workstation Edition"
    machine.states = (DeviceState("cuda:0", name, GIB, is_preferred=True), CPU)
    choice = shown(qtbot, Session())

    assert choice.minimumSizeHint().width() < 250
    assert choice.itemData(1, Qt.ItemDataRole.ToolTipRole) == f"{name} (cuda:0), 1.0 GB free"
    assert len(choice.toolTip()) > 20
