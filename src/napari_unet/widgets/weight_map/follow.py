"""The weight map of the shown plane: brought up to date in a worker's thread, and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_unet.engine.images.image import LabelImage, PlaneIndex, WeightMap
from napari_unet.engine.weight_map.settings import WeightMapSettings

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.weight_map.tracker import PixelWeight, WeightMapTracker

Spacing: TypeAlias = tuple[float, ...] | None
"""Size of a pixel along each axis of distances, in the unit of sigma; None where pixels count."""

_MOST_PLANES = 4
"""Slices whose maps stay ready to be updated."""


@dataclass(frozen=True, slots=True)
class MapReport:
    """What there is to say about a map that was brought up to date.

    Parameters
    ----------
    sentence : str
        Why there is no border term; empty if there is one.
    is_mask : bool
        That is because all cells have the same number.
    """

    sentence: str
    is_mask: bool


def follow(
    labels: LabelImage,
    weights: WeightMap,
    plane: PlaneIndex,
    trackers: dict[str, WeightMapTracker],
    settings: WeightMapSettings,
    spacing: Spacing,
) -> MapReport:
    """Bring the map of one plane up to date.

    Parameters
    ----------
    labels, weights : arrays of one shape
        Of the whole layer; `weights` is written in place.
    plane : PlaneIndex
    trackers : dict
        Of planes that were looked at before, by their names; one is added.
    settings : WeightMapSettings
    spacing : Spacing

    Returns
    -------
    MapReport
    """
    from napari_unet.engine.weight_map.tracker import WeightMapTracker
    from napari_unet.engine.weight_map.weight_map import looks_like_mask, why_no_border

    shown = np.asarray(labels[plane])
    tracker = trackers.pop(str(plane), None)
    if tracker is None:
        tracker = WeightMapTracker(shown, settings, spacing=spacing)
    else:
        tracker.update_from(shown)
    # The one that was used last goes to the end, the oldest one goes.
    trackers[str(plane)] = tracker
    for oldest in list(trackers)[:-_MOST_PLANES]:
        del trackers[oldest]
    weights[plane] = tracker.weights
    sentence = why_no_border(shown) or ""
    return MapReport(sentence, bool(sentence) and looks_like_mask(shown))


def weight_at(
    labels: Labels,
    plane: PlaneIndex,
    trackers: dict[str, WeightMapTracker],
    position: Sequence[float],
) -> PixelWeight | None:
    """Distances to the two nearest cells and the weight, at a place in the world.

    Returns
    -------
    PixelWeight or None
        None outside of the labels, and in a plane whose map is not ready.
    """
    inside = labels.world_to_data(position[len(position) - labels.ndim :])
    pixel = [round(float(each)) for each in inside]
    is_inside = all(0 <= at < n for at, n in zip(pixel, labels.data.shape, strict=True))
    tracker = trackers.get(str(plane))
    if not is_inside or tracker is None:
        return None
    return tracker.distances_at(
        [at for at, part in zip(pixel, plane, strict=True) if isinstance(part, slice)]
    )
