"""The layer box follows the viewer; the model box follows the session."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet.engine.base.device import device_names
from napari_unet.engine.models.checkpoint import bundled_models
from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer.results import SCORES_KEY
from napari_unet.widgets.segment.reading_choices import ChannelChoice, ExtentChoice
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.model_choice import ModelChoice


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
    choice = LayerChoice(viewer, Image)
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


def test_a_layer_can_be_chosen_by_its_name_wherever_it_stands(
    viewer: ViewerModel, choice: LayerChoice
) -> None:
    choice.choose("a")
    assert choice.layer is viewer.layers["a"]
    choice.choose("b")
    assert choice.layer is viewer.layers["b"]

    choice.choose("labels")

    assert choice.layer is viewer.layers["b"]


def test_other_data_in_the_chosen_layer_are_told(
    viewer: ViewerModel, choice: LayerChoice, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(choice.currentIndexChanged):
        viewer.layers["b"].data = np.zeros((3, 4, 5))

    with qtbot.assertNotEmitted(choice.currentIndexChanged):
        viewer.layers["a"].data = np.zeros((3, 4, 5))


@pytest.mark.parametrize("add", ["add_points", "add_surface", "add_tracks", "add_shapes"])
def test_layers_of_other_kinds_are_not_offered_and_change_nothing(
    viewer: ViewerModel, choice: LayerChoice, add: str
) -> None:
    data = {
        "add_points": np.zeros((2, 2)),
        "add_surface": (np.eye(3), np.array([[0, 1, 2]])),
        "add_tracks": np.array([[0, 0, 1.0, 1.0], [0, 1, 2.0, 2.0]]),
        "add_shapes": [np.array([[0, 0], [0, 1], [1, 1], [1, 0]])],
    }[add]
    viewer.layers.selection.active = viewer.layers["a"]

    layer = getattr(viewer, add)(data)

    assert viewer.layers.selection.active is layer
    assert texts(choice) == ["a", "b"]
    assert choice.currentText() == "a"


def test_layers_of_scores_are_not_offered(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.add_image(np.zeros((4, 5)), name="scores", metadata={SCORES_KEY: ["", "", "cell"]})

    assert texts(choice) == ["a", "b"]


def test_without_images_nothing_is_chosen(viewer: ViewerModel, choice: LayerChoice) -> None:
    viewer.layers.clear()

    assert choice.layer is None
    assert choice.currentIndex() == -1


def test_extent_of_a_single_image_is_whole_or_view(qtbot: QtBot) -> None:
    extent = ExtentChoice()
    qtbot.addWidget(extent)

    assert texts(extent) == ["Whole image", "Field of view"]
    assert extent.extent == "slice"
    extent.choose("stack")
    assert extent.extent == "slice"
    extent.choose("view")
    assert extent.extent == "view"


def test_extent_stays_as_far_as_it_is_offered(qtbot: QtBot) -> None:
    extent = ExtentChoice()
    qtbot.addWidget(extent)
    extent.show_for(has_slices=True)
    assert texts(extent) == ["This slice", "Every slice", "Field of view"]
    extent.choose("view")

    with qtbot.waitSignal(extent.currentIndexChanged):
        extent.show_for(has_slices=False)
    assert extent.extent == "view"
    with qtbot.assertNotEmitted(extent.currentIndexChanged):
        extent.show_for(has_slices=False)

    extent.show_for(has_slices=True)
    extent.choose("stack")
    extent.show_for(has_slices=False)
    assert extent.extent == "slice"


@pytest.fixture
def channels(qtbot: QtBot) -> ChannelChoice:
    channels = ChannelChoice()
    qtbot.addWidget(channels)
    return channels


def test_there_is_no_choice_of_channels_in_a_flat_image(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((4, 5))))

    assert not channels.has_choice
    assert (channels.channel_axis, channels.channel) == (None, None)


def test_colours_are_chosen_by_their_names(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((4, 5, 4), np.uint8), rgb=True))

    assert texts(channels) == ["All colours", "Red", "Green", "Blue"]
    channels.setCurrentText("Blue")
    assert (channels.channel_axis, channels.channel) == (None, 2)


def test_axes_before_the_plane_may_be_channels_if_they_are_short(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((30, 2, 1, 4, 5))))

    assert texts(channels) == [
        "One channel",
        "All 2 of axis 1",
        "Channel 1 of axis 1",
        "Channel 2 of axis 1",
    ]
    channels.setCurrentIndex(3)
    assert (channels.channel_axis, channels.channel) == (1, 1)


def test_axes_that_the_network_reads_are_no_channels(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((3, 4, 5))), network_ndim=3)

    assert not channels.has_choice


def test_channels_of_a_multiscale_image_are_counted_at_full_resolution(
    channels: ChannelChoice,
) -> None:
    channels.show_for(Image([np.zeros((2, 8, 8)), np.zeros((1, 4, 4))], multiscale=True))

    assert "All 2 of axis 0" in texts(channels)


def test_the_channel_stays_where_the_next_image_has_it_too(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((3, 4, 5))))
    channels.choose(0, 1)

    channels.show_for(Image(np.zeros((2, 4, 5))))
    assert (channels.channel_axis, channels.channel) == (0, 1)
    channels.show_for(Image(np.zeros((4, 5))))
    assert (channels.channel_axis, channels.channel) == (None, None)


def test_a_channel_that_is_not_offered_cannot_be_chosen(channels: ChannelChoice) -> None:
    channels.show_for(Image(np.zeros((3, 4, 5))))
    channels.choose(0, 2)

    channels.choose(0, 7)
    channels.choose(1, None)

    assert (channels.channel_axis, channels.channel) == (0, 2)


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
