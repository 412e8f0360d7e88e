"""From a network's scores to the class of each pixel, where no cells are told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.networks.class_roles import BACKGROUND


def class_labels(scores: Scores, class_roles: Sequence[str]) -> NDArray[np.int32]:
    """Give each pixel the number of its likeliest class, as in the labels that were learned from.

    Parameters
    ----------
    scores : (C, H, W) or (C, Z, H, W) float array
    class_roles : sequence of str
        Names of the classes, of which the first is 1.

    Returns
    -------
    (H, W) or (Z, H, W) int32 array
        0 is "background", and where nothing was computed.
    """
    numbers = np.arange(1, len(class_roles) + 1, dtype=np.int32)
    if BACKGROUND in class_roles:
        numbers[list(class_roles).index(BACKGROUND)] = 0
    best = scores.argmax(axis=0)
    is_computed = np.take_along_axis(scores, best[np.newaxis], axis=0)[0] > 0
    return np.where(is_computed, numbers[best], 0).astype(np.int32, copy=False)


def class_counts(labels: LabelImage, class_roles: Sequence[str]) -> NDArray[np.int64]:
    """Pixels of each class in labels that `class_labels` gave."""
    counts = np.bincount(labels.reshape(-1), minlength=len(class_roles) + 1)
    numbers = [0 if role == BACKGROUND else n for n, role in enumerate(class_roles, start=1)]
    return counts[numbers]


def shares_in_words(counts: NDArray[np.int64], class_roles: Sequence[str]) -> str:
    """Say how much of an image each class has, such as "60 % gland, 40 % fat"."""
    total = max(1, int(counts.sum()))
    shares = zip(counts, class_roles, strict=True)
    return ", ".join(f"{100 * int(count) / total:.0f} % {role}" for count, role in shares)
