"""Intervals around what was counted and measured in cells, which come in images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from napari_unet.engine.base.errors import SettingsError

CONFIDENCE = 0.95

FEWEST_IMAGES = 5
"""Images from which their spread is taken as that of images in general."""


def share_interval(
    right: ArrayLike, things: ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval in which a share of things lies, of which each image has some.

    Wilson's score interval. Things of one image are alike, so of several images
    the number of things is divided by the design effect; from five images on
    Student's t with as many degrees of freedom, less one, takes the place of
    the normal distribution. With fewer images the interval speaks of these
    images, and others may lie outside.

    Parameters
    ----------
    right, things : (images,) array
        How many things of each image are counted, and how many there are.
    confidence : float
        Above 0 and below 1.

    Returns
    -------
    low, high : float
        0 and 1 where there are no things at all.

    Raises
    ------
    SettingsError
        If `confidence` makes no sense.

    References
    ----------
    Wilson (1927), J. Am. Stat. Assoc. 22, 209; Korn and Graubard (1998),
    Survey Methodology 24, 193 (design effect).
    """
    counted, each = np.asarray(right, float), np.asarray(things, float)
    number, images = float(each.sum()), each.size
    quantile = _quantile(confidence, degrees=images - 1 if images >= FEWEST_IMAGES else None)
    if not number:
        return 0.0, 1.0
    share = float(counted.sum()) / number
    spread = float(((counted - share * each) ** 2).sum())
    if images > 1 and 0 < share < 1:
        # Variance of a ratio of sums over images, beside that of independent things.
        effect = images / (images - 1) * spread / (number * share * (1 - share))
        number /= max(1.0, effect)
    return _wilson(share, number, quantile)


def mean_interval(
    sums: ArrayLike, squares: ArrayLike, numbers: ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of a mean over things between 0 and 1, of which each image has some.

    The mean plus and minus its standard error times the quantile of Student's
    t: over the things, or over the images if these differ more than their
    things do. With fewer than five images it speaks of these images.

    Parameters
    ----------
    sums, squares, numbers : (images,) array
        Of the values of each image their sum, the sum of their squares, and
        how many there are.
    confidence : float
        Above 0 and below 1.

    Returns
    -------
    low, high : float
        0 and 1 where there are fewer than two things.

    Raises
    ------
    SettingsError
        If `confidence` makes no sense.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., section 2.11 (ratio of sums).
    """
    sums, numbers = np.asarray(sums, float), np.asarray(numbers, float)
    number, images = float(numbers.sum()), numbers.size
    degrees = (images if images >= FEWEST_IMAGES else number) - 1
    quantile = _quantile(confidence, degrees=degrees if number > 1 else None)
    if number < 2:
        return 0.0, 1.0
    mean = float(sums.sum()) / number
    variance = max(0.0, float(np.sum(squares)) - number * mean**2) / (number - 1) / number
    if images > 1:
        spread = float(((sums - mean * numbers) ** 2).sum())
        variance = max(variance, images / (images - 1) * spread / number**2)
    half = quantile * math.sqrt(variance)
    return max(0.0, mean - half), min(1.0, mean + half)


def _quantile(confidence: float, *, degrees: float | None) -> float:
    """Of Student's t; of the normal distribution without degrees of freedom."""
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence is {confidence:g}; use a share above 0, below 1.")
    side = (1 + confidence) / 2
    return float(ndtri(side) if degrees is None else stdtrit(degrees, side))


def _wilson(share: float, number: float, z: float) -> tuple[float, float]:
    """Score interval of a share of so many things."""
    centre = share + z * z / (2 * number)
    half = z * math.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    low, high = ((centre + sign * half) / (1 + z * z / number) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)
