"""The layer box follows the viewer; the model box follows the session."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet.engine.checkpoint import bundled_models
from napari_unet.engine.device import device_names
from napari_unet.engine.network import Network
from napari_unet.session import Session
from napari_unet.widgets.choices import LayerChoice
from napari_unet.widgets.model_choice import ModelChoice


def texts(box: QComboBox) -> list[str]:
    return [box.itemText(index) for index in range(box.count())]


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 5)), name="a")
    viewer.add_labels(np.zeros((4, 5), int), name="labels")
    viewer.add_image(np.zeros((4, 5)), name="b")
    return viewer


@pytest.fixture
def choice(viewer: ViewerModel, qtbot: QtBot) -> LayerChoice:
    choice = LayerChoice(viewer)
    qtbot.addWidget(choice)
    return choice


def test_only_images_are_offered_and_the_active_one_is_chosen(choice: LayerChoice) -> None:
    assert texts(choice) == ["a", "b"]
    assert choice.layer is not None
    assert choice.layer.name == "b"


def test_choice_follows_the_active_image_but_not_other_layers(
    viewer: ViewerModel, choice: LayerChoice
) -> None:
    viewer.layers.selection.active = viewer.layers["a"]
    assert choice.currentText() == "a"

    viewer.layers.selection.active = viewer.layers["labels"]
    assert choice.currentText() == "a"


def test_a_new_image_becomes_the_choice_as_napari_activates_it(
    viewer: ViewerModel, choice: LayerChoice
) -> None:
    viewer.add_image(np.zeros((4, 5)), name="c")

    assert texts(choice) == ["a", "b", "c"]
    assert choice.currentText() == "c"


def test_new_labels_leave_the_choice_alone(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.layers.selection.active = viewer.layers["a"]

    viewer.add_labels(np.zeros((4, 5), int))

    assert choice.currentText() == "a"


def test_a_renamed_image_stays_chosen(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.layers["b"].name = "nuclei"

    assert texts(choice) == ["a", "nuclei"]
    assert choice.currentText() == "nuclei"


def test_moving_layers_keeps_the_choice(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.layers.move(2, 0)

    assert texts(choice) == ["b", "a"]
    assert choice.currentText() == "b"


def test_removing_the_chosen_image_falls_back_to_another(
    viewer: ViewerModel, choice: LayerChoice, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(choice.currentIndexChanged):
        viewer.layers.remove("b")

    assert texts(choice) == ["a"]
    assert choice.currentText() == "a"


def test_without_images_nothing_is_chosen(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.layers.clear()

    assert choice.layer is None
    assert choice.currentIndex() == -1


def load(qtbot: QtBot, choice: ModelChoice, source: str) -> None:
    with qtbot.waitSignal(choice.load_ended, timeout=20_000):
        choice.load(source)


def test_a_model_file_is_loaded_into_the_session_and_shown_by_its_name(
    qtbot: QtBot, model_file: Path
) -> None:
    session = Session()
    choice = ModelChoice(session)
    qtbot.addWidget(choice)

    with qtbot.waitSignal(choice.devices_found, timeout=20_000) as devices:
        load(qtbot, choice, str(model_file))

    assert session.network is not None
    assert session.network.description.name == "threshold"
    assert session.source == str(model_file)
    assert choice.box.currentText() == "threshold"
    assert set(bundled_models()) <= set(texts(choice.box))
    assert list(devices.args[0]) == device_names()


def test_the_file_button_loads_the_file_that_was_chosen(
    qtbot: QtBot, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session()
    choice = ModelChoice(session)
    qtbot.addWidget(choice)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(model_file), ""))

    with qtbot.waitSignal(choice.load_ended, timeout=20_000):
        choice.file_button.click()

    assert session.source == str(model_file)


def test_leaving_the_file_dialog_without_a_file_loads_nothing(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = ModelChoice(Session())
    qtbot.addWidget(choice)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))

    choice.file_button.click()

    assert not choice.is_loading


def test_a_file_that_is_no_model_leaves_the_session_and_the_choice_as_they_were(
    qtbot: QtBot, session: Session, model_file: Path, tmp_path: Path
) -> None:
    choice = ModelChoice(session)
    qtbot.addWidget(choice)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(model_file.read_bytes()[:100])

    with qtbot.waitSignal(choice.load_failed, timeout=20_000) as failed:
        load(qtbot, choice, str(torn))

    assert str(torn) in str(failed.args[0])
    assert session.source == str(model_file)
    assert choice.box.currentText() == "threshold"
    assert "torn" not in texts(choice.box)


def test_choosing_an_entry_loads_it(qtbot: QtBot, session: Session, model_file: Path) -> None:
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    choice = ModelChoice(session)
    qtbot.addWidget(choice)
    load(qtbot, choice, str(other))
    assert choice.box.currentText() == "other"

    with qtbot.waitSignal(choice.load_ended, timeout=20_000):
        choice.box.activated.emit(choice.box.findText("threshold"))

    assert session.source == str(model_file)


def test_the_last_of_two_loads_in_a_row_wins(
    qtbot: QtBot, model_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(model_file.read_bytes())
    session = Session()
    choice = ModelChoice(session)
    qtbot.addWidget(choice)

    choice.load(str(other))
    load(qtbot, choice, str(model_file))

    assert session.source == str(model_file)
    assert not choice.is_loading


def test_a_network_loaded_elsewhere_is_shown(
    qtbot: QtBot, session: Session, threshold_network: Network
) -> None:
    choice = ModelChoice(session)
    qtbot.addWidget(choice)

    session.adopt(threshold_network, "/models/of-a-colleague.safetensors")

    assert choice.box.currentText() == "of-a-colleague"
    assert not choice.is_loading
