"""What a network says of images before it learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.images.image import Scores
from napari_unet.engine.networks.annotation import BACKGROUND
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.judgement import HARDLY_SURE, UNSURE, seen_scores
from napari_unet.engine.segmentation.segmentation import iterate_scores
from napari_unet.engine.training.pairs import TrainingPair


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What a network says of an image before it learns.

    Parameters
    ----------
    scores : (classes, *S) float32 tensor
    strength : float
        How far that is to be held to, 0 to 1: not where it has never seen such images.
    """

    scores: Tensor
    strength: float


def said_before(
    pairs: Sequence[TrainingPair], network: Network, *, device: str
) -> list[Before | None]:
    """Let a network say what it sees where nobody has labelled; None for images labelled all over.

    Memory: the scores of each such image, 4 bytes for each class and pixel.
    """
    return [None if pair.reviewed is None else _said(pair, network, device) for pair in pairs]


def _said(pair: TrainingPair, network: Network, device: str) -> Before:
    settings = SegmentationSettings(channel_axis=pair.channel_axis)
    for plane in iterate_scores(
        np.asarray(pair.image),
        network,
        settings=settings,
        device=device,
        intensity_reference=pair.intensity_reference,
    ):
        scores = plane.scores
    return Before(torch.from_numpy(scores), familiarity(scores, network.description))


def familiarity(scores: Scores, description: NetworkDescription) -> float:
    """How well a network knows images like one of which it gave these scores (C, *S).

    1 where it is as sure as of images that it knows, 0 where it is not, or sees
    nothing. The limits are those by which a result is judged (`judgement.py`).
    """
    roles = description.class_roles
    if BACKGROUND not in roles:
        return 1.0
    seen = seen_scores(scores, roles)
    certainty = 1 - float(seen.mean()) if seen.size else 0.0
    return float(np.clip((certainty - UNSURE) / (HARDLY_SURE - UNSURE), 0, 1))
