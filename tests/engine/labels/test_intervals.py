"""Intervals of shares and means, against figures worked out by hand and by simulation."""

import math

import numpy as np
import pytest

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.labels.truth.intervals import mean_interval, share_interval


def test_the_share_of_one_image_has_wilsons_interval():
    low, high = share_interval([20], [22.5])
    assert (round(low, 3), round(high, 3)) == (0.699, 0.965)
    assert share_interval([0], [0]) == (0.0, 1.0)
    assert share_interval([10], [10])[1] == pytest.approx(1)


def test_images_that_differ_widen_the_interval_and_such_that_are_alike_do_not():
    alike, different = share_interval([5, 5], [10, 10]), share_interval([1, 9], [10, 10])
    assert alike == share_interval([10], [20])
    assert different[1] - different[0] > 1.5 * (alike[1] - alike[0])


def test_the_interval_of_a_mean_is_its_standard_error_times_students_t():
    values = np.array([0.6, 0.8, 0.7, 0.9])
    low, high = mean_interval([values.sum()], [(values**2).sum()], [4])
    half = 3.182446 * values.std(ddof=1) / math.sqrt(4)  # t of 3 degrees of freedom
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=1e-6)
    assert mean_interval([0.7], [0.49], [1]) == (0.0, 1.0)


def test_the_interval_of_a_mean_holds_what_it_promises_where_images_differ():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        level = rng.normal(0.7, 0.08, size=12)
        each = [rng.normal(mean, 0.05, size=rng.integers(5, 40)) for mean in level]
        low, high = mean_interval(
            [v.sum() for v in each], [(v**2).sum() for v in each], [v.size for v in each]
        )
        held += low <= 0.7 <= high
    assert 0.9 < held / 400 < 0.99


def test_a_confidence_that_makes_no_sense_is_refused():
    for interval in (share_interval, lambda *given, **own: mean_interval(given[0], *given, **own)):
        with pytest.raises(SettingsError, match="use a share above 0, below 1"):
            interval([1], [2], confidence=1)
