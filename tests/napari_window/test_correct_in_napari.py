"""Cells corrected with the mouse and the keys of a real napari window."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_unet.session import shared_session
from napari_unet.versions.journal import journal_folder
from napari_unet.viewer import worker
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.commands import open_widget
from napari_unet.widgets.correct.widget import CorrectWidget

pytestmark = pytest.mark.viewer


class Person:
    """Someone before the window, with a hand at the mouse and one at the keys."""

    def __init__(self, viewer: Any, qtbot: QtBot, drag: Any, click: Any, camera: Any) -> None:
        self.viewer, self.qtbot, self._drag, self._click = viewer, qtbot, drag, click
        self.camera = camera
        viewer.open_sample("napari-unet-cells", "crowded")
        self.image, self.labels = viewer.layers
        self.labels.visible = True
        viewer.layers.selection.active = self.labels
        self.widget: CorrectWidget = open_widget(viewer, "Correct")
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.canvas.setFocus()
        qtbot.waitUntil(lambda: self.canvas.width() > 100)
        viewer.reset_view()

    def press(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.canvas, key, modifier)

    def undo(self) -> None:
        self.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def drag(self, start: Any, stop: Any) -> str:
        self._drag(self.viewer, start, stop)
        return self.widget.sentence.message

    def click(self, at: Any, button: Any = Qt.MouseButton.LeftButton) -> str:
        self._click(self.viewer, at, button=button)
        self.qtbot.waitUntil(lambda: not self.widget.corrections.is_busy, timeout=120_000)
        return self.widget.sentence.message

    def middle(self, number: int) -> tuple[float, float]:
        """A pixel of a cell near its middle."""
        places = np.argwhere(self.labels.data == number)
        nearest = np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()
        return tuple(places[nearest].tolist())

    def size(self, number: int) -> int:
        return int(np.count_nonzero(self.labels.data == number))


@pytest.fixture
def person(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, drag: Any, click: Any, camera_of: Any
) -> Iterator[Person]:
    viewer = make_napari_viewer(show=True)
    yield Person(viewer, qtbot, drag, click, camera_of(viewer))
    assert worker.stop_all()


def touching(labels: np.ndarray) -> tuple[int, int]:
    """Two cells that lie beside each other in a row, the largest such ones away from the rim."""
    left, right = labels[:, :-4], labels[:, 4:]
    beside = (left != right) & (left > 0) & (right > 0)
    pairs, counts = np.unique(np.stack([left[beside], right[beside]]), axis=1, return_counts=True)
    one, other = pairs[:, counts.argmax()].tolist()
    return one, other


def test_cells_are_split_merged_deleted_smoothed_and_filled_by_one_gesture_each(
    person: Person,
) -> None:
    labels, start = person.labels, person.labels.data.copy()
    cells = set(np.unique(start).tolist()) - {0}
    camera = person.camera
    centre, zoom = camera.center, camera.zoom
    one, other = touching(start)

    def is_undone() -> bool:
        person.undo()
        return np.array_equal(labels.data, start)

    person.press(Qt.Key.Key_J)
    assert "Merged into cell" in person.drag(person.middle(one), person.middle(other))
    kept = set(np.unique(labels.data).tolist()) - {0}
    assert cells - kept in ({one}, {other})
    merged = max(one, other, key=person.size)
    assert is_undone()

    # The two as one, without the gap: a stroke between them parts them again.
    person.drag(person.middle(one), person.middle(other))
    whole = labels.data.copy()
    y, x = np.argwhere((start[:, :-4] == one) & (start[:, 4:] == other)).mean(axis=0)
    x += 2
    (ay, ax), (by, bx) = (np.argwhere(start == each).mean(axis=0) for each in (one, other))
    along = np.array([by - ay, bx - ax]) / np.hypot(by - ay, bx - ax)
    across = 40 * np.array([-along[1], along[0]])
    person.press(Qt.Key.Key_S)
    shown: list[bool] = []
    person.widget.gestures.drawing.connect(
        lambda points: shown.append(bool(points) and person.widget._line.isVisible())
    )
    told = person.drag((y - across[0], x - across[1]), (y + across[0], x + across[1]))
    assert f"Cell {merged} is cut" in told
    assert f"as '{person.image.name}' shows it" in told
    new = int(labels.data.max())
    assert new == max(cells) + 1
    assert np.array_equal(np.isin(labels.data, (merged, new)), whole == merged)
    for truth in (one, other):
        inside = labels.data[start == truth]
        assert max(np.count_nonzero(inside == part) for part in (merged, new)) > 0.9 * inside.size
    assert any(shown)
    assert not shown[-1]
    assert (camera.center, camera.zoom) == (centre, zoom)
    person.undo()
    assert is_undone()

    person.press(Qt.Key.Key_D)
    person.click(person.middle(one))
    assert set(np.unique(labels.data).tolist()) - {0} == cells - {one}
    person.qtbot.waitUntil(
        lambda: person.widget.count_label.text() == f"{len(cells) - 1} cells", timeout=20_000
    )
    assert is_undone()
    person.qtbot.waitUntil(
        lambda: person.widget.count_label.text() == f"{len(cells)} cells", timeout=20_000
    )

    hole = person.middle(one)
    labels.data[hole] = 0
    person.press(Qt.Key.Key_H)
    assert person.click((hole[0], hole[1] + 2)) == f"Cell {one} is filled."
    assert np.array_equal(labels.data, start)
    person.undo()
    assert labels.data[hole] == 0
    labels.data[...] = start

    person.press(Qt.Key.Key_R)
    assert person.click(person.middle(one)) == f"Cell {one} is smoothed."
    assert 0.8 < person.size(one) / np.count_nonzero(start == one) < 1.2
    assert is_undone()


def test_a_missed_cell_is_added_from_the_scores_of_the_model(person: Person) -> None:
    shared_session().load("nuclei")
    labels, start = person.labels, person.labels.data.copy()
    one, _ = touching(start)
    missed = person.middle(one)
    person.press(Qt.Key.Key_D)
    person.click(missed)
    person.press(Qt.Key.Key_A)
    assert "is added" in person.click(missed)
    new = int(labels.data[missed])
    found, true = labels.data == new, start == one
    assert np.count_nonzero(found & true) > 0.75 * np.count_nonzero(found | true)
    assert np.array_equal(labels.data[~found & ~true], start[~found & ~true])
    before = person.size(new)
    assert "is larger" in person.click(missed)
    assert person.size(new) > before
    assert "is smaller" in person.click(missed, Qt.MouseButton.RightButton)
    for _ in range(3):
        person.undo()
    assert labels.data[missed] == 0


def test_closing_the_form_gives_the_keys_and_the_mouse_back(person: Person) -> None:
    person.press(Qt.Key.Key_D)
    assert person.widget.gestures.layer is not None
    start, cell = person.labels.data.copy(), person.middle(1)
    person.viewer.window.remove_dock_widget(person.widget.parent())
    assert not person.labels.keymap
    person.press(Qt.Key.Key_D)
    person._click(person.viewer, cell)
    assert np.array_equal(person.labels.data, start)


def test_cells_are_looked_over_with_keys_and_marks_are_saved_with_the_layer(
    person: Person, tmp_path: Any
) -> None:
    looked, panel = person.widget.look_over, person.widget.panel
    person.qtbot.waitUntil(lambda: not looked.is_busy, timeout=60_000)
    count = looked.cells.numbers.size
    first, second, third = looked.chosen[:3]
    person.press(Qt.Key.Key_N)
    person.press(Qt.Key.Key_G)
    person.press(Qt.Key.Key_W)
    assert looked.number == person.labels.selected_label == third
    assert panel.progress_label.text() == f"2 of {count} seen, 1 wrong"
    person.press(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert looked.number == second

    # The outline lies where the cell is drawn, also after the camera has moved.
    outlines = person.widget.outlines
    person.qtbot.waitUntil(lambda: bool(outlines.drawn.outlines))
    over = outlines._over
    assert over is not None
    assert over.isVisible()
    person.camera.zoom *= 1.3
    canvas, camera = person.canvas, person.camera
    at = np.array(person.middle(second), float)
    middle = np.array([canvas.height(), canvas.width()]) / 2
    expected = middle + (at - np.array(camera.center[-2:])) * camera.zoom
    assert np.allclose(over.on_canvas(at), expected[::-1])

    person.press(Qt.Key.Key_D)
    assert "is deleted" in person.click(person.middle(second))
    person.qtbot.waitUntil(lambda: not looked.is_busy, timeout=60_000)
    assert panel.progress_label.text() == f"1 of {count - 1} seen"
    person.undo()
    person.qtbot.waitUntil(lambda: not looked.is_busy, timeout=60_000)
    assert panel.progress_label.text() == f"2 of {count} seen, 1 wrong"

    file = tmp_path / "cells_labels.ome.tif"
    person.viewer.layers.save(str(file), selected=True, plugin="napari-unet-cells")
    (opened,) = person.viewer.open(str(file), plugin="napari-unet-cells")
    assert marks_of_layer(opened) == {first: "right", second: "wrong"}


_WORK_AND_CRASH = """
import os, signal, sys
from pathlib import Path
import napari, numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from napari_unet.versions import notes
from napari_unet.viewer.commands import open_widget

notes.user_data_path = lambda *_, **__: Path(sys.argv[1])

def wait(is_there):
    while not is_there():
        QApplication.processEvents()

viewer = napari.Viewer()
labels = np.zeros((80, 80), np.int32)
labels[10:30, 10:30], labels[40:60, 40:60] = 1, 2
layer = viewer.add_labels(labels, name="cells")
widget = open_widget(viewer, "Correct")
wait(lambda: not widget.look_over.is_busy)
canvas = viewer.window._qt_viewer.canvas.native
for key in (Qt.Key.Key_N, Qt.Key.Key_G):
    QTest.keyClick(canvas, key)
layer.fill((50, 50), 0)
wait(lambda: not widget.journal.is_busy and not widget.look_over.is_busy)
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def test_what_a_killed_napari_leaves_is_offered_and_restored(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    folder = str(journal_folder().parent)
    run = subprocess.run([sys.executable, "-c", _WORK_AND_CRASH, folder], check=False, timeout=180)
    assert run.returncode != 0

    viewer = make_napari_viewer(show=True)
    widget: CorrectWidget = open_widget(viewer, "Correct")
    qtbot.waitUntil(lambda: widget.offer.journal is not None, timeout=30_000)
    assert "Corrections of 'cells' were not saved before napari ended" in (
        widget.offer.sentence.message
    )
    qtbot.mouseClick(widget.offer.restore_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cells" in viewer.layers, timeout=30_000)
    layer = viewer.layers["cells"]
    assert set(np.unique(layer.data).tolist()) == {0, 1}
    assert marks_of_layer(layer) == {1: "right"}
    assert worker.stop_all()
