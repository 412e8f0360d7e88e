"""Who holds a queue, and who does not hold it any more."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from napari_unet.batch.lock import LOCK, QueueBusyError, QueueLock
from napari_unet.engine.base.errors import FileError


def left_behind(folder: Path, **changes: object) -> Path:
    """What a process leaves that was killed."""
    with QueueLock(folder, "napari"):
        note = json.loads((folder / LOCK).read_text())
    (folder / LOCK).write_text(json.dumps({**note, **changes}))
    return folder / LOCK


def test_one_at_a_time_holds_a_queue_and_gives_it_back(tmp_path: Path) -> None:
    with (
        QueueLock(tmp_path, "napari"),
        pytest.raises(QueueBusyError, match=r"worked on by napari \(process \d+ on .+ wait for"),
        QueueLock(tmp_path, "napari-unet"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_held_is_taken_over_with_its_litter(tmp_path: Path) -> None:
    left_behind(tmp_path, process_started=0.0)
    (tmp_path / "overlay").mkdir()
    for litter in (tmp_path / f".{'a1' * 8}.part", tmp_path / "overlay" / f".{'b2' * 8}.part"):
        litter.write_text("half")
    (tmp_path / ".mine.part").write_text("not ours")

    with QueueLock(tmp_path, "napari"):
        names = {path.name for path in tmp_path.rglob("*")}

    assert names == {LOCK, "overlay", ".mine.part"}


@pytest.mark.parametrize(("age_s", "is_free"), [(10, False), (1000, True)])
def test_a_process_on_another_machine_is_known_by_its_beats(
    tmp_path: Path, age_s: float, is_free: bool
) -> None:
    path = left_behind(tmp_path, machine="elsewhere")
    os.utime(path, (time.time() - age_s,) * 2)

    if is_free:
        with QueueLock(tmp_path, "napari"):
            assert json.loads(path.read_text())["machine"] != "elsewhere"
    else:
        with pytest.raises(QueueBusyError, match="on elsewhere"), QueueLock(tmp_path, "napari"):
            pass
        assert json.loads(path.read_text())["machine"] == "elsewhere"


def test_a_lock_that_was_cut_off_is_waited_for_a_moment_only(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    with pytest.raises(QueueBusyError, match="another program"), QueueLock(tmp_path, "napari"):
        pass
    os.utime(tmp_path / LOCK, (time.time() - 60,) * 2)
    with QueueLock(tmp_path, "napari"):
        pass


def test_of_many_that_find_it_left_behind_one_takes_it(tmp_path: Path) -> None:
    left_behind(tmp_path, process_started=0.0)
    start, end = threading.Barrier(8), threading.Barrier(8)
    held: list[int] = []

    def try_it(number: int) -> None:
        start.wait(30)
        try:
            with QueueLock(tmp_path, "napari"):
                held.append(number)
                end.wait(30)
        except QueueBusyError:
            end.wait(30)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(held) == 1


def test_who_slept_while_another_took_it_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.batch.lock._BEAT_S", 0.0)
    with QueueLock(tmp_path, "napari") as lock:
        lock.beat()
        note = json.loads((tmp_path / LOCK).read_text())
        (tmp_path / LOCK).write_text(json.dumps({**note, "token": "of another"}))
        with pytest.raises(QueueBusyError):
            lock.beat()
    assert (tmp_path / LOCK).exists()  # it is that of the other


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="Cannot write"), QueueLock(tmp_path / "file", "napari"):
        pass
