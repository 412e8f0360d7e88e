"""`napari-unet journal` as a user meets it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.files.images import read_labels
from napari_unet.versions import journal as journal_module
from napari_unet.versions.journal import Correction, JournalWriter

Output = Any


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Labels that were corrected and not saved, and the journal of others that are in no file."""
    note = {**journal_module.process_note(), "process_started": 1.0}
    monkeypatch.setattr(journal_module, "process_note", lambda: note)
    file, labels = tmp_path / "cells.tif", np.zeros((6, 8), np.int32)
    labels[2:4, 2:5] = 7
    writing = {"axes": "YX", "pixel_size_um": [0.5, 0.5], "notes": {"model": "nuclei"}}
    for writer in (JournalWriter(file), JournalWriter()):
        writer.corrections += [
            Correction("2026-01-02T03:04:05+00:00", "split", (3,), (3, 7), ((0, 5), (2, 8))),
            Correction("2026-01-02T03:04:09+00:00", "delete", (3,), (), ((0, 2), (2, 8))),
        ]
        writer.save(labels, name="cells", marks={7: "right"}, writing=writing)
    return file


def test_steps_are_listed_and_labels_are_written(
    tmp_path: Path, left: Path, output: Output
) -> None:
    out = tmp_path / "restored.ome.tif"
    assert main(["journal", str(left), "-o", str(out)]) == 0
    told, _ = output.read()
    head, split, delete, end = told.splitlines()
    assert head.startswith("'cells': 2 steps and 1 mark, the last at 20")
    assert split == "2026-01-02T03:04:05+00:00  split  3 -> 3, 7  in 0:5, 2:8"
    assert delete == "2026-01-02T03:04:09+00:00  delete  3 -> background  in 0:2, 2:8"
    assert "the journal is as it was" in end
    found = read_labels(out)
    assert np.unique(found.array).tolist() == [0, 7]
    assert found.pixel_size_um == (0.5, 0.5)
    assert found.notes == {"model": "nuclei", "looked over": {"right": [7]}}
    assert main(["journal", str(left), "-o", str(out)]) == 1
    assert "exists" in output.complaint()


def test_without_a_file_those_of_the_data_folder_are_listed(left: Path, output: Output) -> None:
    assert main(["journal"]) == 0
    told, _ = output.read()
    (line,) = told.splitlines()
    path = line.split("  ")[0]
    assert main(["journal", path]) == 0
    Path(path).unlink()
    output.read()
    assert main(["journal"]) == 0
    assert "No journal was left" in output.read()[0]


def test_a_file_without_a_journal_is_told(tmp_path: Path, output: Output) -> None:
    assert main(["journal", str(tmp_path / "other.tif")]) == 1
    assert "There is no journal" in output.complaint()
