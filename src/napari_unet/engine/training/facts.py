"""What a network says about the images that it learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_unet.engine.networks.annotation import teaches_classes
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.prepared import PreparedPair

_DEBRIS = 0.1
"""Share of a small cell's area below which a piece is no cell."""


def description_after(
    before: NetworkDescription, pairs: Sequence[TrainingPair], prepared: Sequence[PreparedPair]
) -> NetworkDescription:
    """Return what a network expects once it has learned from images.

    Parameters
    ----------
    before : NetworkDescription
        Of the network that the training starts from.
    pairs : sequence of TrainingPair
    prepared : sequence of PreparedPair
        The same, normalised.
    """
    description = replace(before, pixel_size_um=None, intensity=_intensity(pairs))
    if teaches_classes(before.class_roles):
        return replace(description, object_diameter_px=None)
    counts = [np.bincount(np.maximum(pair.labels.numpy(), 0).reshape(-1))[1:] for pair in prepared]
    areas = np.concatenate(counts).astype(float)
    areas = areas[areas > 0]
    if not areas.size:
        return replace(description, object_diameter_px=None)
    diameters = 2 * np.sqrt(areas / math.pi)
    if before.unet.ndim == 3:
        diameters = 2 * np.cbrt(3 * areas / (4 * math.pi))
    debris_px = int(_DEBRIS * np.percentile(areas, 5))
    smallest = max(before.instances.min_size_px, debris_px)
    return replace(
        description,
        object_diameter_px=float(np.median(diameters)),
        instances=replace(before.instances, min_size_px=smallest),
    )


def _intensity(pairs: Sequence[TrainingPair]) -> TrainingIntensity:
    images = [
        pair.image if pair.intensity_reference is None else pair.intensity_reference
        for pair in pairs
    ]
    percentiles = np.array([np.percentile(image, (1, 50, 99.8)) for image in images])
    low, median, high = np.median(percentiles, axis=0)
    dtypes = [str(np.asarray(pair.image).dtype) for pair in pairs]
    dtype = max(set(dtypes), key=dtypes.count)
    return TrainingIntensity(dtype, float(low), float(median), float(high))
