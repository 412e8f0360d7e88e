"""A repair of labels is one step that undo takes back, and never holds the window up."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot

from napari_unet import boundary_weight_map, preflight, repair
from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.viewer import worker
from napari_unet.viewer.label_edits import edit_labels, label_edit
from napari_unet.widgets.train import repair_job
from napari_unet.widgets.train.repair_job import RepairJob
from napari_unet.widgets.weight_map.live import LiveWeightMap


@pytest.fixture
def job(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[RepairJob]:
    """One that writes three pixels at a time."""
    monkeypatch.setattr(repair_job, "_MOST_PIXELS", 3)
    job = RepairJob()
    yield job
    job.stop()
    assert worker.stop_all()


def two_pieces() -> Labels:
    """A cell, and two squares with the same number; a dot has been painted."""
    labels = np.zeros((60, 70), np.int32)
    labels[5:25, 5:25], labels[5:25, 29:49], labels[35:55, 5:25] = 1, 2, 2
    layer = Labels(labels, name="cells")
    layer.brush_size = 3
    layer.paint((57, 60), 4)
    return layer


def found(labels: Labels, code: str = "disconnected") -> Finding:
    (one,) = (each for each in preflight(labels.data) if each.code == code)
    return one


def run(qtbot: QtBot, job: RepairJob, layer: Labels) -> None:
    with qtbot.waitSignal(job.repaired, timeout=60_000):
        job.start(layer, found(layer))


def test_undo_brings_the_labels_back_in_one_step(job: RepairJob, qtbot: QtBot) -> None:
    layer = two_pieces()
    painted = layer.data.copy()
    wanted = repair(painted, found(layer))

    run(qtbot, job, layer)
    assert np.array_equal(layer.data, wanted)
    assert not np.array_equal(wanted, painted)

    layer.undo()
    assert np.array_equal(layer.data, painted)
    layer.redo()
    assert np.array_equal(layer.data, wanted)
    layer.undo()
    layer.undo()
    assert layer.data[57, 60] == 0


def test_a_repair_is_told_once_like_a_stroke(job: RepairJob, qtbot: QtBot) -> None:
    layer = two_pieces()
    finding = found(layer)
    told: list[object] = []
    layer.events.paint.connect(told.append)

    with qtbot.waitSignal(job.repaired, timeout=60_000) as repaired:
        job.start(layer, finding)
    assert repaired.args == [finding]
    assert len(told) == 1

    # What is right already is told to nobody.
    with qtbot.waitSignal(job.repaired, timeout=60_000):
        job.start(layer, finding)
    assert len(told) == 1


def test_the_weight_map_follows_a_repair_and_its_undo(job: RepairJob, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    layer = two_pieces()
    viewer.add_layer(layer)
    live = LiveWeightMap(viewer)
    live.start(layer, WeightMapSettings())

    def follows() -> bool:
        return not live.is_busy and np.array_equal(
            live.overlay.data, boundary_weight_map(layer.data)
        )

    qtbot.waitUntil(follows, timeout=60_000)
    run(qtbot, job, layer)
    qtbot.waitUntil(follows, timeout=20_000)
    layer.undo()
    qtbot.waitUntil(follows, timeout=20_000)

    live.stop()


def test_the_brush_is_put_away_during_a_repair_and_comes_back(job: RepairJob, qtbot: QtBot) -> None:
    layer = two_pieces()
    layer.mode = "paint"

    job.start(layer, found(layer))
    assert job.is_busy
    assert layer.mode == "pan_zoom"
    with pytest.raises(UNetError, match="Another repair is under way"):
        job.start(layer, found(layer))
    qtbot.waitUntil(lambda: not job.is_busy, timeout=60_000)

    assert layer.mode == "paint"


def test_other_data_end_a_repair(job: RepairJob, qtbot: QtBot) -> None:
    layer = two_pieces()
    layer.mode = "paint"
    other = np.zeros((60, 70), np.int32)

    with qtbot.waitSignal(job.failed, timeout=60_000) as failed:
        job.start(layer, found(layer))
        layer.data = other
    assert str(failed.args[0]) == "'cells' was given other labels during the repair; look again."

    assert not layer.data.any()
    assert layer.mode == "paint"
    assert not job.is_busy


def test_a_stopped_repair_is_one_step_as_far_as_it_came(
    job: RepairJob, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = two_pieces()
    painted = layer.data.copy()

    def write_a_part_and_stop(*arguments: Any, **options: Any) -> None:
        edit_labels(*arguments, **options)
        job.stop()

    monkeypatch.setattr(repair_job, "edit_labels", write_a_part_and_stop)
    job.start(layer, found(layer))
    qtbot.waitUntil(lambda: not job.is_busy, timeout=60_000)

    half = layer.data.copy()
    assert not np.array_equal(half, repair(painted, found(two_pieces())))

    layer.undo()
    assert np.array_equal(layer.data, painted)


def test_numbers_that_do_not_fit_get_room(job: RepairJob, qtbot: QtBot) -> None:
    array = np.zeros((40, 4000), np.uint8)
    array[5, 4::8] = np.arange(500) % 250 + 1
    array[20:30, 20:30] = 251
    layer = Labels(array)
    wanted = repair(array, found(layer))
    assert wanted.dtype == np.uint16

    run(qtbot, job, layer)
    assert np.array_equal(layer.data, wanted)

    layer.undo()
    assert np.array_equal(layer.data, array)


def test_a_slice_that_is_not_shown_is_repaired_too(job: RepairJob, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    stack = np.zeros((3, 40, 40), np.int32)
    stack[0, 5:15, 5:15], stack[2, 5:15, 5:15], stack[2, 20:30, 20:30] = 1, 2, 2
    layer = viewer.add_labels(stack.copy(), name="cells")
    viewer.dims.set_current_step(0, 0)

    run(qtbot, job, PublicOnlyProxy(viewer).layers[0])

    assert len(np.unique(layer.data[2])) == 3
    layer.undo()
    assert np.array_equal(layer.data, stack)


def test_labels_that_are_not_in_memory_are_told(job: RepairJob) -> None:
    labels = two_pieces().data
    labels.flags.writeable = False
    layer = Labels(labels, name="cells")

    with pytest.raises(UNetError, match="'cells' cannot be written to"):
        job.start(layer, found(layer))

    assert not job.is_busy


def test_an_edit_is_what_differs() -> None:
    before = np.array([[0, 1, 2], [3, 0, 0]], np.uint8)
    after = np.array([[0, 1, 300], [0, 0, 0]], np.uint16)

    edit = label_edit(before, after)

    assert [axis.tolist() for axis in edit.places] == [[0, 1], [2, 0]]
    assert edit.values.tolist() == [300, 0]
    assert edit.dtype == np.uint16
    assert label_edit(before, before).values.size == 0
    assert [part.values.tolist() for part in edit.parts(1)] == [[300], [0]]
    layer = Labels(before.copy())
    edit_labels(layer, edit)
    assert np.array_equal(layer.data, after)


def test_of_a_stack_only_the_slice_is_put_right(job: RepairJob, qtbot: QtBot) -> None:
    plane = two_pieces().data
    layer = Labels(np.stack([plane, plane]))
    (finding,) = (each for each in preflight(plane) if each.code == "disconnected")

    with qtbot.waitSignal(job.repaired, timeout=60_000):
        job.start(layer, finding, (1, slice(None), slice(None)))

    assert np.array_equal(layer.data[0], plane)
    assert np.array_equal(layer.data[1], repair(plane, finding))
    layer.undo()
    assert np.array_equal(layer.data[1], plane)


def test_what_several_slices_have_in_common_is_put_right_in_all_of_them(
    job: RepairJob, qtbot: QtBot
) -> None:
    plane = two_pieces().data
    layer = Labels(np.stack([plane, np.zeros_like(plane), plane]))
    (found,) = (each for each in preflight(plane) if each.code == "disconnected")
    of_stack = replace(found, parts=(found, found))
    every = (slice(None), slice(None))

    with qtbot.waitSignal(job.repaired, timeout=60_000):
        job.start(layer, of_stack, (0, *every), (2, *every))

    for number in (0, 2):
        assert np.array_equal(layer.data[number], repair(plane, found))
    assert not layer.data[1].any()
    layer.undo()
    assert np.array_equal(layer.data[2], plane)
