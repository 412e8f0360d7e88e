"""What pixels without a label mean: one of four, with the field that goes with it."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.widgets.train.input.unlabelled_choice import MeaningPicture, UnlabelledChoice

SQUARE = [[0, 0], [0, 5], [5, 5], [5, 0]]


@pytest.fixture
def choice(viewer: ViewerModel, shown: Callable[..., Any]) -> UnlabelledChoice:
    return shown(UnlabelledChoice(viewer))


def click(qtbot: QtBot, choice: UnlabelledChoice, meaning: str) -> None:
    qtbot.mouseClick(choice.buttons[meaning], Qt.MouseButton.LeftButton)


def test_everything_counts_as_reviewed_at_first(choice: UnlabelledChoice) -> None:
    assert choice.meaning == "reviewed"
    assert choice.regions_layer is None
    assert choice.background_label is None


def test_only_the_field_that_applies_is_shown(choice: UnlabelledChoice, qtbot: QtBot) -> None:
    shown = []
    for meaning in ("regions", "painted", "reviewed"):
        click(qtbot, choice, meaning)
        assert choice.meaning == meaning
        shown.append((choice.regions_choice.isVisible(), choice.background_box.isVisible()))

    assert shown == [(True, False), (False, True), (False, False)]


def test_a_change_is_told_once(choice: UnlabelledChoice, qtbot: QtBot) -> None:
    told: list[str] = []
    choice.changed.connect(lambda: told.append(choice.meaning))

    click(qtbot, choice, "painted")
    choice.background_box.setValue(7)
    choice.choose("painted")
    choice.choose("reviewed")

    assert told == ["painted", "painted", "reviewed"]


def test_regions_are_those_of_a_shapes_layer(
    choice: UnlabelledChoice, viewer: ViewerModel, qtbot: QtBot
) -> None:
    choice.choose("regions")
    assert choice.regions_layer is None
    assert choice.regions_choice.placeholderText() == "draw a Shapes layer"

    with qtbot.waitSignal(choice.changed):
        shapes = viewer.add_shapes([SQUARE], name="looked at")
    assert choice.regions_layer is shapes

    choice.choose("painted")
    assert choice.regions_layer is None
    choice.choose("regions")
    viewer.layers.remove(shapes)
    assert choice.regions_layer is None


def test_no_background_label_is_none(choice: UnlabelledChoice) -> None:
    choice.choose("painted")
    assert choice.background_box.text() == "none"
    assert choice.background_label is None

    choice.background_box.setValue(3)
    assert choice.background_label == 3

    choice.choose("reviewed")
    assert choice.background_label is None


def test_a_click_on_a_picture_chooses_it(choice: UnlabelledChoice, qtbot: QtBot) -> None:
    _, regions, painted, *_ = choice.findChildren(MeaningPicture)

    qtbot.mouseClick(painted, Qt.MouseButton.LeftButton)
    assert choice.meaning == "painted"

    qtbot.mouseClick(regions, Qt.MouseButton.LeftButton)
    assert choice.meaning == "regions"


def test_the_pictures_are_different_ones(choice: UnlabelledChoice) -> None:
    images = [picture.grab().toImage() for picture in choice.findChildren(MeaningPicture)]

    assert len(images) == len(choice.buttons) == 5
    assert all(one != other for one, other in itertools.combinations(images, 2))


def test_everything_says_what_it_means(choice: UnlabelledChoice) -> None:
    pictures = choice.findChildren(MeaningPicture)
    for widget in (
        *choice.buttons.values(),
        *pictures,
        choice.regions_choice,
        choice.background_box,
    ):
        assert len(widget.toolTip()) > 60


def test_what_was_looked_over_is_offered_where_there_is_any(
    choice: UnlabelledChoice, qtbot: QtBot
) -> None:
    picture = choice.findChildren(MeaningPicture)[4]
    assert not choice.buttons["seen"].isVisible()
    assert not picture.isVisible()
    choice.offer("seen", is_there=True)
    assert picture.isVisible()
    click(qtbot, choice, "seen")
    assert choice.meaning == "seen"
    choice.offer("seen", is_there=False)
    assert choice.meaning == "reviewed"
