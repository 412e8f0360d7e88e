"""What a network can say about the images that it learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_unet.engine.networks.annotation import teaches_classes
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.patches import PreparedPair

_DEBRIS = 0.1
"""Share of a small cell's area below which a piece is no cell."""


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a network can say about the images that it learned from.

    Parameters
    ----------
    diameter_px : float, optional
        Median over the cells.
    debris_px : int, optional
        Pieces smaller than this are far too small to be one of the cells.
    intensity : TrainingIntensity
    """

    diameter_px: float | None
    debris_px: int | None
    intensity: TrainingIntensity

    def told_in(self, before: NetworkDescription, entry: Mapping[str, Any]) -> NetworkDescription:
        """Return the description of a network that learned from the images.

        Parameters
        ----------
        before : NetworkDescription
            Of the network that the training started from.
        entry : mapping of str to value
            How it was trained, for its history.
        """
        instances = before.instances
        is_semantic = teaches_classes(before.class_roles)
        if self.debris_px and not is_semantic:
            smallest = max(instances.min_size_px, self.debris_px)
            instances = replace(instances, min_size_px=smallest)
        return replace(
            before,
            # What it learned last is what it expects now.
            object_diameter_px=None if is_semantic else self.diameter_px,
            pixel_size_um=None,
            intensity=self.intensity,
            instances=instances,
            history=(*before.history, entry),
        )


def training_facts(
    pairs: Sequence[TrainingPair], prepared: Sequence[PreparedPair]
) -> TrainingFacts:
    """Measure the numbered cells and the raw intensities of training images."""
    counts = [np.bincount(np.maximum(pair.labels.numpy(), 0).reshape(-1))[1:] for pair in prepared]
    areas = np.concatenate(counts).astype(float)
    areas = areas[areas > 0]
    diameters = 2 * np.sqrt(areas / math.pi)
    if len(prepared[0].shape) == 3:
        diameters = 2 * np.cbrt(3 * areas / (4 * math.pi))
    images = [
        pair.image if pair.intensity_reference is None else pair.intensity_reference
        for pair in pairs
    ]
    percentiles = np.array([np.percentile(image, (1, 50, 99.8)) for image in images])
    low, median, high = np.median(percentiles, axis=0)
    dtypes = [str(np.asarray(pair.image).dtype) for pair in pairs]
    dtype = max(set(dtypes), key=dtypes.count)
    return TrainingFacts(
        float(np.median(diameters)) if areas.size else None,
        int(_DEBRIS * np.percentile(areas, 5)) if areas.size else None,
        TrainingIntensity(dtype, float(low), float(median), float(high)),
    )
