"""Pixels of a resized axis as weighted sums of the pixels that were there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def taps(
    pixels: NDArray[Any], length: int, source_length: int, *, sigma_px: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """How pixels of a resized axis are made up: a Gaussian, then linear interpolation.

    Parameters
    ----------
    pixels : (n,) int array
        Of the resized axis.
    length, source_length : int
        Pixels of the whole axis, resized and as it was.
    sigma_px : float
        Of the Gaussian, in pixels as they were; 0 for none.

    Returns
    -------
    index, weights : (n, taps) array
        Pixels as they were, perhaps outside of the axis, and their weights.
    """
    centres = (pixels + 0.5) * (source_length / length) - 0.5
    before = np.floor(centres)
    towards_next = (centres - before)[:, np.newaxis]
    radius = int(4 * sigma_px + 0.5)
    steps = np.arange(-radius, radius + 1)
    gaussian = np.exp(-0.5 * (steps / sigma_px) ** 2) if radius else np.ones(1)
    gaussian /= gaussian.sum()
    weights = (1 - towards_next) * np.append(gaussian, 0) + towards_next * np.append(0, gaussian)
    index = before[:, np.newaxis].astype(np.intp) + np.arange(-radius, radius + 2)
    return index, weights.astype(np.float32)


def mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Fold an index back into an axis at the centres of its first and last pixel."""
    period = max(1, 2 * (length - 1))
    folded = np.abs(index) % period
    return np.minimum(folded, period - folded) if length > 1 else folded


def resampled(
    values: NDArray[np.float32],
    axes: Sequence[tuple[NDArray[np.intp], NDArray[np.float32]]],
    *,
    grows: bool,
) -> NDArray[np.float32]:
    """Weighted sums along the last axes, each given by its index and weights."""
    order = range(-len(axes), 0)
    # The first axis is the fastest: it is given the most pixels.
    for axis in reversed(order) if grows else order:
        index, weights = axes[axis]
        outer, inner = values.shape[:axis], values.shape[values.ndim + axis + 1 :]
        block = np.ascontiguousarray(values, np.float32).reshape(
            math.prod(outer), values.shape[axis], math.prod(inner)
        )
        sums = np.zeros((block.shape[0], index.shape[0], block.shape[2]), np.float32)
        _add_weighted(block, index, weights, sums)
        values = sums.reshape(*outer, index.shape[0], *inner)
    return values


@numba.njit(cache=True, nogil=True)
def _add_weighted(values: Any, index: Any, weights: Any, sums: Any) -> None:
    for outer in range(values.shape[0]):
        for i in range(index.shape[0]):
            for tap in range(index.shape[1]):
                weight, source = weights[i, tap], index[i, tap]
                for inner in range(values.shape[2]):
                    sums[outer, i, inner] += weight * values[outer, source, inner]
