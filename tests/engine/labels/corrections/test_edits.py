"""Corrections of single cells: what they change, and that they change nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.labels.cell_count import CellCount, iterate_count
from napari_unet.engine.labels.corrections.cuts import split_cell
from napari_unet.engine.labels.corrections.edits import (
    CellEdit,
    cell_region,
    delete_cell,
    fill_cell,
    merge_cells,
    smooth_cell,
    with_room,
)
from napari_unet.engine.labels.corrections.proposals import add_cell


def discs(*centres: tuple[int, int], radius: int = 8, shape: tuple[int, int] = (64, 80)):
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for number, (row, column) in enumerate(centres, start=1):
        labels[np.hypot(y - row, x - column) <= radius] = number
    return labels


def applied(labels: np.ndarray, edit: CellEdit) -> np.ndarray:
    assert np.array_equal(labels[edit.region], edit.before)
    after = labels.copy()
    after[edit.region] = edit.after
    return after


def pieces(mask: np.ndarray) -> int:
    return ndimage.label(mask)[1]


# -- split ---------------------------------------------------------------------------------------


@given(st.floats(0, np.pi), st.floats(-5, 5), st.booleans(), st.integers(0, 2**31), st.booleans())
def test_a_stroke_across_a_cell_makes_two_without_a_gap(angle, offset, backwards, seed, guided):
    labels = discs((30, 40), radius=15)
    labels[2:6, 2:6] = 7
    away = np.array([-np.sin(angle), np.cos(angle)])
    middle = np.array([30, 40]) + offset * np.array([np.cos(angle), np.sin(angle)])
    stroke = np.array([middle - 20 * away, middle, middle + 20 * away])
    landscape = np.random.default_rng(seed).random(labels.shape) if guided else None
    edit = split_cell(
        labels, stroke[::-1] if backwards else stroke, landscape=landscape, new_number=8
    )
    after = applied(labels, edit)
    assert edit.numbers == (1, 8)
    assert np.array_equal(np.isin(after, (1, 8)), labels == 1)
    assert pieces(after == 1) == pieces(after == 8) == 1
    assert (after == 1).sum() >= (after == 8).sum() > 0
    assert np.array_equal(after == 7, labels == 7)


def test_the_cut_follows_the_dark_line_near_the_stroke():
    labels = discs((30, 40), radius=15)
    landscape = np.ones(labels.shape)
    landscape[:, 43] = 0
    stroke = np.array([[10.0, 41.0], [50.0, 41.0]])
    after = applied(labels, split_cell(labels, stroke, landscape=landscape, new_number=2))
    assert set(np.unique(after[:, :43])) == {0, 1}
    assert set(np.unique(after[:, 44:])) == {0, 2}
    straight = applied(labels, split_cell(labels, stroke, new_number=2))
    assert abs(int((straight[:, 41:] == 2).sum()) - int((straight == 2).sum())) < 30


def test_a_stroke_that_ends_inside_goes_on_straight():
    labels = discs((30, 40), radius=15)
    after = applied(labels, split_cell(labels, np.array([[25.0, 40], [35, 40]]), new_number=5))
    assert pieces(after == 1) == pieces(after == 5) == 1


def test_through_three_cells_the_one_that_holds_most_is_cut():
    labels = discs((30, 10), (30, 40), (30, 70), radius=9)
    labels[labels == 2] = 0
    labels[discs((30, 40), radius=14) == 1] = 2
    after = applied(labels, split_cell(labels, np.array([[30.0, 0], [30, 79]]), new_number=9))
    for number in (1, 3):
        assert np.array_equal(after == number, labels == number)
    assert (after == 9).any()


def test_a_volume_is_cut_through_all_slices():
    labels = np.stack([discs((30, 40), radius=r) for r in (6, 10, 12, 10, 6)])
    stroke = np.array([[2.0, 10, 40], [2, 50, 40]])
    after = applied(labels, split_cell(labels, stroke, new_number=2))
    assert all({1, 2} <= set(np.unique(plane)) for plane in after)
    assert pieces(after == 1) == pieces(after == 2) == 1


@pytest.mark.parametrize(
    ("stroke", "words"),
    [
        ([[2, 2], [2, 70]], "lies outside of all cells"),
        ([[-9, -9], [-5, -5]], "lies outside of all cells"),
        ([[30, 40], [30, 40]], "does not part cell 1"),
        ([[22, 20], [22, 60]], "does not part cell 1"),  # along its border
    ],
)
def test_a_stroke_that_cuts_nothing_is_told(stroke, words):
    with pytest.raises(LabelsError, match=words):
        split_cell(discs((30, 40)), np.array(stroke, float), new_number=2)


def test_only_the_arm_of_a_bent_cell_that_is_crossed_is_cut_off():
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 10:50] = 1
    labels[20:40, 10:40] = 0  # open to the left: two arms, one above the other
    after = applied(labels, split_cell(labels, np.array([[5.0, 25], [17, 25]]), new_number=2))
    assert (after[10:20, 10:24] == 2).all()
    assert (after[40:50] != 2).all()
    assert pieces(after == 1) == pieces(after == 2) == 1


def test_of_a_cell_in_pieces_the_one_under_the_stroke_is_cut():
    labels = discs((30, 20), (30, 60), radius=14)
    labels[discs((30, 60), radius=10) == 1] = 9
    labels[labels == 2] = 0
    labels[labels == 9] = 1
    after = applied(labels, split_cell(labels, np.array([[15.0, 60], [45, 60]]), new_number=2))
    assert (after[:, :40] != 2).all()
    assert (after[:, 40:] == 1).any()
    assert (after[:, 40:] == 2).any()


def test_where_the_landscape_is_unknown_the_cell_is_cut_all_the_same():
    labels = discs((30, 40), radius=15)
    landscape = np.full(labels.shape, np.nan)
    stroke = np.array([[10.0, 41.0], [50.0, 41.0]])
    after = applied(labels, split_cell(labels, stroke, new_number=2, landscape=landscape))
    assert pieces(after == 1) == pieces(after == 2) == 1


@pytest.mark.parametrize(
    ("dtype", "number", "wider"),
    [
        ("uint8", 255, "uint8"),
        ("uint8", 256, "uint16"),
        ("int32", 2**31 - 1, "int32"),
        ("int32", 2**31, "int64"),
        ("uint32", 2**32, "uint64"),
    ],
)
def test_a_new_number_that_is_too_long_makes_the_labels_longer(dtype, number, wider):
    labels = discs((30, 40), radius=15).astype(dtype)
    stroke = np.array([[10.0, 41.0], [50.0, 41.0]])
    edit = split_cell(labels, stroke, new_number=number)
    assert edit.after.dtype == wider
    assert set(np.unique(edit.after).tolist()) == {0, 1, number}


def test_where_no_number_is_left_it_is_told():
    for dtype in (np.int64, np.uint64):
        with pytest.raises(LabelsError, match="there is none left"):
            with_room(np.zeros(3, dtype), int(np.iinfo(dtype).max) + 1)


# -- the others ----------------------------------------------------------------------------------


def test_merged_cells_are_one_piece_with_the_number_of_the_larger():
    labels = discs((30, 20), (30, 39))
    labels[discs((30, 20), radius=9) == 1] = 1
    assert pieces(labels > 0) == 2
    after = applied(labels, merge_cells(labels, [(30, 20), (30, 39), (5, 5)]))
    assert set(np.unique(after)) == {0, 1}
    assert pieces(after == 1) == 1


def test_cells_between_those_that_are_merged_stay():
    labels = discs((30, 20), (30, 38))
    labels[29:32, 29] = 9
    after = applied(labels, merge_cells(labels, [(30, 20), (30, 38)]))
    assert np.array_equal(after == 9, labels == 9)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(30, 20)], "Only cell 1 is here"),
        ([(30, 20), (31, 20)], "Only cell 1 is here"),
        ([(1, 1), (2, 2)], "no cell here"),
        ([], "no cell here"),
    ],
)
def test_to_merge_takes_two_cells(places, words):
    with pytest.raises(LabelsError, match=words):
        merge_cells(discs((30, 20)), places)


def test_delete_fill_and_smooth_touch_one_cell():
    labels = discs((30, 20), (30, 60))
    labels[30, 20] = labels[10:14, 20] = 0
    labels[21, 20] = 1  # a thorn
    gone = applied(labels, delete_cell(labels, (30, 60)))
    assert set(np.unique(gone)) == {0, 1}
    filled = applied(labels, fill_cell(labels, (28, 20)))
    assert filled[30, 20] == 1
    smooth = applied(labels, smooth_cell(labels, (28, 20)))
    assert smooth[30, 20] == 1
    assert smooth[21, 20] == 0
    for after in (filled, smooth):
        assert np.array_equal(after == 2, labels == 2)


def test_a_cell_that_is_too_small_is_not_smoothed_away():
    labels = np.zeros((20, 20), np.int32)
    labels[5, 5] = 3
    with pytest.raises(LabelsError, match="Cell 3 is too small"):
        smooth_cell(labels, (5, 5))


def test_nothing_is_split_or_deleted_where_nothing_is():
    labels = discs((30, 20))
    for at, words in (((1, 1), "no cell at this place"), ((99, 1), "outside of the labels")):
        with pytest.raises(LabelsError, match=words):
            delete_cell(labels, at)


@given(st.integers(0, 63), st.integers(0, 79), st.integers(1, 30))
def test_the_box_of_a_cell_is_its_own(row, column, radius):
    labels = discs((row, column), radius=radius)
    (box,) = ndimage.find_objects(labels)
    assert cell_region(labels, (row, column)) == box


def test_a_missed_cell_is_proposed_from_its_scores():
    truth = discs((30, 20), (30, 34))
    labels = np.where(truth == 2, 2, 0)
    scores = 0.2 * ndimage.gaussian_filter((truth > 0).astype(float), 1)
    edit = add_cell(labels, scores, (31, 18), new_number=3)
    after = applied(labels, edit)
    found, true = after == 3, truth == 1
    assert (found & true).sum() > 0.9 * (found | true).sum()
    assert np.array_equal(after == 2, labels == 2)
    smaller = applied(labels, add_cell(labels, scores, (31, 18), new_number=3, share=0.8))
    assert 0 < (smaller == 3).sum() < found.sum()


def test_of_two_missed_cells_that_touch_the_one_that_is_clicked_is_proposed():
    truth = discs((30, 20), (30, 36))
    scores = (truth > 0).astype(float)
    cores = scores.copy()
    cores[:, 27:30] *= 0.1
    for at, cell in (((30, 18), 1), ((33, 38), 2)):
        edit = add_cell(truth * 0, scores, at, new_number=5, cores=cores)
        found = applied(truth * 0, edit) == 5
        assert (found & (truth == cell)).sum() > 0.95 * (found | (truth == cell)).sum()
    both = applied(truth * 0, add_cell(truth * 0, scores, (30, 18), new_number=5)) == 5
    assert np.array_equal(both, truth > 0)


@pytest.mark.parametrize("at", [(0, 0), (1, 79), (63, 2), (63, 79)])
def test_a_missed_cell_at_the_rim_of_the_image_is_proposed(at):
    truth = discs(at, radius=12)
    after = applied(truth * 0, add_cell(truth * 0, truth.astype(float), at, new_number=1))
    assert np.array_equal(after, truth)


def test_what_is_no_cell_is_not_proposed():
    labels, flat = discs((30, 20)), np.ones((64, 80))
    for at, scores, words in (
        ((30, 20), flat, "Cell 1 is there already"),
        ((5, 60), 0 * flat, "Nothing around this place"),
    ):
        with pytest.raises(LabelsError, match=words):
            add_cell(labels, scores, at, new_number=2)
    with pytest.raises(LabelsError, match="Nothing around this place"):
        add_cell(labels, flat, (5, 60), new_number=2, largest_px=100)


def test_a_proposal_takes_no_rim_of_its_neighbour_and_is_replaced_by_another():
    truth = discs((30, 20), (30, 37))
    scores = ndimage.gaussian_filter((truth > 0).astype(float), 1.5)
    labels = np.where(discs((30, 37), radius=6) == 1, 2, 0)
    first = applied(labels, add_cell(labels, scores, (30, 18), new_number=3, share=0.5))
    assert not (first[:, 40:] == 3).any()
    second = applied(first, add_cell(first, scores, (30, 18), new_number=3, share=0.3))
    assert (second == 3).sum() > (first == 3).sum()
    assert not (second[:, 40:] == 3).any()
    assert np.array_equal(second == 2, labels == 2)


@pytest.mark.parametrize("shape", [(70,), (50, 60), (3, 40, 50), (2, 3, 20, 30)])
def test_cells_are_counted_as_the_slow_way_does(shape, monkeypatch):
    monkeypatch.setattr("napari_unet.engine.labels.cell_count._BLOCK_PX", 100)
    labels = np.random.default_rng(0).choice([-3, 0, 1, 5, 2**40], shape)
    (*_, last) = iterate_count(labels)
    assert last == CellCount(3, 2**40)
    for empty in (np.zeros(shape, np.uint8), np.zeros((0, 4), int)):
        (*_, last) = iterate_count(empty)
        assert last == CellCount(0, 0)
