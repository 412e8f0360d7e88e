"""What a network says of images before it learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.networks.annotation import BACKGROUND
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.segmentation import iterate_scores
from napari_unet.engine.training.pairs import TrainingPair

_UNKNOWN, _KNOWN = 0.765, 0.81
"""Certainty up to which an image is of no kind that a network knows, and from which it is; those of
`judgement.py`, where they were chosen."""

_SEEN = 0.5
"""Score of background below which a pixel rather is none."""


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
    strength = _strength(_certainty(scores, network.description))
    return Before(torch.from_numpy(scores), strength)


def _certainty(scores: NDArray[np.float32], description: NetworkDescription) -> float:
    """Mean score of what is likelier than background, there; of the likeliest without such."""
    roles = description.class_roles
    if BACKGROUND not in roles:
        return float(scores.max(axis=0).mean())
    background = scores[roles.index(BACKGROUND)]
    seen = background[background < _SEEN]
    return 1 - float(seen.mean()) if seen.size else 0.0


def _strength(certainty: float) -> float:
    return float(np.clip((certainty - _UNKNOWN) / (_KNOWN - _UNKNOWN), 0, 1))
