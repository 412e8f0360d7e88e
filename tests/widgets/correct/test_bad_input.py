"""What cannot be corrected is told in one sentence, and nothing is changed."""

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
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.correct.tools import ADD, DELETE, FILL, MERGE, SPLIT, Tool
from napari_unet.widgets.correct.widget import CorrectWidget


def test_what_cannot_be_corrected_is_told(viewer: ViewerModel, hand: Any) -> None:
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
    hand: Any, labels: Labels, tool: Tool, points: Any, says: str
) -> None:
    before = labels.data.copy()
    hand.take(tool)
    assert says in hand.drag(*points)
    assert np.array_equal(labels.data, before)
    assert not labels._undo_history


def test_without_a_model_or_with_one_of_another_grid_nothing_is_proposed(
    viewer: ViewerModel, hand: Any, labels: Labels, squares: NDArray[np.uint8], qtbot: QtBot
) -> None:
    viewer.add_image(squares[:50], name="smaller")
    viewer.layers.selection.active = labels
    hand.take(ADD)
    assert "'smaller' has shape (50, 80), and 'cells' (64, 80)" in hand.click(30, 30)
    other = CorrectWidget(viewer, Session())
    qtbot.addWidget(other)
    hand.widget.tools.choose(None)
    person = type(hand)(qtbot, viewer, other)
    person.take(ADD)
    assert "No model is loaded" in person.click(30, 30)
    other.close()


def test_layers_that_go_or_change_end_the_tool(
    viewer: ViewerModel, hand: Any, labels: Labels
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
    assert hand.cells_in(labels.data) == {1, 2, 3, 4}
    viewer.layers.remove(labels)
    assert hand.widget.tools.tool is None
    assert hand.counted() == ""


def test_a_stroke_ends_with_the_view_of_slices(viewer: ViewerModel, hand: Any) -> None:
    labels = viewer.add_labels(np.ones((3, 8, 8), int))
    hand.take(SPLIT)
    viewer.dims.ndisplay = 3
    assert hand.widget.tools.tool is None
    assert labels.mouse_pan


def test_the_image_is_that_of_the_run_then_one_of_the_same_size_and_stays_as_it_is_chosen(
    viewer: ViewerModel, hand: Any, labels: Labels, squares: NDArray[np.uint8]
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
    hand: Any,
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
    assert hand.cells_in(labels.data) == {1, 2}
    if changes != "layer":
        assert "No cell was added, as the model or a layer changed" in hand.message
        assert "Cell 3 is added" in hand.click(45, 65)


@pytest.mark.parametrize(
    ("dtype", "highest", "wider"),
    [("uint8", 255, "uint16"), ("int32", 2**31 - 1, "int64"), ("int64", 2**40, "int64")],
)
def test_long_numbers_get_a_longer_dtype_and_never_collide(
    viewer: ViewerModel,
    hand: Any,
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
    assert hand.cells_in(labels.data) == {1, 3, highest, highest + 1}
    assert (f"needs {wider}" in told) == (dtype != wider)
    hand.drag((35, 65), (55, 65))
    assert hand.cells_in(labels.data) == {1, 3, highest, highest + 1, highest + 2}


def test_where_no_number_is_left_it_is_told(
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
) -> None:
    array = square_labels.astype(np.int64)
    array[array == 2] = np.iinfo(np.int64).max
    viewer.add_labels(array)
    hand.take(SPLIT)
    assert "there is none left for a new cell" in hand.drag((0, 10), (20, 10))


def test_the_number_of_an_undone_cell_is_not_given_again(hand: Any, labels: Labels) -> None:
    hand.take(SPLIT)
    hand.drag((0, 10), (20, 10))
    labels.undo()
    hand.drag((0, 35), (20, 35))
    assert hand.cells_in(labels.data) == {1, 2, 3, 5}
