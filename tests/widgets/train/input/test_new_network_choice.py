"""What is asked of a network that begins with nothing."""

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.script import training_command, training_python
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.plan import annotation
from napari_unet.widgets.train.widget import TrainWidget


def add_pair(viewer: ViewerModel, shape: tuple[int, ...]) -> None:
    labels = np.zeros(shape, np.int32)
    labels[..., 3:12, 3:12], labels[..., 20:30, 20:30] = 1, 2
    viewer.add_image((labels > 0).astype(np.float32), name="picture")
    viewer.add_labels(labels, name="picture labels")


def test_of_single_images_a_new_network_is_2d_and_nothing_is_asked(
    widget: TrainWidget, viewer: ViewerModel
) -> None:
    add_pair(viewer, (64, 64))
    widget.form.anew_box.setChecked(True)
    choice = widget.form.new_network
    assert not choice.dimension_choice.isVisible()
    assert widget.form.read_plan().recipe.ndim == 2


def test_of_stacks_somebody_chooses_and_a_model_decides_by_itself(
    widget: TrainWidget, viewer: ViewerModel
) -> None:
    add_pair(viewer, (6, 64, 64))
    choice = widget.form.new_network
    assert not choice.dimension_choice.isVisible()
    choice.dimension_choice.choose_value(3)
    assert widget.form.read_plan().recipe.ndim == 2  # that of the model
    widget.form.anew_box.setChecked(True)
    assert choice.dimension_choice.isVisible()
    plan = widget.form.read_plan()
    assert plan.recipe.ndim == 3
    assert len(plan.sources[0].image.planes()) == 1
    choice.dimension_choice.choose_value(2)
    assert len(widget.form.read_plan().sources[0].image.planes()) == 6


def test_of_volumes_it_says_how_large_voxels_are_and_learns_with_that(
    widget: TrainWidget, viewer: ViewerModel
) -> None:
    add_pair(viewer, (6, 64, 64))
    choice = widget.form.new_network
    widget.form.anew_box.setChecked(True)
    assert not choice.voxels.isVisible()
    choice.dimension_choice.choose_value(3)
    assert choice.voxels.isVisible()
    assert "set the layer's scale" in choice.voxels.message
    for layer in viewer.layers:
        layer.scale, layer.units = (2, 0.5, 0.5), ("um", "um", "um")
    assert choice.voxels.message == "2 x 0.5 x 0.5 µm, slices 4 pixels apart"
    plan = widget.form.read_plan()
    (pair,) = annotation(plan)
    assert pair.anisotropy == 4
    assert plan.new_description([pair]).architecture.flat_levels == 2


def test_painted_slices_of_a_volume_begin_a_network_that_is_seen_in_the_slice_that_is_shown(
    widget: TrainWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.training._FIRST_PREVIEW_S", 0.0)
    monkeypatch.setattr("napari_unet.widgets.train.preview._MOST_VOXELS", 16)
    add_pair(viewer, (24, 48, 48))
    image, labels = viewer.layers
    labels.data[[z for z in range(24) if z not in (4, 12, 20)]] = 0
    image.corner_pixels = np.array([[0, 0, 0], [0, 47, 47]])  # as napari draws slices
    viewer.dims.set_point(0, 20)
    form = widget.form
    assert not form.unlabelled.buttons["slices"].isVisible()
    form.anew_box.setChecked(True)
    form.new_network.dimension_choice.choose_value(3)
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)
    assert any("Only 3 of 24 slices of 'picture' show" in text for text in form.findings.texts)
    qtbot.mouseClick(form.unlabelled.buttons["slices"], Qt.MouseButton.LeftButton)
    assert form.unlabelled.meaning == "slices"
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)
    assert not any("slices of 'picture' show" in text for text in form.findings.texts)
    form.length.kind_choice.choose_value("steps")
    form.length.steps_box.setValue(2)
    recipe = form.read_plan().recipe
    assert recipe.settings.batch_size == 2
    assert recipe.settings.augmentation.elastic_sigma_px == 3
    assert "ndim=3" in training_python(recipe)
    assert "slices='painted'" in training_python(recipe)
    assert " --ndim 3 --slices painted " in training_command(recipe)

    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.job.preview.layer is not None, timeout=60_000)
    preview = widget.job.preview.layer
    assert preview is not None
    assert preview.data.shape == (16, 16, 16)
    assert tuple(preview.translate) == (8, 16, 16)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=20_000)
    assert "Ended after 2 steps" in widget.panel.message
    assert "Patches have 24 x 48 x 48 voxels, 2 in a batch" in widget.panel.message
    assert widget.job.trained is not None
    config = widget.job.trained.network.description.architecture
    assert (config.ndim, config.base_width, config.depth) == (3, 16, 3)


def test_scribbled_classes_begin_a_network_that_becomes_the_model(
    widget: TrainWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = TrainingSettings(steps=2, batch_size=1, patch_size_px=32, validation_interval=0)
    monkeypatch.setattr(TrainForm, "settings", lambda _: quick)
    add_pair(viewer, (64, 64))
    form = widget.form
    assert not form.new_network.kind_choice.isVisible()
    form.anew_box.setChecked(True)
    assert not form.new_network.names_edit.isVisible()
    form.new_network.kind_choice.choose_value("classes")
    assert form.new_network.names_edit.isVisible()
    assert form.unlabelled.meaning == "painted"
    form.new_network.names_edit.setText("gland")
    form.new_network.names_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)
    assert "'picture' has 81 of gland, 100 of class 2 among its 4,096 pixels." in (
        form.findings.texts
    )

    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=20_000)
    assert "Ended after 2 steps" in widget.panel.message
    qtbot.mouseClick(widget.outcome.keep_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.outcome.is_busy, timeout=20_000)

    network = widget._session.network
    assert network is not None
    assert network.description.class_roles == ("gland", "class 2")


def test_names_that_make_no_classes_are_told_at_once_and_refused(
    widget: TrainWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    add_pair(viewer, (64, 64))
    form = widget.form
    form.anew_box.setChecked(True)
    form.new_network.kind_choice.choose_value("classes")
    form.new_network.names_edit.setText("a, a")
    form.new_network.names_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)
    assert form.findings.texts == ["Two classes are called 'a'; name each class once."]
    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)
    assert widget.panel.message.startswith("Two classes are called 'a'; name each class once.")
