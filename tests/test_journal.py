"""The journal of corrections: written, read, left by a crash, and on a full disk."""

import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.engine.base.errors import CheckpointError, FileError
from napari_unet.versions.journal import (
    Correction,
    JournalWriter,
    journal_folder,
    journal_path,
    left_journals,
    read_journal,
)


def some_labels(shape: tuple[int, ...] = (3, 20, 30), dtype: Any = np.int32) -> Any:
    return np.random.default_rng(0).integers(0, 4, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", ">u2"])
@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (2, 2, 4, 5), (0, 5)])
def test_labels_come_back_as_they_were(tmp_path: Path, shape: Any, dtype: str) -> None:
    labels, writer = some_labels(shape, dtype), JournalWriter(folder=tmp_path)
    writer.corrections.append(
        Correction.now("split", [3], [3, 9], (slice(1, 2), slice(2, 5), slice(0, 4)))
    )
    writer.save(labels, name="cells", marks={3: "right"}, writing={"axes": "ZYX"})
    (path,) = tmp_path.iterdir()
    found = read_journal(path)
    assert np.array_equal(found.labels(), labels)
    assert found.labels().dtype == np.dtype(dtype).newbyteorder("=")
    assert (found.name, found.marks, found.writing) == ("cells", {3: "right"}, {"axes": "ZYX"})
    (step,) = found.corrections
    assert (step.action, step.before, step.after) == ("split", (3,), (3, 9))
    assert step.box == ((1, 2), (2, 5), (0, 4))
    assert step.planes == ((1, 2),)
    assert step.time <= found.date


def test_only_planes_that_may_have_changed_are_looked_at_again(tmp_path: Path) -> None:
    labels, writer = some_labels(), JournalWriter(folder=tmp_path)
    undo = Correction.now("undo or redo", (), (), (slice(0, 3),))
    writer.save(labels, name="cells")
    writer.save(labels, name="cells", changed=[0, 1], untold=undo)
    assert writer.corrections == []
    was = labels.copy()
    labels[0, 0, 0] = labels[2, 0, 0] = 9
    writer.save(labels, name="cells", changed=[2], untold=undo)
    assert writer.corrections == [undo]
    was[2, 0, 0] = 9
    (path,) = tmp_path.iterdir()
    assert np.array_equal(read_journal(path).labels(), was)
    writer.save(labels, name="cells", untold=undo)
    assert writer.corrections == [undo, undo]
    assert np.array_equal(read_journal(path).labels(), labels)
    writer.discard()
    assert not list(tmp_path.iterdir())
    assert writer.corrections == []


def test_it_lies_beside_the_file_of_the_labels_unless_another_does(tmp_path: Path) -> None:
    file, folder = tmp_path / "cells_labels.tif", tmp_path / "data"
    writer = JournalWriter(file, folder=folder)
    writer.save(some_labels(), name="cells")
    assert journal_path(file).exists()
    assert read_journal(file).name == read_journal(str(journal_path(file))).name == "cells"
    JournalWriter(file, folder=folder).save(some_labels(), name="second")
    (other,) = folder.iterdir()
    assert read_journal(other).name == "second"
    assert journal_folder().name == "journals"


def test_a_file_that_was_saved_later_has_the_corrections(tmp_path: Path) -> None:
    file = tmp_path / "cells.tif"
    file.write_bytes(b"")
    writer = JournalWriter(file, folder=tmp_path / "data")
    writer.save(some_labels(), name="cells")
    path = journal_path(file)
    os.utime(file, (1, 1))
    with zipfile.ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    told = json.loads(parts["journal.json"])
    parts["journal.json"] = json.dumps({**told, "process_started": 1.0}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    assert [each.name for each in left_journals(file)] == ["cells"]
    later = path.stat().st_mtime + 10
    os.utime(file, (later, later))
    assert left_journals(file) == []
    JournalWriter(file, folder=tmp_path / "data").save(some_labels(), name="again")
    assert read_journal(file).name == "again"
    assert not (tmp_path / "data").exists()


def test_what_a_process_left_is_found_and_what_one_is_writing_is_not(tmp_path: Path) -> None:
    file = tmp_path / "cells.tif"
    JournalWriter(file).save(some_labels(), name="mine")
    assert left_journals(file) == []
    assert left_journals(folder=tmp_path) == []
    journal_path(file).unlink()
    script = (
        "import sys, numpy as np, os, signal\nfrom pathlib import Path\n"
        "from napari_unet.versions.journal import JournalWriter\n"
        "labels = np.arange(6).reshape(2, 3)\n"
        "JournalWriter(Path(sys.argv[1])).save(labels, name='theirs')\n"
        "os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    (left,) = left_journals(file)
    assert left.name == "theirs"
    assert left.labels().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert left_journals(folder=tmp_path) == [left]
    left.discard()
    assert left_journals(file) == left_journals(folder=tmp_path / "none") == []
    left.discard()


def test_a_full_disk_is_told_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, writer = some_labels(), JournalWriter(folder=tmp_path)
    writer.save(labels, name="cells")
    replace = Path.replace

    def fail(_path: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    was = labels.copy()
    labels[1] = 0
    with pytest.raises(CheckpointError, match=r"is full, so corrections are not kept .*make room"):
        writer.save(labels, name="cells")
    (path,) = tmp_path.iterdir()
    assert np.array_equal(read_journal(path).labels(), was)
    monkeypatch.setattr(Path, "replace", replace)
    writer.save(labels, name="cells")
    assert np.array_equal(read_journal(path).labels(), labels)


def test_what_is_no_journal_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no journal"):
        read_journal(tmp_path / "cells.tif")
    path = tmp_path / "a.journal"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match="is no journal of corrections, or is torn"):
        read_journal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(FileError, match="is no journal of corrections, or is torn"):
        read_journal(path)
    assert left_journals(folder=tmp_path) == []
    path.unlink()
    JournalWriter(folder=tmp_path).save(some_labels(), name="cells")
    (path,) = tmp_path.iterdir()
    with zipfile.ZipFile(path) as archive:
        contents = json.loads(archive.read("journal.json"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("journal.json", json.dumps(contents))
    with pytest.raises(FileError, match="is torn"):
        read_journal(path).labels()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("journal.json", json.dumps({**contents, "form": 2}))
    with pytest.raises(FileError, match="of a later version"):
        read_journal(path)
