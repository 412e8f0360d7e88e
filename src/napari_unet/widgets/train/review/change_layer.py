"""The layer that shows where cells have changed, in one colour for each kind of change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import PlaneIndex
from napari_unet.files.report.verdicts import VERDICT_COLOURS
from napari_unet.viewer.layers import find_layer
from napari_unet.viewer.viewpoint import look_at
from napari_unet.widgets.shared.cells.kind_layer import find_kinds, remove_kinds, show_kinds

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_unet.engine.labels.comparison import Change, ChangeKind
    from napari_unet.widgets.train.review.view_changes import ViewChanges

CHANGE_COLOURS: dict[ChangeKind, str] = {
    "gained": VERDICT_COLOURS["right"],
    "lost": VERDICT_COLOURS["missed"],
    "split": VERDICT_COLOURS["split"],
    "merged": VERDICT_COLOURS["merged"],
    "regrouped": VERDICT_COLOURS["regrouped"],
    "reshaped": VERDICT_COLOURS["outline"],
}
"""In the order of `CHANGE_KINDS`, which are numbers in a change image."""

_SUBJECT = "changes"


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
    """Show a change image over a layer, and return the one in which it is; see `show_kinds`."""
    for _ in show_kinds(
        viewer, layer, changes, CHANGE_COLOURS, subject=_SUBJECT, name=name, plane=plane
    ):
        pass  # No more than a field of view is sent.
    shown = find_kinds(viewer, layer, _SUBJECT)
    assert shown is not None  # noqa: S101 - it has just been shown
    return shown


def remove_changes(viewer: ViewerModel, layer: Layer) -> None:
    """Take the change layer of a layer away, if it has one."""
    remove_kinds(viewer, layer, _SUBJECT)
