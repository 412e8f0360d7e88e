"""Trainings in the Batch widget: added, done before the images that wait for them, and taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.batch.queue import Queue
from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import NewModel, TrainingPlan
from napari_unet.cli import main
from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_labels
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.widgets.batch.widget import BatchWidget
from napari_unet.widgets.segment.widget import SegmentWidget

SETTINGS = TrainingSettings(
    steps=30, patience=0, batch_size=1, patch_size_px=32, warmup_steps=0, learning_rate=0.01,
    average=0.5, validation_interval=0, precision="float32",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """A training as a form gives it."""

    plan: TrainingPlan
    name: str = "mine"

    def written(self, folder: Path) -> TrainingPlan:
        assert folder.is_dir()
        return self.plan


@pytest.fixture
def plan(tmp_path: Path, squares: NDArray[np.uint8]) -> TrainingPlan:
    """A new small network learns three squares."""
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", squares)
    labels = np.zeros(squares.shape, np.int32)
    labels[squares > squares.mean()] = 1
    write_labels(tmp_path / "labels.tif", labels)
    files = LabelledFiles(((tmp_path / "images" / "a.tif", tmp_path / "labels.tif"),), share=0)
    shape = UNetConfig(base_width=2, depth=1)
    new = NewModel(shape=shape, class_roles=("background", "cell"))
    return TrainingPlan(files, SETTINGS, new=new)


@pytest.fixture
def batch(
    viewer: ViewerModel, session: Session, widget: SegmentWidget, qtbot: QtBot, tmp_path: Path
) -> Iterator[BatchWidget]:
    batch = BatchWidget(viewer, session, lambda: widget)
    qtbot.addWidget(batch)
    batch.resize(420, 800)
    batch.show()
    batch.form.choose_folder(tmp_path / "out")
    yield batch
    batch.close()
    assert worker.stop_all()


@pytest.fixture
def wait(qtbot: QtBot) -> Callable[[Callable[[], bool]], None]:
    return lambda is_so: qtbot.waitUntil(is_so, timeout=60_000)


Wait = Callable[[Callable[[], bool]], None]


def column(batch: BatchWidget, number: int) -> list[str]:
    model = batch.table.images
    return [model.data(model.index(row, number)) for row in range(model.rowCount())]


def run(batch: BatchWidget, wait: Wait) -> str:
    batch.panel.button.click()
    wait(lambda: not batch.panel.is_running)
    return str(batch.panel.message)


def click_row(batch: BatchWidget, row: int, qtbot: QtBot) -> None:
    place = batch.table.visualRect(batch.table.images.index(row, 0)).center()
    qtbot.mouseClick(batch.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_folder_is_segmented_with_what_a_training_of_the_queue_makes_and_a_click_takes_it(
    batch: BatchWidget,
    plan: TrainingPlan,
    session: Session,
    tmp_path: Path,
    qtbot: QtBot,
    wait: Wait,
) -> None:
    assert not batch.form.model_box.isVisible()
    batch.add_training(Training(plan))
    wait(lambda: column(batch, 0) == ["Train mine"])
    assert batch.panel.message == "Training of mine waits in the queue; press Run."
    batch.job.list_files([tmp_path / "images"])
    wait(lambda: column(batch, 1) == ["waiting", "new"])
    model = tmp_path / "out" / "models" / "mine.safetensors"
    assert batch.form.model_box.isVisible()
    batch.form.model_box.choose_value(str(model))

    message = run(batch, wait)

    assert message.startswith("2 of 2 jobs done, ")
    assert column(batch, 1)[0] == "done"
    assert column(batch, 5)[0].startswith("30 steps.")
    (settings,) = Queue.read(tmp_path / "out").settings.values()
    assert settings.models == (ModelFile(str(model)),)
    click_row(batch, 0, qtbot)
    wait(lambda: session.source == str(model))
    assert batch.panel.message.startswith("'mine' is the model now. 30 steps.")
    # Another one of that name gets a name of its own.
    batch.add_training(Training(plan))
    wait(lambda: column(batch, 0)[-1] == "Train mine_2")


def test_a_refused_training_says_why_and_the_other_entries_are_done(
    batch: BatchWidget,
    plan: TrainingPlan,
    session: Session,
    tmp_path: Path,
    qtbot: QtBot,
    wait: Wait,
) -> None:
    few = replace(plan, start=ModelFile(session.source), settings=replace(SETTINGS, steps=1))
    batch.add_training(Training(few))
    wait(lambda: column(batch, 1) == ["waiting"])
    batch.job.list_files([tmp_path / "images"])
    wait(lambda: column(batch, 1) == ["waiting", "new"])

    message = run(batch, wait)

    assert message == "2 of 2 jobs done, 3 cells; 1 not better."
    assert column(batch, 1) == ["not better", "done"]
    before = session.source
    click_row(batch, 0, qtbot)
    assert "What it learned is not better than 'threshold', which stays" in batch.panel.message
    assert session.source == before
    assert not (tmp_path / "out" / "models" / "mine.safetensors").exists()


def test_stopped_in_the_widget_the_command_line_goes_on_with_it(
    batch: BatchWidget, plan: TrainingPlan, tmp_path: Path, wait: Wait
) -> None:
    batch.add_training(Training(replace(plan, settings=replace(SETTINGS, steps=400))))
    wait(lambda: column(batch, 1) == ["waiting"])
    batch.panel.button.click()
    wait(lambda: column(batch, 1)[0].endswith("%") and column(batch, 1) != ["0 %"])
    batch.panel.button.click()
    assert batch.panel.message == "Stopped: 0 of 1 training done. Run goes on."
    assert worker.stop_all()
    assert len(list((tmp_path / "out" / "trainings").glob("*.resume"))) == 1

    assert main(["segment", "--continue", "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0

    (entry,) = Queue.read(tmp_path / "out").trainings
    assert (entry.state, entry.outcome.steps) == ("done", 400)


def test_two_trainings_do_not_run_at_once(
    batch: BatchWidget, plan: TrainingPlan, session: Session, wait: Wait
) -> None:
    batch.add_training(Training(plan))
    wait(lambda: column(batch, 1) == ["waiting"])
    turn = session.begin_training()
    batch.panel.button.click()
    assert batch.panel.message.startswith("A training runs already")
    turn.end()

    assert run(batch, wait) == "1 of 1 training done."
    session.begin_training()  # it is free again
    with pytest.raises(TrainingError):
        session.begin_training()


def test_without_a_folder_for_the_queue_that_is_asked_for(
    batch: BatchWidget, plan: TrainingPlan
) -> None:
    batch.form.choose_folder(Path())
    batch.form.folder_edit.clear()
    batch.add_training(Training(plan))
    assert batch.panel.message == "There is no folder for the results; choose one with '…'."
