"""What became of each true and each found cell, beside a slow and obvious count."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.labels.truth.cell_errors import (
    CURVE_THRESHOLDS,
    VERDICTS,
    CellError,
    find_errors,
    verdict_shares,
)


def row(*numbers: int) -> np.ndarray:
    return np.array([numbers])


def only(truth: np.ndarray, found: np.ndarray, **options) -> CellError:
    (error,) = find_errors(truth, found, **options).errors
    return error


@st.composite
def pairs(draw) -> tuple[np.ndarray, np.ndarray]:
    """Label images of one shape, with cells large enough to overlap."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4))
    coarse = [
        draw(arrays(np.uint8, shape, elements=st.integers(0, 4), fill=st.nothing()))
        for _ in range(2)
    ]
    one, other = (np.roll(np.repeat(each, 2, axis=-1), draw(st.integers(0, 1))) for each in coarse)
    return one, other


def slow(truth: np.ndarray, found: np.ndarray, right_iou: float) -> tuple[set, int]:
    """Errors as (kind, true cells, found cells), and how many pairs are right."""
    cells = [("t", n) for n in np.unique(truth) if n] + [("f", n) for n in np.unique(found) if n]
    masks = {cell: (truth if cell[0] == "t" else found) == cell[1] for cell in cells}
    groups = {cell: {cell} for cell in cells}
    for one, other in itertools.combinations(cells, 2):
        shared = (masks[one] & masks[other]).sum()
        if one[0] != other[0] and 2 * shared > min(masks[one].sum(), masks[other].sum()):
            joined = groups[one] | groups[other]
            for cell in joined:
                groups[cell] = joined
    errors, right = set(), 0
    for group in {frozenset(group) for group in groups.values()}:
        true = frozenset(n for side, n in group if side == "t")
        others = frozenset(n for side, n in group if side == "f")
        if len(true) == len(others) == 1:
            one, other = (masks[cell] for cell in group)
            if (one & other).sum() / (one | other).sum() >= right_iou:
                right += 1
                continue
        errors.add((slow_kind(len(true), len(others)), true, others))
    return errors, right


def slow_kind(true: int, found: int) -> str:
    if not found:
        return "missed"
    if not true:
        return "false"
    if true == 1:
        return "outline" if found == 1 else "split"
    return "merged" if found == 1 else "regrouped"


@given(pairs(), st.sampled_from([0.5, 0.6, 0.8, 1.0]))
def test_errors_are_those_of_a_slow_and_obvious_count(
    labels: tuple[np.ndarray, np.ndarray], right_iou: float
) -> None:
    result = find_errors(*labels, right_iou=right_iou)

    expected, right = slow(*labels, right_iou)
    told = {(e.kind, frozenset(e.true_ids), frozenset(e.found_ids)) for e in result.errors}
    assert told == expected
    assert result.counts[0].places["right"] == right


@given(pairs(), st.sampled_from([0.5, 0.6, 0.8, 1.0]))
def test_each_cell_has_one_verdict_and_each_error_has_a_cell_that_precision_counts(
    labels: tuple[np.ndarray, np.ndarray], right_iou: float
) -> None:
    result = find_errors(*labels, right_iou=right_iou, thresholds=[right_iou])

    (counts,), score = result.counts, result.evaluation.pooled(right_iou)
    assert sum(counts.true.values()) == result.evaluation.true_cells
    assert sum(counts.found.values()) == result.evaluation.predicted_cells
    assert counts.true["false"] == counts.found["missed"] == 0
    assert counts.places["right"] <= score.true_positives
    wrong = score.false_negatives + score.false_positives
    assert len(result.errors) <= wrong
    # Beyond those that match, every cell in an error is one that counts as missed or extra.
    in_errors = sum(len(e.true_ids) + len(e.found_ids) for e in result.errors)
    assert in_errors - 2 * (score.true_positives - counts.places["right"]) == wrong


@given(pairs())
def test_the_image_shows_each_cell_in_the_colour_of_its_verdict(
    labels: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, found = labels
    result = find_errors(truth, found)
    image = result.image()

    assert not image[(truth == 0) & (found == 0)].any()
    for number, error in enumerate(result.errors):
        value = 1 + VERDICTS.index(error.kind)
        cells = np.isin(found, error.found_ids) & (found > 0)
        others = np.isin(found, [n for e in result.errors for n in e.found_ids]) & (found > 0)
        own = cells | (np.isin(truth, error.true_ids) & (truth > 0) & ~others)
        assert (image[own] == value).all()
        assert {result.at(place) for place in np.argwhere(own)} <= {number}
    found_wrong, true_wrong = (
        [n for error in result.errors for n in getattr(error, ids)]
        for ids in ("found_ids", "true_ids")
    )
    right = (found > 0) & ~np.isin(found, found_wrong) & ~np.isin(truth, true_wrong)
    assert np.array_equal(image == 1, right)
    for place in np.argwhere(image <= 1):
        assert result.at(place) is None


def test_each_kind_is_told_with_its_cells_and_their_overlap():
    missed = only(row(0, 7, 7, 0), row(0, 0, 0, 0))
    assert (missed.kind, missed.true_ids, missed.found_ids) == ("missed", (7,), ())
    assert (missed.iou, missed.true_px, missed.found_px, missed.size_px) == (0, 2, 0, 2)
    assert (missed.box, missed.centre) == ((slice(0, 1), slice(1, 3)), (0.0, 1.5))
    assert only(row(0, 0), row(0, 7)).kind == "false"
    split = only(row(7, 7, 7, 7, 7, 0), row(3, 3, 0, 5, 5, 5))
    assert (split.kind, split.iou) == ("split", 2 / 5)
    merged = only(row(3, 3, 0, 5, 5, 0), row(7, 7, 7, 7, 7, 0))
    assert (merged.kind, merged.true_ids, merged.found_ids) == ("merged", (3, 5), (7,))
    assert only(row(1, 1, 1, 2, 2), row(3, 4, 4, 4, 4)).kind == "regrouped"
    outline = only(row(1, 1, 0, 0, 0), row(2, 2, 2, 2, 2))
    assert (outline.kind, outline.iou) == ("outline", 2 / 5)


def test_a_cell_is_right_from_the_chosen_overlap_on():
    truth, found = row(1, 1, 1, 0), row(1, 1, 0, 0)
    assert not find_errors(truth, found, right_iou=0.6).errors
    assert only(truth, found, right_iou=0.7).kind == "outline"
    assert find_errors(truth, found).evaluation.thresholds == CURVE_THRESHOLDS


def test_planes_of_a_stack_are_images_of_their_own_where_a_cell_has_two_axes():
    truth = np.zeros((3, 1, 6), int)
    truth[:, :, :2] = 4
    truth[2, :, 4:] = 9
    found = truth.copy()
    found[1] = 0
    found[2, :, 2:4] = 8

    whole = find_errors(truth, found)
    assert [error.kind for error in whole.errors] == ["false"]  # a third of the volume is away
    planes = find_errors(truth, found, ndim=2)
    told = [(error.kind, error.box[0].start, error.centre) for error in planes.errors]
    assert told == [("missed", 1, (1, 0, 0.5)), ("false", 2, (2, 0, 2.5))]
    assert [image.true_cells for image in planes.evaluation.images] == [1, 1, 2]
    assert planes.image().tolist() == [
        [[1, 1, 0, 0, 0, 0]],
        [[2, 2, 0, 0, 0, 0]],
        [[1, 1, 3, 3, 1, 1]],
    ]
    assert (planes.at((1, 0, 1)), planes.at((2, 0, 2)), planes.at((0, 0, 0))) == (0, 1, None)


def test_cells_are_added_up_over_images_with_the_interval_of_their_share():
    # Of 40 true cells 30 are right, 9 missed and one is split; one of the 33 found ones is false.
    truth = np.repeat(np.arange(1, 41), 4)[np.newaxis]
    truth = np.append(truth, row(0), axis=1)
    found = np.where(truth <= 31, truth, 0)
    found[0, 121:124] = [41, 0, 42]  # what is left of cell 31
    found[0, 120] = 41
    found[0, -1] = 43
    shares = {each.verdict: each for each in verdict_shares(find_errors(truth, found).counts)}

    missed, false, split = shares["missed"], shares["false"], shares["split"]
    assert (missed.places, missed.true_cells, missed.found_cells) == (9, 9, 0)
    assert (missed.share, round(missed.low, 3), round(missed.high, 3)) == (9 / 40, 0.123, 0.375)
    assert (false.places, false.true_cells, false.share) == (1, 0, 1 / 33)
    assert (split.places, split.true_cells, split.found_cells) == (1, 1, 2)
    assert shares["right"].true_cells == 30


def test_what_makes_no_sense_is_refused_in_a_sentence():
    with pytest.raises(ImageShapeError, match="must be labels of the same image"):
        find_errors(row(1, 2), row(1))
    with pytest.raises(ImageShapeError, match="a cell cannot have 3; use 1 to 2"):
        find_errors(row(1), row(1), ndim=3)
    with pytest.raises(SettingsError, match=r"IoU of 0.4 on; use 0.5 to 1"):
        find_errors(row(1), row(1), right_iou=0.4)
    with pytest.raises(LabelsError, match="have no pixels"):
        find_errors(np.zeros((0, 4), int), np.zeros((0, 4), int))


def test_nothing_at_all_has_no_errors():
    result = find_errors(row(0, 0), row(0, 0))
    assert (result.errors, result.image().tolist()) == ((), [[0, 0]])
    assert {(each.share, each.low, each.high) for each in verdict_shares(result.counts)} == {
        (0.0, 0.0, 1.0)
    }
