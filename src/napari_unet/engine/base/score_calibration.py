"""From the mean score of a cell to the probability that the cell is right, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError

_NEAREST_TO_CERTAIN = 1e-4


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """How likely a cell is right, given its score, the mean over its pixels.

    logit(probability) = slope * logit(score) + offset, so that the order of
    cells stays. A cell is right if it overlaps a true one with an IoU of at
    least 0.5.

    Parameters
    ----------
    slope : float
        Above 0; above 1 where scores shy away from 0 and 1.
    offset : float

    References
    ----------
    Platt (1999), Advances in Large Margin Classifiers, 61.
    """

    slope: float
    offset: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope > 0 and math.isfinite(self.offset)):
            raise SettingsError(
                f"The calibration of scores has slope {self.slope:g} and offset {self.offset:g}; "
                "use a slope above 0, and finite numbers."
            )

    def probability(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability, 0 to 1, that cells of these scores, 0 to 1, are right."""
        return _logistic(self.slope * score_logit(scores) + self.offset)

    def score(self, probability: float) -> float:
        """Score, 0 to 1, of cells that are right with this probability, 0 to 1."""
        if not 0 < probability < 1:
            return float(probability)
        odds = math.log(probability) - math.log1p(-probability)
        return float(_logistic(np.array((odds - self.offset) / self.slope)))


def score_logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(score / (1 - score)), finite: nearer to 0 or 1 than 0.0001 all scores are alike."""
    clipped = np.clip(scores, _NEAREST_TO_CERTAIN, 1 - _NEAREST_TO_CERTAIN)
    logits: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return logits


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # Without overflow, and without what scipy takes to be imported.
    probability: NDArray[np.float64] = np.exp(-np.logaddexp(0, -x))
    return probability
