"""What is chosen once `cells` is trained: its border test, then its thresholds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import InstanceSettings, evaluate, segment
from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import instances_from_scores
from napari_unet.engine.training.border_fitting import border_examples, fit_border_test

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Picture

FOREGROUND = 0.3
"""At which borders are learned."""

CHOICES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("foreground_threshold", (0.25, 0.3, 0.35, 0.4, 0.45)),
    ("limit", (0.2, 0.3, 0.4, 0.5, 0.6)),
    ("min_score", (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)),
    ("min_size_px", (40, 60, 100, 150)),
    ("min_seed_px", (4, 16, 30, 60)),
)
"""One setting after the other, twice; `limit` is that of the border test."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores (C, H, W) of an image, and its true cells (H, W)."""

    kind: str
    scores: NDArray[np.float32]
    truth: NDArray[Any]


def scored(items: Sequence[Picture], network: Network, *, device: str) -> list[Scored]:
    """Score each image once."""
    found = []
    for item in items:
        pair = item.pair()
        scores = segment(pair.image, network, device=device).scores
        assert scores is not None
        found.append(Scored(item.kind, scores, np.asarray(pair.labels)))
    return found


def tuned(
    network: Network, learned: Sequence[Picture], held: Sequence[Picture], *, device: str
) -> Network:
    """Network that judges borders as the learned images teach, with thresholds for the held ones.

    The best thresholds have the highest `quality`.
    """
    description = network.description
    roles = description.class_roles
    start = replace(description.instances, foreground_threshold=FOREGROUND)
    examples = [
        border_examples(each.scores, roles, start, each.truth)
        for each in scored(learned, network, device=device)
    ]
    images = scored(held, network, device=device)
    best = replace(start, border_test=fit_border_test(examples))
    highest = quality(images, roles, best)
    for name, values in CHOICES * 2:
        for value in values:
            changed = _changed(best, name, value)
            reached = quality(images, roles, changed)
            if reached > highest:
                best, highest = changed, reached
    return Network(network.unet, replace(description, instances=best))


def _changed(settings: InstanceSettings, name: str, value: float) -> InstanceSettings:
    if name != "limit":
        return replace(settings, **{name: value})
    test = settings.border_test
    assert isinstance(test, BorderTest)
    return replace(settings, border_test=replace(test, limit=value))


def quality(images: Sequence[Scored], roles: Sequence[str], settings: InstanceSettings) -> float:
    """Mean, over the kinds and three IoUs, of the average precision of all cells of a kind."""
    values = []
    for kind in dict.fromkeys(each.kind for each in images):
        own = [each for each in images if each.kind == kind]
        found = [instances_from_scores(each.scores, roles, settings) for each in own]
        evaluation = evaluate([each.truth for each in own], found)
        values += [evaluation.pooled(t).average_precision for t in evaluation.thresholds]
    return float(np.mean(values))
