"""Trainings in a queue on the command line: added, done before the images that wait for them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_unet.batch.queue import Queue
from napari_unet.cli import main
from napari_unet.engine.models.checkpoint import load_checkpoint

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

FAST = ["--batch-size", "1", "--patch-size", "16", "--validation-interval", "0"]
FAST += ["--precision", "float32", "--steps", "2", "--validation-fraction", "0"]
NEW = [*FAST, "--base-width", "2", "--depth", "1", "--two-classes", "--licence", "CC0"]


@pytest.fixture
def queue_training(
    tmp_path: Path, training_folders: list[str], output: Output
) -> Callable[..., str]:
    """Adds a training to the queue `out`, and returns what is said of it."""

    def add(*words: str) -> str:
        out = ["-o", str(tmp_path / "mine"), "--queue", str(tmp_path / "out")]
        assert main(["train", *training_folders, *out, *words]) == 0
        return str(output.read()[0])

    return add


def segment(tmp_path: Path, *words: str) -> int:
    model = str(tmp_path / "mine.safetensors")
    out = ["-o", str(tmp_path / "out"), "--device", "cpu"]
    return main(["segment", str(tmp_path / "images"), *out, "--model", model, *words])


def test_images_that_wait_for_a_model_are_segmented_once_its_training_is_done(
    tmp_path: Path, queue_training: Callable[..., str], output: Output
) -> None:
    told = queue_training(*NEW)
    assert "Training of mine waits in the queue in" in told
    assert f"napari-unet segment --continue -o {tmp_path / 'out'}" in told
    assert not (tmp_path / "mine.safetensors").exists()

    assert segment(tmp_path, "--measure") == 0

    said, _ = output.read()
    lines = said.splitlines()
    assert lines[0].startswith("Training of mine: 2 steps in ")
    assert str(tmp_path / "mine.safetensors") in lines[0]
    assert sorted(line.split(":")[0] for line in lines[1:]) == ["0.png", "1.png", "2.png"]
    description = load_checkpoint(tmp_path / "mine.safetensors").description
    assert (description.name, description.licence) == ("mine", "CC0")
    assert description.history[-1]["steps"] == 2
    (entry,) = Queue.read(tmp_path / "out").trainings
    assert any("has hardly learned" in each for each in entry.outcome.warnings)
    with (tmp_path / "out" / "summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["output"] for row in rows] == ["0.tif", "1.tif", "2.tif"]
    assert "mean_doubt" in rows[0]

    # The model is there by now, and is still the one that was meant.
    assert segment(tmp_path, "--measure") == 0
    assert "3 images of 3 left out, done before" in output.read()[1]
    assert "is done already" in queue_training(*NEW)


def test_a_refused_training_is_told_and_images_that_wait_for_it_say_so(
    tmp_path: Path, model: str, queue_training: Callable[..., str], output: Output
) -> None:
    queue_training(*FAST, "--from", model)

    assert segment(tmp_path) == 1

    said, error = output.read()
    refused = "What it learned is not better than 'bright', which stays: "
    assert refused in said
    assert not (tmp_path / "mine.safetensors").exists()
    assert error.count(f"It waits for the model 'mine', which was not made: {refused}") == 3
    assert "3 of 4 jobs failed" in error
    assert main(["segment", "--continue", "-o", str(tmp_path / "out")]) == 1
    assert "1 of 4 jobs are done; going on with what waits." in output.read()[1]


def test_a_model_that_was_changed_since_its_training_segments_nothing(
    tmp_path: Path, model: str, queue_training: Callable[..., str], output: Output
) -> None:
    queue_training(*NEW)
    assert main(["segment", "--continue", "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    (tmp_path / "mine.safetensors").write_bytes(Path(model).read_bytes())
    output.read()

    assert segment(tmp_path) == 1
    said = output.read()[1]
    assert said.count("The model 'mine' is not the file that the training of this queue has") == 3


def test_another_training_of_that_name_and_resume_are_refused(
    tmp_path: Path,
    training_folders: list[str],
    queue_training: Callable[..., str],
    output: Output,
) -> None:
    queue_training(*NEW)
    words = ["train", *training_folders, "-o", str(tmp_path / "mine")]
    words += [*NEW, "--queue", str(tmp_path / "out")]
    assert main([*words, "--seed", "3"]) == 1
    assert "The queue has another training into '" in output.complaint()
    assert main([*words, "--seed", "3", "--overwrite"]) == 0
    (entry,) = Queue.read(tmp_path / "out").trainings
    assert entry.plan.settings.seed == 3
    output.read()
    assert main([*words, "--resume"]) == 1
    assert "one of a queue goes on by itself" in output.complaint()
