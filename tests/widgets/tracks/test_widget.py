"""The Tracks widget: new layers, a curve, rows that lead to cells, and a folder."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QFileDialog

from napari_unet.files.tracking_challenge import read_challenge
from napari_unet.viewer.gestures import LEFT, RIGHT, Click
from napari_unet.widgets.tracks import work
from napari_unet.widgets.tracks.widget import TracksWidget

pytest.importorskip("laptrack")


def film() -> NDArray[np.int32]:
    """Four frames: 1 divides after the second, another cell comes in the last."""
    stack = np.zeros((4, 50, 60), np.int32)
    stack[0, 10:20, 10:20] = stack[1, 10:20, 11:21] = 1
    stack[2:, 11:19, 7:14], stack[2:, 11:19, 17:24] = 2, 1
    stack[3, 40:48, 40:48] = 9
    return stack


@pytest.fixture
def source(viewer: ViewerModel) -> Labels:
    return viewer.add_labels(film(), name="cells", scale=(1, 0.5, 0.5))


@pytest.fixture
def widget(viewer: ViewerModel, source: Labels, shown: Callable[..., Any]) -> TracksWidget:
    return shown(TracksWidget(viewer))


def press(widget: TracksWidget, qtbot: QtBot) -> None:
    qtbot.mouseClick(widget.panel.button, Qt.MouseButton.LeftButton)


def run(widget: TracksWidget, qtbot: QtBot) -> str:
    press(widget, qtbot)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)
    assert widget.panel.button.text() == "Run"
    return str(widget.panel.message)


def rows(widget: TracksWidget) -> list[list[str]]:
    model = widget.table.cells
    return [
        [str(model.data(model.index(row, column))) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def click_row(widget: TracksWidget, qtbot: QtBot, row: int) -> None:
    place = widget.table.visualRect(widget.table.cells.index(row, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_press_shows_numbers_that_stay_lines_a_curve_and_a_table(
    viewer: ViewerModel, widget: TracksWidget, source: Labels, qtbot: QtBot
) -> None:
    assert run(widget, qtbot) == (
        "4 tracks, 1 division in 4 frames. Cells were taken to move 8 px at most."
    )
    assert [layer.name for layer in viewer.layers] == ["cells", "cells: tracked", "cells: tracks"]
    numbered, lines = viewer.layers[1:]
    assert numbered.data[:2, 15, 15].tolist() == [1, 1]
    assert numbered.data[2:, 15, 20].tolist() == [2, 2]
    assert numbered.data[2:, 15, 8].tolist() == [3, 3]
    assert numbered.scale.tolist() == lines.scale.tolist() == [1, 0.5, 0.5]
    assert {int(child): list(parents) for child, parents in lines.graph.items()} == {2: [1], 3: [1]}
    assert lines.data[0].tolist() == [1, 0, 14.5, 14.5]
    np.testing.assert_array_equal(source.data, film())
    assert not source.visible
    assert rows(widget) == [
        ["1", "0", "1", "2", ""],
        ["2", "2", "3", "2", "1"],
        ["3", "2", "3", "2", "1"],
        ["4", "3", "3", "1", ""],
    ]
    qtbot.waitUntil(lambda: widget.plot.has_plots, timeout=60_000)
    assert widget.plot._curve.getOriginalDataset()[1].tolist() == [1, 1, 2, 3]


def test_rows_cells_and_the_curve_lead_to_each_other(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    run(widget, qtbot)
    qtbot.waitUntil(lambda: widget.plot.has_plots, timeout=60_000)
    click_row(widget, qtbot, 3)
    assert viewer.dims.current_step[0] == 3
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((43.5 / 2, 43.5 / 2))
    assert viewer.layers["cells: tracked"].selected_label == 4
    assert widget.plot._line.value() == 3

    widget.plot.frame_clicked.emit(1)
    assert viewer.dims.current_step[0] == 1
    assert widget.plot._line.value() == 1

    widget.gestures.clicked.emit(Click((2, 15, 20), 2, LEFT))
    assert widget.table.chosen == 2
    for nothing in (Click((2, 0, 0), 0, LEFT), Click((2, 15, 8), 3, RIGHT)):
        widget.gestures.clicked.emit(nothing)
        assert widget.table.chosen == 2

    viewer.layers.remove("cells: tracked")
    click_row(widget, qtbot, 0)
    widget.plot.frame_clicked.emit(0)
    assert viewer.dims.current_step[0] == 1


def test_a_click_on_the_curve_takes_the_nearest_frame(widget: TracksWidget, qtbot: QtBot) -> None:
    run(widget, qtbot)
    qtbot.waitUntil(lambda: widget.plot.has_plots, timeout=60_000)
    plot = widget.plot.plot
    qtbot.waitUntil(lambda: plot.width() > 50)
    view = plot.getPlotItem().vb
    for place, frame in ((2.3, 2), (-0.05, 0)):
        at = plot.mapFromScene(view.mapViewToScene(QPointF(place, 1)))
        with qtbot.waitSignal(widget.plot.frame_clicked) as clicked:
            qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert clicked.args == [frame]


def test_another_run_leaves_the_layers_of_the_one_before(
    viewer: ViewerModel, widget: TracksWidget, source: Labels, qtbot: QtBot
) -> None:
    run(widget, qtbot)
    first = list(viewer.layers)[1:]
    assert widget.form.layer_choice.layer == source
    divisions: Any = widget.form.fields.fields["divisions"]
    divisions.setChecked(False)
    assert run(widget, qtbot).startswith("3 tracks, no divisions")
    assert len(viewer.layers) == 5
    assert not any(layer.visible for layer in first)
    assert viewer.layers[-1].visible
    assert viewer.layers[-1].graph == {}


def test_stop_changes_nothing(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    real = work.iterate_tracking

    def slowly(*arguments: Any, **options: Any) -> Iterator[Any]:
        for report in real(*arguments, **options):
            yield report
            held.wait(20)

    monkeypatch.setattr(work, "iterate_tracking", slowly)
    press(widget, qtbot)
    qtbot.waitUntil(lambda: widget.panel.bar.text().startswith("frame 1 of 4"), timeout=60_000)
    assert widget.panel.button.text() == "Stop"
    press(widget, qtbot)
    held.set()
    assert widget.panel.message == "Stopped; nothing was changed."
    assert len(viewer.layers) == 1
    assert rows(widget) == []


def test_a_layer_that_goes_while_it_is_followed_is_told(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    press(widget, qtbot)
    viewer.layers.remove("cells")
    assert widget.panel.message == "'cells' was removed while it was followed."
    assert not widget.job.is_running


def test_tracks_are_saved_as_they_were_found(
    tmp_path: Path,
    widget: TracksWidget,
    source: Labels,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        QFileDialog,
        "getSaveFileName",
        lambda _parent, _title, name, _kinds: (asked.append(name), (str(tmp_path / "RES"), ""))[1],
    )
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    assert widget.panel.message == "There are no tracks yet; press Run."
    run(widget, qtbot)
    source.data[:] = 0
    for told in ("The tracks are in '", "The folder '"):
        qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(widget.save_button.isEnabled, timeout=60_000)
        assert widget.panel.message.startswith(told)
    assert asked == ["cells_RES", "cells_RES"]
    read = read_challenge(tmp_path / "RES")
    assert read.tracks.parents == {2: 1, 3: 1}
    np.testing.assert_array_equal(read.labels > 0, film() > 0)


def test_labels_that_are_no_film_are_refused_in_a_sentence(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    viewer.add_labels(film()[0], name="plane")
    press(widget, qtbot)
    assert widget.panel.message.startswith("'plane' has 2 axes; a film of planes has 3")
    viewer.layers.clear()
    press(widget, qtbot)
    assert widget.panel.message.startswith("There is no labels layer")


def test_a_z_stack_is_told_once(viewer: ViewerModel, widget: TracksWidget, source: Labels) -> None:
    assert widget.form.note.message == ""
    viewer.add_labels(film(), name="stack", axis_labels=("z", "y", "x"))
    told = "The first axis of 'stack' is depth; each slice will be taken for a frame."
    assert widget.form.note.message == told
    viewer.layers.selection.active = source
    assert widget.form.note.message == ""


def test_a_film_without_cells_says_so(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    viewer.add_labels(np.zeros((3, 8, 8), np.int32), name="empty")
    assert run(widget, qtbot) == "There are no cells in 'empty'."
    assert viewer.layers[-1].name == "empty: tracked"
    assert rows(widget) == []


def paint(layer: Labels, place: tuple[Any, ...], label: int) -> None:
    """Write a label as the brush does, as one step of undo."""
    layer.data_setitem(place, label)


def test_after_edits_of_the_tracks_the_cells_are_followed_anew_and_keep_their_numbers(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    run(widget, qtbot)
    numbered, lines = viewer.layers[1:]
    before = numbered.data.copy()
    assert not widget.changed.isVisible()
    # The second daughter is deleted, and a cell is added, of a number that is not free of meaning.
    paint(numbered, np.nonzero(numbered.data == 3), 0)
    y, x = np.indices((6, 6)).reshape(2, -1) + 30
    for frame in range(2):
        paint(numbered, (np.full(36, frame), y, x), 50 + frame)
    assert widget.changed.sentence.message == (
        "'cells: tracked' has changed since its cells were followed."
    )

    qtbot.mouseClick(widget.changed.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)

    assert [layer.name for layer in viewer.layers] == ["cells", "cells: tracked", "cells: tracks"]
    assert not widget.changed.isVisible()
    # 1 goes on, and takes the daughter with her; the new cell is a track of its own.
    assert rows(widget) == [
        ["1", "0", "3", "4", ""],
        ["4", "3", "3", "1", ""],
        ["5", "0", "1", "2", ""],
    ]
    assert numbered.data[:2, 32, 32].tolist() == [5, 5]
    assert numbered.data[3, 44, 44] == 4
    assert set(np.unique(lines.data[:, 0])) == {1, 4, 5}
    assert lines.graph == {}
    # One step of undo, and then those of the edits.
    for _ in range(4):
        numbered.undo()
    np.testing.assert_array_equal(numbered.data, before)


def test_edits_of_the_labels_that_were_chosen_are_followed_into_the_same_layers(
    viewer: ViewerModel, widget: TracksWidget, source: Labels, qtbot: QtBot
) -> None:
    run(widget, qtbot)
    numbered = viewer.layers[1]
    paint(source, np.nonzero(source.data == 1), 0)
    assert widget.changed.sentence.message.startswith("'cells' has changed")
    qtbot.mouseClick(widget.changed.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)
    assert [row[:3] for row in rows(widget)] == [["3", "2", "3"], ["4", "3", "3"]]
    assert np.unique(numbered.data).tolist() == [0, 3, 4]
    assert len(viewer.layers) == 3

    viewer.layers.remove(numbered)
    paint(source, np.nonzero(source.data == 9), 0)
    qtbot.mouseClick(widget.changed.button, Qt.MouseButton.LeftButton)
    assert widget.panel.message == "The layers of the tracks are not there any more; press Run."


def test_what_is_edited_while_it_is_followed_anew_is_not_overwritten(
    viewer: ViewerModel, widget: TracksWidget, qtbot: QtBot
) -> None:
    run(widget, qtbot)
    numbered = viewer.layers[1]
    paint(numbered, np.nonzero(numbered.data == 3), 0)
    qtbot.mouseClick(widget.changed.button, Qt.MouseButton.LeftButton)
    paint(numbered, np.nonzero(numbered.data == 4), 7)
    qtbot.waitUntil(lambda: not widget.job.is_running, timeout=60_000)
    assert widget.panel.message.startswith("The labels were edited meanwhile")
    assert widget.changed.isVisible()
    assert (numbered.data == 7).any()

    qtbot.mouseClick(widget.changed.button, Qt.MouseButton.LeftButton)
    press(widget, qtbot)
    assert widget.panel.message == "Stopped; nothing was changed."
    assert widget.changed.isVisible()
