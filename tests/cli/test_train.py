"""`napari-unet train` as a user meets it, also when it is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from napari_unet.cli import main
from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.training.learner import Learner, TrainingReport
from napari_unet.engine.training.run import TrainingRun
from napari_unet.files.images import read_labels, write_image, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]

FAST_TRAINING = ["--batch-size", "1", "--patch-size", "16", "--validation-interval", "1"]
FAST_TRAINING += ["--precision", "float32", "--device", "cpu"]
ONE_STEP = [*FAST_TRAINING, "--steps", "1"]


def test_training_from_a_model_writes_one_that_knows_its_history(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "mine"), "--from", model]
    words += [*FAST_TRAINING, "--steps", "2", "--validation-fraction", "0.34", "--licence", "CC0"]

    assert main(words) == 0

    description = load_checkpoint(tmp_path / "mine.safetensors").description
    assert (description.name, description.licence) == ("mine", "CC0")
    assert description.history[-1]["steps"] == 2
    assert description.history[-1]["started_from"] == "bright"
    assert description.metrics["held-out images"].endswith("too few for a figure")
    assert description.summary.startswith("'bright', trained further on 2 images with 4 cells: '")
    out, error = output.read()
    assert "2 images with 4 cells to learn from" in out
    assert "1 image held out: " in out
    assert "step 2 of 2: loss " in out
    assert re.search(r"held-out images: \d of 2 found.* at IoU 0.5, too few for a figure", out)
    assert "What it learned is not better than 'bright', which stays" in out
    assert error.startswith(
        "napari-unet: The network has hardly learned: at least 30 steps are needed, and it took 2; "
        "train further: napari-unet train "
    )
    assert error.endswith("--resume\n")
    assert f"to train further by --resume -> {tmp_path / 'mine.resume'} (may be deleted)" in out


def test_new_model_takes_its_channels_from_the_images_and_its_shape_from_the_options(
    tmp_path: Path, training_folders: list[str]
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "new.safetensors"), *FAST_TRAINING]
    words += ["--steps", "1", "--base-width", "2", "--depth", "1", "--two-classes"]

    assert main(words) == 0

    config = load_checkpoint(tmp_path / "new.safetensors").description.architecture
    assert (config.base_width, config.depth, config.in_channels, config.classes) == (2, 1, 1, 2)


@pytest.mark.parametrize("by_file", [True, False])
def test_a_new_3d_model_leaves_slices_apart_as_far_as_voxels_are_high(
    tmp_path: Path, cells_image: Pixels, cells_labels: Pixels, by_file: bool
) -> None:
    size = (4, 1, 1) if by_file else None
    write_image(tmp_path / "a.tif", cells_image(3, 24, 32), "ZYX", pixel_size_um=size)
    write_labels(tmp_path / "l.tif", cells_labels(3, 24, 32))
    words = ["train", str(tmp_path / "a.tif"), str(tmp_path / "l.tif"), "--ndim", "3"]
    words += ["-o", str(tmp_path / "m"), "--base-width", "2", "--depth", "2", *ONE_STEP]
    words += [] if by_file else ["--voxel-size", "2,0.5,0.5"]

    assert main(words) == 0

    description = load_checkpoint(tmp_path / "m.safetensors").description
    assert description.anisotropy == pytest.approx(4)
    assert description.architecture.flat_levels == 2


@pytest.mark.parametrize("size", ["2", "2,1", "2,1,x", "0,1,1", "2,1,inf"])
def test_what_is_no_voxel_size_is_refused(tmp_path: Path, output: Output, size: str) -> None:
    words = ["train", str(tmp_path), str(tmp_path), "-o", str(tmp_path / "m")]
    with pytest.raises(SystemExit):
        main([*words, "--voxel-size", size])
    assert f"'{size}' is no size of a voxel; give micrometres along Z, Y and X" in output.read()[1]


def test_a_new_3d_model_is_told_with_the_size_of_its_patches(
    tmp_path: Path,
    output: Output,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image(3, 24, 32), photometric="minisblack")
    write_labels(tmp_path / "l.tif", cells_labels(3, 24, 32))
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--ndim", "3"]
    words += ["--base-width", "2", "--depth", "1", "--batch-size", "64", "--steps", "1"]

    assert main([*words, "--device", "cpu"]) == 0

    assert load_checkpoint(tmp_path / "m.safetensors").description.architecture.ndim == 3
    out, error = output.read()
    assert (
        "a new 3-D network (U-Net, base width 2, depth 1, same convolutions) that reads 1 channel "
        "and learns background, cell, border"
    ) in out
    assert "Patches have 4 x 24 x 32 voxels, 64 in a batch; a step takes about" in error


def test_of_a_volume_only_the_slices_that_are_named_teach(
    tmp_path: Path,
    output: Output,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    image = save_image(tmp_path / "a.tif", cells_image(16, 24, 32), photometric="minisblack")
    labels = np.zeros((16, 24, 32), np.uint16)
    labels[[2, 9]] = cells_labels(24, 32)
    write_labels(tmp_path / "l.tif", labels)
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--ndim", "3"]
    words += ["--base-width", "2", "--depth", "1", "--steps", "1", "--device", "cpu"]

    assert main(words) == 0
    assert "Only 2 of 16 slices of 'a.tif' show labels" in output.read()[1]
    assert main([*words, "--overwrite", "--slices", "3,10"]) == 0
    assert "slices of 'a.tif' show labels" not in output.read()[1]
    settings = load_checkpoint(tmp_path / "m.safetensors").description.history[-1]["settings"]
    assert settings["batch_size"] == 2
    assert settings["augmentation"]["elastic_sigma_px"] == 3
    assert main([*words, "--overwrite", "--slices", "3,17"]) == 1
    assert "'a.tif' has no slice 17, counted from 1; it has 16" in output.read()[1]
    assert main([*words, "--overwrite", "--slices", "4"]) == 1
    assert "slices with labels, counted from 1: 3, 10." in output.read()[1]
    assert main([*words, "--overwrite", "--slices", "3,10", "--ndim", "2"]) == 1
    assert "leave the slices out, or train a 3-D network" in output.read()[1]


def scribbled(tmp_path: Path) -> list[str]:
    image = (np.arange(48 * 48).reshape(48, 48) % 61).astype(np.uint8)
    labels = np.zeros((48, 48), np.int32)
    image[:24] += 150
    labels[5:8, 5:40], labels[30:33, 5:40] = 1, 2
    write_labels(tmp_path / "a.tif", image.astype(np.int32))
    write_labels(tmp_path / "l.tif", labels)
    return ["train", str(tmp_path / "a.tif"), str(tmp_path / "l.tif"), "-o", str(tmp_path / "m")]


def test_scribbled_classes_begin_a_model_with_their_names(tmp_path: Path, output: Output) -> None:
    words = [*scribbled(tmp_path), *ONE_STEP, "--base-width", "2", "--depth", "1"]

    assert main([*words, "--class-names", "gland, fat"]) == 0

    description = load_checkpoint(tmp_path / "m.safetensors").description
    assert description.class_roles == ("gland", "fat")  # what is not painted is no background
    out, _ = output.read()
    assert "1 image with 2 classes to learn from" in out
    assert "reads 1 channel and learns gland, fat" in out

    assert main([*words, "--overwrite", "--label-kind", "classes", "--unlabelled", "reviewed"]) == 0
    description = load_checkpoint(tmp_path / "m.safetensors").description
    assert description.class_roles == ("class 1", "class 2", "background")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--class-names", "cell,fat"], "'cell' cannot be the name of a class"),
        (["--label-kind", "cells", "--class-names", "a,b"], "leave out --label-kind cells"),
        (
            ["--label-kind", "classes", "--two-classes"],
            "--two-classes is of models that tell cells",
        ),
        (["--label-kind", "classes", "--from", "nuclei"], "keeps its shape and its classes"),
    ],
)
def test_classes_that_make_no_sense_are_refused(
    tmp_path: Path, output: Output, options: list[str], told: str
) -> None:
    assert main([*scribbled(tmp_path), *ONE_STEP, *options]) == 1
    assert told in output.read()[1]


def test_stacks_teach_a_2d_model_slice_by_slice(
    tmp_path: Path,
    model: str,
    output: Output,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    stack = cells_image(3, 24, 32)
    image = save_image(tmp_path / "a.tif", stack, photometric="minisblack")
    write_labels(tmp_path / "l.tif", cells_labels(3, 24, 32) == 1)
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert "3 images with 3 cells" in output.read()[0]


def history_of(path: Path) -> dict[str, Any]:
    return load_checkpoint(path).description.history[-1]


def test_going_on_from_a_model_ends_by_itself_unless_steps_or_seconds_are_given(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, *FAST_TRAINING, "--overwrite"]
    words += ["-o", str(tmp_path / "m"), "--from", model]

    assert main([*words, "--seconds", "0.5"]) == 0
    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert settings["seconds"] == 0.5
    assert settings["keep_knowledge"] > 0
    assert not settings["adapt_norms"]

    assert main([*words, "--steps", "1"]) == 0
    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert (settings["steps"], settings["seconds"], settings["patience"]) == (1, None, 0)

    # Nothing is learned, so that the loss is level from the start.
    level = ["--learning-rate", "1e-9", "--patience", "3", "--validation-fraction", "0"]
    assert main([*words, *level]) == 0
    history = history_of(tmp_path / "m.safetensors")
    assert history["ended"] == "levelled off"
    assert 6 <= history["steps"] < 300
    out, _ = output.read()
    assert f"model after {history['steps']} steps, as the loss has levelled off -> " in out
    assert "to go at most; it may end earlier" in out
    assert "step 30 of at most 300: loss " in out or history["steps"] < 30

    # And it is trained further, for as long again.
    assert main([*words, *level, "--resume"]) == 0
    assert history_of(tmp_path / "m.safetensors")["steps"] >= history["steps"] + 6


def test_seconds_alone_end_the_training_of_a_new_model(
    tmp_path: Path, training_folders: list[str], output: Output
) -> None:
    words = ["train", *training_folders, "-o", str(tmp_path / "m"), *FAST_TRAINING]

    assert main([*words, "--base-width", "2", "--depth", "1", "--seconds", "0.2"]) == 0

    settings = history_of(tmp_path / "m.safetensors")["settings"]
    assert settings["seconds"] == 0.2
    assert settings["steps"] > 1000
    assert re.search(r"step \d+ after \d s: loss", output.read()[0])


def test_unlabelled_pixels_are_ignored_where_it_is_asked_for(
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    labels = cells_labels()
    labels[0, 0] = 9
    image = save_image(tmp_path / "a.png", cells_image())
    write_labels(tmp_path / "l.tif", labels)
    words = ["train", image, str(tmp_path / "l.tif"), "-o", str(tmp_path / "m"), "--from", model]
    words += [*FAST_TRAINING, "--steps", "1", "--unlabelled", "ignore", "--background-label", "9"]
    learned: list[Any] = []
    original = TrainingRun.__init__

    def note(run: TrainingRun, pairs: Any, *arguments: Any, **options: Any) -> None:
        learned.extend(pairs)
        original(run, pairs, *arguments, **options)

    monkeypatch.setattr(TrainingRun, "__init__", note)

    assert main(words) == 0

    (pair,) = learned
    assert pair.labels.max() == 2
    assert pair.reviewed[0, 0]
    assert pair.reviewed[cells_labels() > 0].all()
    assert not pair.reviewed[-1, -1]

    assert main([*words, "--overwrite", "--ring", "0"]) == 0

    assert np.array_equal(learned[1].reviewed, labels > 0)


def test_few_images_say_that_nothing_is_held_out(output: Output, train_words: list[str]) -> None:
    assert main([*train_words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert "Nothing is held out, as 6 cells in 3 images are too few" in output.read()[0]


def test_memory_that_runs_out_is_noted_once(
    output: Output, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    original = Learner._accumulate

    def refuse_two(learner: Learner, batch: Any) -> float:
        if learner.part_size > 1:
            raise MemoryError
        return original(learner, batch)

    monkeypatch.setattr(Learner, "_accumulate", refuse_two)

    assert main([*train_words, *FAST_TRAINING, "--batch-size", "2", "--steps", "2"]) == 0

    error = output.read()[1]
    assert error.count("so it is computed in parts of 1;") == 1


def test_training_that_diverges_leaves_the_last_good_model(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    original = Learner._accumulate
    losses: list[float] = []

    def diverge(learner: Learner, batch: Any) -> float:
        losses.append(original(learner, batch))
        return losses[-1] if len(losses) < 3 else float("nan")

    monkeypatch.setattr(Learner, "_accumulate", diverge)

    assert main([*train_words, *FAST_TRAINING, "--steps", "4"]) == 1

    assert "The loss became nan at step 3; the best state so far is kept." in output.complaint()
    assert history_of(tmp_path / "m.safetensors")["steps"] == 2


def test_images_without_labels_are_left_out_and_named(
    tmp_path: Path,
    output: Output,
    cells_image: Pixels,
    save_image: Callable[..., str],
    train_words: list[str],
) -> None:
    save_image(tmp_path / "images" / "new.png", cells_image())

    assert main([*train_words, *FAST_TRAINING, "--steps", "1"]) == 0

    assert "napari-unet: 1 image left out, without a label image: new.png.\n" in output.read()[1]


def test_model_that_exists_is_never_overwritten_unasked(
    model: str, training_folders: list[str], output: Output
) -> None:
    before = Path(model).read_bytes()

    assert main(["train", *training_folders, "-o", model, *FAST_TRAINING, "--steps", "1"]) == 1

    assert "bright.safetensors' exists already; choose another name" in output.complaint()
    assert Path(model).read_bytes() == before


def test_shape_of_a_model_that_is_trained_on_cannot_be_changed(
    output: Output, train_words: list[str]
) -> None:
    assert main([*train_words, "--depth", "3"]) == 1

    assert "keeps its shape and its classes; leave out --from to make" in output.complaint()


def stop_at_step(monkeypatch: pytest.MonkeyPatch, step: int, stop: Callable[[], None]) -> None:
    original = TrainingRun.__next__

    def stop_then_go_on(run: TrainingRun) -> TrainingReport:
        if run.step == step:
            stop()
        return original(run)

    monkeypatch.setattr(TrainingRun, "__next__", stop_then_go_on)


def weights_of(path: Path) -> Iterator[torch.Tensor]:
    return iter(load_checkpoint(path).unet.state_dict().values())


@pytest.fixture
def _ctrl_c_arrives() -> Iterator[None]:
    """Behind `nohup ... &` a process is started with SIGINT ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_arrives")
def test_ctrl_c_writes_the_best_model_and_resuming_ends_as_if_never_stopped(
    tmp_path: Path,
    model: str,
    training_folders: list[str],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def words(name: str) -> list[str]:
        given = ["train", *training_folders, "-o", str(tmp_path / name), "--from", model]
        return [*given, *FAST_TRAINING, "--steps", "4"]

    assert main(words("through")) == 0
    output.read()

    with monkeypatch.context() as patch:
        stop_at_step(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        assert main(words("stopped")) == 130

    out, error = output.read()
    assert "model after 2 steps -> " in out
    assert "stopping after this step" in error
    assert "stopped after step 2. The network has hardly learned: at least 30 steps" in error
    assert "To go on: napari-unet train " in error
    assert error.strip().endswith("--resume")
    assert load_checkpoint(tmp_path / "stopped.safetensors").description.history[-1]["steps"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert main(words("stopped")) == 1
    assert "is left of a training; go on with it by --resume" in output.complaint()

    assert main([*words("stopped"), "--resume"]) == 0
    through, resumed = tmp_path / "through.safetensors", tmp_path / "stopped.safetensors"
    assert all(map(torch.equal, weights_of(through), weights_of(resumed)))


def test_model_is_written_before_its_thresholds_are_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "tuned", interrupt)
    train_words += FAST_TRAINING

    assert main([*train_words, "--steps", "1", "--validation-fraction", "0.34"]) == 130

    assert load_checkpoint(tmp_path / "m.safetensors").description.name == "m"


def test_interruption_in_the_middle_of_a_step_still_writes_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stop_at_step(monkeypatch, 1, interrupt)
    train_words += FAST_TRAINING

    assert main([*train_words, "--steps", "3"]) == 130

    assert load_checkpoint(tmp_path / "m.safetensors").description.history[-1]["steps"] == 1
    assert list(tmp_path.glob(".*")) == []


def test_resume_without_a_stopped_training_says_so(output: Output, train_words: list[str]) -> None:
    train_words += ["--resume"]

    assert main(train_words) == 1

    assert "There is no training" in output.complaint()


def test_labels_that_do_not_fit_their_image_are_named(
    tmp_path: Path, output: Output, cells_labels: Pixels, train_words: list[str]
) -> None:
    write_labels(tmp_path / "labels" / "1_masks.tif", cells_labels(20, 32), overwrite=True)

    assert main([*train_words, *FAST_TRAINING]) == 1

    assert "'1.png' has 24 x 32 pixels but its labels have 20 x 32" in output.complaint()
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(("validation", "interval"), [("0", "1000"), ("0.34", "2")])
def test_what_a_kill_leaves_of_a_training_is_offered_and_goes_on(
    tmp_path: Path, output: Output, validation: str, interval: str, train_words: list[str]
) -> None:
    train_words += FAST_TRAINING
    train_words += ["--validation-fraction", validation, "--validation-interval", interval]
    code = f"from napari_unet.cli import main; main({[*train_words, '--steps', '1000000']!r})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "m.resume").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    assert process.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert not (tmp_path / "m.safetensors").exists()

    assert main([*train_words, "--steps", "1"]) == 1
    assert "is left of a training; go on with it by --resume" in output.complaint()
    # The step that was saved is at or beyond this one.
    assert main([*train_words, "--steps", "3", "--resume"]) == 0
    assert load_checkpoint(tmp_path / "m.safetensors").description.history[-1]["steps"] >= 2
    assert not (tmp_path / "m.lock").exists()


def test_the_state_of_an_earlier_training_is_gone_with_the_first_step_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    state = tmp_path / "m.resume"
    state.write_bytes(b"of an earlier training")
    train_words += FAST_TRAINING
    seen: list[bytes] = []
    stop_at_step(monkeypatch, 2, lambda: seen.append(state.read_bytes()))

    assert main([*train_words, "--steps", "3", "--overwrite"]) == 0

    assert len(seen) == 1
    assert seen[0] != b"of an earlier training"


def test_a_state_that_cannot_be_saved_is_told_and_costs_nothing(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointError("The disk is full.")

    monkeypatch.setattr(TrainingRun, "save_state", fail)
    train_words += FAST_TRAINING

    assert main([*train_words, "--steps", "2", "--validation-interval", "1"]) == 0

    assert "The disk is full. The training goes on without being saved." in output.read()[1]
    assert load_checkpoint(tmp_path / "m.safetensors").description.history[-1]["steps"] == 2


def test_a_model_that_cannot_be_written_is_kept_elsewhere(
    tmp_path: Path,
    model: str,
    training_folders: list[str],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = safetensors.torch.save_file

    def full(weights: Any, path: Path, metadata: Any) -> None:
        if path.parent == tmp_path / "out":
            raise SafetensorError("Error while serializing: I/O error: No space (os error 28)")
        original(weights, path, metadata)

    monkeypatch.setattr("napari_unet.engine.models.checkpoint.save_file", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["train", *training_folders, "-o", str(tmp_path / "out" / "m"), "--from", model]

    assert main([*words, *ONE_STEP]) == 1

    complaint = output.read()[1]
    assert "The disk is full, '" in complaint
    kept = complaint.rstrip().split("The model is kept in '")[1].removesuffix("'.")
    assert load_checkpoint(Path(kept)).description.name == "m"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.resume"]


def test_two_trainings_do_not_write_one_file(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch, train_words: list[str]
) -> None:
    train_words += FAST_TRAINING
    train_words += ["--steps", "2", "--overwrite"]
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "m.safetensors")
    linked = [
        str(tmp_path / "link") if word == str(tmp_path / "m") else word for word in train_words
    ]
    statuses: list[int] = []
    with monkeypatch.context() as patch:
        stop_at_step(patch, 1, lambda: statuses.extend([main(train_words), main(linked)]))
        assert main(train_words) == 0

    assert statuses == [1, 1]
    assert output.read()[1].count("Another training is writing '") == 2
    assert not (tmp_path / "m.lock").exists()
    assert main(train_words) == 0


@pytest.mark.usefixtures("_ctrl_c_arrives")
def test_going_on_with_other_images_is_refused_unless_it_is_wanted(
    tmp_path: Path,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    cells_labels: Pixels,
    train_words: list[str],
) -> None:
    train_words += FAST_TRAINING
    train_words += ["--steps", "3"]
    with monkeypatch.context() as patch:
        stop_at_step(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        assert main(train_words) == 130
    labels = cells_labels()
    labels[20:23, 1:4] = 3
    write_labels(tmp_path / "labels" / "0_masks.tif", labels, overwrite=True)
    output.read()

    assert main([*train_words, "--resume"]) == 1
    assert "give the same ones, or go on with these by --other-images" in output.read()[1]
    assert (tmp_path / "m.resume").exists()

    assert main([*train_words, "--resume", "--other-images"]) == 0
    assert "goes on with other images or labels than it was begun with" in output.read()[1]


def test_images_and_masks_in_one_folder_are_paired_by_their_names(
    tmp_path: Path,
    model: str,
    output: Output,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    (tmp_path / "d").mkdir()
    folder = str(tmp_path / "d")
    for name in ("a.tif", "b.tif"):
        save_image(tmp_path / "d" / name, cells_image())
    write_labels(tmp_path / "d" / "a_cp_masks.tif", cells_labels())
    words = ["train", folder, folder, "-o", str(tmp_path / "m"), "--from", model, *ONE_STEP]

    assert main(words) == 0

    out, error = output.read()
    assert "1 image with 2 cells to learn from" in out
    assert "1 image left out, without a label image: b.tif." in error


def test_channels_that_the_file_does_not_tell_are_told_by_an_option(
    tmp_path: Path,
    output: Output,
    cells_image: Pixels,
    cells_labels: Pixels,
    save_image: Callable[..., str],
) -> None:
    stack = np.stack([cells_image(), cells_image()])
    image = save_image(tmp_path / "image.tif", stack, photometric="minisblack")
    write_labels(tmp_path / "labels.tif", cells_labels())
    words = ["train", image, str(tmp_path / "labels.tif"), "-o", str(tmp_path / "m"), *ONE_STEP]

    assert main(words) == 1
    assert output.complaint() == (
        f"'{image}' has shape (2, 24, 32) and its labels (24, 32); if its axis 0 counts channels, "
        "say so (--channel-axis 0)."
    )
    assert main([*words, "--channel-axis", "5"]) == 1
    assert f"'{image}' has shape (2, 24, 32) and no axis 5" in output.complaint()
    assert main([*words, "--channel-axis", "0", "--depth", "1", "--base-width", "2"]) == 0
    description = load_checkpoint(tmp_path / "m.safetensors").description
    assert description.architecture.in_channels == 2


def test_labels_that_segment_made_and_nobody_changed_are_questioned(
    tmp_path: Path, model: str, training_folders: list[str], output: Output
) -> None:
    images = training_folders[0]
    assert main(["segment", images, "-o", str(tmp_path / "found"), "--model", model]) == 0
    output.read()
    words = ["train", images, str(tmp_path / "found"), "--from", model, *ONE_STEP]

    assert main([*words, "-o", str(tmp_path / "mine")]) == 0
    _, error = output.read()
    assert "label images hold the cells that a model has found, and nobody has changed" in error

    # One pixel more, by whichever program, and somebody has looked.
    for path in (tmp_path / "found").glob("*.tif"):
        file = read_labels(path)
        changed = file.array.copy()
        changed[20:22, 2:4] = changed.max() + 1
        write_labels(path, changed, notes=file.notes, overwrite=True)
    assert main([*words, "-o", str(tmp_path / "other")]) == 0
    assert "nobody has changed" not in output.read()[1]


def test_only_cells_that_were_looked_over_are_learned_where_it_is_asked_for(
    tmp_path: Path, output: Output
) -> None:
    labels = np.zeros((32, 32), np.int32)
    labels[5:15, 5:15], labels[20:30, 20:30] = 1, 2
    image = np.where(labels > 0, 100, 20) + np.random.default_rng(0).normal(0, 5, labels.shape)
    write_labels(tmp_path / "images" / "a.tif", image.astype(np.int32))
    file = tmp_path / "labels" / "a.ome.tif"
    words = ["train", str(tmp_path / "images"), str(tmp_path / "labels"), "-o"]
    words += [str(tmp_path / "m.safetensors"), "--only-seen", "--steps", "1", "--no-checks"]
    words += ["--depth", "1", "--base-width", "2", "--patch-size", "16", "--batch-size", "1"]
    write_labels(file, labels)
    assert main(words) == 1
    assert "was marked right or corrected; look cells over" in output.complaint()
    write_labels(file, labels, notes={"looked over": {"right": [2], "wrong": [1]}}, overwrite=True)
    assert main(words) == 0
