"""Which points lie within what was drawn around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def within_corners(
    x: NDArray[np.float64], y: NDArray[np.float64], corners: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    """Whether each point lies within a polygon; one that crosses itself counts by even and odd.

    Parameters
    ----------
    x, y : (N,) float64 array
        NaN lies outside.
    corners : sequence of (x, y)

    Returns
    -------
    (N,) bool array
    """
    inside = np.zeros(x.size, np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        # Of edges to the right of a point.
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside & ~np.isnan(x) & ~np.isnan(y)
