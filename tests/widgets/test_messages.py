"""What a form says goes as soon as it is not true any more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.session import Session
from napari_unet.widgets.model.widget import ModelWidget
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.train.widget import TrainWidget
from napari_unet.widgets.weight_map.widget import WeightMapWidget


def no_image(person: Any) -> None:
    person.viewer.layers.clear()
    assert person.fail().startswith("There is no image layer")


def test_that_there_is_no_image_is_said_no_longer_than_it_is_true(
    person: Any, squares: NDArray[np.uint8]
) -> None:
    no_image(person)

    person.viewer.add_image(squares, name="cells")

    assert person.message == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda person: person.viewer.add_image(np.zeros((30, 30), np.uint8), name="other"),
        lambda person: setattr(person.viewer.layers["cells"], "name", "renamed"),
        lambda person: person.viewer.layers.remove(person.result),
        lambda person: person.viewer.layers.remove("cells"),
        lambda person: person.choose("view"),
        lambda person: person.widget.form.size_choice.set_diameter_px(20),
        lambda person: person.widget._session.adopt(person.widget._session.network, "other"),
    ],
    ids=["other image", "renamed", "no labels", "no image", "extent", "cell size", "model"],
)
def test_how_many_cells_there_are_is_said_only_beside_what_they_were_found_in(
    person: Any, squares: NDArray[np.uint8], change: Callable[[Any], None]
) -> None:
    person.viewer.add_image(squares, name="cells")
    assert person.run().startswith("3 cells in 'cells'")

    change(person)

    assert person.message == ""


def test_how_many_cells_there_are_stays_while_nothing_of_it_changes(
    person: Any, squares: NDArray[np.uint8]
) -> None:
    image = person.viewer.add_image(squares, name="cells")
    said = person.run()

    person.viewer.add_points(np.zeros((1, 2)))
    person.viewer.layers.selection.active = person.result
    person.viewer.layers.selection.active = image

    assert person.message == said


@pytest.fixture
def loaded(qtbot: QtBot, shown: Callable[[DockedForm], DockedForm]) -> Callable[[DockedForm], None]:
    """Shows a form, and waits for the model that it loads, if it does."""

    def show(form: DockedForm) -> None:
        shown(form)
        choice = getattr(form, "model_choice", None) or getattr(form.form, "model_choice", None)
        qtbot.waitUntil(lambda: choice is None or not choice.is_loading, timeout=30_000)

    return show


def test_that_there_are_no_labels_to_learn_from_is_said_no_longer_than_it_is_true(
    viewer: ViewerModel, session: Session, loaded: Any, tmp_path: Path, squares: NDArray[np.uint8]
) -> None:
    form = TrainWidget(viewer, session, tmp_path)
    loaded(form)
    form.train()
    assert form.panel.message.startswith("There is no image with labels")

    viewer.add_image(squares)
    viewer.add_labels((squares > 100).astype(np.int32))

    assert form.panel.message == ""


def test_that_there_are_no_labels_to_weigh_is_said_no_longer_than_it_is_true(
    viewer: ViewerModel, loaded: Any, squares: NDArray[np.uint8]
) -> None:
    form = WeightMapWidget(viewer)
    loaded(form)
    form.button.click()
    assert form.sentence.message.startswith("There is no labels layer")

    viewer.add_labels((squares > 100).astype(np.int32))

    assert form.sentence.message == ""


def test_why_there_is_no_border_is_said_only_beside_the_labels_that_have_none(
    viewer: ViewerModel, loaded: Any, squares: NDArray[np.uint8], qtbot: QtBot
) -> None:
    mask = viewer.add_labels((squares > 100).astype(np.int32), name="mask")
    form = WeightMapWidget(viewer)
    loaded(form)
    form.button.click()
    qtbot.waitUntil(lambda: form.remedy.isVisible(), timeout=20_000)
    said = form.sentence.message
    assert said
    form.button.click()

    form.sentence.show_text(said)
    mask.name = "renamed"

    assert form.sentence.message == ""


def test_what_was_wrong_with_a_model_file_is_said_until_another_model_is_loaded(
    viewer: ViewerModel, session: Session, model_file: Path, loaded: Any, qtbot: QtBot
) -> None:
    form = ModelWidget(viewer, session)
    loaded(form)
    torn = model_file.with_name("torn.safetensors")
    torn.write_bytes(model_file.read_bytes()[:100])
    with qtbot.waitSignal(form.model_choice.load_failed, timeout=20_000):
        form.model_choice.open(str(torn))
    assert str(torn) in form.sentence.message

    session.adopt(session.network, "other")

    assert form.sentence.message == ""


def test_where_a_model_was_saved_is_said_until_another_model_is_loaded(
    viewer: ViewerModel, session: Session, loaded: Any
) -> None:
    form = ModelWidget(viewer, session)
    loaded(form)
    form.sentence.show_text("Saved as 'mine.safetensors'.")
    form.image.changed.emit()
    assert form.sentence.message == "Saved as 'mine.safetensors'."

    session.adopt(session.network, "other")

    assert form.sentence.message == ""
