"""The labels that a weight map follows: what napari tells of them, and the map of a plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.images.image import LabelImage, PlaneIndex, WeightMap
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.weight_map.tracker import PixelWeight, WeightMapTracker

Spacing: TypeAlias = tuple[float, ...] | None
"""Size of a pixel along each axis of distances, in the unit of sigma; None where pixels count."""

_MOST_PLANES = 4
"""Slices whose maps stay ready to be updated."""


@dataclass(frozen=True, slots=True)
class MapReport:
    """What there is to say about a map that was brought up to date."""

    sentence: str
    """Why there is no border term; empty if there is one."""
    is_mask: bool
    """That is because all cells have the same number."""


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
    trackers : dict
        Of planes that were looked at before, by their names; one is added.
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


_EDITS = ("paint", "labels_update", "set_data", "data")
"""What napari says when labels may have changed; an undo only says `set_data`."""

_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units")
"""What napari says when a layer is put elsewhere."""


class LabelEvents(QObject):
    """Follows one labels layer and the overlay over it."""

    edited = Signal()
    """The labels may have changed, or another part of them is shown."""
    moved = Signal()
    """They were scaled, given a unit or put elsewhere."""
    removed = Signal(str)
    """Carries the name of the layer that is gone."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: tuple[Labels, Image] | None = None

    def follow(self, labels: Labels, overlay: Image) -> None:
        """Tell of these layers from now on."""
        self._layers = labels, overlay
        for event, slot in self._connections(labels):
            event.connect(slot)

    def leave(self) -> None:
        """Tell of them no more."""
        if self._layers is not None:
            for event, slot in self._connections(self._layers[0]):
                event.disconnect(slot)
        self._layers = None

    def _connections(self, labels: Labels) -> list[tuple[Any, Callable[[Any], None]]]:
        dims = self._viewer.dims.events
        edits = [*(getattr(labels.events, name) for name in _EDITS), dims.current_step, dims.order]
        moves = [getattr(labels.events, name) for name in _MOVES]
        return [
            *((each, self._on_edited) for each in edits),
            *((each, self._on_moved) for each in moves),
            (self._viewer.layers.events.removed, self._on_removed),
        ]

    @while_alive
    def _on_edited(self, _event: Any = None) -> None:
        self.edited.emit()

    @while_alive
    def _on_moved(self, _event: Any = None) -> None:
        self.moved.emit()

    @while_alive
    def _on_removed(self, _event: Any = None) -> None:
        for layer in self._layers or ():
            if layer not in self._viewer.layers:
                self.removed.emit(str(layer.name))
                return
