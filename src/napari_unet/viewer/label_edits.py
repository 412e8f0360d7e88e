"""Labels written into a layer as one step that undo takes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.regions import Region
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


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """Pixels that were just written: by a brush, a tool of napari's, or `edit_labels`."""

    box: Region
    """Around them."""
    before: NDArray[np.integer]
    """(pixels,) labels; with those of the rest of the box where all of it was written."""
    after: NDArray[np.integer]
    """(pixels,) or (1,) labels."""

    @property
    def numbers(self) -> tuple[set[int], set[int]]:
        """Of the cells that lost pixels, and of those that got some; slow where much changed."""
        found = (set(np.unique(each).tolist()) for each in (self.before, self.after))
        lost, gained = ({n for n in each if n > 0} for each in found)
        return lost, gained


def painted_parts(event: Any) -> list[Painted]:
    """Read what napari tells of a step of undo as it is made, in `Labels.events.paint`."""
    return [_painted(atom) for atom in event.value if np.size(atom[-2])]


def _painted(atom: Any) -> Painted:
    # Since napari 0.9 the brush tells a box and a mask, everything else the places.
    where, before, after = atom[0], np.asarray(atom[-2]).reshape(-1), np.asarray(atom[-1])
    box = tuple(
        each if isinstance(each, slice) else slice(int(np.min(each)), int(np.max(each)) + 1)
        for each in where
    )
    return Painted(box, before, after.reshape(-1))


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
