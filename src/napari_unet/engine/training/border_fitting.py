"""The border test learned from images whose cells are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unet.engine.base.border_test import BORDER_FEATURES, BorderTest, rounded
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.networks.class_roles import as_cells
from napari_unet.engine.segmentation.borders.borders import measure_borders
from napari_unet.engine.segmentation.foreground import Foreground

_HIDDEN = 16
_STEPS = 300
_LEARNING_RATE = 1e-2
_WEIGHT_DECAY = 0.3
_OWNED = 0.4
"""A basin lies in a true cell if that holds more than this share of it."""


@dataclass(frozen=True, slots=True, eq=False)
class BorderExamples:
    """Borders between basins whose cells are known.

    Parameters
    ----------
    features : (borders, len(BORDER_FEATURES)) float64 array
    is_one : (borders,) bool array
        Whether both sides lie in the same cell.
    """

    features: NDArray[np.float64]
    is_one: NDArray[np.bool_]


def border_examples(
    scores: Scores, class_roles: Sequence[str], settings: InstanceSettings, truth: LabelImage
) -> BorderExamples:
    """Measure the borders of one plane.

    Parameters
    ----------
    scores : (C, H, W) float32 array
    class_roles : sequence of str
        "background", "cell" and perhaps "border", in the order of the channels.
    settings : InstanceSettings
        Those with which the test will be used; it need not have one yet.
    truth : (H, W) integer array
        True cells; below 0 nobody knows.
    """
    scores, class_roles = as_cells(scores, class_roles)
    foreground = Foreground.of_scores(scores, class_roles, settings)
    borders = measure_borders(foreground, settings)
    owners = _owners(foreground.canvas.inner_labels, truth)[borders.pairs]
    is_known = (owners >= 0).all(axis=1)
    is_one = (owners[:, 0] == owners[:, 1]) & (owners[:, 0] > 0)
    return BorderExamples(borders.features[is_known], is_one[is_known])


def _owners(labels: NDArray[np.int32], truth: LabelImage) -> NDArray[np.int64]:
    """For each label the true cell that holds most of it; 0 if none does, -1 if nobody knows."""
    inside = labels > 0
    pairs, shared_px = np.unique(
        np.stack([labels[inside], truth[inside].astype(np.int64)]), axis=1, return_counts=True
    )
    size_px = np.bincount(labels[inside], minlength=int(labels.max(initial=0)) + 1)
    owners = np.zeros(size_px.size, np.int64)
    for label, cell, px in zip(*pairs.tolist(), shared_px.tolist(), strict=True):
        if cell != 0 and px > _OWNED * size_px[label]:
            owners[label] = max(cell, -1)
    return owners


def fit_border_test(examples: Sequence[BorderExamples], *, seed: int = 0) -> BorderTest:
    """Learn to tell borders between cells from borders within one.

    Parameters
    ----------
    examples : sequence of BorderExamples
        One for each image.
    seed : int

    Returns
    -------
    BorderTest
        The same for the same examples and seed.

    Raises
    ------
    SettingsError
        If there are no examples of both.
    """
    features = np.concatenate([each.features for each in examples])
    is_one = np.concatenate([each.is_one for each in examples])
    if not 0 < is_one.sum() < is_one.size:
        raise SettingsError(
            f"Of {is_one.size} borders {is_one.sum()} lie within a cell; a border test needs "
            "examples of borders within and between cells: give images with more cells that touch."
        )
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    inputs = torch.from_numpy(np.clip((features - mean) / deviation, -4, 4)).float()
    targets = torch.from_numpy(is_one).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden, output = nn.Linear(len(BORDER_FEATURES), _HIDDEN), nn.Linear(_HIDDEN, 1)
        parameters = [*hidden.parameters(), *output.parameters()]
        optimizer = torch.optim.AdamW(parameters, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            logits = output(torch.tanh(hidden(inputs)))[:, 0]
            loss: torch.Tensor = nn.functional.binary_cross_entropy_with_logits(logits, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return BorderTest(
        rounded(mean.tolist()),
        rounded(deviation.tolist()),
        tuple(rounded(row) for row in hidden.weight.tolist()),
        rounded(hidden.bias.tolist()),
        rounded(output.weight[0].tolist()),
        rounded(output.bias.tolist())[0],
    )
