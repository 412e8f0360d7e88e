"""Numbers of a training: what is drawn of them, and the table that they make."""

import csv
import math
from pathlib import Path

import numpy as np

from napari_unet.widgets.train.curves.points import CurvePoints, CurveRow, write_rows


def test_points_that_are_not_finite_are_kept_but_not_drawn() -> None:
    points = CurvePoints()

    points.add_steps([1, 2, 3, 4], [0.5, math.nan, math.inf, 0.25])

    assert points.training().tolist() == [[1, 0.5], [4, 0.25]]
    assert [row.step for row in points.rows()] == [1, 2, 3, 4]
    assert math.isnan(points.rows()[1].loss)


def test_the_smooth_loss_is_the_mean_around_each_step() -> None:
    points = CurvePoints()
    points.add_steps(range(20), [0.0] * 10 + [1.0] * 10)

    smooth = points.training(smoothed=True)

    # Nine steps around each, fewer at the ends.
    assert smooth[0].tolist() == [0, 0]
    assert smooth[19].tolist() == [19, 1]
    assert np.allclose(smooth[9], [9, 4 / 9])
    assert np.allclose(smooth[10], [10, 5 / 9])


def test_the_smooth_loss_of_one_step_is_its_loss_and_of_none_nothing() -> None:
    points = CurvePoints()
    assert points.training(smoothed=True).shape == (0, 2)

    points.add_steps([7], [0.5])

    assert points.training(smoothed=True).tolist() == [[7, 0.5]]


def test_validations_are_in_the_order_of_their_steps_and_one_for_each() -> None:
    points = CurvePoints()

    points.add_validation(20, 0.3, 0.8, None)
    points.add_validation(10, None, 0.5, math.nan)
    points.add_validation(20, 0.2, 0.9, None)

    assert points.validation("ap").tolist() == [[10, 0.5], [20, 0.9]]
    assert points.validation("validation_loss").tolist() == [[20, 0.2]]
    assert points.validation("iou").shape == (0, 2)


def test_a_loss_alone_is_no_quality() -> None:
    points = CurvePoints()
    assert not points.has_validation

    points.add_validation(1, 0.5, None, None)
    assert not points.has_validation

    points.add_validation(2, None, None, 0.5)
    assert points.has_validation


def test_a_step_and_its_validation_are_one_row() -> None:
    points = CurvePoints()
    points.add_steps([1, 2], [0.5, 0.25])
    points.add_validation(2, 0.3, 0.8, 0.7)
    points.add_validation(3, 0.2, None, None)

    assert points.rows() == [
        CurveRow(1, 0.5),
        CurveRow(2, 0.25, 0.3, 0.8, 0.7),
        CurveRow(3, None, 0.2),
    ]
    assert points.last_step == 3


def test_the_table_has_names_above_and_nothing_where_nothing_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "training.csv"

    write_rows([CurveRow(1, 0.5), CurveRow(2, None, 0.3, 0.8, 0.7)], file)

    with file.open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["step", "loss", "validation_loss", "ap", "iou"],
            ["1", "0.5", "", "", ""],
            ["2", "", "0.3", "0.8", "0.7"],
        ]
