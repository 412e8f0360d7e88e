"""The layer that shows where cells have changed, in one colour for each kind of change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_unet.engine.images.image import PlaneIndex
from napari_unet.viewer.layers import find_layer, full_resolution, place_of
from napari_unet.viewer.results import SCORES_KEY, move_to
from napari_unet.viewer.viewpoint import look_at

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.engine.labels.comparison import Change, ChangeKind
    from napari_unet.widgets.train.review.view_changes import ViewChanges

CHANGE_COLOURS: dict[ChangeKind, str] = {
    "gained": "#2fc79a",
    "lost": "#e8503a",
    "split": "#56b4e9",
    "merged": "#e69f00",
    "regrouped": "#b07cd8",
    "reshaped": "#d8d040",
}
"""In the order of `CHANGE_KINDS`, which are numbers in a change image."""


class ChangesInView:
    """Shows on the labels what a training changed in the field of view, and leads there."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._view: ViewChanges | None = None

    def show(self, view: ViewChanges) -> None:
        """Show the changes, if the labels are still there as they were."""
        self._view = view
        layer = self._layer()
        if layer is not None and layer.data.shape == view.image.labels_shape:
            name, plane = view.image.name, view.image.plane
            show_changes(self._viewer, layer, view.drawn(), name=name, plane=plane)

    def look_at(self, change: Change) -> None:
        """Bring one of them before the eyes."""
        layer = self._layer()
        if self._view is not None and layer is not None:
            look_at(self._viewer, layer, self._view.placed(change.box))

    def remove(self) -> None:
        """Take the layer away."""
        layer = self._layer()
        if layer is not None:
            remove_changes(self._viewer, layer)
        self._view = None

    def _layer(self) -> Layer | None:
        return None if self._view is None else find_layer(self._viewer, self._view.labels_id)


def show_changes(
    viewer: ViewerModel,
    layer: Layer,
    changes: NDArray[np.uint8],
    *,
    name: str | None = None,
    plane: PlaneIndex | None = None,
) -> Labels:
    """Show a change image over a layer, in the change layer that it has or in a new one.

    Parameters
    ----------
    layer : napari layer
        Whose grid the changes are on: an image without an axis of channels, or
        its labels.
    changes : uint8 array
        What `change_image` returns, of the layer's shape, or of that of a plane.
    name : str, optional
        Of the image; that of `layer` without it.
    plane : tuple of int or slice, optional
        Where the changes lie in the layer; elsewhere what was shown stays.
    """
    place = place_of(layer, tuple(range(layer.ndim)))
    shape = tuple(int(size) for size in full_resolution(layer).shape[: layer.ndim])
    shown = _find(viewer, layer, shape)
    if shown is None:
        array = np.zeros(shape, np.uint8)
        array[plane or ...] = changes
        shown = _new_layer(array, layer, name or layer.name, place)
        active = viewer.layers.selection.active
        viewer.add_layer(shown)
        # Who looks at an image goes on looking at it.
        viewer.layers.selection.active = active
        return shown
    shown.data[plane or ...] = changes
    move_to(shown, place)
    shown.visible = True
    shown.refresh()
    return shown


def remove_changes(viewer: ViewerModel, layer: Layer) -> None:
    """Take the change layer of a layer away, if it has one."""
    shown = _find(viewer, layer)
    if shown is not None:
        viewer.layers.remove(shown)


def _find(viewer: ViewerModel, layer: Layer, shape: tuple[int, ...] | None = None) -> Any:
    key = _key(layer)
    for each in viewer.layers:
        if each.metadata.get(SCORES_KEY) == key and shape in (None, each.data.shape):
            return each
    return None


def _key(layer: Layer) -> list[str]:
    # With it nobody is offered the layer where cells are asked for.
    return [str(layer.unique_id), "", "changes"]


def _new_layer(array: NDArray[np.uint8], layer: Layer, name: str, place: dict[str, Any]) -> Labels:
    colours = transform_color(["transparent", *CHANGE_COLOURS.values()])
    changes = Labels(
        array,
        name=f"{name}: changes",
        metadata={SCORES_KEY: _key(layer)},
        # Not a `DirectLabelColormap`, which numba compiles for three seconds on the Qt thread.
        colormap=CyclicLabelColormap(colors=colours),
        # napari's status bar says it of the pixel under the mouse.
        features={
            "index": list(range(len(CHANGE_COLOURS) + 1)),
            "change": ["none", *CHANGE_COLOURS],
        },
        **place,
    )
    changes.editable = False
    return changes
