"""The journal of corrections: kept on the way, offered after a crash, gone once it is saved."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.layers._source import layer_source
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.session import Session
from napari_unet.versions import journal as journal_module
from napari_unet.versions.journal import (
    Correction,
    Journal,
    JournalWriter,
    journal_folder,
    journal_path,
    read_journal,
)
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.label_files import read_layers, write_layer
from napari_unet.widgets.correct.tools import DELETE, SPLIT
from napari_unet.widgets.correct.widget import CorrectWidget


def written(hand: Any) -> None:
    """Wait until all is on the disk."""
    keeper = hand.widget.journal
    hand.qtbot.waitUntil(lambda: not keeper.is_busy, timeout=20_000)


def journals() -> list[Path]:
    return sorted(journal_folder().glob("*.journal"))


@pytest.fixture(autouse=True)
def _nobody_waits_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.widgets.correct.journal.keeper._EVERY_S", 0.02)


def opened_layer(viewer: ViewerModel, file: Path) -> Labels:
    """Open a file as napari does."""
    ((data, options, _),) = read_layers(str(file))
    with layer_source(path=str(file)):
        return viewer.add_labels(data, **options)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make journals as a process leaves them that has ended."""

    def leave(labels: NDArray[Any], file: Path | None = None, **options: Any) -> None:
        with monkeypatch.context() as patch:
            note = {**journal_module.process_note(), "process_started": 1.0}
            patch.setattr(journal_module, "process_note", lambda: note)
            writer = JournalWriter(file)
            part = (slice(5, 15), slice(5, 15))
            writer.corrections.append(Correction.now("delete", [1], [], part))
            writer.save(labels, name="cells", **options)

    return leave


def test_each_step_is_in_the_journal_with_the_labels_after_it(hand: Any, labels: Labels) -> None:
    written(hand)
    assert journals() == []
    hand.take(SPLIT)
    hand.drag((0, 10), (20, 10))
    written(hand)
    (path,) = journals()
    hand.take(DELETE)
    hand.click(10, 35)
    labels.brush_size = 1
    labels.paint((30, 20), 9)
    written(hand)
    assert journals() == [path]
    found = read_journal(path)
    assert found.name == "cells"
    assert np.array_equal(found.labels(), labels.data)
    split, delete, paint = found.corrections
    assert (split.action, split.before, split.after) == ("split", (1,), (4,))
    assert (delete.action, delete.before, delete.after) == ("delete", (2,), ())
    assert delete.box == ((5, 15), (30, 40))
    assert (paint.action, paint.after, paint.box) == ("paint", (9,), ((30, 31), (20, 21)))
    labels.undo()
    labels.undo()
    written(hand)
    found = read_journal(path)
    assert found.corrections[3:][0].action == "undo or redo"
    assert np.array_equal(found.labels(), labels.data)
    assert set(np.unique(found.labels())) == {0, 1, 2, 3, 4}


def test_a_slice_that_is_merely_shown_is_no_step(viewer: ViewerModel, hand: Any) -> None:
    array = np.zeros((3, 20, 20), np.uint8)
    array[1, 2:9, 2:9] = 1
    viewer.add_labels(array)
    viewer.dims.set_current_step(0, 1)
    hand.take(DELETE)
    hand.click(1, 5, 5)
    written(hand)
    (path,) = journals()
    before = read_journal(path)
    viewer.dims.set_current_step(0, 2)
    written(hand)
    assert read_journal(path) == before
    assert before.corrections[0].planes == ((1, 2),)
    assert not before.labels().any()


def test_marks_are_kept_as_well(hand: Any, labels: Labels) -> None:
    hand.qtbot.waitUntil(lambda: not hand.widget.look_over.is_busy)
    hand.widget.panel.next_button.click()
    hand.widget.panel.mark_buttons["right"].click()
    written(hand)
    found = read_journal(journals()[0])
    assert found.marks == {1: "right"}
    assert found.corrections == ()


def test_it_goes_once_the_labels_are_saved_and_is_beside_them_then(
    hand: Any, labels: Labels, tmp_path: Path
) -> None:
    hand.take(DELETE)
    hand.click(10, 10)
    written(hand)
    assert len(journals()) == 1
    file = tmp_path / "cells_labels.ome.tif"
    write_layer(str(file), *labels.as_layer_data_tuple()[:2])
    assert journals() == []
    written(hand)
    assert not journal_path(file).exists()
    hand.click(10, 35)
    written(hand)
    assert journals() == []
    assert set(np.unique(read_journal(file).labels())) == {0, 3}


def test_each_layer_has_its_own(
    viewer: ViewerModel, hand: Any, labels: Labels, square_labels: NDArray[np.int32]
) -> None:
    hand.take(DELETE)
    hand.click(10, 10)
    viewer.add_labels(square_labels.copy(), name="second")
    hand.take(DELETE)
    hand.click(10, 35)
    written(hand)
    viewer.layers.selection.active = labels
    hand.take(DELETE)
    hand.click(45, 65)
    written(hand)
    found = {each.name: each.labels() for each in map(read_journal, journals())}
    assert {name: set(np.unique(each)) for name, each in found.items()} == {
        "cells": {0, 2},
        "second": {0, 1, 3},
    }


def test_a_full_disk_is_told_once_and_work_goes_on(
    hand: Any, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        hand.take(DELETE)
        hand.click(10, 10)
        written(hand)
        assert "is full, so corrections are not kept as you make them; work goes on" in hand.message
        assert "Cell 2 is deleted." in hand.click(10, 35)
        written(hand)
        assert hand.message == "Cell 2 is deleted."
    assert journals() == []
    hand.click(45, 65)
    written(hand)
    found = read_journal(journals()[0])
    assert not found.labels().any()
    assert [each.before for each in found.corrections] == [(1,), (2,), (3,)]


def opened(viewer: ViewerModel, session: Session, qtbot: QtBot) -> CorrectWidget:
    widget = CorrectWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def offered(widget: CorrectWidget, qtbot: QtBot) -> Journal:
    qtbot.waitUntil(lambda: widget.offer.journal is not None, timeout=20_000)
    assert widget.offer.isVisible()
    return widget.offer.journal


def test_after_a_crash_labels_are_restored_as_a_layer_in_their_place(
    viewer: ViewerModel, session: Session, qtbot: QtBot, square_labels: Any, left: Any
) -> None:
    square_labels[square_labels == 1] = 0
    notes = {"layer": {"scale": [0.5, 0.5], "translate": [3, 4]}, "model": "nuclei"}
    left(square_labels, marks={2: "right"}, writing={"notes": notes})
    widget = opened(viewer, session, qtbot)
    journal = offered(widget, qtbot)
    told = widget.offer.sentence.message
    assert "Corrections of 'cells' were not saved before napari ended: 1 step and 1 mark" in told
    widget.offer.restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    (layer,) = viewer.layers
    assert (layer.name, layer.scale.tolist()) == ("cells", [0.5, 0.5])
    assert np.array_equal(layer.data, square_labels)
    assert marks_of_layer(layer) == {2: "right"}
    assert "is as it was corrected; save it" in widget.sentence.message
    assert not widget.offer.isVisible()
    # It is not saved yet: the same journal goes on.
    qtbot.waitUntil(lambda: not widget.journal.is_busy, timeout=20_000)
    layer.fill((15, 35), 8)
    qtbot.waitUntil(lambda: not widget.journal.is_busy, timeout=20_000)
    assert journals() == [journal.path]
    found = read_journal(journal.path)
    assert np.array_equal(found.labels(), layer.data)
    assert [each.action for each in found.corrections] == ["delete", "paint"]


def test_labels_that_are_open_are_restored_in_their_layer_with_one_step_of_undo(
    viewer: ViewerModel, hand: Any, qtbot: QtBot, tmp_path: Path, square_labels: Any, left: Any
) -> None:
    file = tmp_path / "cells_labels.ome.tif"
    write_layer(str(file), square_labels, {})
    corrected = np.where(square_labels == 1, 0, square_labels)
    left(corrected, file, marks={3: "wrong"})
    layer = opened_layer(viewer, file)
    offered(hand.widget, qtbot)
    hand.widget.offer.restore_button.click()
    qtbot.waitUntil(lambda: hand.widget.offer.journal is None, timeout=20_000)
    assert list(viewer.layers) == [layer]
    assert np.array_equal(layer.data, corrected)
    assert marks_of_layer(layer) == {3: "wrong"}
    hand.qtbot.waitUntil(lambda: not hand.widget.look_over.is_busy)
    assert marks_of_layer(layer) == {3: "wrong"}
    layer.undo()
    assert np.array_equal(layer.data, square_labels)


def test_what_is_discarded_is_gone_and_the_next_one_is_offered(
    viewer: ViewerModel, session: Session, qtbot: QtBot, square_labels: Any, left: Any
) -> None:
    left(square_labels)
    left(square_labels * 2)
    widget = opened(viewer, session, qtbot)
    offered(widget, qtbot)
    assert len(journals()) == 2
    widget.offer.discard_button.click()
    assert len(journals()) == 1
    assert widget.offer.isVisible()
    widget.offer.discard_button.click()
    assert journals() == []
    assert not widget.offer.isVisible()


def test_labels_of_another_size_are_not_restored_into(
    viewer: ViewerModel, hand: Any, qtbot: QtBot, tmp_path: Path, square_labels: Any, left: Any
) -> None:
    file = tmp_path / "cells_labels.ome.tif"
    write_layer(str(file), square_labels[:20], {})
    left(square_labels, file)
    opened_layer(viewer, file)
    offered(hand.widget, qtbot)
    hand.widget.offer.restore_button.click()
    qtbot.waitUntil(lambda: bool(hand.message), timeout=20_000)
    assert "are of shape (64, 80), and the layer has (20, 80) now; remove the layer" in hand.message
    assert hand.widget.offer.isVisible()


def test_a_layer_that_is_removed_is_in_its_journal_and_kept_in_memory_no_longer(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    hand.take(DELETE)
    hand.click(10, 10)
    viewer.layers.remove(labels)
    written(hand)
    assert set(np.unique(read_journal(journals()[0]).labels())) == {0, 2, 3}
    assert not hand.widget.journal._all
