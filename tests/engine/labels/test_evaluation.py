"""Matching of predicted with true cells."""

import numpy as np
import pytest

from napari_unet.engine.base.errors import ImageShapeError, LabelsError
from napari_unet.engine.labels.evaluation import evaluate

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
    with pytest.raises(LabelsError, match="dtype float64"):
        evaluate(TRUTH, TRUTH.astype(float))
