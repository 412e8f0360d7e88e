"""The tools of the Correct widget: each gesture is one step of undo, and changes its cell alone."""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY
from napari_unet.widgets.correct.tools import ADD, DELETE, FILL, MERGE, SMOOTH, SPLIT, Tool


def test_every_tool_is_one_step_that_undo_takes_back(
    viewer: ViewerModel, hand: Any, labels: Labels, squares: NDArray[np.uint8]
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
    assert hand.cells_in(after) == {1, 2, 3, 4}
    assert np.array_equal(np.isin(after, (3, 4)), start == 3)
    after = does(MERGE, (10, 10), (10, 35), says="Merged into cell 2")
    assert hand.cells_in(after) == {2, 3}
    assert np.array_equal(after == 2, np.isin(start, (1, 2)))
    after = does(DELETE, (6, 6), says="Cell 1 is deleted")
    assert np.array_equal(after, np.where(start == 1, 0, start))
    after = does(SMOOTH, (45, 65), says="Cell 3 is smoothed")
    assert after[44, 50] == 0
    after = does(FILL, (6, 6), says="Cell 1 is filled")
    assert (after[5:15, 5:15] == 1).all()


def test_a_missed_cell_is_added_made_larger_and_smaller(
    viewer: ViewerModel, hand: Any, labels: Labels, squares: NDArray[np.uint8]
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
    assert hand.cells_in(labels.data) == {1, 2}
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
    viewer: ViewerModel, hand: Any, squares: NDArray[np.uint8]
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
    viewer: ViewerModel, hand: Any, squares: NDArray[np.uint8]
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
    hand: Any,
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
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
) -> None:
    stack = np.stack([square_labels] * 6)
    labels = viewer.add_labels(stack.copy(), scale=(2, 1, 1))
    labels.n_edit_dimensions = 2
    viewer.dims.set_current_step(0, 4)
    hand.take(SPLIT)
    hand.drag((8, 10, 0), (8, 10, 20))
    assert hand.cells_in(labels.data[4]) == {1, 2, 3, 4}
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
    assert hand.cells_in(labels.data[:, 10]) == {2, 5}
    assert all(hand.cells_in(row) == {2, 5} for row in labels.data[:, 10])
    assert not (labels.data[:, 11] == 5).any()

    labels.n_edit_dimensions = 3
    viewer.dims.order = (0, 1, 2)
    hand.take(DELETE)
    hand.click(8, 45, 65)
    assert 3 not in labels.data


def test_a_slice_that_the_labels_do_not_have_is_not_corrected(
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
) -> None:
    viewer.add_image(np.zeros((6, *square_labels.shape)))
    labels = viewer.add_labels(np.stack([square_labels] * 3))
    viewer.dims.set_current_step(0, 2)
    hand.take(DELETE)
    viewer.dims.set_current_step(0, 5)
    assert "has no such slice" in hand.click(5, 10, 10)
    assert (labels.data == square_labels).all()


# -- where a cut goes ----------------------------------------------------------------------------


def cut_column(viewer: ViewerModel, hand: Any, labels: Labels) -> int:
    """Cut cell 1 from top to bottom along column 10; return the column where the new one ends."""
    viewer.layers.selection.active = labels
    before = labels.data.copy()
    hand.take(SPLIT)
    hand.drag((0, 10), (20, 10))
    columns = np.flatnonzero((labels.data == labels.data.max()).any(axis=0))
    labels.data[...] = before
    return int(columns.max() if columns.min() == 0 else columns.min())


def test_a_cut_follows_scores_then_the_image_dark_or_bright_then_the_stroke(
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
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
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
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
        assert hand.cells_in(labels.data) == {1, 2}


def test_smoothing_again_goes_on(hand: Any, labels: Labels) -> None:
    hand.take(SMOOTH)
    hand.click(10, 10)
    once = np.count_nonzero(labels.data == 1)
    assert 0 < once < 100
    assert hand.cells_in(labels.data) == {1, 2, 3}
