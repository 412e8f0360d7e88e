"""The part of a Labels layer that is corrected at once: what is shown of it, plane or volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import LabelImage, PlaneIndex
from napari_unet.viewer.label_edits import LabelEdit, label_edit, labels_in_memory
from napari_unet.viewer.layers import shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.engine.labels.corrections.edits import CellEdit


@dataclass(frozen=True, slots=True, eq=False)
class EditedPart:
    """A plane or a volume of a layer.

    Parameters
    ----------
    labels : integer array
        Of the whole layer.
    index : PlaneIndex
        The part, in the axes of the layer.
    axes : tuple of int
        Of the layer, in the order in which they are shown: strokes are drawn
        along the last two.
    """

    labels: LabelImage
    index: PlaneIndex
    axes: tuple[int, ...]

    @property
    def view(self) -> LabelImage:
        """Labels of the part; its axes are `axes`."""
        return self.shown(self.labels[self.index])

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other parts of the same labels."""
        fixed = tuple(part if isinstance(part, int) else None for part in self.index)
        return fixed, self.axes

    def shown(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Bring the axes of an array like the part from the order of the layer to that shown."""
        kept = sorted(self.axes)
        return array.transpose([kept.index(axis) for axis in self.axes])

    def places(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring points in pixels of the layer, (..., D), into the part."""
        places: NDArray[np.float64] = points[..., list(self.axes)]
        return places

    def edit(self, found: CellEdit) -> LabelEdit:
        """Make of a correction in the part one of the layer."""
        edit = label_edit(found.before, found.after)
        places: list[NDArray[np.intp]] = []
        for axis, part in enumerate(self.index):
            if isinstance(part, int):
                places.append(np.full(edit.values.shape, part, np.intp))
            else:
                own = self.axes.index(axis)
                places.append(edit.places[own] + found.region[own].start)
        return LabelEdit(tuple(places), edit.values, edit.dtype)


def shown_part(layer: Labels, viewer: ViewerModel) -> EditedPart:
    """Return the part of a layer that a correction works on: what napari's brush would reach.

    Raises
    ------
    UNetError
        If the labels cannot be written to, or what is shown is no plane of them.
    """
    labels = labels_in_memory(layer)
    if not layer.editable:
        raise UNetError(
            f"'{layer.name}' is locked, as it is being filled or was set so; wait until that is "
            "over, or unlock it."
        )
    if not layer.visible:
        # What is not shown napari does not keep ready to be drawn, and writing fails half-way.
        raise UNetError(
            f"'{layer.name}' is hidden; show it with the eye in the layer list to correct it."
        )
    if viewer.dims.ndisplay != 2:
        raise UNetError(
            "Cells are corrected in slices; leave the 3-D view with Ctrl-Y (Command-Y on a Mac)."
        )
    if labels.ndim < 2:
        raise UNetError(f"'{layer.name}' has one axis; cells can be corrected in two or three.")
    ndim = max(2, min(int(layer.n_edit_dimensions), labels.ndim))
    missing = viewer.dims.ndim - labels.ndim
    order = [axis - missing for axis in viewer.dims.order if axis >= missing]
    index = shown_plane(layer, viewer.dims, ndim)
    point = layer.world_to_data(viewer.dims.point[missing:])
    shown = zip(index, point, labels.shape, strict=True)
    if any(isinstance(part, int) and not -0.5 <= at <= n - 0.5 for part, at, n in shown):
        raise UNetError(f"'{layer.name}' has no such slice; go to one that it has.")
    return EditedPart(labels, index, tuple(order[-ndim:]))


def pixels_inside(
    path: Sequence[NDArray[np.intp]],
) -> list[tuple[int, ...]]:
    """Turn an index of pixels into places, one after the other."""
    return [tuple(int(n) for n in place) for place in zip(*path, strict=True)]
