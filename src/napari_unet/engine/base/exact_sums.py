"""Sums of scores that are the same in any order: of whole numbers."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

ONE = 2.0**30
"""What a score of 1 counts in them; eight thousand million pixels fit into 64 bits."""


def as_whole(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Scores as whole numbers."""
    return np.rint(scores.astype(np.float64) * ONE).astype(np.int64)


@numba.njit(cache=True, nogil=True, inline="always")
def whole(score: Any) -> Any:
    """A score as a whole number."""
    return np.int64(np.rint(np.float64(score) * ONE))


def sums_by(numbers: NDArray[Any], scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Sum of the scores of each of `count` numbers; both arrays are of one shape, in C order."""
    sums = np.zeros(count, np.int64)
    _add(numbers.reshape(-1), scores.reshape(-1), sums)
    return sums


@numba.njit(cache=True, nogil=True)
def _add(numbers: Any, scores: Any, sums: Any) -> None:
    for i in range(numbers.size):
        sums[numbers[i]] += whole(scores[i])
