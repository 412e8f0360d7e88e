"""What a pixel weighs, d1 and d2 away from its two nearest cells, and the loops that write it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from napari_unet.engine.weight_map.settings import WeightMapSettings

_LEAST_TERM = 2.0**-25
"""Less than this does not change a weight of 1/2 or more in float32."""

BLOCK = np.uint64(64)
"""Pixels of a row that are computed together."""


class Terms(NamedTuple):
    """A WeightFormula as numba needs it; factors are -1 / (2 sigma^2)."""

    background: float
    cell: float
    ignored: float
    border: float
    border_factor: float
    border_reach: float
    near: float
    near_factor: float
    near_reach: float


@dataclass(frozen=True, slots=True)
class WeightFormula:
    """What a pixel weighs, d1 and d2 away from its nearest and its second nearest cell.

    On background: background + border * exp(-(d1 + d2)^2 / (2 border_sigma^2))
    + near * exp(-d1^2 / (2 near_sigma^2)); `cell` in a cell; `ignored` where it
    is to be ignored. The terms are summed up, then rounded to float32 and added
    to `background` in float32. Terms too small to change such a sum are left
    out.
    """

    background: float
    cell: float
    border: float
    border_sigma: float
    near: float = 0.0
    near_sigma: float = 1.0
    ignored: float = 0.0

    @property
    def border_reach(self) -> float:
        """Least d1 + d2 at which the border term is too small to count."""
        return _reach(self.border, self.border_sigma)

    @property
    def near_reach(self) -> float:
        """Least d1 at which the other term is too small to count."""
        return _reach(self.near, self.near_sigma)

    @property
    def reach(self) -> float:
        """A cell farther away than this changes no weight."""
        return max(self.border_reach, self.near_reach)

    @property
    def terms(self) -> Terms:
        """The same as compiled loops take it."""
        return Terms(
            self.background,
            self.cell,
            self.ignored,
            self.border,
            -1 / (2 * self.border_sigma**2),
            self.border_reach,
            self.near,
            -1 / (2 * self.near_sigma**2),
            self.near_reach,
        )


def _reach(height: float, sigma: float) -> float:
    return sigma * math.sqrt(2 * max(0.0, math.log(max(height, _LEAST_TERM) / _LEAST_TERM)))


def weight_formula(
    settings: WeightMapSettings, *, background_px: int = 0, cell_px: int = 0
) -> WeightFormula:
    """Return the formula of the settings for an image with so many pixels of each class.

    Where a class has no pixel both weigh 1.
    """
    if settings.variant == "fiji":
        return WeightFormula(
            settings.background_weight,
            1.0,
            settings.w0,
            settings.border_sigma_px,
            1 - settings.background_weight,
            settings.background_sigma_px,
        )
    background, cell = 1.0, 1.0
    if settings.class_balance and background_px and cell_px:
        background = (background_px + cell_px) / (2 * background_px)
        cell = (background_px + cell_px) / (2 * cell_px)
    return WeightFormula(background, cell, settings.w0, settings.border_sigma_px)


def reach_px(formula: WeightFormula, spacing: Sequence[float]) -> tuple[int, ...]:
    """Pixels along each axis within which cells count."""
    return tuple(math.floor(formula.reach / step) for step in spacing)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz"})
def compute_terms(best: Any, term: Any, search: Any, terms: Terms) -> None:
    """Write the terms of a block of background pixels from their candidates."""
    shift, unit, none = search.shift, search.unit, search.none
    for i in range(BLOCK):
        near = math.sqrt(np.float64(np.int64(best[i] >> shift)) * unit)
        gap = near + math.sqrt(np.float64(np.int64(best[BLOCK + i] >> shift)) * unit)
        border = terms.border * _exp(gap * gap * terms.border_factor)
        # In a small image the distance of what is not there may be less than the reach.
        is_there = (gap <= terms.border_reach) & (best[BLOCK + i] < none)
        term[i] = border if is_there else 0.0
    if terms.near > 0:
        for i in range(BLOCK):
            near = math.sqrt(np.float64(np.int64(best[i] >> shift)) * unit)
            other = terms.near * _exp(near * near * terms.near_factor)
            term[i] += other if (near <= terms.near_reach) & (best[i] < none) else 0.0


@numba.njit(cache=True, nogil=True, inline="always")
def _exp(x: float) -> float:
    """Exponential of a number from -100 to 0, without calls or branches; exact to 1e-7 of it."""
    x = x * (1 / 256) if x > -128.0 else -0.5
    y = 1 / 5040 + x * (1 / 40320)
    y = 1 / 120 + x * (1 / 720 + x * y)
    y = 1 / 6 + x * (1 / 24 + x * y)
    y = 1 + x * (1 + x * (1 / 2 + x * y))
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    return y * y


@numba.njit(cache=True, nogil=True)
def write_weights(
    ids: Any, at: Any, weights: Any, place: Any, count: Any, term: Any, terms: Terms
) -> None:
    """Write the weights of some pixels of a row from their labels and terms."""
    at, place = np.uint64(at), np.uint64(place)
    background, cell = np.float32(terms.background), np.float32(terms.cell)
    ignored = np.float32(terms.ignored)
    for i in range(np.uint64(count)):
        label = ids[at + i]
        weight = np.float32(background + np.float32(term[i]))
        weight = cell if label > 0 else weight
        weights[place + i] = weight if label >= 0 else ignored
