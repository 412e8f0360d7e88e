"""Which labels belong to which image: never another's, and where nothing tells it is asked."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers._source import layer_source
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.base.errors import TrainingError
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.input.pairs_list import PairsList


@pytest.fixture
def pairs(viewer: ViewerModel, qtbot: QtBot) -> PairsList:
    pairs = PairsList(viewer)
    qtbot.addWidget(pairs)
    pairs.show()
    return pairs


def image(viewer: ViewerModel, name: str, shape: tuple[int, ...] = (20, 30)) -> Image:
    return viewer.add_image(np.zeros(shape, np.uint8), name=name)


def labels(viewer: ViewerModel, name: str, of: Image | None = None, **options: Any) -> Labels:
    made = {METADATA_KEY: {"image": of.name, "image_id": str(of.unique_id)}} if of else {}
    return viewer.add_labels(np.zeros((20, 30), np.int32), name=name, metadata=made, **options)


def select(viewer: ViewerModel, layer: Layer) -> None:
    viewer.layers.selection.active = layer


def note(pairs: PairsList, row: int = 0) -> str:
    return str(pairs.rows[row].note.message)


def test_a_second_image_of_the_same_size_does_not_get_the_labels_of_the_first(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    first = image(viewer, "cho17")
    own = labels(viewer, "outlines")
    assert pairs.pairs == [(first, own)]
    assert note(pairs) == "Paired as the only image and labels of this size."

    second = image(viewer, "cho36")
    select(viewer, second)

    assert pairs.pairs == []
    assert pairs.rows[0].layers == (second, None)
    assert note(pairs) == pairs.question
    assert pairs.question == (
        "Choose the labels of 'cho36': neither their names nor where they came from tell which "
        "ones they are."
    )
    assert pairs.rows[0].labels_choice.placeholderText() == "choose the labels"

    # And back: what was paired once stays so.
    select(viewer, first)
    assert pairs.pairs == [(first, own)]
    assert pairs.question == ""


def test_labels_that_were_chosen_are_remembered_and_may_be_anybodys(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    first, second = image(viewer, "a"), image(viewer, "b")
    drawn = labels(viewer, "drawn")
    select(viewer, second)
    assert pairs.pairs == []

    pairs.rows[0].labels_choice.choose_layer(drawn)
    assert pairs.pairs == [(second, drawn)]
    assert note(pairs) == "Paired by you."

    select(viewer, first)
    assert pairs.pairs == []
    pairs.rows[0].labels_choice.choose_layer(drawn)
    for each in (second, first):
        select(viewer, each)
        assert pairs.pairs == [(each, drawn)]


def test_labels_of_segment_cells_stay_with_their_image_whatever_anything_is_called(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    first, second = image(viewer, "a"), image(viewer, "b")
    of_first, of_second = labels(viewer, "a: nuclei", first), labels(viewer, "b: nuclei", second)
    first.name, second.name = "b", "a"
    of_first.name = "mine"

    for one, own in ((first, of_first), (second, of_second)):
        select(viewer, one)
        assert pairs.pairs == [(one, own)]
        assert note(pairs) == "Segment cells made these labels of this image."
    # Who selects labels gets their image.
    select(viewer, of_first)
    assert pairs.pairs == [(first, of_first)]


def test_labels_of_an_image_that_was_closed_are_nobody_elses(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    closed = image(viewer, "closed")
    labels(viewer, "closed: nuclei", closed)
    drawn = labels(viewer, "drawn")
    pairs.rows[0].labels_choice.choose_layer(drawn)
    viewer.layers.remove(closed)

    image(viewer, "next")

    assert pairs.pairs == []
    assert "Choose the labels of 'next'" in note(pairs)


@pytest.mark.parametrize(
    ("of_image", "of_labels"),
    [
        ("cho36", "cho36_masks"),
        ("cho36", "CHO36 labels"),
        ("cho36_img", "cho36_cp_masks"),
        ("img_36", "mask_36"),
        ("cho36", "cho36"),
        # As it is called after saving and opening with napari's own plugin.
        ("cho36", "cho36: nuclei"),
    ],
)
def test_names_of_the_field_pair(
    viewer: ViewerModel, pairs: PairsList, of_image: str, of_labels: str
) -> None:
    first, second = image(viewer, "cho17"), image(viewer, of_image)
    own = labels(viewer, of_labels)
    labels(viewer, "Labels")

    select(viewer, second)
    assert pairs.pairs == [(second, own)]
    assert note(pairs) == "Paired by their names."
    select(viewer, first)
    assert pairs.pairs == []


def test_saved_labels_know_their_image_by_its_name(viewer: ViewerModel, pairs: PairsList) -> None:
    image(viewer, "cho17")
    second = image(viewer, "cho36")
    made = {METADATA_KEY: {"image": "cho36", "image_id": "of another napari"}}

    saved = viewer.add_labels(np.zeros((20, 30), np.int32), name="result", metadata=made)

    assert pairs.pairs == [(second, saved)]


def test_a_renamed_layer_is_known_by_its_file(viewer: ViewerModel, pairs: PairsList) -> None:
    image(viewer, "x")
    with layer_source(path="/data/y.ome.tif"):
        second = image(viewer, "y")
    with layer_source(path="/data/y_masks.png"):
        own = labels(viewer, "y_masks")
    second.name, own.name = "my best", "painted"

    select(viewer, second)

    assert pairs.pairs == [(second, own)]


def test_the_number_that_napari_gives_a_second_name_is_no_part_of_it(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    first, second = image(viewer, "x"), image(viewer, "y")
    own = labels(viewer, "y")
    assert own.name == "y [1]"
    assert pairs.pairs == [(second, own)]
    # Unless there is one of that name, too.
    twin = image(viewer, "y_img [1]")
    exact = labels(viewer, "y_img [1] masks")
    select(viewer, twin)
    assert pairs.pairs == [(twin, exact)]
    select(viewer, first)
    assert pairs.pairs == []


def test_of_two_images_with_one_name_neither_is_taken(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    image(viewer, "x")
    image(viewer, "X_img")
    labels(viewer, "x_masks")

    assert pairs.pairs == []
    assert pairs.question


def test_one_image_and_several_labels_are_asked_and_a_selection_answers(
    viewer: ViewerModel, pairs: PairsList
) -> None:
    one = image(viewer, "one")
    first, second = (labels(viewer, name) for name in ("Labels", "Labels [1]"))
    # napari selects a layer that is added.
    assert pairs.pairs == [(one, second)]
    select(viewer, first)
    assert pairs.pairs == [(one, first)]

    # A form that is opened with none of them selected has nothing to go by.
    select(viewer, one)
    assert PairsList(viewer).question.startswith("Choose the labels of 'one'")


def test_labels_of_another_size_are_no_offer(viewer: ViewerModel, pairs: PairsList) -> None:
    image(viewer, "large", (200, 300))
    labels(viewer, "Labels")
    assert pairs.pairs == []
    assert pairs.question


def test_channels_and_stacks_fit_their_labels(viewer: ViewerModel, pairs: PairsList) -> None:
    channels = image(viewer, "channels", (20, 30, 2))
    own = labels(viewer, "Labels")
    assert pairs.pairs == [(channels, own)]


def test_a_second_pair_takes_no_labels_of_the_first(
    viewer: ViewerModel, pairs: PairsList, qtbot: QtBot
) -> None:
    first = image(viewer, "cho17")
    own = labels(viewer, "Labels")
    second = image(viewer, "cho36")
    select(viewer, own)
    assert pairs.pairs == [(first, own)]

    qtbot.mouseClick(pairs.add_button, Qt.MouseButton.LeftButton)

    assert pairs.rows[1].layers == (second, None)
    assert pairs.pairs == [(first, own)]
    # A pair that was asked for is not left out in silence.
    assert pairs.question.startswith("Choose the labels of 'cho36'")


def test_a_new_layer_answers_the_question(viewer: ViewerModel, pairs: PairsList) -> None:
    image(viewer, "a")
    second = image(viewer, "b")
    select(viewer, second)
    labels(viewer, "Labels")
    assert pairs.question

    own = labels(viewer, "b labels")

    assert pairs.pairs == [(second, own)]
    assert pairs.question == ""


def test_removed_labels_leave_no_pair(viewer: ViewerModel, pairs: PairsList) -> None:
    image(viewer, "a")
    own = labels(viewer, "a_masks")
    viewer.layers.remove(own)
    assert pairs.pairs == []
    assert pairs.rows[0].labels_choice.placeholderText() == "no labels yet"
    assert note(pairs) == ""


def test_the_form_says_what_to_choose(viewer: ViewerModel, session: Session, qtbot: QtBot) -> None:
    image(viewer, "a")
    image(viewer, "b")
    labels(viewer, "Labels")
    form = TrainForm(viewer, session)
    qtbot.addWidget(form)

    with pytest.raises(TrainingError, match=r"Choose the labels of '.': neither their names"):
        form.read_sources()
    form.pairs.rows[0].labels_choice.choose("Labels")
    (source,) = form.read_sources()
    assert source.name == form.pairs.rows[0].layers[0].name
    assert worker.stop_all()
