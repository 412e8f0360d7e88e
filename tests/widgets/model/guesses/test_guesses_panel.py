"""What a model file did not tell: shown with its reason, tried on the image, and changed."""

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.foreign import dry_run, guesses
from napari_unet.engine.networks.network import Guess, Network
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.model.guesses.panel import GuessesPanel
from napari_unet.widgets.shared.image_layers import SelectedImage


class Guesser:
    """Changes guesses: "probability" refuses, "leaky_relu" finds no cells; it can be held up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        for module in (guesses, dry_run):
            monkeypatch.setattr(module, "with_guess", self.with_guess)

    def with_guess(self, network: Network, about: str, value: str) -> Network:
        self.asked.append((about, value))
        while not self.go_on.wait(0.01):
            torch.zeros(1)  # where a stop is noticed
        if value == "probability":
            raise SettingsError("The numbers go beyond 0 and 1, so they are no probabilities.")
        unet = network.unet
        if value == "leaky_relu":
            unet = unet.fused(torch.device("cpu"))
            with torch.no_grad():
                unet.author_weights()["fc.bias"].fill_(-1000)
        changed = tuple(
            dataclasses.replace(each, value=value) if each.about == about else each
            for each in network.description.guesses
        )
        return Network(unet, dataclasses.replace(network.description, guesses=changed))


@pytest.fixture
def guesser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guesser]:
    guesser = Guesser(monkeypatch)
    yield guesser
    guesser.go_on.set()


@pytest.fixture
def panel(
    viewer: ViewerModel, session: Session, foreign_network: Network, qtbot: QtBot
) -> Iterator[GuessesPanel]:
    session.adopt(foreign_network, "/models/foreign.pth", file_hash="abc")
    owner = QWidget()
    qtbot.addWidget(owner)
    panel = GuessesPanel(viewer, session, SelectedImage(viewer, owner))
    qtbot.addWidget(panel)
    panel.show()
    yield panel
    panel.stop()
    panel.close()
    assert worker.stop_all()


def choose(panel: GuessesPanel, about: str, value: str) -> None:
    box = panel.rows[about].box
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex())


def wait(qtbot: QtBot, panel: GuessesPanel) -> None:
    qtbot.waitUntil(lambda: not panel.is_busy, timeout=20_000)


def taken(session: Session) -> dict[str, str]:
    assert session.network is not None
    return {guess.about: guess.value for guess in session.network.description.guesses}


def test_each_guess_is_shown_with_its_value_and_its_reason(panel: GuessesPanel) -> None:
    row = panel.rows["activation"]

    assert "2 things" in panel.heading.text()
    assert row.title.text() == "Activation"
    assert row.box.currentText() == "relu"
    assert [row.box.itemText(n) for n in range(row.box.count())] == ["relu", "leaky relu", "elu"]
    assert row.reason.message == "Most use it."


def test_without_guesses_there_is_no_panel(
    panel: GuessesPanel, session: Session, threshold_network: Network
) -> None:
    session.adopt(threshold_network, "nuclei")

    assert not panel.isVisible()
    assert panel.rows == {}


def test_another_choice_makes_another_network_of_the_same_file(
    panel: GuessesPanel, session: Session, guesser: Guesser, qtbot: QtBot
) -> None:
    before = session.network

    with qtbot.waitSignal(panel.changed, timeout=20_000) as told:
        choose(panel, "activation", "elu")

    assert session.network is not before
    assert taken(session) == {"activation": "elu", "final": "sigmoid"}
    assert (session.source, session.file_hash) == ("/models/foreign.pth", "abc")
    assert session.model is not None
    assert session.model.guesses == {"activation": "elu"}
    assert told.args == ["Changed: Activation. The file stays as it is."]
    assert panel.rows["activation"].box.currentText() == "elu"


def test_the_choice_that_is_taken_already_changes_nothing(
    panel: GuessesPanel, session: Session, guesser: Guesser
) -> None:
    choose(panel, "activation", "relu")

    assert not panel.is_busy
    assert guesser.asked == []


def test_two_choices_one_after_the_other_both_count(
    panel: GuessesPanel, session: Session, guesser: Guesser, qtbot: QtBot
) -> None:
    guesser.go_on.clear()
    choose(panel, "activation", "leaky_relu")
    qtbot.waitUntil(lambda: bool(guesser.asked), timeout=20_000)
    choose(panel, "final", "softmax")
    guesser.go_on.set()
    wait(qtbot, panel)

    assert taken(session) == {"activation": "leaky_relu", "final": "softmax"}


def test_what_cannot_be_is_said_and_the_choice_goes_back(
    panel: GuessesPanel, session: Session, guesser: Guesser, qtbot: QtBot
) -> None:
    before = session.network

    with qtbot.waitSignal(panel.failed, timeout=20_000) as failed:
        choose(panel, "final", "probability")

    assert "no probabilities" in str(failed.args[0])
    assert panel.rows["final"].box.currentData() == "sigmoid"
    assert session.network is before


def test_a_model_that_is_loaded_meanwhile_stays(
    panel: GuessesPanel,
    session: Session,
    threshold_network: Network,
    guesser: Guesser,
    qtbot: QtBot,
) -> None:
    guesser.go_on.clear()
    choose(panel, "activation", "elu")
    session.adopt(threshold_network, "nuclei")
    guesser.go_on.set()
    wait(qtbot, panel)

    assert session.network is threshold_network


# Trying.


def press_try(panel: GuessesPanel, about: str, qtbot: QtBot) -> None:
    qtbot.mouseClick(panel.rows[about].try_button, Qt.MouseButton.LeftButton)


def add_squares(viewer: ViewerModel, squares: Any) -> None:
    layer = viewer.add_image(squares, name="squares")
    # napari notes what is in view when it draws.
    layer.corner_pixels = np.array([[0, 0], [63, 79]])


def lines(panel: GuessesPanel) -> list[str]:
    return [picture.text() for picture in panel.trial.pictures.values()]


def test_every_choice_is_tried_on_the_image_what_is_taken_first(
    panel: GuessesPanel, viewer: ViewerModel, squares: Any, guesser: Guesser, qtbot: QtBot
) -> None:
    add_squares(viewer, squares)
    choose(panel, "activation", "elu")
    wait(qtbot, panel)

    press_try(panel, "activation", qtbot)
    qtbot.waitUntil(lambda: not panel.trial.is_running, timeout=20_000)

    assert lines(panel) == ["elu\n3 cells", "relu\n3 cells", "leaky relu\n0 cells"]
    assert [each.isChecked() for each in panel.trial.pictures.values()] == [True, False, False]
    assert panel.trial.isVisible()
    assert "click on the best" in panel.trial.sentence.message


def test_a_click_on_a_picture_takes_its_choice(
    panel: GuessesPanel,
    viewer: ViewerModel,
    session: Session,
    squares: Any,
    guesser: Guesser,
    qtbot: QtBot,
) -> None:
    add_squares(viewer, squares)
    press_try(panel, "activation", qtbot)
    qtbot.waitUntil(lambda: not panel.trial.is_running, timeout=20_000)

    qtbot.mouseClick(panel.trial.pictures["elu"], Qt.MouseButton.LeftButton)
    wait(qtbot, panel)

    assert taken(session)["activation"] == "elu"
    assert panel.trial.pictures["elu"].isChecked()
    assert not panel.trial.pictures["relu"].isChecked()


def test_a_choice_that_cannot_be_has_its_reason_instead_of_a_picture(
    panel: GuessesPanel, viewer: ViewerModel, squares: Any, guesser: Guesser, qtbot: QtBot
) -> None:
    add_squares(viewer, squares)

    press_try(panel, "final", qtbot)
    qtbot.waitUntil(lambda: not panel.trial.is_running, timeout=20_000)

    picture = panel.trial.pictures["probability"]
    assert lines(panel)[1].partition("\n")[2].startswith("not")
    assert "no probabilities" in picture.toolTip()
    assert not picture.isEnabled()


def test_trying_can_be_stopped(
    panel: GuessesPanel, viewer: ViewerModel, squares: Any, guesser: Guesser, qtbot: QtBot
) -> None:
    add_squares(viewer, squares)
    guesser.go_on.clear()
    press_try(panel, "activation", qtbot)
    qtbot.waitUntil(lambda: bool(guesser.asked), timeout=20_000)
    qtbot.waitUntil(lambda: lines(panel)[0] == "relu\n3 cells", timeout=20_000)
    assert panel.trial.sentence.message == "Trying 2 of 3 …"

    qtbot.mouseClick(panel.trial.button, Qt.MouseButton.LeftButton)

    assert lines(panel) == ["relu\n3 cells", "leaky relu\nnot tried", "elu\nnot tried"]
    assert panel.trial.sentence.message == "Stopped."
    qtbot.mouseClick(panel.trial.button, Qt.MouseButton.LeftButton)
    assert not panel.trial.isVisible()


def test_without_an_image_it_says_what_is_missing(panel: GuessesPanel, qtbot: QtBot) -> None:
    press_try(panel, "activation", qtbot)

    assert panel.trial.sentence.message == "There is no image to try it on; open one."


def test_pictures_go_when_something_else_is_changed(
    panel: GuessesPanel,
    viewer: ViewerModel,
    session: Session,
    foreign_network: Network,
    squares: Any,
    guesser: Guesser,
    qtbot: QtBot,
) -> None:
    add_squares(viewer, squares)
    press_try(panel, "activation", qtbot)
    qtbot.waitUntil(lambda: not panel.trial.is_running, timeout=20_000)

    changed = tuple(
        dataclasses.replace(each, value="probability") if each.about == "final" else each
        for each in foreign_network.description.guesses
    )
    description = dataclasses.replace(foreign_network.description, guesses=changed)
    session.adopt(Network(foreign_network.unet, description), "/models/foreign.pth")

    assert not panel.trial.isVisible()
    assert panel.rows["final"].box.currentText() == "nothing, they are scores"


def test_much_about_the_layers_is_folded_away_below_what_decides_most(
    panel: GuessesPanel, session: Session, foreign_network: Network, guesser: Guesser, qtbot: QtBot
) -> None:
    abouts = ("padding", "pooling", "norm", "normalization", "roles", "final")
    many = tuple(Guess(about, about, "cell", ("cell", "b"), "it is usual") for about in abouts)
    description = dataclasses.replace(foreign_network.description, guesses=many)
    session.adopt(Network(foreign_network.unet, description), "other.pth")

    assert list(panel.rows) == ["roles", "final", "normalization"]
    assert [row.reason.message for row in panel.rows.values()] == ["It is usual.", "", ""]
    assert panel.list.more.text() == "▸ How its layers are built (3)"

    qtbot.mouseClick(panel.list.more, Qt.MouseButton.LeftButton)

    assert list(panel.rows)[3:] == ["padding", "pooling", "norm"]
    qtbot.waitUntil(lambda: all(row.isVisible() for row in panel.rows.values()), timeout=5000)
    assert panel.rows["padding"].reason.message == "It is usual."
    choose(panel, "norm", "b")
    wait(qtbot, panel)
    assert taken(session)["norm"] == "b"
    qtbot.mouseClick(panel.list.more, Qt.MouseButton.LeftButton)
    assert not panel.rows["norm"].isVisible()
