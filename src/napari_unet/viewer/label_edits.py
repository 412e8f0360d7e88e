"""Labels written into a layer as one step that undo takes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import LabelImage

if TYPE_CHECKING:
    from napari.layers import Labels


@dataclass(frozen=True, slots=True, eq=False)
class LabelEdit:
    """Pixels of a layer that get another label."""

    places: tuple[NDArray[np.intp], ...]
    """(pixels,) each, one for each axis."""
    values: LabelImage
    """(pixels,) integers."""
    dtype: np.dtype[Any]
    """That has room for all labels."""

    def parts(self, most: int) -> Iterator[LabelEdit]:
        """Cut it into edits of at most so many pixels."""
        for start in range(0, self.values.size, most):
            part = slice(start, start + most)
            places = tuple(axis[part] for axis in self.places)
            yield LabelEdit(places, self.values[part], self.dtype)


def label_edit(before: LabelImage, after: LabelImage) -> LabelEdit:
    """Find what turns one label image into another of the same shape; any thread may."""
    places = np.nonzero(before != after)
    values = after[places]
    limits = np.iinfo(before.dtype)
    fits = not values.size or (limits.min <= values.min() and values.max() <= limits.max)
    return LabelEdit(places, values, before.dtype if fits else after.dtype)


def edit_labels(layer: Labels, edit: LabelEdit, *, refreshes: bool = True) -> None:
    """Write labels into a layer as one step that undo takes back.

    It is told like a stroke of the brush, so that whatever follows the labels
    follows this. A layer whose numbers are too short for the new ones gets
    longer ones first; what was painted before cannot be undone then. A million
    pixels take a quarter of a second.

    Parameters
    ----------
    refreshes : bool
        Whether the layer is drawn anew.
    """
    if edit.values.size:
        if layer.data.dtype != edit.dtype:
            layer.data = layer.data.astype(edit.dtype)
        layer.data_setitem(edit.places, edit.values, refresh=refreshes)


def labels_in_memory(layer: Labels) -> LabelImage:
    """Return the array of a layer, into which labels can be written.

    Raises
    ------
    UNetError
        If its labels are not in memory or cannot be written to.
    """
    data = layer.data
    if not isinstance(data, np.ndarray) or not data.flags.writeable:
        raise UNetError(
            f"The labels of '{layer.name}' cannot be written to, as they are read from a file or "
            "computed; duplicate the layer as a NumPy array first."
        )
    return data
