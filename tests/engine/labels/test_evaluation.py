"""Matching of predicted with true cells."""

import numpy as np
import pytest

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.labels.evaluation import (
    Evaluation,
    ImageScore,
    ThresholdScore,
    evaluate,
)

TRUTH = np.array(
    [
        [1, 1, 0, 2, 2],
        [1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0],
        [3, 3, 3, 3, 0],
    ]
)


def test_perfect_prediction_scores_one_whatever_the_numbers():
    renumbered = np.choose(TRUTH, [0, 30, 7, 90000])
    evaluation = evaluate(TRUTH, renumbered)
    assert [evaluation.pooled(t).average_precision for t in (0.5, 0.7, 0.9)] == [1, 1, 1]
    assert evaluation.mean_matched_iou == 1


def test_counts_at_each_threshold_are_those_worked_out_by_hand():
    prediction = np.array(
        [
            [1, 1, 0, 2, 0],  # cell 1 whole; 2 of 4 pixels of cell 2
            [1, 1, 0, 2, 0],
            [0, 0, 0, 0, 0],
            [3, 3, 3, 0, 4],  # 3 of 4 pixels of cell 3, and a false cell
        ]
    )
    evaluation = evaluate(TRUTH, prediction, thresholds=(0.5, 0.7, 0.9))
    counts = [
        (s.true_positives, s.false_positives, s.false_negatives)
        for s in evaluation.images[0].scores
    ]
    assert counts == [(3, 1, 0), (2, 2, 1), (1, 3, 2)]
    assert evaluation.pooled(0.5).average_precision == 3 / 4
    assert evaluation.pooled(0.7).f1 == pytest.approx(4 / 7)
    assert evaluation.pooled(0.9).precision == 1 / 4
    assert evaluation.pooled(0.9).recall == 1 / 3
    assert evaluation.mean_matched_iou == pytest.approx((1 + 0.75) / 2)


def test_below_one_half_a_cell_is_matched_only_once():
    truth = np.array([[1, 1, 1, 2, 2, 2]])
    prediction = np.ones((1, 6), int)
    score = evaluate(truth, prediction, thresholds=(0.3,)).pooled(0.3)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 0, 1)


def test_two_cells_in_one_prediction_count_as_one_merge():
    truth = np.array([[1, 1, 1, 2, 2, 2, 0, 3]])
    prediction = np.array([[5, 5, 5, 5, 5, 5, 0, 6]])
    assert evaluate(truth, prediction).merged_cells == 1
    assert evaluate(truth, truth).merged_cells == 0


def test_pooled_weighs_cells_and_mean_weighs_images():
    one = np.array([[1, 0, 0, 0, 0, 0, 0]])
    many = np.array([[1, 0, 2, 0, 3, 0, 4]])
    evaluation = evaluate([one, many], [np.zeros_like(one), many])
    assert evaluation.pooled(0.5).average_precision == 4 / 5
    assert evaluation.mean_ap(0.5) == 1 / 2


def test_nothing_found_where_nothing_is_counts_as_right():
    empty = np.zeros((3, 3), int)
    assert evaluate(empty, empty).pooled(0.5).average_precision == 1
    assert evaluate(empty, TRUTH[:3, :3]).pooled(0.5).average_precision == 0


def test_labels_of_other_shapes_or_kinds_are_refused():
    with pytest.raises(ImageShapeError, match="must be labels of the same image"):
        evaluate(TRUTH, TRUTH[:2])
    with pytest.raises(ImageShapeError, match="1 true and 2 predicted"):
        evaluate([TRUTH], [TRUTH, TRUTH])
    for wrong in (TRUTH / 2, np.where(TRUTH, TRUTH, np.nan), TRUTH * 2.0**70, TRUTH.astype(str)):
        with pytest.raises(LabelsError, match="The labels hold"):
            evaluate(TRUTH, wrong)
    for wrong in (0, 1.1, -0.5):
        with pytest.raises(SettingsError, match=r"use overlaps above 0, at most 1"):
            evaluate(TRUTH, TRUTH, thresholds=(0.5, wrong))


@pytest.mark.parametrize(
    "kind", [np.float16, np.float32, np.float64, np.int64, np.uint64, np.dtype(">u2")]
)
def test_labels_are_read_alike_whatever_their_dtype(kind):
    assert evaluate(TRUTH, TRUTH.astype(kind)) == evaluate(TRUTH, TRUTH)


def test_numbers_below_0_are_no_cells():
    marked = np.where(TRUTH == 0, -1, TRUTH)
    assert evaluate(marked, TRUTH) == evaluate(TRUTH, marked) == evaluate(TRUTH, TRUTH)
    assert evaluate(marked.astype(float), TRUTH).images[0].true_cells == 3


def test_numbers_of_cells_may_have_64_bits_without_a_sign():
    huge = np.where(TRUTH > 0, TRUTH.astype(np.uint64) + np.uint64(2**63), np.uint64(0))
    assert evaluate(huge, TRUTH) == evaluate(TRUTH, TRUTH)


def test_a_score_is_told_at_any_threshold_above_one_half_and_else_only_where_it_was_counted():
    prediction = np.where(TRUTH == 3, 0, TRUTH)
    prediction[3, :3] = 3  # 3 of 4 pixels
    asked = evaluate(TRUTH, prediction, thresholds=(0.6, 0.75, 0.8))
    other = evaluate(TRUTH, prediction, thresholds=(0.9,))
    for threshold in (0.6, 0.75, 0.8):
        assert other.pooled(threshold) == asked.pooled(threshold)
        assert other.mean_ap(threshold) == asked.mean_ap(threshold)
    assert [asked.pooled(t).true_positives for t in (0.75, 0.8)] == [3, 2]
    for accessor in (other.pooled, other.mean_ap, other.images[0].at):
        with pytest.raises(SettingsError, match=r"at the IoU 0\.9 and .* not at 0\.5; evaluate"):
            accessor(0.5)
        with pytest.raises(SettingsError, match="use overlaps above 0"):
            accessor(1.5)


def test_thresholds_that_differ_by_rounding_are_one():
    steps = tuple(np.arange(0.1, 1, 0.1))
    assert 0.30000000000000004 in steps
    evaluation = evaluate(TRUTH, np.zeros_like(TRUTH), thresholds=(*steps, 0.3))
    assert evaluation.thresholds == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    for number in range(1, 10):
        for threshold in (number / 10, float(steps[number - 1])):
            assert evaluation.pooled(threshold).average_precision == 0
            assert evaluation.mean_ap(threshold) == 0


@pytest.mark.parametrize("threshold", [1 / 3, 2 / 3, 0.6666666667, np.nextafter(2 / 3, 1)])
def test_an_overlap_that_is_the_threshold_reaches_it(threshold):
    truth = np.array([[1, 1, 1, 0]])
    prediction = np.array([[1, 1, 0, 0]] if threshold > 0.5 else [[1, 0, 0, 0]])
    asked = evaluate(truth, prediction, thresholds=(threshold,))
    assert asked.pooled(threshold).true_positives == 1
    if threshold > 0.5:
        assert evaluate(truth, prediction).pooled(threshold).true_positives == 1


def scored(*images: tuple[int, int, int]) -> Evaluation:
    """Right, extra and missed cells of each image."""
    return Evaluation(
        tuple(
            ImageScore(
                right + missed, right + extra, (ThresholdScore(0.5, right, extra, missed),), (), 0
            )
            for right, extra, missed in images
        )
    )


def test_the_interval_is_wilsons_of_f1_brought_over_to_average_precision():
    # Wilson (1927) by hand: of 20 right ones of 20 it begins at 20 / (20 + 1.96^2) = 0.8389.
    low, high = scored((20, 0, 0)).interval(0.5)
    assert (low, high) == (pytest.approx(0.8389 / (2 - 0.8389), abs=1e-4), 1.0)
    # None of 10: it ends at 1.96^2 / (10 + 1.96^2) = 0.2775.
    low, high = scored((0, 10, 10)).interval(0.5)
    assert (low, high) == (0.0, pytest.approx(0.2775 / (2 - 0.2775), abs=1e-4))
    # 8 of 10: (0.8 + 0.19207 -+ 0.28724) / 1.38415.
    low, high = scored((8, 2, 2)).interval(0.5)
    expected = [f / (2 - f) for f in (0.4902, 0.9433)]
    assert [low, high] == pytest.approx(expected, abs=2e-4)


def test_the_interval_holds_the_score_and_narrows_with_cells_and_confidence():
    few, many = scored((8, 2, 1)), scored((80, 20, 10))
    for evaluation in (few, many):
        low, high = evaluation.interval(0.5)
        assert 0 <= low < evaluation.pooled(0.5).average_precision < high <= 1
    width = [np.ptp(each.interval(0.5)) for each in (few, many)]
    assert width[0] > 2 * width[1]
    assert np.ptp(many.interval(0.5, confidence=0.8)) < width[1]
    assert scored((0, 0, 0)).interval(0.5) == (0.0, 1.0)
    with pytest.raises(SettingsError, match="confidence is 95; use a share"):
        many.interval(0.5, confidence=95)


def test_images_that_differ_widen_the_interval_and_equal_ones_do_not():
    one = scored((40, 10, 10)).interval(0.5)
    assert scored((20, 5, 5), (20, 5, 5)).interval(0.5) == pytest.approx(one)
    unlike = scored((25, 0, 0), (15, 10, 10)).interval(0.5)
    assert np.ptp(unlike) > 1.5 * np.ptp(one)
    # By hand: F1 is 40 of 50, each image is 5 off its share, so the design effect is
    # 2 / 1 * (25 + 25) / (50 * 0.8 * 0.2) = 12.5, and 4 cells are left.
    centre, half = 0.8 + 1.96**2 / 8, 1.96 * np.sqrt(0.16 / 4 + (1.96 / 8) ** 2)
    low, high = ((centre + sign * half) / (1 + 1.96**2 / 4) for sign in (-1, 1))
    assert unlike == pytest.approx((low / (2 - low), high / (2 - high)), abs=1e-4)
    # From five images on they stand for others, and are few.
    five = scored(*[(8, 2, 2)] * 5).interval(0.5)
    assert np.ptp(five) > 1.2 * np.ptp(one)


def test_few_cells_are_counted_and_many_have_a_figure():
    few, many = scored((2, 4, 1)), scored((9, 0, 1), (9, 0, 1))
    assert not few.has_figures
    assert few.counts(0.5) == "2 of 3 found, 4 extra"
    assert many.has_figures
    assert many.counts(0.5) == "18 of 20 found"
    assert (many.true_cells, many.predicted_cells) == (20, 18)
    low, high = many.interval(0.5)
    assert many.figure(0.5) == f"0.90 ({low:.2f} to {high:.2f})"
