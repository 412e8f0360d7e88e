"""What a model has learned of the borders between cells that touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError

BORDER_FEATURES = (
    "log_area_ratio",
    "length_to_width",
    "border_mean",
    "border_max",
    "border_near_mean",
    "border_near_min",
    "cell_mean",
    "cell_max",
    "cell_near_mean",
    "waist_to_smaller_peak",
    "waist_to_larger_peak",
    "cell_of_both",
    "cell_dip",
    "straightness",
)
"""What is measured of each border; `segmentation/borders.py` says how."""


@dataclass(frozen=True, slots=True)
class BorderTest:
    """A small network that judges whether a border lies inside of one cell.

    Probability = sigmoid(output . tanh(hidden . x + hidden_bias) + output_bias)
    of the features x, brought to mean 0 and deviation 1 and cut at 4.

    Parameters
    ----------
    mean, deviation : tuple of float
        Of each of `BORDER_FEATURES` in training.
    hidden : tuple of tuple of float
        Weights: one row of features for each hidden unit.
    hidden_bias, output : tuple of float
        One for each hidden unit.
    output_bias : float
    limit : float
        Above this probability both sides are one cell.

    Raises
    ------
    SettingsError
        If the numbers do not fit together.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    hidden: tuple[tuple[float, ...], ...]
    hidden_bias: tuple[float, ...]
    output: tuple[float, ...]
    output_bias: float
    limit: float = 0.5

    def __post_init__(self) -> None:
        features, units = len(BORDER_FEATURES), len(self.hidden)
        rows = (self.mean, self.deviation, *self.hidden)
        fits = all(len(row) == features for row in rows)
        if not fits or len(self.hidden_bias) != units or len(self.output) != units:
            raise SettingsError(
                f"The border test's numbers do not fit {features} features and {units} hidden "
                "units; it may come from another version: export the model again."
            )

    @classmethod
    def joining_none(cls) -> BorderTest:
        """One that takes every waist for a border between cells."""
        zeros = (0.0,) * len(BORDER_FEATURES)
        return cls(zeros, zeros, (), (), (), -100.0)

    def joins(self, features: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say of each border whether both of its sides are one cell.

        Parameters
        ----------
        features : (borders, len(BORDER_FEATURES)) float array

        Returns
        -------
        (borders,) bool array
        """
        return self.probability(features) > self.limit

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability that both sides of each border are one cell, 0 to 1."""
        deviation = np.maximum(np.asarray(self.deviation), 1e-6)
        if not self.hidden:
            return np.full(len(features), 1 / (1 + np.exp(-self.output_bias)))
        x = np.clip((features - np.asarray(self.mean)) / deviation, -4, 4)
        # Not by BLAS, whose sums depend on how many borders there are.
        sums = np.einsum("bf,hf->bh", x, np.asarray(self.hidden))
        hidden = np.tanh(sums + np.asarray(self.hidden_bias))
        logit = np.einsum("bh,h->b", hidden, np.asarray(self.output)) + self.output_bias
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-logit))
        return probability


def rounded(values: Sequence[float]) -> tuple[float, ...]:
    """As many digits as a border test needs, so that it takes little room in a file."""
    return tuple(float(f"{value:.5g}") for value in values)
