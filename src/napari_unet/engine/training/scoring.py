"""What a network says of the image of a training pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.engine.segmentation.segmentation import iterate_scores
from napari_unet.engine.training.pairs import TrainingPair


def never() -> bool:
    """For `should_stop`, where nothing can be stopped."""
    return False


def score_pair(
    pair: TrainingPair, network: Network, *, device: str, should_stop: Callable[[], bool]
) -> PlaneScores | None:
    """Score an image as a training reads it.

    Parameters
    ----------
    should_stop : callable
        Asked after each tile.

    Returns
    -------
    PlaneScores or None
        Of the whole image as it is, (classes, *S) float32; None if it was stopped.
    """
    complete: PlaneScores | None = None
    for plane in iterate_scores(
        np.asarray(pair.image),
        network,
        settings=SegmentationSettings(channel_axis=pair.channel_axis),
        device=device,
        intensity_reference=pair.intensity_reference,
    ):
        if should_stop():
            return None
        complete = plane
    return complete
