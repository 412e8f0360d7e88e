"""The Model widget as a user meets it: files, sentences, and what it says of a model."""

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.compat import isalive
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.engine.base import device
from napari_unet.engine.base.device import DeviceState
from napari_unet.engine.base.errors import CodeInFileError
from napari_unet.engine.models import checkpoint
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.networks.network import Network, TrainingIntensity
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer import worker
from napari_unet.widgets.model.text import model_html
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.segment.widget import SegmentWidget
from napari_unet.widgets.shared.code_question import CodeQuestion
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.model_files import RecentModels

GIB = 1 << 30


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(viewer: ViewerModel, session: Session, qtbot: QtBot) -> Iterator[ModelWidget]:
    widget = open_widget(qtbot, viewer, session)
    yield widget
    widget.close()
    assert worker.stop_all()


def open_widget(qtbot: QtBot, viewer: ViewerModel, session: Session) -> ModelWidget:
    widget = ModelWidget(viewer, session)
    qtbot.addWidget(widget)
    with qtbot.waitSignal(widget.device_choice.refreshed, timeout=20_000):
        widget.show()
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=20_000)
    return widget


@pytest.fixture
def other_file(model_file: Path, threshold_network: Network) -> Path:
    """Another model, which says so."""
    description = replace(threshold_network.description, name="other")
    return save_checkpoint(
        Network(threshold_network.unet, description), model_file.parent / "other"
    )


def wait_for_load(qtbot: QtBot, widget: ModelWidget, load: Callable[[], object]) -> None:
    with qtbot.waitSignal(widget.model_choice.load_ended, timeout=20_000):
        load()


def open_file(qtbot: QtBot, widget: ModelWidget, file: Path, monkeypatch: Any) -> str:
    """Choose a file in the dialog; return the folder that the dialog started in."""
    started_in = []

    def choose(_parent: QWidget, _title: str, folder: str, *_: str) -> tuple[str, str]:
        started_in.append(folder)
        return str(file), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", choose)
    wait_for_load(
        qtbot,
        widget,
        lambda: qtbot.mouseClick(widget.model_choice.file_button, Qt.MouseButton.LeftButton),
    )
    return started_in[0]


def pick(widget: ModelWidget, source: str) -> None:
    box = widget.model_choice.box
    index = box.findData(source)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


def entries(choice: ModelChoice) -> list[str]:
    return [choice.box.itemText(index) for index in range(choice.box.count())]


def recent(choice: ModelChoice) -> list[str]:
    """Files in the menu beside the button."""
    choice.recent_menu.aboutToShow.emit()
    return [str(action.data()) for action in choice.recent_menu.actions() if action.data()]


def failure(widget: ModelWidget) -> str:
    """The sentence that the widget and the one new notification both show."""
    (notification,) = notification_manager.records
    assert notification.message == widget.sentence.message
    assert widget.sentence.isVisible()
    return widget.sentence.message


@pytest.fixture(autouse=True)
def _no_notifications_yet() -> None:
    notification_manager.records.clear()


# What it says of a model.


def test_the_bundled_model_is_loaded_and_described_in_plain_words(
    viewer: ViewerModel, qtbot: QtBot
) -> None:
    session = Session()
    widget = open_widget(qtbot, viewer, session)

    text = widget.text.toPlainText()

    assert session.source == "nuclei"
    assert widget.model_choice.box.currentText() == "nuclei"
    for words in (
        "Nuclei in fluorescence, histology and brightfield images, grey or RGB.",
        "Images: grey or colour (RGB) images.",
        "Cell size: about 20 px across; in training also 1.4 times smaller and larger.",
        "In training they were uint8, the dark parts at about 5 and the bright ones at about 102.",
        "At each pixel, how likely it is background, cell or border.",
        "2018 Data Science Bowl, stage 1 (BBBC038, CC0)",
        "BSD-3-Clause; trained on CC0 images.",
        "2026-11-23: 4900 steps from nothing on 383 images with 15679 cells",
        "Comes with the plugin.",
        "2.66 million parameters.",
        "5.3 MB.",
        f"SHA-256 starts with {session.file_hash}.",
    ):
        assert words in text
    assert re.search(r"test, fluorescence\s+0\.86\s+0\.74\s+0\.37", text)
    assert re.search(r"test, fluorescence\s+0\.77\s+0\.61\s+0\.21", text)
    widget.close()


def test_a_model_that_tells_nothing_says_so_instead_of_a_gap(widget: ModelWidget) -> None:
    text = widget.text.toPlainText()

    assert text.count("Not recorded.") == 3
    assert "Never measured on test images." in text
    assert "Images: grey images; colour is turned to grey." in text
    assert "Cell size: about 10 px across. If yours differ" in text


def described(network: Network, **changes: Any) -> str:
    description = replace(network.description, **changes)
    return model_html(LoadedModel(Network(network.unet, description), "/models/mine.safetensors"))


def test_physical_sizes_are_told_in_micrometres(threshold_network: Network) -> None:
    both = described(threshold_network, object_diameter_px=20.0, pixel_size_um=0.5)
    pixel = described(threshold_network, object_diameter_px=None, pixel_size_um=0.325)
    neither = described(threshold_network, object_diameter_px=None)

    assert "about 20 px across at 0.5 µm per pixel, which is 10 µm." in both
    assert "images at 0.325 µm per pixel; those of another pixel size are resized" in pixel
    assert "it does not say which it was trained on" in neither


def test_texts_of_a_file_are_shown_and_not_interpreted(threshold_network: Network) -> None:
    html = described(
        threshold_network,
        name="<img src='file:///etc'>",
        summary="a < b",
        metrics={"<b>x</b>": {"<i>AP</i>": "<u>1</u>"}},
        history=({"note": "<script>"},),
    )

    assert not re.search(r"<(img|b|i|u|script)>", html)
    assert "a &lt; b" in html


def test_odd_values_in_a_file_are_shown_as_they_are(threshold_network: Network) -> None:
    html = described(
        threshold_network,
        metrics={"mine": 0.5, "yours": {"cells": 12}},
        history=("by hand", {"steps": 3, "started_from": "nuclei"}, {"settings": "lost"}),
        intensity=TrainingIntensity("uint16", 100.0, 200.0, 60000.0),
    )

    assert "mine: 0.5." in html
    assert "<td>yours</td><td>12</td>" in html
    assert "<p>by hand</p>" in html
    assert "3 steps from the model &#x27;nuclei&#x27;." in html
    assert "uint16, the dark parts at about 100 and the bright ones at about 60000." in html


# Opening files.


def test_the_dialog_opens_a_file_and_remembers_its_folder(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert open_file(qtbot, widget, other_file, monkeypatch) == ""

    assert session.source == str(other_file)
    assert widget.model_choice.box.currentText() == "other"
    assert str(other_file) in widget.text.toPlainText()
    assert not widget.sentence.isVisible()
    assert open_file(qtbot, widget, other_file, monkeypatch) == str(other_file.parent)


def test_recent_files_are_there_again_after_a_restart(
    widget: ModelWidget,
    viewer: ViewerModel,
    model_file: Path,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, model_file, monkeypatch)
    open_file(qtbot, widget, other_file, monkeypatch)

    again = open_widget(qtbot, viewer, Session())

    assert recent(again.model_choice) == [str(other_file), str(model_file)]
    assert {"nuclei", "other", "threshold"} <= set(entries(again.model_choice))
    again.close()


def test_a_recent_file_is_loaded_from_the_menu(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    recent(widget.model_choice)
    action = widget.model_choice.recent_menu.actions()[1]
    assert str(other_file) in action.toolTip()

    wait_for_load(qtbot, widget, action.trigger)

    assert session.source == str(other_file)
    assert recent(widget.model_choice) == [str(other_file), str(model_file)]


def test_clear_recent_forgets_the_files_but_not_what_is_loaded(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    recent(widget.model_choice)

    widget.model_choice.recent_menu.actions()[-1].trigger()

    assert recent(widget.model_choice) == []
    assert not widget.model_choice.recent_menu.actions()[-1].isEnabled()
    assert entries(widget.model_choice) == ["nuclei", "threshold"]
    assert session.source == str(model_file)
    assert other_file.exists()


def test_eight_recent_files_are_kept_the_last_one_first(qtbot: QtBot) -> None:
    files = RecentModels()
    for number in range(10):
        files.add(f"/models/{number}.safetensors")
    files.add("/models/5.safetensors")

    assert [Path(file).stem for file in RecentModels().files] == list("59876432")
    assert RecentModels().folder == str(Path("/models"))
    files.clear()
    files.add("/a.safetensors")
    assert RecentModels().files == ["/a.safetensors"]


def test_two_files_of_one_name_are_told_apart_by_their_folders(
    widget: ModelWidget, model_file: Path, qtbot: QtBot
) -> None:
    folder = model_file.parent / "better"
    folder.mkdir()
    second = folder / model_file.name
    second.write_bytes(model_file.read_bytes())

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(second)))

    assert entries(widget.model_choice) == [
        "nuclei",
        "threshold (better)",
        f"threshold ({model_file.parent.name})",
    ]


def drop(widget: ModelWidget, *files: Path) -> bool:
    """Drag files over the widget and let go; return whether it offered to take them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file)) for file in files])
    rest = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    with warnings.catch_warnings():
        # PySide6 has marked the event's only constructor as deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        entering = QDragEnterEvent(QPoint(5, 5), *rest, Qt.KeyboardModifier.NoModifier)
    entering.ignore()
    widget.dragEnterEvent(entering)
    if entering.isAccepted():
        widget.dropEvent(QDropEvent(QPointF(5, 5), *rest, Qt.KeyboardModifier.NoModifier))
    return entering.isAccepted()


def test_a_model_file_that_is_dropped_here_is_loaded(
    widget: ModelWidget, session: Session, other_file: Path, qtbot: QtBot
) -> None:
    wait_for_load(qtbot, widget, lambda: drop(widget, other_file))

    assert session.source == str(other_file)
    assert recent(widget.model_choice) == [str(other_file)]


def test_two_files_at_once_are_answered_with_what_to_do(
    widget: ModelWidget, model_file: Path, other_file: Path
) -> None:
    drop(widget, model_file, other_file)

    assert failure(widget) == "2 files were dropped here; drop one model file."
    assert not widget.model_choice.is_loading


def test_what_is_no_file_is_not_taken(widget: ModelWidget) -> None:
    assert widget.acceptDrops()
    assert not drop(widget)


# Files that cannot be loaded.


def make_bad_file(kind: str, folder: Path, good: Path) -> Path:
    path = folder / f"{kind}.safetensors"
    if kind == "torn":
        path.write_bytes(good.read_bytes()[:200])
    elif kind == "pickle":
        torch.save({"weights": torch.zeros(1)}, path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a model at all")
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "There is no model '{path}'; give a file"),
        ("torn", "'{path}' is a torn or damaged safetensors file: it ends within its header"),
        ("text", "'{path}' is a text, not a model; expected a network as .safetensors, PyTorch"),
        ("pickle", "'{path}' holds no weights (it has 'weights'); expected those of a network"),
        ("folder", "'{path}' is a folder; give the model file in it."),
    ],
)
def test_a_file_that_is_no_model_is_answered_in_one_sentence(
    widget: ModelWidget,
    session: Session,
    model_file: Path,
    qtbot: QtBot,
    kind: str,
    sentence: str,
) -> None:
    path = make_bad_file(kind, model_file.parent, model_file)
    network = session.network

    wait_for_load(qtbot, widget, lambda: drop(widget, path))

    assert failure(widget).startswith(sentence.format(path=path))
    assert session.network is network
    assert widget.model_choice.box.currentText() == "threshold"
    assert entries(widget.model_choice) == ["nuclei", "threshold"]
    assert recent(widget.model_choice) == []


def test_a_file_that_may_not_be_read_says_so(
    widget: ModelWidget, other_file: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: Any) -> Any:
        if self == other_file:
            raise PermissionError(13, "Permission denied")
        return open(self, *arguments)  # noqa: PTH123

    monkeypatch.setattr(Path, "open", refuse)

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    assert failure(widget) == (
        f"'{other_file}' cannot be read (Permission denied); check its permissions."
    )


def test_a_recent_file_that_is_gone_leaves_the_list_with_a_sentence(
    widget: ModelWidget,
    other_file: Path,
    model_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_file(qtbot, widget, other_file, monkeypatch)
    open_file(qtbot, widget, model_file, monkeypatch)
    other_file.unlink()

    wait_for_load(qtbot, widget, lambda: pick(widget, str(other_file)))

    assert failure(widget).startswith(f"There is no model '{other_file}'")
    assert recent(widget.model_choice) == [str(model_file)]
    assert "other" not in entries(widget.model_choice)


def test_a_model_whose_file_is_deleted_goes_on_working(
    widget: ModelWidget, session: Session, model_file: Path, viewer: ViewerModel, qtbot: QtBot
) -> None:
    network = session.network
    model_file.unlink()

    second = open_widget(qtbot, viewer, session)
    assert not second.sentence.isVisible()
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))

    assert failure(widget) == (
        f"The file of the loaded model, '{model_file}', is gone; the loaded copy still works until "
        "napari closes: put the file back, or save it in the Model widget."
    )
    assert session.network is network
    assert widget.model_choice.box.currentText() == "threshold"
    second.close()


def test_picking_the_loaded_model_again_reads_a_file_that_changed(
    widget: ModelWidget, session: Session, model_file: Path, other_file: Path, qtbot: QtBot
) -> None:
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))
    network = session.network
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))
    assert session.network is network

    model_file.write_bytes(other_file.read_bytes())
    wait_for_load(qtbot, widget, lambda: pick(widget, str(model_file)))

    assert session.network is not network
    assert session.network is not None
    assert session.network.description.name == "other"


def test_an_unforeseen_error_is_shown_and_logged_with_its_details(
    widget: ModelWidget,
    other_file: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk sings")

    monkeypatch.setattr(checkpoint, "load_checkpoint", fail)

    with caplog.at_level(logging.ERROR):
        wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    assert failure(widget) == (
        "Something went wrong that should not (RuntimeError: the disk sings); the log has the "
        "details. The loaded model is as it was."
    )
    assert "Traceback" in caplog.text


# Files with code in them.


class CarriesCode:
    """Files that are opened only where their code may run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bool] = []
        self._load = load_checkpoint
        monkeypatch.setattr(checkpoint, "load_checkpoint", self.load)

    def load(self, source: str, *, allow_code: bool = False) -> Network:
        self.asked.append(allow_code)
        if not allow_code:
            raise CodeInFileError(f"'{source}' carries a program; it runs only if you allow it.")
        return self._load(source)


@pytest.fixture
def carries_code(widget: ModelWidget, monkeypatch: pytest.MonkeyPatch) -> CarriesCode:
    return CarriesCode(monkeypatch)


def question(widget: ModelWidget) -> CodeQuestion:
    question = widget.model_choice.findChild(CodeQuestion)
    assert question is not None
    assert question.isVisible()
    return question


def test_code_in_a_file_runs_only_after_a_yes_each_time(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    model_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
) -> None:
    for _ in range(2):
        wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))
        asked = question(widget)
        assert asked.text() == f"'{other_file}' carries a program; it runs only if you allow it."
        assert asked.defaultButton() is asked.no_button
        assert session.source == str(model_file)

        with qtbot.waitSignal(widget.model_choice.load_finished, timeout=20_000):
            asked.yes_button.click()

        assert session.source == str(other_file)
        session.adopt(session.network, str(model_file))  # type: ignore[arg-type]
        qtbot.waitUntil(lambda: not widget.findChildren(CodeQuestion), timeout=5000)
    assert carries_code.asked == [False, True, False, True]
    assert recent(widget.model_choice) == [str(other_file)]


@pytest.mark.parametrize("way", ["no", "escape"])
def test_without_a_yes_nothing_is_opened(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
    way: str,
) -> None:
    network = session.network
    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))

    if way == "no":
        question(widget).no_button.click()
    else:
        question(widget).reject()

    assert failure(widget) == (
        f"'{other_file}' was not opened, and none of its code was run; the loaded model is as it "
        "was."
    )
    assert session.network is network
    assert carries_code.asked == [False]
    assert recent(widget.model_choice) == []


def test_another_model_answers_the_question(
    widget: ModelWidget,
    session: Session,
    other_file: Path,
    carries_code: CarriesCode,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for_load(qtbot, widget, lambda: widget.model_choice.open(str(other_file)))
    asked = question(widget)
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda source, **_: load_checkpoint(source))

    wait_for_load(qtbot, widget, lambda: widget.model_choice.open("nuclei"))

    assert not isalive(asked) or not asked.isVisible()
    assert session.source == "nuclei"
    assert not notification_manager.records


# What does not fit.


def test_what_does_not_fit_the_image_is_said(
    widget: ModelWidget,
    viewer: ViewerModel,
    session: Session,
    stack_network: Network,
    ready_made_network: Network,
    qtbot: QtBot,
) -> None:
    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="flat")
    session.adopt(stack_network, "")
    told = (
        "'flat' has 2 axes and the model reads stacks of 3. Open a stack, or choose a model that "
        "reads single images."
    )
    qtbot.waitUntil(lambda: widget.concerns.texts[:1] == [told], timeout=5000)

    description = replace(ready_made_network.description, class_roles=("red", "green"))
    session.adopt(Network(ready_made_network.unet, description), "ready.pt")

    assert widget.concerns.texts[0] == (
        "The model tells 'red' and 'green', and not where cells are, so nothing can be segmented. "
        "Choose another model."
    )


def test_a_ready_made_network_is_described_as_what_it_is(
    widget: ModelWidget, session: Session, ready_made_network: Network
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")

    text = widget.text.toPlainText()
    assert "Ready-made: it finds cells as it is, and cannot be fine-tuned." in text
    assert "TorchScript program." in text
    assert "parameters" not in text


def test_a_foreign_network_says_whose_it_is_and_what_was_changed(
    widget: ModelWidget, session: Session, foreign_network: Network
) -> None:
    model = LoadedModel(foreign_network, "/m/foreign.pth", guesses={"activation": "relu"})
    session.adopt_model(model, request=session.request())

    text = widget.text.toPlainText()
    assert "U-Net with levels of 2, 4 features (a course)." in text
    assert "Changed by hand after it was opened: activation is relu." in text
    assert "To begin with: a cell where the score is above" in text
    assert widget.guesses.isVisible()


def test_saving_a_ready_made_network_is_answered_with_what_to_do(
    widget: ModelWidget, session: Session, ready_made_network: Network, qtbot: QtBot
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")

    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)

    assert failure(widget).endswith("pass on the file that it came in: '/models/ready.pt'.")


# Several widgets, and loads that overlap.


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
    widget: ModelWidget, other_file: Path, disk: SlowDisk, qtbot: QtBot
) -> None:
    let_go = disk.hold(other_file)

    widget.model_choice.open(str(other_file))

    assert widget.sentence.message == "Loading the model 'other' …"
    assert widget.model_choice.box.currentText() == "other"
    wait_for_load(qtbot, widget, let_go.set)
    assert not widget.sentence.isVisible()


def test_of_two_loads_in_one_widget_the_later_one_counts(
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
    viewer: ViewerModel, other_file: Path, disk: SlowDisk, qtbot: QtBot
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


def no_engine_thread() -> bool:
    return not any(thread.name == "napari-unet" for thread in threading.enumerate())


@pytest.mark.parametrize("leave", ["close", "undock", "delete"])
def test_leaving_while_a_model_is_loading_ends_the_thread(
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


# Saving.


def save(widget: ModelWidget, qtbot: QtBot, file: Path, monkeypatch: Any) -> str:
    """Save under a name; return the sentence that follows."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    widget.sentence.show_text("")
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(widget.sentence.message), timeout=20_000)
    return widget.sentence.message


def test_a_copy_is_saved_and_offered_from_then_on(
    widget: ModelWidget, session: Session, tmp_path: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    source = session.source
    copy = tmp_path / "copy.safetensors"

    assert save(widget, qtbot, copy, monkeypatch) == f"Saved as '{copy}'."

    assert load_checkpoint(copy).description.name == "threshold"
    assert recent(widget.model_choice) == [str(copy)]
    assert session.source == source


def test_a_model_whose_file_was_deleted_can_be_saved(
    widget: ModelWidget, model_file: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    model_file.unlink()

    save(widget, qtbot, model_file, monkeypatch)

    assert load_checkpoint(model_file).description.name == "threshold"


def test_a_name_without_its_suffix_overwrites_nothing(
    widget: ModelWidget, other_file: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    before = other_file.read_bytes()

    save(widget, qtbot, other_file.with_suffix(""), monkeypatch)

    assert failure(widget).startswith(f"'{other_file}' exists; choose another name")
    assert other_file.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(
    widget: ModelWidget, tmp_path: Path, qtbot: QtBot, monkeypatch: Any
) -> None:
    save(widget, qtbot, tmp_path / "nowhere" / "copy.safetensors", monkeypatch)

    assert "cannot be written" in failure(widget)
    assert "choose a folder that exists" in failure(widget)


def test_leaving_the_dialog_without_a_name_saves_nothing(
    widget: ModelWidget, model_file: Path, monkeypatch: Any, qtbot: QtBot
) -> None:
    before = set(model_file.parent.iterdir())
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))

    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)

    assert no_engine_thread()
    assert set(model_file.parent.iterdir()) == before


# Memory.


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


# The form itself.


def test_without_a_window_there_is_no_way_to_another_dock(widget: ModelWidget) -> None:
    assert not widget.segment_button.isVisible()


@pytest.mark.viewer
def test_the_button_opens_the_segment_widget_beside_this_one(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Model")
    qtbot.waitUntil(lambda: not widget.model_choice.is_loading, timeout=30_000)
    assert widget.segment_button.isVisible()

    for _ in range(2):
        qtbot.mouseClick(widget.segment_button, Qt.MouseButton.LeftButton)
        dock, segment = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment cells")
        assert isinstance(segment, SegmentWidget)
        assert dock.isVisible()
        dock.hide()
    qtbot.waitUntil(lambda: not segment.model_choice.is_loading, timeout=30_000)


def test_everything_that_can_be_used_says_what_it_does(widget: ModelWidget) -> None:
    for child in (
        widget.model_choice.box,
        widget.model_choice.file_button,
        widget.model_choice.recent_button,
        widget.device_choice,
        widget.fit,
        widget.text,
        widget.save_button,
        widget.segment_button,
    ):
        assert len(child.toolTip()) > 20, child


def test_long_names_and_sentences_do_not_widen_the_dock(
    viewer: ViewerModel, widget: ModelWidget
) -> None:
    viewer.add_image(np.zeros((8, 8)), name="a_very_long_name_of_a_layer" * 5)
    widget.sentence.show_error("There is no model '/somewhere/" + "a-folder/" * 30 + "model'.")

    assert widget.minimumSizeHint().width() <= 300


def test_numbers_stay_whole_where_a_sentence_wraps(widget: ModelWidget) -> None:
    widget.sentence.show_text("/a/b.c needs 20.6 GB.")

    assert "20.6" in widget.sentence.text()
    assert "/\u200ba" in widget.sentence.text()
