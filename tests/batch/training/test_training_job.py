"""A training in a queue: judged without a person, gone on with, in order with images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.batch.file_plan import plan_outputs
from napari_unet.batch.queue import Queue
from napari_unet.batch.running import BatchReport, iterate_queue
from napari_unet.batch.settings import BatchSettings, ModelFile
from napari_unet.batch.training.labelled_files import LabelledFiles
from napari_unet.batch.training.plan import NewModel, TrainingPlan
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.files.images import write_labels

SHAPE = UNetConfig(base_width=4, depth=1, classes=3)
SETTINGS = TrainingSettings(
    steps=60, patience=0, batch_size=2, patch_size_px=32, learning_rate=0.01, warmup_steps=0,
    average=0.8, validation_interval=0, precision="float32",
)  # fmt: skip


@pytest.fixture
def squares(tmp_path: Path) -> tuple[Path, Path]:
    """An image of 16 bright squares, and their labels."""
    labels = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate(np.ndindex(4, 4), start=1):
        labels[4 + 14 * y : 12 + 14 * y, 4 + 14 * x : 12 + 14 * x] = number
    noise = np.random.default_rng(0).integers(0, 30, labels.shape)
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, (np.where(labels > 0, 160, 20) + noise).astype(np.uint8))
    write_labels(tmp_path / "labels.tif", labels)
    return image, tmp_path / "labels.tif"


@pytest.fixture
def knows_nothing(tmp_path: Path) -> ModelFile:
    roles = ("background", "cell", "border")
    network = new_network(NetworkDescription("blank", SHAPE, class_roles=roles), seed=0)
    return ModelFile(str(save_checkpoint(network, tmp_path / "blank")))


@pytest.fixture
def plan(squares: tuple[Path, Path], knows_nothing: ModelFile) -> TrainingPlan:
    files = LabelledFiles((squares,), share=0.0)
    return TrainingPlan(files, SETTINGS, knows_nothing)


Run = Callable[..., list[BatchReport]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Works on a queue; stops after the report for which `until` is true."""

    def run(
        folder: str = "queue",
        until: Callable[[BatchReport], bool] = lambda _: False,
        pause: Event | None = None,
    ) -> list[BatchReport]:
        reports = []
        with Queue.held(tmp_path / folder, program="test") as queue:
            steps = iterate_queue(queue, queue.waiting, device="cpu", look=None, pause=pause)
            for report in steps:
                reports.append(report)
                if until(report):
                    steps.close()
        return reports

    return run


def add(folder: Path, plan: TrainingPlan, model: Path) -> None:
    with Queue.held(folder, program="test") as queue:
        queue.add_training(model, plan)
        queue.write()


def add_image(folder: Path, image: Path, model: Path) -> None:
    batch = BatchSettings(
        (ModelFile(str(model)),), SegmentationSettings(), InstanceSettings(min_size_px=4)
    )
    with Queue.held(folder, program="test") as queue:
        queue.add(plan_outputs([image], folder), batch)
        queue.write()


def weights_of(model: Path) -> torch.Tensor:
    values = load_checkpoint(model).unet.state_dict().values()
    return torch.cat([value.reshape(-1).float() for value in values])


def test_what_is_better_is_written_and_the_images_after_it_are_segmented_with_it(
    tmp_path: Path, plan: TrainingPlan, squares: tuple[Path, Path], run: Run
) -> None:
    folder, model = tmp_path / "queue", tmp_path / "queue" / "models" / "mine.safetensors"
    add(folder, replace(plan, about={"licence": "CC0"}), model)
    add_image(folder, squares[0], model)

    run()

    queue = Queue.read(folder)
    (trained,), (image,) = queue.trainings, queue.images
    outcome = trained.outcome
    assert (trained.state, outcome.steps, outcome.is_refused) == ("done", 60, False)
    assert (outcome.labelled, outcome.right_before) == (16, 0)
    assert outcome.right_after is not None
    assert outcome.right_after > 12
    assert outcome.verdict.startswith("On your images ")
    assert trained.remarks.startswith("60 steps. On your images ")
    description = load_checkpoint(model).description
    assert (description.name, description.licence) == ("mine", "CC0")
    assert (image.state, image.outcome.cells) == ("done", outcome.right_after)
    assert not list((folder / "trainings").iterdir())  # what was kept to go on with
    assert queue.waiting == ()


def test_what_is_refused_leaves_no_model_and_each_entry_says_why(
    tmp_path: Path, plan: TrainingPlan, squares: tuple[Path, Path], run: Run
) -> None:
    folder, model = tmp_path / "queue", tmp_path / "mine.safetensors"
    add(folder, replace(plan, settings=replace(SETTINGS, steps=1, learning_rate=1e-6)), model)
    add_image(folder, squares[0], model)
    good = tmp_path / "good.tif"
    good.write_bytes(squares[0].read_bytes())
    assert plan.start is not None
    add_image(folder, good, Path(plan.start.source))

    run()

    queue = Queue.read(folder)
    (refused,), (image, other) = queue.trainings, queue.images
    assert (refused.state, refused.outcome.is_refused) == ("done", True)
    assert refused.outcome.verdict.startswith("What it learned is not better than 'blank', which")
    assert not model.exists()
    assert image.state == "failed"
    assert image.error == (
        f"It waits for the model 'mine', which was not made: {refused.outcome.verdict}"
    )
    assert other.state == "done"
    assert [each.output for each in queue.waiting] == [image.output]


def test_a_refused_training_of_a_model_into_itself_keeps_it_and_images_take_it(
    tmp_path: Path, plan: TrainingPlan, squares: tuple[Path, Path], run: Run
) -> None:
    assert plan.start is not None
    folder, model = tmp_path / "queue", Path(plan.start.source)
    few = replace(plan, settings=replace(SETTINGS, steps=1, learning_rate=1e-6))
    with Queue.held(folder, program="test") as queue:
        queue.add_training(model, few, replaces=True)
        queue.write()
    add_image(folder, squares[0], model)
    before = model.read_bytes()

    run()

    queue = Queue.read(folder)
    assert queue.trainings[0].outcome.is_refused
    assert model.read_bytes() == before
    assert queue.images[0].state == "done"


def test_a_broken_training_stops_no_other_entry(
    tmp_path: Path, plan: TrainingPlan, run: Run
) -> None:
    gone = (tmp_path / "gone.tif", tmp_path / "gone_too.tif")
    add(tmp_path / "queue", replace(plan, files=LabelledFiles((gone,))), tmp_path / "a.safetensors")
    new = NewModel(shape=SHAPE)
    add(tmp_path / "queue", replace(plan, start=None, new=new), tmp_path / "b.safetensors")

    run()

    broken, made = Queue.read(tmp_path / "queue").trainings
    assert broken.state == "failed"
    assert "gone.tif" in broken.error
    assert (made.state, made.outcome.verdict) == ("done", "")  # there is no one to compare it with
    assert (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("way", ["stopped", "paused"])
def test_what_was_stopped_or_paused_goes_on_to_the_same_network_to_the_bit(
    tmp_path: Path, plan: TrainingPlan, run: Run, way: str
) -> None:
    add(tmp_path / "whole", plan, tmp_path / "whole.safetensors")
    add(tmp_path / "queue", plan, tmp_path / "parts.safetensors")
    run("whole")
    pause = Event()

    def is_begun(report: BatchReport) -> bool:
        begun = any(0 < share < 1 for share in report.shares.values())
        if begun and way == "paused":
            pause.set()
        return begun and way == "stopped"

    reports = run("queue", is_begun, pause)

    (entry,) = Queue.read(tmp_path / "queue").trainings
    assert all(report.entry is None for report in reports)
    assert entry.state == "waiting"
    assert entry.state_file(tmp_path / "queue").exists()

    reports = run("queue")

    shares = [share for report in reports for share in report.shares.values()]
    assert min(shares, default=1) > 0  # where it stood
    assert torch.equal(
        weights_of(tmp_path / "whole.safetensors"), weights_of(tmp_path / "parts.safetensors")
    )


def test_images_that_were_changed_since_a_stop_are_learned_from_the_beginning(
    tmp_path: Path, plan: TrainingPlan, squares: tuple[Path, Path], run: Run
) -> None:
    add(tmp_path / "queue", plan, tmp_path / "mine.safetensors")
    run("queue", lambda report: any(report.shares.values()))
    image = tifffile.imread(squares[0])
    tifffile.imwrite(squares[0], image[::-1])
    tifffile.imwrite(squares[0], np.ascontiguousarray(image // 2))

    run("queue")

    (entry,) = Queue.read(tmp_path / "queue").trainings
    assert entry.outcome.steps == 60
    assert any("were changed since, so it began anew" in each for each in entry.outcome.warnings)


def test_a_model_that_is_there_is_not_replaced_and_another_training_into_it_is_refused(
    tmp_path: Path, plan: TrainingPlan
) -> None:
    model = tmp_path / "mine.safetensors"
    queue = Queue(tmp_path)
    entry = queue.add_training(model, plan)
    assert queue.add_training(model, plan) is entry
    with pytest.raises(FileError, match=r"The queue has another training into '.*mine"):
        queue.add_training(model, replace(plan, tunes=False))
    assert queue.add_training(model, replace(plan, tunes=False), replaces=True) != entry
    with pytest.raises(FileError, match=r"blank.safetensors' exists already"):
        queue.add_training(tmp_path / "blank.safetensors", plan)


def test_a_plan_is_read_as_it_was_written(plan: TrainingPlan) -> None:
    with_all = replace(
        plan,
        files=replace(plan.files, held_out=plan.files.learned, tables={Path("/l"): Path("/t")}),
        new=NewModel(class_names=("gland", "fat")),
        about={"summary": "Mine."},
    )
    assert TrainingPlan.from_json(with_all.to_json()) == with_all
    assert with_all.id != plan.id
