"""Cells looked over: their list, order, choice and marks, and what was seen of an image."""

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.labels.cell_list import ScoreMaps, list_cells, score_maps
from napari_unet.engine.labels.look_over import (
    MarkBook,
    chosen_cells,
    in_order,
    progress,
    seen_area,
    usual_limits,
)


def few_cells() -> np.ndarray:
    labels = np.zeros((12, 16), np.int32)
    labels[0:3, 1:4] = 4  # 9 pixels, at the border
    labels[5:7, 2:4] = 9  # 4
    labels[4:8, 8:13] = 2  # 20
    labels[9:11, 5:8] = 7  # 6
    return labels


def test_list_tells_areas_boxes_and_means_as_regionprops_does() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, (3, 9, 11)).astype(np.uint16)
    scores = rng.random((2, *labels.shape), np.float32)
    cells = list_cells(labels, ScoreMaps(*scores))
    for row, each in enumerate(regionprops(labels, intensity_image=np.moveaxis(scores, 0, -1))):
        assert cells.numbers[row] == each.label
        assert cells.areas[row] == each.area
        assert cells.box(row) == each.slice
        assert cells.scores is not None
        assert cells.doubts is not None
        assert np.allclose([cells.scores[row], cells.doubts[row]], each.intensity_mean, atol=1e-6)
    assert cells.row(0) is None
    assert cells.row(3) == 2
    assert cells.row(99) is None


def test_no_cell_and_wrong_shapes() -> None:
    cells = list_cells(np.zeros((4, 5), np.uint8))
    assert cells.numbers.size == 0
    assert in_order(cells, "position") == []
    assert progress(cells, {}) == "0 of 0 seen"
    assert list_cells(np.zeros((0, 5), int)).numbers.size == 0
    with pytest.raises(LabelsError, match="two axes or more"):
        list_cells(np.ones(4, int))
    with pytest.raises(ImageShapeError, match=r"scores have shape \(2, 2\)"):
        list_cells(np.ones((4, 4), int), ScoreMaps(np.ones((2, 2)), np.ones((2, 2))))


def test_orders() -> None:
    cells = list_cells(few_cells())
    assert in_order(cells, "number") == [2, 4, 7, 9]
    assert in_order(cells, "small") == [9, 7, 4, 2]
    assert in_order(cells, "large") == [2, 4, 7, 9]
    # Rows of five pixels, twice the median cell: 4 in the first; the others from right to left.
    assert in_order(cells, "position") == [4, 2, 7, 9]
    with pytest.raises(SettingsError, match="no scores of these cells; take labels that Segment"):
        in_order(cells, "doubt")
    with pytest.raises(SettingsError, match="order is 'colour'"):
        in_order(cells, "colour")  # type: ignore[arg-type]


def test_cells_of_a_stack_are_looked_over_slice_by_slice() -> None:
    labels = np.zeros((3, 6, 6), int)
    labels[2, 1, 1], labels[0, 4, 4], labels[1, 2, 2] = 1, 2, 3
    cells = list_cells(labels)
    assert in_order(cells, "position") == [2, 3, 1]
    # Slices of one image each have no border above and below; a volume has.
    assert not cells.touches_border.any()
    labels[0:2, 2, 2] = 3
    assert list_cells(labels).touches_border.tolist() == [True, True, True]


def test_choices() -> None:
    cells = list_cells(few_cells())
    marks = {4: "right", 7: "wrong", 2: "look again"}

    def chosen(choice: object, limit: float | None = None) -> list[int]:
        found = chosen_cells(cells, choice, marks=marks, limit=limit)  # type: ignore[arg-type]
        return cells.numbers[found].tolist()

    assert chosen("all") == [2, 4, 7, 9]
    assert chosen("unseen") == [9]
    assert chosen("wrong") == [7]
    assert chosen("look again") == [2]
    assert chosen("border") == [4]
    assert chosen("small", 7) == [7, 9]
    assert chosen("large") == [2]  # the median is 7.5
    assert usual_limits(cells)["small"] == 3
    with pytest.raises(SettingsError, match="no scores"):
        chosen("low score")
    with pytest.raises(SettingsError, match="choice is 'blue'"):
        chosen("blue")


def test_doubt_is_where_two_classes_are_near_beyond_the_edge() -> None:
    cell = np.zeros((40, 40), np.float32)
    cell[2:18, 2:18], cell[22:38, 22:38] = 0.98, 0.55
    labels = np.zeros((40, 40), int)
    labels[2:18, 2:18], labels[22:38, 22:38] = 1, 2
    cells = list_cells(labels, score_maps(np.stack([1 - cell, cell]), ("background", "cell")))
    assert np.allclose(cells.scores, [0.98, 0.55])
    assert in_order(cells, "doubt") == [2, 1]
    assert cells.numbers[chosen_cells(cells, "low score")].tolist() == [2]
    with pytest.raises(SettingsError, match="that of the background"):
        score_maps(np.stack([cell, cell]), ("cell", "border"))


def test_marks_follow_what_becomes_of_cells_and_come_back_with_an_undo() -> None:
    start = few_cells()
    first = list_cells(start)
    book = MarkBook({4: "right", 9: "wrong", 7: "look again"})

    merged = start.copy()
    merged[merged == 9] = 4
    second = list_cells(merged)
    assert book.follow(first, second, {4, 9})
    assert book.marks == {4: "corrected", 7: "look again"}

    split = merged.copy()
    split[4:8, 10:13] = 10
    third = list_cells(split)
    book.follow(second, third, {2, 10})
    assert book.marks == {4: "corrected", 7: "look again", 2: "corrected", 10: "corrected"}

    # An undo tells nobody what it touched.
    book.follow(third, second, ())
    book.follow(second, first, ())
    assert book.marks == {4: "right", 9: "wrong", 7: "look again"}
    book.follow(first, second, ())
    assert book.marks == {4: "corrected", 7: "look again"}
    assert not book.follow(second, second, {4})


def test_what_another_run_changes_was_not_seen() -> None:
    start = few_cells()
    book = MarkBook(dict.fromkeys((2, 4, 7), "right"))
    other = start.copy()
    other[4, 8] = 0
    book.follow(list_cells(start), list_cells(other), ())
    assert book.marks == {4: "right", 7: "right"}


def test_a_mark_is_given_and_taken() -> None:
    book = MarkBook()
    book.give(3, "right")
    book.give(3, "wrong")
    assert book.marks == {3: "wrong"}
    book.give(3, "")
    assert book.marks == {}
    with pytest.raises(SettingsError, match="mark is 'fine'"):
        book.give(3, "fine")


def test_progress_counts_cells_that_are_there() -> None:
    cells = list_cells(few_cells())
    assert progress(cells, {2: "right", 99: "right"}) == "1 of 4 seen"
    marks = {2: "right", 4: "wrong", 9: "look again", 7: "corrected"}
    assert progress(cells, marks) == "3 of 4 seen, 1 wrong, 1 to look at again"


def test_seen_are_right_cells_and_background_that_is_nearer_to_them_than_to_others() -> None:
    labels = np.zeros((1, 14), int)
    labels[0, 2:4], labels[0, 9:11] = 1, 2
    seen = seen_area(labels, {1: "right", 2: "wrong"}, around_px=9)
    #                            . . 1 1 . . . . . 2 2 . . .
    assert seen[0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    both = seen_area(labels, {1: "right", 2: "corrected"}, around_px=2)
    assert both[0].tolist() == [1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0]
    assert not seen_area(labels, {2: "look again", 7: "right"}).any()
    square = np.zeros((20, 20), int)
    square[8:12, 8:12] = 5
    usual = seen_area(square, {5: "right"})
    assert usual[6, 10]
    assert not usual[5, 10]
