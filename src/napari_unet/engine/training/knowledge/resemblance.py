"""Which of the images that a model knows look like new ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.labels.components import diameters_px
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.prepared import normalised

_EVEN = 0.25
"""Share in which all of a bank is drawn alike, if the kind of the new images is known. Where it is
not, all of it is: none of the bank resembles them, and what is not shown is forgotten first."""

_REACH = 1.0
"""Distance, in spreads of the bank, over which the likeness of two images falls by half."""

_SCALES_PX = (1, 2, 4, 8)
_MOST_PX = 1024


def resembling(
    bank: Sequence[TrainingPair],
    pairs: Sequence[TrainingPair],
    description: NetworkDescription,
    *,
    familiar: float = 1.0,
) -> list[TrainingPair]:
    """Weigh images of a bank by how much they look like others.

    Parameters
    ----------
    bank : sequence of TrainingPair
    pairs : sequence of TrainingPair
        The new images.
    description : NetworkDescription
        How both are read.
    familiar : float
        How well the new images are known, 0 to 1.

    Returns
    -------
    list of TrainingPair
        With a mean weight of 1.
    """
    if not bank:
        return []
    likeness = _likeness(
        np.array([_looks(pair, description) for pair in bank]),
        np.array([_looks(pair, description) for pair in pairs]),
    )
    even = 1 - (1 - _EVEN) * familiar
    weights = even + (1 - even) * likeness / likeness.mean()
    return [replace(pair, weight=float(w)) for pair, w in zip(bank, weights, strict=True)]


def _likeness(bank: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """How near each image of a bank is to the nearest new one, 0 to 1."""
    spread = bank.std(axis=0) + 1e-6
    distance = np.sqrt((((bank[:, np.newaxis] - new) / spread) ** 2).mean(axis=2)).min(axis=1)
    # Beside the nearest: of images that resemble nothing, all are equally far.
    likeness: NDArray[np.float64] = np.exp2(-(distance - distance.min()) / _REACH)
    return likeness


def _looks(pair: TrainingPair, description: NetworkDescription) -> NDArray[np.float64]:
    """Brightness, contrast, colour, how they are spread over the scales, and the size of cells."""
    pixels = normalised(pair, description).numpy()
    pixels = pixels[(slice(None), *(slice(_MOST_PX) for _ in pixels.shape[1:]))]
    grey = pixels.mean(axis=0)
    colour = pixels.std(axis=0).mean() if len(pixels) > 1 else 0.0
    smooth = [grey, *(ndimage.gaussian_filter(grey, sigma) for sigma in _SCALES_PX)]
    bands = [np.log(1e-3 + (a - b).std()) for a, b in itertools.pairwise(smooth)]
    levels = np.percentile(grey, (10, 50, 90))
    tints = pixels.reshape(len(pixels), -1).mean(axis=1) - grey.mean()
    tints = np.resize(tints, 3) if len(pixels) >= 3 else np.zeros(3)
    return np.array([*levels, grey.std(), colour, *tints, *bands, _size(pair)])


def _size(pair: TrainingPair) -> float:
    """Logarithm of the median diameter in pixels; 0 without cells."""
    labels = pair.checked_labels()
    areas = np.bincount(np.maximum(labels, 0).reshape(-1))[1:]
    areas = areas[areas > 0]
    return float(np.log(np.median(diameters_px(areas, labels.ndim)))) if areas.size else 0.0
