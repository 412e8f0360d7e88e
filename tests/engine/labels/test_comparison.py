"""What has changed between two results, cell by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.engine.base.errors import ImageShapeError, LabelsError
from napari_unet.engine.labels.comparison import CHANGE_KINDS, Change, change_image, compare_cells

SWAPPED = {"gained": "lost", "lost": "gained", "split": "merged", "merged": "split"}


@st.composite
def blocks(draw, count: int = 2) -> list[np.ndarray]:
    """Label images of one shape, with cells large enough to overlap."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4))
    coarse = [
        draw(arrays(np.uint8, shape, elements=st.integers(0, 4), fill=st.nothing()))
        for _ in range(count)
    ]
    return [np.roll(np.repeat(each, 2, axis=-1), draw(st.integers(0, 1))) for each in coarse]


def row(*numbers: int) -> np.ndarray:
    return np.array([numbers])


def only(before: np.ndarray, after: np.ndarray, **options) -> Change:
    (change,) = compare_cells(before, after, **options).changes
    return change


def test_cells_without_a_counterpart_are_gained_or_lost():
    gained = only(row(0, 0, 0, 0), row(0, 9, 9, 0))
    assert (gained.kind, gained.before_ids, gained.after_ids) == ("gained", (), (9,))
    assert (gained.box, gained.centre) == ((slice(0, 1), slice(1, 3)), (0.0, 1.5))
    assert (gained.before_px, gained.after_px) == (0, 2)
    lost = only(row(0, 9, 9, 0), row(0, 0, 0, 0))
    assert (lost.kind, lost.before_ids, lost.after_ids) == ("lost", (9,), ())


def test_one_cell_that_became_two_is_split_and_two_that_became_one_are_merged():
    whole, parts = row(7, 7, 7, 7, 7, 0), row(3, 3, 0, 5, 5, 0)
    split = only(whole, parts)
    assert (split.kind, split.before_ids, split.after_ids) == ("split", (7,), (3, 5))
    merged = only(parts, whole)
    assert (merged.kind, merged.before_ids, merged.after_ids) == ("merged", (3, 5), (7,))


def test_cells_cut_anew_are_regrouped():
    before = row(1, 1, 1, 2, 2)
    after = row(3, 4, 4, 4, 4)
    change = only(before, after)
    assert (change.kind, change.before_ids, change.after_ids) == ("regrouped", (1, 2), (3, 4))


def test_a_cell_with_another_outline_is_reshaped_only_below_the_threshold():
    before, after = row(1, 1, 1, 1, 0), row(0, 2, 2, 2, 2)  # IoU 3 / 5
    assert only(before, after).kind == "reshaped"
    assert only(before, after).box == (slice(0, 1), slice(0, 5))
    assert compare_cells(before, after, same_iou=0.6).changes == ()
    assert compare_cells(before, after, same_iou=0.6).unchanged == 1


def test_neighbours_that_overlap_a_little_are_not_taken_together():
    before = row(1, 1, 1, 1, 1, 1, 2, 2, 2, 2)
    after = row(1, 1, 1, 1, 1, 2, 2, 2, 2, 2)
    comparison = compare_cells(before, after)
    assert (comparison.changes, comparison.unchanged) == ((), 2)


def test_changes_come_largest_first_and_are_counted_by_kind():
    before = row(1, 0, 2, 2, 2, 0, 0, 0, 4)
    after = row(0, 0, 0, 0, 0, 0, 3, 0, 4)
    comparison = compare_cells(before, after)
    assert [(each.kind, each.before_px) for each in comparison.changes] == [
        ("lost", 3),
        ("lost", 1),
        ("gained", 0),
    ]
    assert comparison.counts == dict.fromkeys(CHANGE_KINDS, 0) | {"lost": 2, "gained": 1}
    assert (comparison.before_cells, comparison.after_cells, comparison.unchanged) == (3, 2, 1)


def test_with_a_truth_each_change_says_whether_it_is_better():
    truth = row(1, 1, 2, 2, 0, 0, 0, 0)
    before = row(5, 5, 5, 5, 0, 0, 0, 0)
    after = row(1, 1, 2, 2, 0, 0, 9, 9)
    split, gained = compare_cells(before, after, truth).changes
    # Before, one cell missed and a pair at IoU 1/2; after, both are whole.
    assert split.improvement == pytest.approx(1 + 2 * 0.5)
    assert split.is_better is True
    assert gained.improvement == -1
    assert gained.is_better is False
    assert only(before, row(1, 1, 2, 2, 0, 0, 0, 0)).is_better is None


def test_a_cell_that_covers_less_than_half_of_a_true_one_is_no_improvement():
    truth, nothing = row(1, 1, 1, 1, 1), row(0, 0, 0, 0, 0)
    assert only(nothing, row(1, 1, 1, 0, 0), truth=truth).improvement == pytest.approx(0.2)
    assert only(nothing, row(1, 1, 0, 0, 0), truth=truth).improvement == pytest.approx(-0.2)


def test_a_false_cell_that_is_gone_is_an_improvement():
    assert only(row(1, 1, 0), row(0, 0, 0), truth=row(0, 0, 0)).improvement == 1


def test_with_a_truth_both_results_are_evaluated():
    truth = row(1, 1, 2, 2)
    comparison = compare_cells(row(5, 5, 5, 5), truth, truth)
    assert comparison.before_score is not None
    assert comparison.after_score is not None
    assert comparison.before_score.merged_cells == 1
    assert comparison.before_score.pooled(0.5).average_precision == 1 / 2
    assert comparison.after_score.pooled(0.9).average_precision == 1
    assert compare_cells(truth, truth).before_score is None


def test_change_image_is_coloured_by_kind():
    before = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 0, 0]])
    after = np.array([[3, 3, 0, 0, 0], [3, 3, 0, 4, 4]])
    coloured = change_image(compare_cells(before, after))
    gained, lost = (1 + CHANGE_KINDS.index(kind) for kind in ("gained", "lost"))
    assert coloured.tolist() == [[0, 0, 0, lost, lost], [0, 0, 0, gained, gained]]
    assert coloured.dtype == np.uint8


def test_labels_of_other_shapes_or_kinds_are_refused():
    with pytest.raises(ImageShapeError, match="must be labels of the same image"):
        compare_cells(row(1, 1), row(1, 1, 1))
    with pytest.raises(LabelsError, match="numbers that are not whole"):
        compare_cells(row(1, 1), row(1, 1) * 1.5)
    with pytest.raises(ImageShapeError):
        compare_cells(row(1, 1), row(1, 1), row(1, 1, 1))


@pytest.mark.parametrize("first", [2**31, 2**40, 2**63])
def test_numbers_of_cells_may_be_as_large_as_the_file_holds(first):
    before, after = (np.array([[0, 0, 0, 0, 0]], np.uint64) for _ in range(2))
    before[0, :2], after[0, :2], after[0, 3:] = first + 1, first + 1, first + 2
    found = compare_cells(before, after)
    assert (found.before_cells, found.after_cells, found.unchanged) == (1, 2, 1)
    assert [(each.kind, each.after_ids) for each in found.changes] == [("gained", (first + 2,))]


@given(blocks(count=1))
def test_a_result_beside_itself_has_no_changes(images):
    (labels,) = images
    comparison = compare_cells(labels, labels + np.uint8(labels > 0), labels)
    assert comparison.changes == ()
    assert comparison.unchanged == comparison.before_cells == np.unique(labels[labels > 0]).size
    assert not change_image(comparison).any()


@given(blocks())
def test_swapping_the_results_swaps_gained_with_lost_and_split_with_merged(images):
    before, after = images
    there = compare_cells(before, after).changes
    back = compare_cells(after, before).changes
    assert sorted((each.kind, each.before_ids, each.after_ids) for each in there) == sorted(
        (SWAPPED.get(each.kind, each.kind), each.after_ids, each.before_ids) for each in back
    )


@given(blocks(count=3))
def test_each_cell_belongs_to_one_change_or_is_unchanged_and_its_pixels_are_coloured(images):
    before, after, truth = images
    comparison = compare_cells(before, after, truth)
    changed = np.zeros(before.shape, bool)
    for labels, ids, cells in (
        (before, [each.before_ids for each in comparison.changes], comparison.before_cells),
        (after, [each.after_ids for each in comparison.changes], comparison.after_cells),
    ):
        every = [number for each in ids for number in each]
        assert len(every) == len(set(every))
        assert cells == len(every) + comparison.unchanged
        changed |= np.isin(labels, every)
    assert np.array_equal(change_image(comparison) > 0, changed)
    for change in comparison.changes:
        pixels = np.isin(before, change.before_ids) | np.isin(after, change.after_ids)
        places = np.argwhere(pixels)
        assert change.box == tuple(
            slice(low, high + 1)
            for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True)
        )
        assert change.centre == pytest.approx(tuple(places.mean(axis=0)))
        assert abs(change.improvement) <= len(change.before_ids) + len(change.after_ids)
    coloured = np.bincount(comparison.run_changes + 1, comparison.run_lengths)
    assert coloured[1:].sum() == changed.sum()


@given(blocks())
def test_two_cells_share_a_change_if_they_share_more_than_half_of_the_smaller(images):
    before, after = images
    comparison = compare_cells(before, after, same_iou=2)  # so that every cell is a change
    for old in np.unique(before[before > 0]):
        for new in np.unique(after[after > 0]):
            shared = ((before == old) & (after == new)).sum()
            if shared > 0.5 * min((before == old).sum(), (after == new).sum()):
                assert any(
                    old in each.before_ids and new in each.after_ids for each in comparison.changes
                )
