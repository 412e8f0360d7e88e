"""The Correct widget: each gesture is one step of undo, changes its cell alone, and is told."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer import worker
from napari_unet.viewer.gestures import Gestures
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY
from napari_unet.widgets.cell_types.widget import CellTypesWidget
from napari_unet.widgets.correct.tools import ADD, DELETE, FILL, MERGE, SMOOTH, SPLIT, TOOLS, Tool
from napari_unet.widgets.correct.widget import CorrectWidget


class Hand:
    """Someone at the mouse: presses, moves and lets go, as napari passes it on."""

    def __init__(self, qtbot: QtBot, viewer: ViewerModel, widget: CorrectWidget) -> None:
        self.qtbot, self.viewer, self.widget = qtbot, viewer, widget

    @property
    def message(self) -> str:
        return self.widget.sentence.message

    def take(self, tool: Tool) -> None:
        self.widget.tools.choose(None)
        self.widget.tools.buttons[tool].click()

    def event(self, at: Any, button: int) -> Any:
        down, across = self.viewer.dims.displayed[-2:]
        return SimpleNamespace(
            position=tuple(map(float, at)),
            pos=(10 * float(at[across]), 10 * float(at[down])),
            view_direction=None,
            dims_displayed=list(self.viewer.dims.displayed),
            button=button,
            type="mouse_press",
        )

    def drag(self, *points: Any, button: int = 1) -> str:
        """Drag through these places of the world, with steps between; return the sentence."""
        event = self.event(points[0], button)
        steps = [
            step
            for each in list(self.viewer.mouse_drag_callbacks)
            if isinstance(getattr(each, "__self__", None), Gestures)
            for step in [each(self.viewer, event)]
        ]
        for step in steps:
            next(step, None)
        for one, other in itertools.pairwise(points):
            for share in (0.25, 0.5, 0.75, 1):
                at = np.asarray(one) + share * (np.asarray(other) - np.asarray(one))
                vars(event).update(vars(self.event(at, button)), type="mouse_move")
                for step in steps:
                    next(step, None)
        event.type = "mouse_release"
        for step in steps:
            next(step, None)
        return self.message

    def click(self, *at: float, button: int = 1) -> str:
        """Click a place of the world, and wait for what comes of it; return the sentence."""
        self.drag(at, button=button)
        self.qtbot.waitUntil(lambda: not self.widget.corrections.is_busy, timeout=20_000)
        return self.message

    def counted(self) -> str:
        self.qtbot.waitUntil(lambda: not self.widget.count.is_busy, timeout=20_000)
        return self.widget.count_label.text()


@pytest.fixture
def widget(viewer: ViewerModel, session: Session, qtbot: QtBot) -> Iterator[CorrectWidget]:
    widget = CorrectWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.show()
    yield widget
    widget.close()
    assert worker.stop_all()


@pytest.fixture
def hand(qtbot: QtBot, viewer: ViewerModel, widget: CorrectWidget) -> Hand:
    return Hand(qtbot, viewer, widget)


@pytest.fixture
def labels(viewer: ViewerModel, square_labels: NDArray[np.int32]) -> Labels:
    return viewer.add_labels(square_labels.copy(), name="cells")


def numbers(labels: Any) -> set[int]:
    return set(np.unique(labels).tolist()) - {0}


# -- each tool -----------------------------------------------------------------------------------


def test_every_tool_is_one_step_that_undo_takes_back(
    viewer: ViewerModel, hand: Hand, labels: Labels, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(squares)
    viewer.layers.selection.active = labels
    labels.data[8:10, 8:10] = 0  # a hole
    labels.data[44, 50:60] = 3  # a thorn
    start = labels.data.copy()

    def does(tool: Tool, *gesture: Any, says: str) -> Any:
        hand.take(tool)
        told = hand.drag(*gesture) if len(gesture) > 1 else hand.click(*gesture[0])
        assert says in told
        after = labels.data.copy()
        assert not np.array_equal(after, start)
        labels.undo()
        assert np.array_equal(labels.data, start)
        labels.redo()
        assert np.array_equal(labels.data, after)
        labels.undo()
        return after

    after = does(SPLIT, (45, 70), (45, 57), says="Cell 3 is cut")
    assert numbers(after) == {1, 2, 3, 4}
    assert np.array_equal(np.isin(after, (3, 4)), start == 3)
    after = does(MERGE, (10, 10), (10, 35), says="Merged into cell 2")
    assert numbers(after) == {2, 3}
    assert np.array_equal(after == 2, np.isin(start, (1, 2)))
    after = does(DELETE, (6, 6), says="Cell 1 is deleted")
    assert np.array_equal(after, np.where(start == 1, 0, start))
    after = does(SMOOTH, (45, 65), says="Cell 3 is smoothed")
    assert after[44, 50] == 0
    after = does(FILL, (6, 6), says="Cell 1 is filled")
    assert (after[5:15, 5:15] == 1).all()


def test_a_missed_cell_is_added_made_larger_and_smaller(
    viewer: ViewerModel, hand: Hand, labels: Labels, squares: NDArray[np.uint8]
) -> None:
    # Brightness falls off to the side, and so do the scores.
    soft = squares.astype(np.float32)
    soft[38:52, 58:72] = 118 + 12 * np.hypot(*np.mgrid[-7:7, -7:7]).max() / 2
    yy, xx = np.mgrid[38:52, 58:72]
    soft[38:52, 58:72] = 125 - 2.5 * np.hypot(yy - 45, xx - 65)
    viewer.add_image(soft, name="image")
    viewer.layers.selection.active = labels
    labels.data[labels.data == 3] = 0
    hand.take(ADD)
    assert "Cell 3 is added" in hand.click(45, 65)
    first = np.count_nonzero(labels.data == 3)
    assert first > 10
    assert labels.data[45, 65] == 3

    assert hand.click(45, 65) == "Cell 3 is larger."
    larger = np.count_nonzero(labels.data == 3)
    assert larger > first
    assert hand.click(45, 65, button=2) == "Cell 3 is smaller."
    assert np.count_nonzero(labels.data == 3) < larger
    for _ in range(3):
        labels.undo()
    assert numbers(labels.data) == {1, 2}
    hand.click(45, 65)
    for word, button in (("larger", 1), ("smaller", 2)):
        for _ in range(40):
            told = hand.click(45, 65, button=button)
        assert f"gets no {word}" in told
        assert labels.data[45, 65] == 4
    while 4 in labels.data:
        labels.undo()
    assert "Cell 5 is added" in hand.click(45, 65)
    assert "Cell 1 is there already" in hand.click(8, 8)
    assert "Nothing around this place" in hand.click(60, 5)
    assert "right-click inside it" in hand.click(60, 5, button=2)


def test_a_missed_cell_is_added_in_one_slice_or_in_a_volume(
    viewer: ViewerModel, hand: Hand, squares: NDArray[np.uint8]
) -> None:
    viewer.add_image(np.stack([squares] * 3), name="stack")
    labels = viewer.add_labels(np.zeros((3, *squares.shape), np.int32))
    labels.n_edit_dimensions = 2
    viewer.dims.set_current_step(0, 1)
    hand.take(ADD)
    hand.click(1, 10, 10)
    assert np.array_equal(np.unique(np.nonzero(labels.data)[0]), [1])
    assert (labels.data[1, 6:14, 6:14] == 1).all()

    labels.n_edit_dimensions = 3
    hand.click(1, 45, 65)
    assert (labels.data[:, 41:49, 61:69] == 2).all()


def test_a_missed_cell_is_added_in_colours_and_in_the_channel_of_the_run(
    viewer: ViewerModel, hand: Hand, squares: NDArray[np.uint8]
) -> None:
    for array, channel in (
        (np.stack([squares] * 3, axis=-1), None),
        (np.stack([squares * 0, squares]), 2),
        (np.stack([squares * 0, squares], axis=-1), 2),
    ):
        viewer.layers.clear()
        image = viewer.add_image(array, rgb=channel is None)
        made = {METADATA_KEY: {"image_id": str(image.unique_id), "channel": channel}}
        labels = viewer.add_labels(np.zeros(squares.shape, np.int32), metadata=made)
        hand.take(ADD)
        at = [0] * (viewer.dims.ndim - 2)
        assert "Cell 1 is added" in hand.click(*at, 45, 65)
        assert (labels.data[41:49, 61:69] == 1).all()

    viewer.layers.clear()
    viewer.add_image(np.stack([squares, squares]))
    labels = viewer.add_labels(np.zeros(squares.shape, np.int32))
    hand.take(ADD)
    assert "2 channels" in hand.click(0, 45, 65)
    assert not labels.data.any()


def test_a_network_of_volumes_adds_a_cell_to_a_slice(
    viewer: ViewerModel,
    hand: Hand,
    session: Session,
    stack_network: Network,
    squares: NDArray[np.uint8],
) -> None:
    session.adopt(stack_network, "")
    viewer.add_image(np.stack([squares] * 8), name="stack")
    labels = viewer.add_labels(np.zeros((8, *squares.shape), np.int32))
    labels.n_edit_dimensions = 2
    viewer.dims.set_current_step(0, 3)
    hand.take(ADD)
    assert "Cell 1 is added" in hand.click(3, 10, 10)
    assert (labels.data[3, 6:14, 6:14] == 1).all()
    assert not labels.data[[2, 4]].any()


def test_tools_work_on_the_slice_that_is_shown_whichever_way_it_is_cut(
    viewer: ViewerModel, hand: Hand, square_labels: NDArray[np.int32]
) -> None:
    stack = np.stack([square_labels] * 6)
    labels = viewer.add_labels(stack.copy(), scale=(2, 1, 1))
    labels.n_edit_dimensions = 2
    viewer.dims.set_current_step(0, 4)
    hand.take(SPLIT)
    hand.drag((8, 10, 0), (8, 10, 20))
    assert numbers(labels.data[4]) == {1, 2, 3, 4}
    assert np.array_equal(np.delete(labels.data, 4, axis=0), np.delete(stack, 4, axis=0))
    viewer.dims.set_current_step(0, 1)
    labels.undo()
    assert np.array_equal(labels.data, stack)

    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 10)
    hand.take(DELETE)
    hand.click(4, 10, 8)
    expected = stack.copy()
    expected[:, 10][expected[:, 10] == 1] = 0
    assert np.array_equal(labels.data, expected)
    hand.take(SPLIT)
    hand.drag((-2, 10, 35), (14, 10, 35))
    assert numbers(labels.data[:, 10]) == {2, 5}
    assert all(numbers(row) == {2, 5} for row in labels.data[:, 10])
    assert not (labels.data[:, 11] == 5).any()

    labels.n_edit_dimensions = 3
    viewer.dims.order = (0, 1, 2)
    hand.take(DELETE)
    hand.click(8, 45, 65)
    assert 3 not in labels.data


def test_a_slice_that_the_labels_do_not_have_is_not_corrected(
    viewer: ViewerModel, hand: Hand, square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.zeros((6, *square_labels.shape)))
    labels = viewer.add_labels(np.stack([square_labels] * 3))
    viewer.dims.set_current_step(0, 2)
    hand.take(DELETE)
    viewer.dims.set_current_step(0, 5)
    assert "has no such slice" in hand.click(5, 10, 10)
    assert (labels.data == square_labels).all()


# -- where a cut goes ----------------------------------------------------------------------------


def cut_column(viewer: ViewerModel, hand: Hand, labels: Labels) -> int:
    """Cut cell 1 from top to bottom along column 10; return the column where the new one ends."""
    viewer.layers.selection.active = labels
    before = labels.data.copy()
    hand.take(SPLIT)
    hand.drag((0, 10), (20, 10))
    columns = np.flatnonzero((labels.data == labels.data.max()).any(axis=0))
    labels.data[...] = before
    return int(columns.max() if columns.min() == 0 else columns.min())


def test_a_cut_follows_scores_then_the_image_dark_or_bright_then_the_stroke(
    viewer: ViewerModel, hand: Hand, square_labels: NDArray[np.int32]
) -> None:
    array = np.zeros((20, 20), np.int32)
    array[2:18, 0:20] = 1
    line = np.where(array > 0, 200.0, 20)
    line[:, 11:13] = np.where(array[:, 11:13] > 0, 60, 20)
    rows = {"dark": line, "bright": 255 - line}
    for name, image in rows.items():
        viewer.layers.clear()
        viewer.add_image(image, name=name)
        labels = viewer.add_labels(array.copy(), name="cells")
        assert cut_column(viewer, hand, labels) in (11, 12, 13)
        assert f"as '{name}' shows it" in hand.message

    image_layer = viewer.layers["bright"]
    labels.metadata = {METADATA_KEY: {"image_id": str(image_layer.unique_id)}}
    scores = np.ones(array.shape, np.float32)
    scores[:, 8] = 0
    key = [str(image_layer.unique_id), "nuclei", "cell"]
    viewer.add_image(scores, metadata={SCORES_KEY: key})
    assert cut_column(viewer, hand, labels) in (8, 9)
    assert "scores are lowest" in hand.message

    viewer.layers.clear()
    labels = viewer.add_labels(array.copy())
    assert cut_column(viewer, hand, labels) in (10, 11)
    assert "along the stroke" in hand.message


def test_colours_and_channels_are_looked_at_as_well(
    viewer: ViewerModel, hand: Hand, square_labels: NDArray[np.int32]
) -> None:
    array = np.zeros((20, 20), np.int32)
    array[2:18] = 1
    line = np.where(array > 0, 200, 20).astype(np.uint8)
    line[2:18, 12] = 60
    for image, options in (
        (np.stack([line] * 3, axis=-1), {"rgb": True}),
        (np.stack([line, line]), {}),
    ):
        viewer.layers.clear()
        viewer.add_image(image, name="colours", **options)
        labels = viewer.add_labels(array.copy())
        viewer.layers.selection.active = labels
        hand.take(SPLIT)
        at = [0] * (viewer.dims.ndim - 2)
        hand.drag((*at, 0, 10), (*at, 20, 10))
        assert "as 'colours' shows it" in hand.message
        assert numbers(labels.data) == {1, 2}


# -- bad input -----------------------------------------------------------------------------------


def test_what_cannot_be_corrected_is_told(viewer: ViewerModel, hand: Hand) -> None:
    hand.take(DELETE)
    assert "There is no labels layer" in hand.message
    assert hand.widget.tools.tool is None
    array = np.ones((20, 20), np.int32)
    lazy = viewer.add_labels(dask.array.from_array(array), name="lazy")
    hand.take(DELETE)
    assert "The labels of 'lazy' cannot be written to" in hand.message
    viewer.layers.remove(lazy)
    levels = viewer.add_labels([array, array[::2, ::2]], multiscale=True, name="levels")
    hand.take(DELETE)
    assert "The labels of 'levels' cannot be written to" in hand.message
    viewer.layers.remove(levels)
    locked = viewer.add_labels(array, name="locked")
    locked.editable = False
    hand.take(DELETE)
    assert "'locked' is locked" in hand.message
    locked.editable = True
    hand.take(DELETE)
    locked.visible = False
    assert "'locked' is hidden" in hand.click(5, 5)
    locked.visible = True
    viewer.add_labels(np.ones((4, 20, 20), int))
    viewer.dims.ndisplay = 3
    hand.take(DELETE)
    assert "leave the 3-D view" in hand.message


@pytest.mark.parametrize(
    ("tool", "points", "says"),
    [
        (SPLIT, [(30, 2), (30, 60)], "lies outside of all cells"),
        (SPLIT, [(5, 0), (5, 20)], "does not part cell 1"),
        (MERGE, [(10, 10), (12, 12)], "Only cell 1 is here"),
        (MERGE, [(30, 10), (30, 60)], "no cell here"),
        (MERGE, [(-9, -9), (-5, -5)], "no cell here"),
        (SPLIT, [(10, 10)], "a click is no stroke"),
        (DELETE, [(30, 30)], "no cell at this place"),
        (FILL, [(10, 10)], "Cell 1 has no hole."),
        (ADD, [(10, 60)], "There is no image"),
        (DELETE, [(-20, 5)], "outside of the labels"),
    ],
)
def test_a_gesture_that_does_nothing_is_told_and_changes_nothing(
    hand: Hand, labels: Labels, tool: Tool, points: Any, says: str
) -> None:
    before = labels.data.copy()
    hand.take(tool)
    assert says in hand.drag(*points)
    assert np.array_equal(labels.data, before)
    assert not labels._undo_history


def test_without_a_model_or_with_one_of_another_grid_nothing_is_proposed(
    viewer: ViewerModel, hand: Hand, labels: Labels, squares: NDArray[np.uint8], qtbot: QtBot
) -> None:
    viewer.add_image(squares[:50], name="smaller")
    viewer.layers.selection.active = labels
    hand.take(ADD)
    assert "'smaller' has shape (50, 80), and 'cells' (64, 80)" in hand.click(30, 30)
    other = CorrectWidget(viewer, Session())
    qtbot.addWidget(other)
    hand.widget.tools.choose(None)
    person = Hand(qtbot, viewer, other)
    person.take(ADD)
    assert "No model is loaded" in person.click(30, 30)
    other.close()


def test_layers_that_go_or_change_end_the_tool(
    viewer: ViewerModel, hand: Hand, labels: Labels
) -> None:
    hand.take(SPLIT)
    assert not labels.mouse_pan
    labels.mode = "paint"
    assert hand.widget.tools.tool is None
    hand.take(SPLIT)
    viewer.add_image(np.zeros((5, 5)))
    assert hand.widget.tools.tool is None
    assert labels.mouse_pan
    hand.take(SPLIT)
    labels.data = labels.data.copy()
    assert hand.widget.tools.tool is SPLIT
    hand.drag((0, 10), (20, 10))
    assert numbers(labels.data) == {1, 2, 3, 4}
    viewer.layers.remove(labels)
    assert hand.widget.tools.tool is None
    assert hand.counted() == ""


def test_a_stroke_ends_with_the_view_of_slices(viewer: ViewerModel, hand: Hand) -> None:
    labels = viewer.add_labels(np.ones((3, 8, 8), int))
    hand.take(SPLIT)
    viewer.dims.ndisplay = 3
    assert hand.widget.tools.tool is None
    assert labels.mouse_pan


def test_the_image_is_that_of_the_run_then_one_of_the_same_size_and_stays_as_it_is_chosen(
    viewer: ViewerModel, hand: Hand, labels: Labels, squares: NDArray[np.uint8]
) -> None:
    chosen = hand.widget.image_choice
    viewer.add_image(squares[:9], name="other size")
    first = viewer.add_image(squares, name="first")
    viewer.add_image(squares, name="second")
    assert chosen.layer.name == "first"
    chosen.choose("second")
    viewer.add_image(squares, name="third")
    assert chosen.layer.name == "second"
    made = {METADATA_KEY: {"image_id": str(first.unique_id)}}
    viewer.add_labels(squares * 0, metadata=made)
    assert chosen.layer.name == "first"
    viewer.layers.selection.active = labels
    assert chosen.layer.name == "third"


@pytest.mark.parametrize("changes", ["labels", "image", "model", "layer"])
def test_what_changes_while_a_cell_is_looked_for_stops_that(
    viewer: ViewerModel,
    hand: Hand,
    labels: Labels,
    squares: NDArray[np.uint8],
    session: Session,
    threshold_network: Network,
    changes: str,
) -> None:
    image = viewer.add_image(squares)
    viewer.layers.selection.active = labels
    labels.data[labels.data == 3] = 0
    hand.take(ADD)
    hand.drag((45, 65))
    assert hand.widget.corrections.is_busy
    if changes == "labels":
        labels.data = labels.data.copy()
    elif changes == "image":
        image.data = squares.copy()
    elif changes == "model":
        session.adopt(threshold_network, "")
    else:
        viewer.layers.remove(labels)
    assert not hand.widget.corrections.is_busy
    assert numbers(labels.data) == {1, 2}
    if changes != "layer":
        assert "No cell was added, as the model or a layer changed" in hand.message
        assert "Cell 3 is added" in hand.click(45, 65)


@pytest.mark.parametrize(
    ("dtype", "highest", "wider"),
    [("uint8", 255, "uint16"), ("int32", 2**31 - 1, "int64"), ("int64", 2**40, "int64")],
)
def test_long_numbers_get_a_longer_dtype_and_never_collide(
    viewer: ViewerModel,
    hand: Hand,
    square_labels: NDArray[np.int32],
    dtype: str,
    highest: int,
    wider: str,
) -> None:
    array = square_labels.astype(dtype)
    array[array == 2] = highest
    labels = viewer.add_labels(array)
    hand.take(SPLIT)
    told = hand.drag((0, 10), (20, 10))
    assert labels.data.dtype == wider
    assert numbers(labels.data) == {1, 3, highest, highest + 1}
    assert (f"needs {wider}" in told) == (dtype != wider)
    hand.drag((35, 65), (55, 65))
    assert numbers(labels.data) == {1, 3, highest, highest + 1, highest + 2}


def test_where_no_number_is_left_it_is_told(
    viewer: ViewerModel, hand: Hand, square_labels: NDArray[np.int32]
) -> None:
    array = square_labels.astype(np.int64)
    array[array == 2] = np.iinfo(np.int64).max
    viewer.add_labels(array)
    hand.take(SPLIT)
    assert "there is none left for a new cell" in hand.drag((0, 10), (20, 10))


def test_the_number_of_an_undone_cell_is_not_given_again(hand: Hand, labels: Labels) -> None:
    hand.take(SPLIT)
    hand.drag((0, 10), (20, 10))
    labels.undo()
    hand.drag((0, 35), (20, 35))
    assert numbers(labels.data) == {1, 2, 3, 5}


# -- the count -----------------------------------------------------------------------------------


def test_the_count_follows_every_change(
    viewer: ViewerModel, hand: Hand, labels: Labels, qtbot: QtBot
) -> None:
    assert hand.counted() == "3 cells"
    hand.take(DELETE)
    hand.click(10, 10)
    assert hand.counted() == "2 cells"
    labels.undo()
    assert hand.counted() == "3 cells"
    labels.data = np.ones((8, 8), np.int32)
    assert hand.counted() == "1 cell"
    labels.brush_size = 1
    labels.selected_label = 9
    labels.mode = "paint"
    labels.paint((4, 4), 9)
    assert hand.counted() == "2 cells"
    viewer.add_labels(np.zeros((3, 4, 4), int))
    assert hand.counted() == "0 cells"
    viewer.dims.set_current_step(0, 2)
    assert not hand.widget.count.is_busy


def test_large_labels_give_no_number_before_they_are_counted(
    hand: Hand, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets.correct.live_count._AT_ONCE_PX", 100)
    labels.data = labels.data.copy()
    hand.take(SPLIT)
    assert "still being counted" in hand.drag((0, 10), (20, 10))
    assert hand.counted() == "3 cells"
    labels.paint((30, 20), 40)
    hand.drag((0, 10), (20, 10))
    assert numbers(labels.data) == {1, 2, 3, 40, 41}


# -- buttons, keys and the mouse -----------------------------------------------------------------


def test_keys_press_the_buttons_while_the_widget_is_open(
    viewer: ViewerModel, hand: Hand, labels: Labels
) -> None:
    taken = {str(key) for key in Labels.class_keymap}
    assert not taken & {tool.key for tool in TOOLS}
    assert len({tool.key for tool in TOOLS}) == len(TOOLS)
    keys = {str(key): key for key in labels.keymap}
    for tool in TOOLS:
        labels.keymap[keys[tool.key]](labels)
        assert hand.widget.tools.tool is tool
        assert tool.key in hand.widget.tools.buttons[tool].text()
        assert tool.gesture in hand.widget.tools.buttons[tool].toolTip()
    labels.keymap[keys[FILL.key]](labels)
    assert hand.widget.tools.tool is None
    other = viewer.add_labels(np.zeros((4, 4), int))
    assert not labels.keymap
    assert other.keymap
    hand.widget.close()
    assert not other.keymap
    third = viewer.add_labels(np.zeros((4, 4), int))
    assert not third.keymap
    hand.widget.show()
    assert third.keymap


def test_a_key_that_was_someone_elses_is_theirs_again(
    viewer: ViewerModel, qtbot: QtBot, session: Session
) -> None:
    layer = viewer.add_labels(np.zeros((4, 4), int))
    theirs = layer.bind_key("S", lambda _layer: None) or dict(layer.keymap)
    widget = CorrectWidget(viewer, session)
    qtbot.addWidget(widget)
    widget.close()
    assert dict(layer.keymap) == theirs


def test_the_mouse_is_napari_s_again_when_a_tool_ends(
    viewer: ViewerModel, hand: Hand, labels: Labels
) -> None:
    drags = list(viewer.mouse_drag_callbacks)
    doubles = list(viewer.mouse_double_click_callbacks)
    hand.take(DELETE)
    assert labels.mouse_pan
    assert "double_click_to_zoom" not in [
        each.__name__ for each in viewer.mouse_double_click_callbacks
    ]
    # Of two quick clicks the second comes as a double click.
    viewer.mouse_double_click_callbacks[-1](viewer, hand.event((10, 35), 1))
    assert numbers(labels.data) == {1, 3}
    hand.drag((10, 10), (40, 40))
    assert numbers(labels.data) == {1, 3}
    hand.widget.tools.choose(None)
    assert viewer.mouse_drag_callbacks == drags
    assert viewer.mouse_double_click_callbacks == doubles


def test_of_two_forms_only_one_has_the_mouse(
    viewer: ViewerModel, hand: Hand, labels: Labels, qtbot: QtBot
) -> None:
    types = CellTypesWidget(viewer)
    qtbot.addWidget(types)
    types.button.click()
    hand.take(DELETE)
    assert not types.button.isChecked()
    types.button.click()
    assert hand.widget.tools.tool is None
    types.close()


def test_who_looks_on_is_told_of_clicks_only_while_there_is_no_tool(
    viewer: ViewerModel, hand: Hand, labels: Labels
) -> None:
    seen: list[int] = []
    onlooker = Gestures(viewer, hand.widget)
    onlooker.clicked.connect(lambda click: seen.append(click.label))
    hand.take(SMOOTH)
    onlooker.start(labels, yields=True)
    assert hand.widget.tools.tool is SMOOTH
    hand.click(10, 35)
    assert seen == []
    hand.widget.tools.choose(None)
    hand.drag((10, 35))
    labels.mode = "paint"
    hand.drag((10, 35))
    labels.mode = "pan_zoom"
    hand.drag((10, 10))
    assert seen == [2, 1]
    viewer.layers.remove(labels)
    assert onlooker.layer is None


def test_smoothing_again_goes_on(hand: Hand, labels: Labels) -> None:
    hand.take(SMOOTH)
    hand.click(10, 10)
    once = np.count_nonzero(labels.data == 1)
    assert 0 < once < 100
    assert numbers(labels.data) == {1, 2, 3}
