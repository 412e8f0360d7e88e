"""Cells that are looked over one by one: the camera, the marks, and what is offered."""

from typing import Any

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.engine.labels.cell_list import CellScores, list_cells
from napari_unet.viewer.cells.cell_scores import keep_cell_scores
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY
from napari_unet.widgets.correct.tools import DELETE, MERGE, SPLIT, TOOLS


def ready(hand: Any) -> Any:
    """Wait until the cells are listed; return what leads through them."""
    looked = hand.widget.look_over
    hand.qtbot.waitUntil(lambda: not looked.is_busy, timeout=20_000)
    return looked


def press(hand: Any, layer: Labels, *keys: str) -> None:
    bound = {str(key).replace("+", "-"): key for key in layer.keymap}
    for key in keys:
        layer.keymap[bound[key]](layer)


def centre(viewer: ViewerModel) -> list[float]:
    camera = getattr(viewer, "scene", viewer).camera
    return [round(float(n), 1) for n in camera.center[-2:]]


def choose(hand: Any, text: str) -> None:
    box = hand.widget.panel.choice_box
    box.setCurrentIndex(next(n for n in range(box.count()) if box.itemText(n).startswith(text)))


def test_keys_lead_from_cell_to_cell_and_mark_them(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    looked, panel = ready(hand), hand.widget.panel
    assert panel.progress_label.text() == "0 of 3 seen"
    assert not panel.mark_buttons["right"].isEnabled()
    press(hand, labels, "N")
    assert (looked.number, labels.selected_label) == (1, 1)
    assert centre(viewer) == [9.5, 9.5]
    press(hand, labels, "G")
    assert looked.number == 2
    assert centre(viewer) == [9.5, 34.5]
    press(hand, labels, "W")
    assert looked.number == 3
    assert marks_of_layer(labels) == {1: "right", 2: "wrong"}
    assert panel.progress_label.text() == "2 of 3 seen, 1 wrong"
    press(hand, labels, "Shift-N")
    assert looked.number == 2
    assert panel.mark_buttons["wrong"].isChecked()
    assert panel.cell_label.message == "Cell 2: 100 px, wrong"
    # The same mark again takes it away, and one stays there.
    press(hand, labels, "W")
    assert looked.number == 2
    assert marks_of_layer(labels) == {1: "right"}
    assert not panel.mark_buttons["wrong"].isChecked()
    press(hand, labels, "U", "G")
    assert hand.message == "All cells but 1 are seen."
    choose(hand, "To look at again")
    press(hand, labels, "N", "G")
    assert hand.message == "No cell is of this kind."
    assert marks_of_layer(labels) == dict.fromkeys((1, 2, 3), "right")
    choose(hand, "Not yet seen")
    press(hand, labels, "N")
    assert hand.message == "All cells are seen."


def test_keys_of_napari_and_of_tools_stay_theirs(hand: Any, labels: Labels) -> None:
    ready(hand)
    keys = set(hand.widget.panel.keys)
    assert not keys & {tool.key for tool in TOOLS}
    # What napari has on a Labels layer by default.
    assert not keys & set("1234567EPFLZXMBV[]-=")
    hand.widget.close()
    assert not labels.keymap


def test_marks_follow_corrections_and_their_undo(hand: Any, labels: Labels) -> None:
    looked = ready(hand)
    press(hand, labels, "N", "G", "G", "W")
    hand.take(MERGE)
    hand.drag((10, 10), (10, 35))
    ready(hand)
    assert marks_of_layer(labels) == {1: "corrected", 3: "wrong"}
    hand.take(SPLIT)
    hand.drag((35, 65), (55, 65))
    ready(hand)
    assert marks_of_layer(labels) == {1: "corrected", 3: "corrected", 4: "corrected"}
    hand.take(DELETE)
    hand.click(10, 10)
    ready(hand)
    assert marks_of_layer(labels) == {3: "corrected", 4: "corrected"}
    for _ in range(3):
        labels.undo()
    ready(hand)
    assert marks_of_layer(labels) == {1: "right", 2: "right", 3: "wrong"}
    labels.redo()
    ready(hand)
    assert marks_of_layer(labels) == {1: "corrected", 3: "wrong"}
    assert looked.cells.numbers.tolist() == [1, 3]


def test_what_is_painted_with_the_brush_is_corrected(hand: Any, labels: Labels) -> None:
    ready(hand)
    labels.brush_size = 3
    labels.paint((30, 20), 7)
    labels.paint((10, 10), 0)
    ready(hand)
    assert marks_of_layer(labels) == {1: "corrected", 7: "corrected"}


def test_another_result_in_the_layer_was_not_seen(hand: Any, labels: Labels) -> None:
    ready(hand)
    press(hand, labels, "N", "G", "G", "G")
    other = labels.data.copy()
    other[5:8, 5:8] = 0
    labels.data = other
    ready(hand)
    assert marks_of_layer(labels) == {2: "right", 3: "right"}


def test_the_cell_after_one_that_was_deleted_comes_next(hand: Any, labels: Labels) -> None:
    looked = ready(hand)
    press(hand, labels, "N", "N")
    hand.take(DELETE)
    hand.click(10, 35)
    ready(hand)
    assert looked.number is None
    press(hand, labels, "G")
    assert "There is no cell to be marked" in hand.message
    press(hand, labels, "N")
    assert looked.number == 3
    press(hand, labels, "N")
    assert looked.number == 1
    assert hand.message == "From the first one again."


def test_kinds_of_cells_are_chosen_and_shown(hand: Any, labels: Labels) -> None:
    looked = ready(hand)
    labels.data[0:3, 50:53] = 9
    labels.refresh()
    ready(hand)
    choose(hand, "Touching the border")
    assert looked.chosen == [9]
    assert hand.widget.panel.progress_label.text() == "0 of 4 seen; 1 chosen"
    hand.qtbot.waitUntil(lambda: len(hand.widget.outlines.drawn.boxes) == 1)
    assert hand.widget.outlines.drawn.boxes[0].tolist() == [[-0.5, 49.5], [2.5, 52.5]]
    press(hand, labels, "N")
    hand.qtbot.waitUntil(lambda: bool(hand.widget.outlines.drawn.outlines))
    (outline,) = hand.widget.outlines.drawn.outlines
    assert outline.min(axis=0).tolist() == [-0.5, 49.5]
    assert outline.max(axis=0).tolist() == [2.5, 52.5]
    choose(hand, "Smaller than")
    assert hand.widget.panel.limit_box.value() == 40
    assert looked.chosen == [9]
    hand.widget.panel.limit_box.setValue(101)
    assert looked.chosen == [1, 2, 9, 3]
    choose(hand, "Larger than")
    assert looked.chosen == []
    press(hand, labels, "N")
    assert hand.message == "No cell is of this kind."


def test_doubt_needs_scores_and_comes_first_with_them(
    viewer: ViewerModel, hand: Any, square_labels: NDArray[np.int32]
) -> None:
    viewer.add_labels(square_labels)
    looked, panel = ready(hand), hand.widget.panel
    assert looked.order == "position"
    for box, row in ((panel.order_box, 0), (panel.choice_box, 7)):
        assert box.itemText(row).endswith("(no scores)")
        assert not box.model().item(row).isEnabled()
        assert "Segment has not found them" in box.model().item(row).toolTip()

    image = viewer.add_image(np.zeros(square_labels.shape))
    scores = np.where(square_labels > 0, 0.95, 0).astype(np.float32)
    scores[square_labels == 3] = 0.6
    key = [str(image.unique_id), "nuclei", "cell"]
    shown = viewer.add_image(scores, metadata={SCORES_KEY: key})
    labels = viewer.add_labels(
        square_labels.copy(), metadata={METADATA_KEY: {"image_id": str(image.unique_id)}}
    )
    ready(hand)
    assert panel.order_box.currentText() == "Most doubtful first"
    press(hand, labels, "N")
    assert looked.number == 3
    # 6 x 6 of its pixels are further than 2 pixels from the edge; each has a doubt of 0.8.
    assert panel.cell_label.message == "Cell 3: 100 px, score 0.60, doubt 0.29, not yet seen"
    choose(hand, "Score below")
    assert looked.chosen == [3]
    viewer.layers.remove(shown)
    ready(hand)
    assert panel.order_box.currentText() == "By position"
    assert panel.choice == "unseen"


def test_doubt_from_when_cells_were_found_orders_them_until_they_are_changed(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    looked, panel = ready(hand), hand.widget.panel
    assert looked.order == "position"
    cells = list_cells(labels.data)
    scores, doubts = np.array([0.9, 0.7, 0.8]), np.array([0.1, 0.3, 0.2])
    keep_cell_scores(labels, CellScores(cells.numbers, cells.prints, scores, doubts))
    ready(hand)
    assert looked.has_scores
    panel.order_box.setCurrentIndex(0)
    assert looked.chosen == [2, 3, 1]
    press(hand, labels, "N")
    assert panel.cell_label.message == "Cell 2: 100 px, score 0.70, doubt 0.30, not yet seen"
    y, x = np.argwhere(labels.data == 2)[0]
    labels.data_setitem((np.array([y]), np.array([x])), 0)
    ready(hand)
    assert panel.cell_label.message == "Cell 2: 99 px, no score, as it was changed, corrected"
    choose(hand, "All cells")
    assert looked.chosen == [3, 1, 2]


def test_cells_of_a_stack_are_shown_in_the_slice_that_has_most_of_them(
    viewer: ViewerModel, hand: Any
) -> None:
    array = np.zeros((5, 20, 20), np.int32)
    array[1:4, 2:4, 2:4] = 1
    array[3, 2:9, 2:9] = 1
    array[4, 12:18, 12:18] = 2
    labels = viewer.add_labels(array, scale=(3, 1, 1))
    ready(hand)
    press(hand, labels, "N")
    assert (labels.selected_label, viewer.dims.current_step[0]) == (1, 3)
    assert centre(viewer) == [5, 5]
    hand.qtbot.waitUntil(lambda: bool(hand.widget.outlines.drawn.outlines))
    viewer.dims.set_current_step(0, 0)
    hand.qtbot.waitUntil(lambda: not hand.widget.outlines.drawn.outlines)
    press(hand, labels, "N")
    assert (labels.selected_label, viewer.dims.current_step[0]) == (2, 4)


def test_marks_are_those_of_the_layer_that_is_chosen(
    viewer: ViewerModel, hand: Any, labels: Labels, square_labels: NDArray[np.int32]
) -> None:
    ready(hand)
    press(hand, labels, "N", "G")
    marked = {"index": [2], "looked over": ["wrong"]}
    other = viewer.add_labels(square_labels.copy(), features=marked)
    looked = ready(hand)
    assert looked.marks == {2: "wrong"}
    assert looked.number is None
    other.features = {"index": [2], "looked over": ["right"]}
    assert hand.widget.panel.progress_label.text() == "1 of 3 seen"
    viewer.layers.selection.active = labels
    assert looked.marks == {1: "right"}
    ready(hand)
    assert hand.widget.panel.progress_label.text() == "1 of 3 seen"


def test_what_cannot_be_looked_over_is_told(viewer: ViewerModel, hand: Any) -> None:
    panel = hand.widget.panel
    panel.next_button.click()
    assert "There is no labels layer" in hand.message
    empty = viewer.add_labels(np.zeros((8, 8), int))
    press(hand, empty, "N")
    assert "still being listed" in hand.message
    ready(hand)
    press(hand, empty, "N")
    assert hand.message == "The layer has no cells."
    lazy = viewer.add_labels(dask.array.ones((8, 8), dtype=int))
    ready(hand)
    press(hand, lazy, "N")
    assert "cannot be written to" in hand.message


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_numbers_of_any_size_are_looked_over(viewer: ViewerModel, hand: Any, dtype: Any) -> None:
    array = np.zeros((30, 30), dtype)
    highest = min(np.iinfo(dtype).max, 2**40)
    array[2:9, 2:9] = highest
    labels = viewer.add_labels(array)
    ready(hand)
    press(hand, labels, "N", "G")
    assert marks_of_layer(labels) == {highest: "right"}


def test_a_click_makes_a_cell_the_one_that_is_looked_at(
    viewer: ViewerModel, hand: Any, labels: Labels
) -> None:
    looked = ready(hand)
    hand.drag((45, 65))
    assert looked.number is None
    press(hand, labels, "N")
    hand.drag((45, 65))
    assert (looked.number, labels.selected_label) == (3, 3)
    assert centre(viewer) == [9.5, 9.5]
    press(hand, labels, "W")
    assert looked.number == 1
    assert marks_of_layer(labels) == {3: "wrong"}
    hand.drag((30, 30))
    assert looked.number == 1
    # A tool has the mouse to itself.
    hand.take(SPLIT)
    hand.drag((10, 35))
    assert looked.number == 1
    hand.widget.tools.choose(None)
    hand.drag((10, 35))
    assert looked.number == 2
