"""Files that are there whole or not at all."""

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_unet.engine.base.errors import CheckpointError, FileError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.versions.notes import write_json

posix = pytest.mark.skipif(os.name != "posix", reason="Windows knows no such modes")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o002, 0o022, 0o077])
def usual_mode(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


@posix
def test_a_new_file_gets_the_usual_mode_whatever_the_library_that_writes_makes_of_it(
    tmp_path, usual_mode
):
    saved = save_checkpoint(load_checkpoint("nuclei"), tmp_path / "model")
    write_json(tmp_path / "note.json", {})
    with whole_file(tmp_path / "private", refused=FileError) as partial:
        partial.unlink()
        partial.touch(0o600)
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == dict.fromkeys(
        (saved.name, "note.json", "private"), usual_mode
    )


@posix
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    path.touch()
    path.chmod(kept)
    save_checkpoint(load_checkpoint("nuclei"), path, overwrite=True)
    assert mode(path) == kept
    assert path.stat().st_size > 0


@posix
def test_a_link_goes_on_pointing_to_the_file_that_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    stored, link = tmp_path / "store" / "first", tmp_path / "latest"
    stored.write_text("old")
    link.symlink_to(Path("store") / "first")
    with whole_file(link, refused=FileError) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert stored.read_text() == "new"
    assert list((tmp_path / "store").iterdir()) == [stored]


def test_a_block_that_fails_or_is_interrupted_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("old")

    def fail(error: type[BaseException]) -> None:
        with whole_file(path, refused=FileError) as partial:
            partial.write_text("half")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_run_left_behind_does_not_stand_in_the_way(tmp_path):
    for number in range(3):
        (tmp_path / f".{number:016x}.part").write_text("left of a run that was killed")
    with whole_file(tmp_path / "a.tif", refused=FileError) as partial:
        partial.write_text("new")
    assert (tmp_path / "a.tif").read_text() == "new"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full, '"),
        (RuntimeError("I/O error: No space (os error 28)"), "The disk is full, '"),
        (RuntimeError("unexpected pos 64"), r"Cannot write '.*' \(unexpected pos 64\); choose a"),
        (PermissionError(errno.EACCES, "Permission denied"), r"\(permission denied\); choose a"),
    ],
)
def test_why_it_cannot_be_written_is_one_sentence(tmp_path, error, sentence):
    with (
        pytest.raises(CheckpointError, match=sentence) as raised,
        whole_file(tmp_path / "a", refused=CheckpointError, library_errors=(RuntimeError,)),
    ):
        raise error
    assert raised.value.__cause__ is error
    assert not list(tmp_path.iterdir())


def test_what_torch_says_of_a_full_disk_is_understood(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
    with (
        pytest.raises(CheckpointError, match=r"The disk is full, '.*a' was not written"),
        whole_file(tmp_path / "a", refused=CheckpointError, library_errors=(RuntimeError,)),
    ):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
