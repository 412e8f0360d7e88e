"""Versions of a model in a folder, and a training that was interrupted."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from platformdirs import user_data_path

from napari_unet import TrainingPair, TrainingSettings, train
from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.models.checkpoint import (
    bundled_models,
    load_checkpoint,
    read_description,
)
from napari_unet.engine.networks.bundled import BUNDLED_MODELS
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.versions import history as history_module
from napari_unet.versions import kept_versions, other_models
from napari_unet.versions.autosave import Autosave, InterruptedTraining, find_interrupted
from napari_unet.versions.history import ModelHistory, Version
from napari_unet.versions.notes import data_folder

CONFIG = UNetConfig(2, 1, 2, base_width=2, depth=1)


def network(seed: int = 0, **known: Any) -> Network:
    torch.manual_seed(seed)
    return Network(UNet(CONFIG).eval(), NetworkDescription("tiny", CONFIG, **known))


def weights(of: Network) -> list[float]:
    return [float(value.detach().sum()) for value in of.unet.parameters()]


@pytest.fixture
def history(tmp_path: Path) -> ModelHistory:
    return ModelHistory(tmp_path / "models")


def break_writing(monkeypatch: pytest.MonkeyPatch, number: int, suffix: str = ".part") -> None:
    """Let every file that is renamed to one with this suffix fail as on a full disk."""
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if Path(target).suffix == suffix:
            raise OSError(number, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)


# -- versions --------------------------------------------------------------------------------------


def test_version_comes_back_as_it_was_kept(history: ModelHistory) -> None:
    kept = history.keep(
        network(), metrics={"AP 0.5": 0.8, "cells": np.int64(7)}, sentence="Twelve cells painted."
    )

    (version,) = history.versions()

    assert (version.id, version.name, version.date) == (kept.id, "tiny", kept.date)
    assert version.metrics == {"AP 0.5": 0.8, "cells": 7}
    assert (version.sentence, version.parent) == ("Twelve cells painted.", None)
    assert weights(load_checkpoint(version.path)) == weights(network())


def test_folder_that_is_not_there_holds_no_versions_and_is_not_made(history: ModelHistory) -> None:
    assert history.versions() == ()
    assert not history.folder.exists()


def test_versions_have_names_of_their_own_and_the_newest_comes_first(
    history: ModelHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["20260101-000000-a", "20260101-000000-b", "20260101-000000-c"])
    monkeypatch.setattr(history_module, "new_id", lambda: next(ids))

    for seed in range(3):
        history.keep(network(seed))

    assert [version.name for version in history.versions()] == ["tiny 3", "tiny 2", "tiny"]
    assert weights(load_checkpoint(history.versions()[0].path)) == weights(network(2))


def test_number_of_a_name_goes_on(history: ModelHistory) -> None:
    names = [history.keep(network(), name="mine 2").name for _ in range(3)]

    assert names == ["mine 2", "mine 3", "mine 4"]
    assert [history.keep(network(), name="of 2018").name for _ in range(2)] == [
        "of 2018",
        "of 2018 2",
    ]


def test_going_back_is_loading_an_earlier_version_and_nothing_is_lost(
    history: ModelHistory,
) -> None:
    first = history.keep(network(0))
    second = history.keep(network(1), parent=first)
    third = history.keep(network(2), parent=second.id)
    other = history.keep(load_checkpoint(first.path), parent=first)

    assert [each.parent for each in (first, second, third, other)] == [
        None, first.id, second.id, first.id
    ]  # fmt: skip
    assert len(history.versions()) == 4


@pytest.mark.parametrize("torn", [None, "", '{"id": "2026', "[]", '{"id": "other"}', "{}"])
def test_what_is_told_beside_a_model_is_read_from_it_where_it_is_torn(
    history: ModelHistory, torn: str | None
) -> None:
    first = history.keep(network(), metrics={"AP": 0.5}, sentence="One.")
    second = history.keep(network(), parent=first)
    for version in (first, second):
        note = version.path.with_suffix(".json")
        note.unlink()
        if torn is not None:
            note.write_text(torn)

    found = {version.id: version for version in history.versions()}

    assert found == {first.id: first, second.id: second}


def test_training_history_of_a_model_stays_and_is_not_added_to(history: ModelHistory) -> None:
    entry = {"date": "2026-01-01", "steps": 5}
    kept = history.keep(network(history=(entry, entry)))

    read = read_description(kept.path).history

    assert read[0] == entry
    assert read[1].items() >= entry.items()
    assert len(read) == 2


def test_model_that_was_put_there_by_hand_is_a_version_and_other_files_are_not(
    history: ModelHistory,
) -> None:
    from napari_unet.engine.models.checkpoint import save_checkpoint

    kept = history.keep(network())
    save_checkpoint(network(history=({"steps": 3},)), history.folder / "from a colleague")
    (history.folder / "torn.safetensors").write_bytes(b"\x05\x00")
    (history.folder / "notes.txt").write_text("hello")

    found = {version.id: version for version in history.versions()}

    assert set(found) == {kept.id, "from a colleague"}
    assert found["from a colleague"].name == "tiny 2"
    assert weights(load_checkpoint(found["from a colleague"].path)) == weights(network())


def test_renamed_version_keeps_its_id_and_its_file(history: ModelHistory) -> None:
    first, second = history.keep(network(0)), history.keep(network(1), sentence="More.")
    before = second.path.read_bytes()

    renamed = history.rename(second, "  with   Anna's cells ")

    assert renamed == history.version(second.id)
    assert (renamed.name, renamed.sentence) == ("with Anna's cells", "More.")
    assert second.path.read_bytes() == before
    assert history.version(first.id).name == "tiny"
    assert history.rename(renamed, "with Anna's cells") == renamed


def test_name_that_is_taken_or_empty_is_refused(history: ModelHistory) -> None:
    history.keep(network())
    second = history.keep(network())

    with pytest.raises(CheckpointError, match="There is a version 'tiny' already; choose another"):
        history.rename(second, "tiny")
    with pytest.raises(CheckpointError, match="The name is empty"):
        history.rename(second, "  ")


def test_deleted_version_is_gone_and_those_that_came_from_it_stay(history: ModelHistory) -> None:
    first = history.keep(network())
    second = history.keep(network(), parent=first)

    history.delete(first)

    assert [version.id for version in history.versions()] == [second.id]
    assert history.versions()[0].parent == first.id
    assert sorted(path.suffix for path in history.folder.iterdir()) == [".json", ".safetensors"]
    with pytest.raises(CheckpointError, match=f"There is no version '{first.id}' in"):
        history.version(first.id)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_full_disk_is_one_sentence_and_the_versions_before_survive(
    history: ModelHistory, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    first = history.keep(network())
    files = {path: path.read_bytes() for path in history.folder.iterdir()}
    break_writing(monkeypatch, errno.ENOSPC, suffix)

    with pytest.raises(CheckpointError) as failure:
        history.keep(network(1))

    assert str(failure.value) == (
        f"The folder '{history.folder}' is full, so the new version was not kept and the other "
        "versions are as before; make room in it."
    )
    assert {path: path.read_bytes() for path in history.folder.iterdir()} == files
    assert history.versions() == (first,)
    monkeypatch.undo()
    assert history.keep(network(1)).name == "tiny 2"


def test_full_disk_that_safetensors_meets_is_told_as_well(
    history: ModelHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    from napari_unet.engine.models import checkpoint

    def fail(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", fail)

    with pytest.raises(CheckpointError, match="is full, so the new version was not kept"):
        history.keep(network())


def test_folder_that_cannot_be_written_to_is_named(history: ModelHistory) -> None:
    history.folder.parent.mkdir(exist_ok=True)
    history.folder.write_text("a file in its place")

    with pytest.raises(CheckpointError, match=r"cannot be written to \(.*\), so the new version"):
        history.keep(network())
    assert history.versions() == ()


def test_version_that_cannot_be_renamed_keeps_its_name(
    history: ModelHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = history.keep(network())
    break_writing(monkeypatch, errno.EACCES, ".json")

    with pytest.raises(CheckpointError, match="so 'tiny' keeps its name and the other"):
        history.rename(kept, "other")

    assert history.versions() == (kept,)


def _keep_three(folder: Path) -> list[str]:
    return [ModelHistory(folder).keep(network()).id for _ in range(3)]


def test_two_programs_that_keep_versions_at_once_lose_none(history: ModelHistory) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        kept = [number for ids in pool.map(_keep_three, [history.folder] * 2) for number in ids]

    found = history.versions()

    assert sorted(version.id for version in found) == sorted(kept)
    assert len({version.name for version in found}) == 6


def test_same_name_chosen_twice_at_once_is_told_apart(
    history: ModelHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(history_module, "_free_name", lambda wanted, taken: wanted)
        history.keep(network())
        history.keep(network())

    assert {version.name for version in history.versions()} == {"tiny", "tiny 2"}


def test_data_folder_is_where_the_system_wants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_unet.versions.notes.user_data_path", user_data_path)
    assert data_folder().name == "napari-unet-cells"
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert data_folder() == tmp_path / "napari-unet-cells"
    assert not (tmp_path / "napari-unet-cells").exists()


# -- a running training ----------------------------------------------------------------------------


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def training(steps: int = 4) -> Any:
    labels = np.zeros((32, 32), int)
    labels[8:24, 8:24] = 1
    settings = TrainingSettings(steps=steps, batch_size=1, patch_size_px=32)
    return train([TrainingPair(100.0 * labels, labels)], network(), settings=settings)


@pytest.fixture
def crash(tmp_path: Path) -> Callable[[Path], None]:
    """Let what was saved in a folder be that of a process that has ended."""

    def crash(folder: Path) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        for note in folder.glob("*.json"):
            note.write_text(json.dumps(json.loads(note.read_text()) | {"process": ended.pid}))

    return crash


def only(found: tuple[InterruptedTraining, ...]) -> InterruptedTraining:
    assert len(found) == 1
    return found[0]


def test_training_that_was_interrupted_goes_on_where_it_was_saved(
    tmp_path: Path, crash: Callable[[Path], None]
) -> None:
    about = {"model": "tiny", "layers": ["cells"], "settings": TrainingSettings(steps=4)}
    whole, run = training(), training()
    autosave = Autosave(tmp_path, about, every_s=0)
    next(run)
    next(run)
    assert autosave.save(run)
    crash(tmp_path)

    found = only(find_interrupted(tmp_path))
    resumed = training()
    resumed.load_state(found.state)

    assert (found.step, resumed.step) == (2, 2)
    assert found.about["model"] == "tiny"
    assert found.about["layers"] == ["cells"]
    assert found.about["settings"]["steps"] == 4
    assert [report.loss for report in resumed] == [report.loss for report in whole][2:]


def test_training_that_still_runs_is_not_interrupted(tmp_path: Path) -> None:
    run = training()
    next(run)
    Autosave(tmp_path, every_s=0).save(run)

    assert find_interrupted(tmp_path) == ()


class Run:
    """Stands for a training run; its state is a number."""

    def __init__(self) -> None:
        self.step = 0
        self.saves = 0

    def save_state(self, path: str | Path) -> None:
        self.saves += 1
        Path(path).write_text(str(self.step))


def test_run_is_saved_no_more_often_than_asked_for(tmp_path: Path) -> None:
    clock, run = Clock(), Run()
    autosave = Autosave(tmp_path, every_s=60, clock=clock)
    saved = []
    for now in (1000, 1059, 1060, 1100, 1119, 1121):
        clock.now = now
        saved.append(autosave.save(run))

    assert saved == [False, False, True, False, False, True]
    assert run.saves == 2
    assert autosave.save(run, now=True)


def test_nothing_is_left_of_a_training_that_has_come_to_its_end(tmp_path: Path) -> None:
    autosave = Autosave(tmp_path / "running", every_s=0)
    autosave.discard()
    autosave.save(Run())
    autosave.discard()

    assert list((tmp_path / "running").iterdir()) == []
    assert find_interrupted(tmp_path / "missing") == ()


def test_training_that_goes_on_takes_the_place_of_the_interrupted_one(
    tmp_path: Path, crash: Callable[[Path], None]
) -> None:
    run = Run()
    Autosave(tmp_path, {"try": 1}, every_s=0).save(run)
    crash(tmp_path)
    first = only(find_interrupted(tmp_path))

    run.step = 9
    autosave = Autosave(tmp_path, {"try": 2}, every_s=0, replaces=first)
    assert only(find_interrupted(tmp_path)) == first, "until the new one is saved"
    autosave.save(run)
    crash(tmp_path)

    found = only(find_interrupted(tmp_path))
    assert (found.step, found.about) == (9, {"try": 2})
    found.discard()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_does_not_lose_what_was_saved_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: Callable[[Path], None]
) -> None:
    run = training()
    autosave = Autosave(tmp_path, every_s=0)
    next(run)
    autosave.save(run)
    next(run)
    with monkeypatch.context() as patch:
        break_writing(patch, errno.ENOSPC, ".training")
        with pytest.raises(CheckpointError) as failure:
            autosave.save(run)
    crash(tmp_path)

    assert str(failure.value) == (
        f"The folder '{tmp_path}' is full, so the training goes on without being saved; make room "
        "in it."
    )
    assert only(find_interrupted(tmp_path)).step == 1
    assert len(list(tmp_path.iterdir())) == 2
    assert run.step == 2


def test_full_disk_that_torch_meets_is_told_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fail)

    with pytest.raises(CheckpointError) as failure:
        Autosave(tmp_path, every_s=0).save(training())

    assert str(failure.value) == (
        f"The folder '{tmp_path}' cannot be written to, most likely because it is full, so the "
        "training goes on without being saved; make room in it."
    )
    assert list(tmp_path.iterdir()) == []


def test_state_of_which_nobody_could_tell_what_it_is_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writing(monkeypatch, errno.ENOSPC, ".json")

    with pytest.raises(CheckpointError, match="is full"):
        Autosave(tmp_path, every_s=0).save(Run())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("torn", ["", "[]", "{}", '{"about": 3, "step": 1}'])
def test_note_that_is_torn_is_left_out(tmp_path: Path, torn: str) -> None:
    Autosave(tmp_path, every_s=0).save(Run())
    for note in tmp_path.glob("*.json"):
        note.write_text(torn)

    assert find_interrupted(tmp_path) == ()


def test_training_on_another_machine_is_interrupted_if_it_was_not_saved_for_long(
    tmp_path: Path,
) -> None:
    import os

    Autosave(tmp_path, every_s=0).save(Run())
    (note,) = tmp_path.glob("*.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"machine": "another"}))
    assert find_interrupted(tmp_path) == ()

    (state,) = tmp_path.glob("*.training")
    os.utime(state, (0, 0))

    assert only(find_interrupted(tmp_path)).state == state


def test_version_is_what_load_checkpoint_reads(history: ModelHistory) -> None:
    kept: Version = history.keep(network())

    assert load_checkpoint(kept.path).description.name == "tiny"


def test_other_models_are_the_bundled_ones_and_what_was_kept_last() -> None:
    kept = [kept_versions().keep(network(), name=f"version {number}") for number in range(6)]

    newest = [f"version {number}" for number in (5, 4, 3, 2, 1, 0)]

    others = [each.name for each in other_models([])]
    without_some = [each.name for each in other_models([*bundled_models(), kept[5].source])]

    assert others == [*(row.name for row in BUNDLED_MODELS), *newest][:5]
    assert without_some == newest[1:]
