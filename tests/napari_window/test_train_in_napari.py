"""The whole loop in a real napari window: segment, paint, train, stop, go on, compare, keep."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.training.knowledge.bank import Bank, known_bank
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.session import shared_session
from napari_unet.viewer import worker
from napari_unet.widgets.train.form import TrainForm

pytestmark = pytest.mark.viewer

_PLUGIN = "napari-unet-cells"


@pytest.fixture
def few_references(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = known_bank(load_checkpoint("nuclei").description)
    few = Bank(tuple(each for each in bank.images if each.use == "learn") + bank.images[-40::8])
    monkeypatch.setattr("napari_unet.engine.training.knowledge.bank.known_bank", lambda *_: few)


def dock(viewer: Any, qtbot: QtBot, name: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, name)
    model_choice = widget.form.model_choice
    qtbot.waitUntil(lambda: not model_choice.is_loading, timeout=30_000)
    return widget


def click(qtbot: QtBot, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait(qtbot: QtBot, widget: Any) -> None:
    # A training goes on to compare when its panel is idle already.
    job = getattr(widget, "job", None)
    qtbot.waitUntil(lambda: job is None or not job.is_running, timeout=120_000)
    qtbot.waitUntil(lambda: not widget.panel.is_running, timeout=10_000)


def segmented(viewer: Any) -> list[Labels]:
    return [layer for layer in viewer.layers if "napari_unet" in layer.metadata]


def test_segment_correct_train_stop_go_on_compare_keep_and_segment_again(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = TrainingSettings.fine_tuning(steps=4, batch_size=2, patch_size_px=64, keep_knowledge=0)
    monkeypatch.setattr(TrainForm, "settings", lambda *_: few)
    viewer = make_napari_viewer(show=True)
    image, _ = viewer.open_sample(_PLUGIN, "crowded")
    viewer.layers.selection.active = image
    segment = dock(viewer, qtbot, "Segment cells")
    click(qtbot, segment.panel.button)
    wait(qtbot, segment)
    (labels,) = segmented(viewer)

    # Correct it: two cells become one, one goes, one is drawn.
    first, second, third = np.unique(labels.data)[1:4]
    labels.fill(tuple(np.argwhere(labels.data == first)[0]), second)
    labels.fill(tuple(np.argwhere(labels.data == third)[0]), 0)
    labels.brush_size = 12
    empty = np.argwhere(labels.data == 0)
    labels.paint(tuple(empty[len(empty) // 2]), int(labels.data.max()) + 1)
    edited = labels.data.copy()
    viewer.layers.selection.active = labels
    train = dock(viewer, qtbot, "Train")
    assert train.form.pairs.pairs == [(image, labels)]
    (source,) = train.form.read_sources()
    assert source.predictions[":,:"].changed(labels.data).any()

    # What may spoil it is said before, and a click puts it right; undo takes that back.
    findings = train.form.findings
    qtbot.waitUntil(
        lambda: any(each.code == "disconnected" for each in findings.findings), timeout=20_000
    )
    (torn,) = [each for each in findings.findings if each.code == "disconnected"]
    assert torn.ids == (second,)
    with qtbot.waitSignal(train.advice._repair.repaired, timeout=20_000):
        findings.repair_chosen.emit(torn)
    assert not np.array_equal(labels.data, edited)
    qtbot.waitUntil(lambda: not train.advice.is_busy, timeout=20_000)
    labels.undo()
    assert np.array_equal(labels.data, edited)

    before = shared_session().network
    click(qtbot, train.panel.button)
    qtbot.waitUntil(lambda: len(train.curves.rows()) > 0, timeout=60_000)
    click(qtbot, train.panel.button)
    wait(qtbot, train)
    if train.panel.message.startswith("Stopped"):
        click(qtbot, train.outcome.resume_button)
        wait(qtbot, train)
    assert train.panel.message.startswith("Ended after 4 steps")
    assert np.array_equal(labels.data, edited)
    assert shared_session().network is before

    # Compare: a change leads the camera there.
    assert train.outcome.comparison.isVisible()
    camera = getattr(viewer, "scene", viewer).camera
    changes = train.outcome.comparison.list
    if changes.count():
        camera.center = (0.0, 0.0)
        click_at = changes.visualItemRect(changes.item(0)).center()
        qtbot.mouseClick(changes.viewport(), Qt.MouseButton.LeftButton, pos=click_at)
        assert tuple(camera.center[-2:]) != (0.0, 0.0)

    click(qtbot, train.outcome.keep_button)
    qtbot.waitUntil(lambda: not train.outcome.is_busy, timeout=20_000)
    assert shared_session().network.description.name == "nuclei 2"
    assert len(list((data_folder / "versions").glob("*.safetensors"))) == 1

    # Segment again: the edited labels stay, the new model's cells come into a layer of their own.
    click(qtbot, train.outcome.segment_button)
    qtbot.waitUntil(lambda: segment.panel.is_running, timeout=10_000)
    wait(qtbot, segment)
    assert np.array_equal(labels.data, edited)
    assert [layer.name for layer in segmented(viewer)] == ["crowded: nuclei", "crowded: nuclei 2"]

    # And back.
    (version,) = train.outcome.history.versions()
    train.form.model_choice.load("nuclei")
    qtbot.waitUntil(lambda: shared_session().source == "nuclei", timeout=20_000)
    train.versions.panel.version_chosen.emit(version)
    qtbot.waitUntil(lambda: shared_session().source == str(version.path), timeout=20_000)
    assert worker.stop_all()


def trained_on(
    labels: Any,
    name: str,
    settings: TrainingSettings,
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Open a sample, take these labels for its truth, train to the end, return the widget."""
    monkeypatch.setattr(TrainForm, "settings", lambda _: settings)
    viewer = make_napari_viewer(show=True)
    image, truth = viewer.open_sample(_PLUGIN, name)
    truth.data = labels(truth.data)
    viewer.layers.selection.active = image
    train = dock(viewer, qtbot, "Train")
    assert train.form.pairs.pairs == [(image, truth)]
    click(qtbot, train.panel.button)
    wait(qtbot, train)
    return train


def test_a_harmful_training_is_refused(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    data_folder: Path,
    few_references: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stripes(labels: np.ndarray) -> np.ndarray:
        return np.broadcast_to(1 + np.arange(labels.shape[0])[:, None] // 7, labels.shape).copy()

    boldly = TrainingSettings.fine_tuning(
        steps=25, batch_size=2, patch_size_px=64, learning_rate=3e-3, bank_share=0.0
    )
    train = trained_on(stripes, "crowded", boldly, make_napari_viewer, qtbot, monkeypatch)
    sentence = train.outcome.sentence.text().replace("\u200b", "")
    assert "not better than 'nuclei', which stays" in sentence
    assert "worse on" in sentence
    assert train.outcome.keep_button.text() == "Keep all the same"
    assert train.outcome.where_button.isVisible()
    before = shared_session().network
    click(qtbot, train.outcome.discard_button)
    assert shared_session().network is before
    assert train.outcome.keep_button.text() == "Keep"


def test_a_training_that_helps_is_proposed_and_kept(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    data_folder: Path,
    few_references: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = TrainingSettings.fine_tuning(
        steps=60, batch_size=4, patch_size_px=96, learning_rate=1e-3
    )
    train = trained_on(
        lambda labels: labels, "dic", settings, make_napari_viewer, qtbot, monkeypatch
    )
    sentence = train.outcome.sentence.text().replace("\u200b", "")
    assert "keep it" in sentence
    found = re.search(r"(\d+) of 8 labelled cells are right, (\d+) before", sentence)
    assert int(found[1]) > int(found[2])
    assert train.outcome.keep_button.text() == "Keep"
    click(qtbot, train.outcome.keep_button)
    qtbot.waitUntil(lambda: not train.outcome.is_busy, timeout=20_000)
    assert shared_session().network.description.name == "nuclei 2"


def test_a_training_ends_by_itself_and_is_trained_further_as_long_as_is_chosen(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing is learned at this rate, so that the loss is level from the start.
    quick = {"batch_size": 1, "patch_size_px": 32, "keep_knowledge": 0, "validation_interval": 0}
    level = TrainingSettings.fine_tuning(patience=15, learning_rate=1e-9, **quick)
    viewer = make_napari_viewer(show=True)
    _, truth = viewer.open_sample(_PLUGIN, "crowded")
    viewer.layers.selection.active = truth
    train = dock(viewer, qtbot, "Train")
    length = train.form.length
    assert length.kind_choice.currentText() == "As long as it learns"
    assert length.time_label.message.startswith("The first steps show how long that takes")
    assert train.form.settings().seconds is None
    monkeypatch.setattr(TrainForm, "settings", lambda _: level)

    texts: list[str] = []
    train.job.reported.connect(lambda _: texts.append(train.panel.bar.format()))
    click(qtbot, train.panel.button)
    wait(qtbot, train)

    assert train.panel.message.startswith("Trained until the loss had levelled off, after ")
    assert any(" left" in text and ", at most about " in text for text in texts)
    first = train.job.trained.steps
    assert 30 <= first < 300
    # How long it takes here is known now.
    assert length.time_label.message.startswith("About ")
    assert length.time_label.message.endswith(" on this computer at most; it may end earlier.")

    if shots := os.environ.get("SHOTS"):
        viewer.window.resize(1280, 720)
        qtbot.wait(500)
        viewer.screenshot(shots + "/ended.png", canvas_only=False, flash=False)
    assert train.outcome.resume_button.text() == "Train further"
    click(qtbot, train.outcome.resume_button)
    wait(qtbot, train)
    assert train.job.trained.steps >= first + 30
    assert [row.step for row in train.curves.rows()] == list(range(1, train.job.trained.steps + 1))

    # For as long as is chosen now.
    length.kind_choice.choose_value("steps")
    length.steps_box.setValue(2)
    before = train.job.trained.steps
    click(qtbot, train.outcome.resume_button)
    wait(qtbot, train)
    assert train.job.trained.steps == before + 2

    click(qtbot, train.outcome.keep_button)
    qtbot.waitUntil(lambda: not train.outcome.is_busy, timeout=20_000)
    assert list((data_folder / "trainings").iterdir()) == []
    assert shared_session().network.description.history[-1]["steps"] == before + 2
    assert train.outcome.resume_button.isVisible()
    assert worker.stop_all()


def test_the_way_leads_to_where_the_network_is_least_sure(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, data_folder: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, truth = viewer.open_sample(_PLUGIN, "noisy")
    truth.visible = True
    viewer.layers.selection.active = truth
    train = dock(viewer, qtbot, "Train")
    camera = getattr(viewer, "scene", viewer).camera
    centre = tuple(camera.center)

    with qtbot.waitSignal(train.uncertainty.found, timeout=60_000):
        click(qtbot, train.uncertainty.button)

    assert train.uncertainty.panel.region is not None
    assert tuple(camera.center) != centre
    names = [layer.name for layer in viewer.layers]
    click(qtbot, train.uncertainty.panel.done_button)
    assert len(viewer.layers) == len(names) - 1
    assert worker.stop_all()


def test_a_second_image_of_one_size_asks_for_its_labels_and_a_prediction_is_questioned(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, data_folder: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    image, _ = viewer.open_sample(_PLUGIN, "crowded")
    viewer.layers.remove("crowded truth")
    viewer.layers.selection.active = image
    segment = dock(viewer, qtbot, "Segment cells")
    click(qtbot, segment.panel.button)
    wait(qtbot, segment)
    (labels,) = segmented(viewer)
    second = viewer.add_image(image.data[::-1].copy(), name="cho36")
    train = dock(viewer, qtbot, "Train")
    pairs = train.form.pairs
    qtbot.waitUntil(lambda: not train.advice.is_busy, timeout=20_000)

    # It has the size of the other's labels, which are not its own.
    assert pairs.pairs == []
    assert pairs.rows[0].note.isVisible()
    click(qtbot, train.panel.button)
    assert train.panel.message.startswith("Choose the labels of 'cho36'")

    viewer.layers.selection.active = image
    assert pairs.pairs == [(image, labels)]
    qtbot.waitUntil(
        lambda: any(each.code == "untouched" for each in train.form.findings.findings),
        timeout=20_000,
    )
    click(qtbot, train.panel.button)
    assert not train.panel.is_running
    assert train.panel.message.startswith("Nobody has changed what a model found here")

    # The way on leads to the doubtful places, with words, and a Stop keeps what was seen.
    (lead,) = [
        button
        for button in train.form.findings.findChildren(QPushButton)
        if button.text() == "Show me where to correct"
    ]
    click(qtbot, lead)
    search = train.uncertainty
    assert search.button.text() == "Stop"
    qtbot.waitUntil(lambda: "looking at the image" in search.run_panel.bar.format(), timeout=30_000)
    click(qtbot, search.button)
    asked = time.perf_counter()
    qtbot.waitUntil(lambda: not search.run_panel.is_running, timeout=10_000)
    assert time.perf_counter() - asked < 5  # a second on a quiet machine
    assert second in viewer.layers
    assert worker.stop_all()


def test_closing_napari_while_it_trains_ends_the_thread_and_the_training_is_offered_again(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.widgets.train.training._AUTOSAVE_S", 0.0)
    monkeypatch.setattr("napari_unet.versions.autosave.is_running", lambda *_: False)
    long = TrainingSettings.fine_tuning(
        steps=100_000, batch_size=2, patch_size_px=64, keep_knowledge=0
    )
    monkeypatch.setattr(TrainForm, "settings", lambda _: long)
    viewer = make_napari_viewer(show=True)
    _, truth = viewer.open_sample(_PLUGIN, "crowded")
    viewer.layers.selection.active = truth
    train = dock(viewer, qtbot, "Train")
    click(qtbot, train.panel.button)
    qtbot.waitUntil(lambda: list(data_folder.rglob("*.json")) != [], timeout=60_000)

    viewer.close()

    assert worker.stop_all()
    other = make_napari_viewer(show=True)
    again = dock(other, qtbot, "Train")
    assert "was interrupted after step" in again.outcome.sentence.message
    shared_session().begin_training().end()  # refused where another one runs
    click(qtbot, again.outcome.discard_button)
    assert list((data_folder / "trainings").iterdir()) == []
