"""From the mean score of a cell to a probability, and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.score_calibration import ScoreCalibration


def test_probability_is_the_logistic_function_of_the_logit():
    calibration = ScoreCalibration(slope=2.0, offset=-1.0)
    # logit(0.5) = 0 and logit(0.9) = ln 9, of which twice is ln 81.
    expected = [1 / (1 + math.e), 1 / (1 + math.e / 81)]
    assert calibration.probability(np.array([0.5, 0.9])) == pytest.approx(expected)


@given(st.floats(0.5, 8), st.floats(-5, 5), st.floats(0.05, 0.95))
def test_score_of_a_probability_leads_back_to_it(slope, offset, score):
    calibration = ScoreCalibration(slope, offset)
    probability = float(calibration.probability(np.array([score]))[0])
    assert calibration.score(probability) == pytest.approx(score, abs=1e-6)


def test_scores_of_nothing_and_of_certainty_are_finite():
    low, high = ScoreCalibration(3.0, -3.0).probability(np.array([0.0, 1.0]))
    assert 0 < low < 1e-9
    assert 1 - 1e-9 < high < 1
    assert ScoreCalibration(3.0, -3.0).score(0.0) == 0.0


@pytest.mark.parametrize(("slope", "offset"), [(0.0, 1.0), (-1.0, 0.0), (1.0, math.nan)])
def test_map_that_would_turn_the_order_around_is_refused(slope, offset):
    with pytest.raises(SettingsError, match="use a slope above 0, and finite numbers"):
        ScoreCalibration(slope, offset)
