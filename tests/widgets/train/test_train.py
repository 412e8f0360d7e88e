"""The Train widget: pairs in, curves and a preview, then a new version, or all as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Image, Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_unet.engine.labels.checksums import plane_checksums
from napari_unet.engine.labels.runs import LabelRuns
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.bundled import bank_file
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.knowledge.bank import read_bank
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_labels
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.viewer.cells.cell_types import give_type
from napari_unet.viewer.results import METADATA_KEY, note_origin
from napari_unet.widgets.train.form import TrainForm
from napari_unet.widgets.train.plan import annotation
from napari_unet.widgets.train.widget import TrainWidget

QUICK = TrainingSettings(
    steps=6, batch_size=1, patch_size_px=32, validation_interval=3, warmup_steps=0
)
LONG = TrainingSettings(
    steps=100_000, batch_size=1, patch_size_px=32, validation_interval=0, warmup_steps=0
)


def squares(shape: tuple[int, int] = (128, 128)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(np.ndindex(shape[0] // 16, shape[1] // 16), start=1):
        labels[y * 16 + 3 : y * 16 + 12, x * 16 + 3 : x * 16 + 12] = number
    return labels


@pytest.fixture
def session(threshold_network: Network) -> Session:
    session = Session()
    session.adopt(threshold_network, "")
    session.choose_device("cpu")
    return session


@pytest.fixture
def widget(
    viewer: ViewerModel,
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shown: Callable[..., Any],
) -> TrainWidget:
    monkeypatch.setattr(TrainForm, "settings", lambda _: QUICK)
    return shown(TrainWidget(viewer, session, tmp_path))


@pytest.fixture
def pair(viewer: ViewerModel) -> tuple[Image, Labels]:
    labels = squares()
    image = viewer.add_image((labels > 0).astype(np.float32), name="picture")
    return image, viewer.add_labels(labels, name="cells")


def click(qtbot: QtBot, widget: TrainWidget) -> None:
    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)


def wait(qtbot: QtBot, widget: TrainWidget) -> None:
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=60_000)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=10_000)


def weights_of(network: Network) -> torch.Tensor:
    return torch.cat([value.reshape(-1).float() for value in network.unet.state_dict().values()])


def keep(qtbot: QtBot, widget: TrainWidget) -> None:
    qtbot.mouseClick(widget.outcome.keep_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.outcome.is_busy, timeout=20_000)


def test_a_training_ends_with_a_choice_and_keep_makes_a_version_the_model(
    widget: TrainWidget, pair: Any, session: Session, qtbot: QtBot, tmp_path: Path
) -> None:
    before = session.network
    click(qtbot, widget)
    assert widget.panel.is_running
    wait(qtbot, widget)

    assert widget.panel.message.startswith("Ended after 6 steps")
    assert "The network has hardly learned: at least 30 steps are" in widget.panel.message
    assert session.network is before
    assert widget.curves.rows()
    keep(qtbot, widget)

    (version,) = widget.outcome.history.versions()
    assert version.name == "threshold 2"
    assert session.source == str(version.path)
    assert session.network.description.name == "threshold 2"
    assert not torch.equal(weights_of(session.network), weights_of(before))
    assert widget.panel.message == "Kept as 'threshold 2', which is the model now."
    assert widget.outcome.segment_button.isVisible()
    assert torch.equal(weights_of(load_checkpoint(version.path)), weights_of(session.network))


def test_images_are_kept_beside_a_version_only_if_somebody_says_so(
    widget: TrainWidget, pair: Any, session: Session, qtbot: QtBot
) -> None:
    for wanted in (False, True):
        click(qtbot, widget)
        wait(qtbot, widget)
        assert widget.outcome.images_box.isVisible()
        assert not widget.outcome.images_box.isChecked()
        widget.outcome.images_box.setChecked(wanted)
        keep(qtbot, widget)
        assert not widget.outcome.images_box.isVisible()
    newest, first = widget.outcome.history.versions()
    assert not bank_file(first.path).exists()
    (kept,) = read_bank(bank_file(newest.path)).images
    assert np.array_equal(kept.image, kept.labels > 0)
    assert set(np.unique(kept.labels)) <= set(np.unique(pair[1].data))

    # What begins with it learns them again; they go with it.
    click(qtbot, widget)
    wait(qtbot, widget)
    assert len(widget.job.plan.read_bank().pairs("learn")) == 1
    widget.outcome.history.delete(newest)
    assert not bank_file(newest.path).exists()


def test_a_version_is_gone_back_to_and_its_child_says_where_it_came_from(
    widget: TrainWidget, pair: Any, session: Session, qtbot: QtBot
) -> None:
    for _ in range(2):
        click(qtbot, widget)
        wait(qtbot, widget)
        keep(qtbot, widget)
    second, first = widget.outcome.history.versions()
    assert (first.name, second.name) == ("threshold 2", "threshold 3")
    assert second.parent == first.id
    with qtbot.waitSignal(widget.versions.panel.refreshed, timeout=20_000):
        widget.versions.expand()

    widget.versions.panel.version_chosen.emit(first)
    qtbot.waitUntil(lambda: session.source == str(first.path), timeout=20_000)

    assert session.network.description.name == "threshold 2"
    assert widget.form.model_choice.box.currentText() == "threshold 2"


def test_a_foreign_network_is_taught_kept_and_gone_back_to(
    widget: TrainWidget, pair: Any, session: Session, foreign_network: Network, qtbot: QtBot
) -> None:
    session.adopt(foreign_network, "/models/foreign.pth")
    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.panel.message.startswith("Ended after 6 steps")
    keep(qtbot, widget)

    (version,) = widget.outcome.history.versions()
    taught = load_checkpoint(version.path)
    assert isinstance(taught.unet, GraphNetwork)
    assert not torch.equal(weights_of(taught), weights_of(foreign_network))
    assert taught.description.guesses == foreign_network.description.guesses
    assert taught.description.history[-1]["started_from"] == "foreign"

    click(qtbot, widget)
    wait(qtbot, widget)
    keep(qtbot, widget)
    child, first = widget.outcome.history.versions()
    assert child.parent == first.id
    widget.versions.panel.version_chosen.emit(first)
    qtbot.waitUntil(lambda: session.source == str(first.path), timeout=20_000)
    assert session.network is not None
    assert torch.equal(weights_of(session.network), weights_of(taught))


def test_a_ready_made_network_is_refused_before_anything_starts(
    widget: TrainWidget, pair: Any, session: Session, ready_made_network: Network, qtbot: QtBot
) -> None:
    session.adopt(ready_made_network, "/models/ready.pt")
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)

    (told,) = widget.form.findings.texts
    assert told == (
        "The model 'ready' is ready-made (TorchScript program) and cannot be fine-tuned; start "
        "from a model whose weights are known, or from nothing."
    )
    click(qtbot, widget)
    assert not widget.panel.is_running
    assert widget.panel.message == told

    widget.form.anew_box.setChecked(True)
    qtbot.waitUntil(lambda: not widget.advice.is_busy, timeout=20_000)
    assert told not in widget.form.findings.texts


def test_discard_leaves_everything_as_it_was(
    widget: TrainWidget,
    viewer: ViewerModel,
    pair: Any,
    session: Session,
    qtbot: QtBot,
    tmp_path: Path,
) -> None:
    before, weights = session.network, weights_of(session.network)
    click(qtbot, widget)
    wait(qtbot, widget)

    qtbot.mouseClick(widget.outcome.discard_button, Qt.MouseButton.LeftButton)

    assert session.network is before
    assert torch.equal(weights_of(before), weights)
    assert [layer.name for layer in viewer.layers] == ["picture", "cells"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert widget.panel.message == "Discarded; the model is as it was."


def test_a_stop_keeps_the_network_and_go_on_ends_as_if_there_had_been_none(
    widget: TrainWidget,
    pair: Any,
    session: Session,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    click(qtbot, widget)
    qtbot.waitUntil(lambda: len(widget.curves.rows()) > 1, timeout=60_000)

    click(qtbot, widget)
    wait(qtbot, widget)

    assert widget.panel.message.startswith("Stopped after")
    assert widget.outcome.resume_button.isVisible()
    stopped = widget.job.stopped
    qtbot.mouseClick(widget.outcome.resume_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.curves.rows()[-1].step > stopped.step, timeout=60_000)
    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.job.stopped.step > stopped.step


def test_after_keep_it_is_trained_further_from_what_was_kept(
    widget: TrainWidget, pair: Any, session: Session, qtbot: QtBot, tmp_path: Path
) -> None:
    click(qtbot, widget)
    wait(qtbot, widget)
    assert len(list((tmp_path / "trainings").glob("*.training"))) == 1
    keep(qtbot, widget)
    assert list((tmp_path / "trainings").iterdir()) == []
    kept = session.network

    qtbot.mouseClick(widget.outcome.resume_button, Qt.MouseButton.LeftButton)
    wait(qtbot, widget)

    assert widget.job.trained.steps == 6
    assert widget.job.plan.network is kept
    # What nobody kept goes when another training begins.
    click(qtbot, widget)
    wait(qtbot, widget)
    assert len(list((tmp_path / "trainings").glob("*.training"))) == 1


def test_what_a_closed_napari_left_is_offered_and_can_be_kept(
    widget: TrainWidget,
    viewer: ViewerModel,
    pair: Any,
    session: Session,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    click(qtbot, widget)
    qtbot.waitUntil(lambda: len(widget.curves.rows()) > 1, timeout=60_000)
    click(qtbot, widget)
    wait(qtbot, widget)
    # The process that saved it is no longer there.
    monkeypatch.setattr("napari_unet.versions.autosave.is_running", lambda *_: False)

    other = TrainWidget(viewer, session, tmp_path)
    qtbot.addWidget(other)
    other.show()

    assert "A training of 'threshold' on 'picture' was interrupted" in (
        other.outcome.sentence.message
    )
    keep(qtbot, other)
    assert session.network.description.name == "threshold 2"
    assert list((tmp_path / "trainings").iterdir()) == []


def test_labels_painted_meanwhile_and_removed_layers_do_not_disturb_it(
    widget: TrainWidget,
    viewer: ViewerModel,
    pair: Any,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    click(qtbot, widget)
    qtbot.waitUntil(lambda: len(widget.curves.rows()) > 1, timeout=60_000)

    viewer.layers.clear()
    steps = widget.curves.rows()[-1].step
    qtbot.waitUntil(lambda: widget.curves.rows()[-1].step > steps + 3, timeout=60_000)

    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.panel.message.startswith("Stopped after")


def test_what_fails_beside_a_training_does_not_end_it(
    widget: TrainWidget,
    pair: Any,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    click(qtbot, widget)
    qtbot.waitUntil(lambda: len(widget.curves.rows()) > 1, timeout=60_000)

    with qtbot.waitSignal(widget.form.model_choice.load_failed, timeout=20_000):
        widget.form.model_choice.load(str(tmp_path / "gone.safetensors"))

    assert widget.panel.is_running
    steps = widget.curves.rows()[-1].step
    qtbot.waitUntil(lambda: widget.curves.rows()[-1].step > steps, timeout=60_000)
    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.panel.message.startswith("Stopped after")


def test_two_trainings_at_once_are_refused(
    widget: TrainWidget,
    viewer: ViewerModel,
    session: Session,
    pair: Any,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    other = TrainWidget(viewer, session, tmp_path)
    qtbot.addWidget(other)
    other.show()
    click(qtbot, widget)

    click(qtbot, other)

    assert other.panel.message.startswith("A training runs already")
    click(qtbot, widget)
    wait(qtbot, widget)
    other.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.layers.clear(), "There is no image with labels"),
        (
            lambda v: setattr(v.layers["cells"], "data", squares((64, 64))),
            "Image 'picture' has 128 x 128 pixels, but the labels 'cells' have 64 x 64",
        ),
        (
            lambda v: setattr(v.layers["cells"], "scale", (2, 2)),
            "'cells' does not lie on 'picture': its scale or place is another",
        ),
        (
            lambda v: setattr(v.layers["cells"], "data", np.zeros((128, 128), np.int32)),
            "No training image has a labelled cell",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_one_sentence_and_nothing_changes(
    widget: TrainWidget,
    viewer: ViewerModel,
    pair: Any,
    session: Session,
    qtbot: QtBot,
    change: Any,
    sentence: str,
) -> None:
    before = session.network
    change(viewer)

    click(qtbot, widget)
    wait(qtbot, widget)

    assert sentence in widget.panel.message
    assert session.network is before
    # The form is ready for another try.
    session.begin_training().end()


def test_folders_are_learned_from_without_any_layer(
    widget: TrainWidget, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "images", tmp_path / "labels"
    for folder, array in zip(folders, (squares() > 0, squares()), strict=True):
        folder.mkdir()
        write_labels(folder / "one.tif", array.astype(np.int32))
    answers = iter(map(str, folders))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(answers))

    qtbot.mouseClick(widget.form.pairs.folders_button, Qt.MouseButton.LeftButton)
    assert widget.form.pairs.folders == [folders]
    click(qtbot, widget)
    wait(qtbot, widget)

    assert widget.panel.message.startswith("Ended after 6 steps")
    assert widget.outcome.keep_button.isVisible()


def test_a_full_disk_at_keep_leaves_the_network_to_be_kept_elsewhere(
    widget: TrainWidget,
    pair: Any,
    session: Session,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    click(qtbot, widget)
    wait(qtbot, widget)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.engine.models.checkpoint.save_file", full)
        keep(qtbot, widget)

    assert "is full, so the new version was not kept" in widget.panel.message
    assert widget.outcome.keep_button.isEnabled()
    keep(qtbot, widget)
    assert session.network.description.name == "threshold 2"


def test_a_mask_is_repaired_by_one_click_that_undo_takes_back(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, qtbot: QtBot
) -> None:
    labels = pair[1]
    labels.data = (labels.data > 0).astype(np.int32)
    labels.mode = "paint"  # the brush comes back when all is written
    qtbot.waitUntil(
        lambda: any(each.code == "mask" for each in widget.form.findings.findings), timeout=20_000
    )

    (finding,) = [each for each in widget.form.findings.findings if each.code == "mask"]
    widget.form.findings.repair_chosen.emit(finding)
    qtbot.waitUntil(lambda: labels.mode == "pan_zoom", timeout=20_000)
    qtbot.waitUntil(lambda: labels.mode == "paint", timeout=20_000)
    assert labels.data.max() == 64

    labels.undo()
    assert labels.data.max() == 1


def found_by_segment(viewer: ViewerModel, image: Image, labels: Labels) -> None:
    """Note in labels what Segment cells notes: that it has found them in the image."""
    made = {"image_id": str(image.unique_id), "checksums": {}}
    note_origin(labels, made, {":,:": LabelRuns.of(labels.data)})


def is_questioned(widget: TrainWidget) -> bool:
    return any(each.code == "untouched" for each in widget.form.findings.findings)


def test_a_prediction_that_nobody_has_changed_is_questioned_once_and_a_correction_answers(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, qtbot: QtBot
) -> None:
    image, labels = pair
    found_by_segment(viewer, image, labels)
    widget.form.input_changed.emit()
    qtbot.waitUntil(lambda: is_questioned(widget), timeout=20_000)

    click(qtbot, widget)
    assert not widget.panel.is_running
    assert widget.panel.message == (
        "Nobody has changed what a model found here: see below, or press Train again to do it "
        "anyway."
    )
    click(qtbot, widget)
    assert widget.panel.is_running
    wait(qtbot, widget)
    assert widget.panel.message.startswith("Ended after 6 steps")

    # One stroke is an answer.
    labels.paint((60, 60), 99)
    qtbot.waitUntil(lambda: not is_questioned(widget), timeout=20_000)
    click(qtbot, widget)
    assert widget.panel.is_running
    wait(qtbot, widget)


def test_the_question_leads_to_where_the_model_is_least_sure(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, qtbot: QtBot
) -> None:
    found_by_segment(viewer, *pair)
    widget.form.input_changed.emit()
    qtbot.waitUntil(lambda: is_questioned(widget), timeout=20_000)
    (finding,) = [each for each in widget.form.findings.findings if each.code == "untouched"]
    assert finding.remedy == "Show me where to correct"

    with qtbot.waitSignal(widget.uncertainty.found, timeout=30_000):
        widget.form.findings.repair_chosen.emit(finding)

    assert widget.uncertainty.panel.isVisible()


def test_a_copy_or_a_file_of_a_prediction_is_known_by_its_checksums(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, qtbot: QtBot
) -> None:
    image, labels = pair
    made = {"image": image.name, "checksums": plane_checksums(labels.data, plane_ndim=2)}
    viewer.layers.remove(labels)
    copy = viewer.add_labels(labels.data.copy(), name="copy", metadata={METADATA_KEY: made})
    assert widget.form.pairs.pairs == [(image, copy)]
    qtbot.waitUntil(lambda: is_questioned(widget), timeout=20_000)

    copy.paint((60, 60), 99)
    qtbot.waitUntil(lambda: not is_questioned(widget), timeout=20_000)


def test_the_patches_that_the_network_sees_become_layers(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, qtbot: QtBot
) -> None:
    widget.form.augmented_button.click()
    qtbot.waitUntil(lambda: "patches: weights" in viewer.layers, timeout=30_000)

    image, classes, weights = (
        viewer.layers[f"patches: {name}"] for name in ("image", "classes", "weights")
    )
    assert image.data.shape == classes.data.shape == weights.data.shape == (108, 108)
    assert set(np.unique(classes.data)) <= {0, 1}
    assert classes.data.any()
    # They are not offered to be learned from.
    assert widget.form.pairs.rows[0].image_choice.count() == 1
    assert widget.form.pairs.rows[0].labels_choice.count() == 1


def test_the_form_is_copied_as_a_script(widget: TrainWidget, pair: Any, qtbot: QtBot) -> None:
    widget._session.adopt(widget._session.network, "model.safetensors")

    widget.script_button.python_action.trigger()

    text = QGuiApplication.clipboard().text()
    assert "viewer.layers['picture'].data" in text
    assert "load_checkpoint('model.safetensors')" in text


def test_closing_the_widget_ends_the_training(
    viewer: ViewerModel,
    session: Session,
    pair: Any,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrainForm, "settings", lambda _: LONG)
    widget = TrainWidget(viewer, session, tmp_path)
    qtbot.addWidget(widget)
    widget.show()
    click(qtbot, widget)
    qtbot.waitUntil(lambda: len(widget.curves.rows()) > 1, timeout=60_000)

    widget.close()

    assert worker.stop_all()
    qtbot.wait(20)
    session.begin_training().end()


def test_everything_that_can_be_set_says_what_it_does(widget: TrainWidget) -> None:
    form = widget.form
    for child in (
        form.anew_box,
        *form.length.controls.values(),
        form.strength_slider,
        form.hold_out_box,
        form.augmented_button,
        form.pairs.add_button,
        *form.more.rare.fields.values(),
        *form.more.varied.fields.values(),
        widget.outcome.keep_button,
        widget.outcome.discard_button,
        widget.outcome.resume_button,
    ):
        assert len(child.toolTip()) > 20, child


def test_types_that_were_given_are_learned_and_answer_the_question(
    widget: TrainWidget, viewer: ViewerModel, pair: Any, session: Session, qtbot: QtBot
) -> None:
    image, labels = pair
    found_by_segment(viewer, image, labels)
    widget.form.input_changed.emit()
    qtbot.waitUntil(lambda: is_questioned(widget), timeout=20_000)

    for label in (1, 2, 9, 10, 17, 18):
        give_type(labels, label, "left" if label % 2 else "right")
    qtbot.waitUntil(lambda: not is_questioned(widget), timeout=20_000)
    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.panel.message.startswith("Ended after 6 steps")
    keep(qtbot, widget)

    assert session.network.description.cell_types == ("left", "right")


def test_only_cells_that_were_given_a_type_are_learned_where_nothing_else_was_painted(
    widget: TrainWidget, viewer: ViewerModel, pair: Any
) -> None:
    image, labels = pair
    found_by_segment(viewer, image, labels)
    give_type(labels, 1, "left")
    give_type(labels, 2, "right")
    widget.form.unlabelled.choose("painted")

    (learned,) = annotation(widget.form.read_plan())

    assert learned.types == {1: "left", 2: "right"}
    assert np.unique(learned.checked_labels()).tolist() == [-1, 0, 1, 2]


def test_one_type_is_refused_in_a_sentence(
    widget: TrainWidget, pair: Any, session: Session, qtbot: QtBot
) -> None:
    give_type(pair[1], 1, "left")
    click(qtbot, widget)
    wait(qtbot, widget)
    assert widget.panel.message.startswith("All cells with a type are 'left'")
    assert session.network.description.cell_types == ()
