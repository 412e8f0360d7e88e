"""A queue that was stopped, killed or left goes on, and no two processes work on it."""

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.batch.queue import Queue
from napari_unet.cli import main
from napari_unet.files.images import read_labels, write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


@pytest.fixture
def folder(tmp_path: Path, cells_image: Pixels, save_image: Callable[..., str]) -> Path:
    """Four images of two cells."""
    (tmp_path / "in").mkdir()
    for number in range(4):
        save_image(tmp_path / "in" / f"{number}.tif", np.roll(cells_image(), number, axis=1))
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def segment(out: Path, model: str) -> Callable[..., int]:
    """Runs the command into the folder `out`."""

    def run(*words: object) -> int:
        return main(["segment", *map(str, words), "-o", str(out), "--model", model])

    return run


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.tif")}


def states(out: Path) -> list[str]:
    return [each.state for each in Queue.read(out).entries]


def test_the_same_command_does_only_what_is_new_or_was_not_done(
    folder: Path, out: Path, segment: Callable[..., int], output: Output, cells_image: Pixels
) -> None:
    assert segment(folder) == 0
    before = written(out)
    (out / "1.tif").unlink()
    tifffile.imwrite(folder / "4.tif", cells_image())
    output.read()

    assert segment(folder) == 0

    said, error = output.read()
    assert [line.split(":")[0] for line in sorted(said.splitlines())] == ["1.tif", "4.tif"]
    assert "3 images of 5 left out, done before with this model and settings." in error
    after = written(out)
    assert {name for name in before if after[name] != before[name]} == {str(out / "1.tif")}
    assert segment(folder) == 0
    assert written(out) == after


def test_an_image_that_was_changed_is_not_taken_as_done(
    folder: Path, segment: Callable[..., int], output: Output, cells_image: Pixels
) -> None:
    assert segment(folder) == 0
    tifffile.imwrite(folder / "2.tif", cells_image()[:20])
    output.read()

    assert segment(folder) == 1
    assert "1 output file already exists" in output.complaint()


def test_continue_takes_images_model_and_settings_from_the_queue(
    folder: Path, out: Path, segment: Callable[..., int], output: Output
) -> None:
    bad = folder / "2.tif"
    good = bad.read_bytes()
    bad.write_text("no image")
    assert segment(folder, "--min-size", "10", "--measure") == 1
    assert states(out) == ["done", "done", "failed", "done"]
    bad.write_bytes(good)
    output.read()

    assert main(["segment", "--continue", "-o", str(out)]) == 0

    said, error = output.read()
    assert said.startswith("2.tif: 1 cell in ")
    assert "3 of 4 images are done; going on with what waits." in error
    assert states(out) == ["done"] * 4
    with (out / "measurements" / "2.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert 0 < float(row["score"]) <= 1
    assert 0 <= float(row["doubt"]) <= 1
    # Those of the file, which knows the cells again.
    assert main(["measure", str(out / "2.tif"), "-o", str(out / "again.csv")]) == 0
    with (out / "again.csv").open(newline="") as stream:
        (again,) = csv.DictReader(stream)
    assert (again["score"], again["doubt"]) == (row["score"], row["doubt"])
    rows = (out / "summary.csv").read_text().splitlines()
    assert [row.split(",")[2:4] for row in rows[1:]] == [[f"{n}.tif", "1"] for n in range(4)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--min-size", "3"], "takes images, model and settings from the queue; leave out --min-"),
        (["more.tif"], "leave out 'more.tif', or give the images with their options and without"),
        ([], "There is no queue in '"),
    ],
)
def test_what_continue_cannot_do_is_explained(
    out: Path, output: Output, words: list[str], sentence: str
) -> None:
    assert main(["segment", *words, "--continue", "-o", str(out)]) == 1
    assert sentence in output.complaint()


def test_no_images_at_all_are_asked_for(out: Path, output: Output) -> None:
    assert main(["segment", "-o", str(out)]) == 1
    assert output.complaint().startswith("No images were given; name files or folders, or go on")


def test_a_model_that_was_changed_does_not_go_on_with_the_queue_of_the_old_one(
    folder: Path, out: Path, model: str, segment: Callable[..., int], output: Output
) -> None:
    assert segment(folder) == 0
    (out / "0.tif").unlink()
    with Path(model).open("ab") as file:
        file.write(b"\0")
    output.read()

    assert main(["segment", "--continue", "-o", str(out)]) == 1
    assert "is not the file with which this queue was begun" in output.read()[1]


def test_what_was_corrected_stays_and_overwriting_does_all_again(
    folder: Path, out: Path, segment: Callable[..., int]
) -> None:
    assert segment(folder) == 0
    corrected = read_labels(out / "1.tif")
    write_labels(out / "1.tif", corrected.array * 0, notes=corrected.notes, overwrite=True)
    (out / "2.tif").unlink()

    assert segment(folder) == 0
    assert read_labels(out / "1.tif").array.max() == 0
    assert segment(folder, "--overwrite") == 0
    assert read_labels(out / "1.tif").array.max() == 2


def test_labels_that_were_corrected_after_a_kill_are_not_written_again(
    folder: Path, out: Path, segment: Callable[..., int]
) -> None:
    assert segment(folder, "--overwrite") == 0
    file = read_labels(out / "1.tif")
    write_labels(out / "1.tif", file.array * 0, notes=file.notes, overwrite=True)
    # As it is when the labels were written and the queue not yet.
    values = json.loads((out / "queue.json").read_text())
    values["entries"][1]["state"] = "waiting"
    (out / "queue.json").write_text(json.dumps(values))

    assert main(["segment", "--continue", "-o", str(out)]) == 0

    assert states(out) == ["done"] * 4
    assert read_labels(out / "1.tif").array.max() == 0


_KILLED = """
import os, signal, sys
from pathlib import Path
from napari_unet.cli import main
from napari_unet.cli.commands import segment  # before the forks: it takes seconds
words, out, most = sys.argv[4:], sys.argv[1], int(sys.argv[2])
replace = Path.replace
for number in range(1, most):
    for after in (False, True):
        child = os.fork()
        if child == 0:
            left = [number]
            def killed(self, target):
                left[0] -= 1
                if left[0] == 0 and after:
                    replace(self, target)
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return replace(self, target)
            Path.replace = killed
            sys.stdout = sys.stderr = open(os.devnull, "w")
            os._exit(main(words))
        print(os.waitpid(child, 0)[1], flush=True)
sys.exit(main(["segment", "--continue", "-o", out]))
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_files(
    tmp_path: Path, folder: Path, model: str
) -> None:
    whole = tmp_path / "whole"
    options = ["--model", model, "--jobs", "1", "--overlay", "--measure"]
    assert main(["segment", str(folder), "-o", str(whole), *options]) == 0
    killed = tmp_path / "killed"
    words = ["segment", str(folder), "-o", str(killed), *options]

    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(killed), "8", "--", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    statuses = [line for line in ended.stdout.splitlines() if line.isdigit()]
    assert len(statuses) == 14
    # Killed by signal 9, until a run had fewer files to write.
    assert statuses[:8] == ["9"] * 8
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert sorted(path.relative_to(killed) for path in killed.rglob("*") if path.is_file()) == names
    for name in names:
        if name.suffix == ".tif":
            one, two = read_labels(whole / name).array, read_labels(killed / name).array
            np.testing.assert_array_equal(one, two)
        elif name.name not in ("queue.json", "summary.csv"):
            assert (whole / name).read_bytes() == (killed / name).read_bytes()
    assert states(killed) == ["done"] * 4


def test_two_processes_do_not_work_on_one_queue(
    folder: Path, out: Path, segment: Callable[..., int], output: Output
) -> None:
    with Queue.held(out, program="napari"):
        assert segment(folder) == 1
        complaint = output.complaint()
        assert (
            f"The queue in '{out}' is being worked on by napari (process {os.getpid()}" in complaint
        )
        assert list(out.glob("*.tif")) == []
    assert segment(folder) == 0


def test_a_full_disk_ends_the_work_and_the_rest_waits(
    folder: Path,
    out: Path,
    segment: Callable[..., int],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, calls = tifffile.imwrite, []

    def fill(stream: Any, *arguments: Any, **options: Any) -> None:
        calls.append(None)
        if len(calls) > 1:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(stream, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tifffile, "imwrite", fill)
        assert segment(folder, "--jobs", "1") == 1

    complaint = output.complaint()
    assert "The disk is full" in complaint
    assert complaint.endswith("1 of 4 images are done; the others wait until you go on.")
    assert sorted(states(out)) == ["done", "waiting", "waiting", "waiting"]
    assert len(list(out.glob("*.tif"))) == 1
    assert segment(folder) == 0
    assert states(out) == ["done"] * 4


def test_a_queue_that_cannot_be_written_is_told_once_and_the_images_are_done(
    folder: Path,
    out: Path,
    segment: Callable[..., int],
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fill)
        assert segment(folder) == 1

    sentence = f"The disk is full, '{out / 'queue.json'}' was not written; make room or choose"
    assert output.complaint().startswith(sentence)
    assert len(list(out.glob("*.tif"))) == 4


@pytest.mark.parametrize("text", ["", "{}", '{"queue": 1, "settings": {}, "images": [{}]}', "[]"])
def test_a_damaged_queue_is_one_sentence(
    folder: Path, out: Path, segment: Callable[..., int], output: Output, text: str
) -> None:
    out.mkdir()
    (out / "queue.json").write_text(text)
    assert segment(folder) == 1
    assert "is damaged or no queue of this plugin; take it away" in output.complaint()


def test_a_queue_of_a_later_version_is_left_alone(
    folder: Path, out: Path, segment: Callable[..., int], output: Output
) -> None:
    out.mkdir()
    (out / "queue.json").write_text('{"queue": 99, "version": "9.0"}')
    assert segment(folder) == 1
    assert "was written by version 9.0 of this plugin" in output.complaint()
