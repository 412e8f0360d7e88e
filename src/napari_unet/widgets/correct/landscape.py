"""Where a cell is cut: along low scores, along dark or bright lines of its image, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.regions import Region
from napari_unet.engine.networks.class_roles import is_cell
from napari_unet.viewer.layers import full_resolution
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY, is_made_up, score_layers
from napari_unet.widgets.correct.part import EditedPart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels

_SMOOTH_PX = 1.0
"""Noise of single pixels is no border."""


def image_of(labels: Labels, viewer: ViewerModel) -> Image | None:
    """Find the image that cells were found in; else the uppermost one on the same grid."""
    images = [each for each in viewer.layers if isinstance(each, Image) and not is_made_up(each)]
    made = labels.metadata.get(METADATA_KEY, {})
    own = [each for each in images if str(each.unique_id) == made.get("image_id")]
    shape = tuple(labels.data.shape)
    fitting = [each for each in images if lies_on(each, shape)]
    return (own or fitting[::-1] or [None])[0]


def lies_on(image: Image, shape: Sequence[int]) -> bool:
    """Whether labels of this shape are on the grid of an image, which may have channels, too."""
    spatial = _spatial(image)
    return spatial == list(shape) or _channel_axis(spatial, shape) is not None


def channel_axis(image: Image, shape: Sequence[int]) -> int | None:
    """Axis of an image's layer that counts channels beside labels of this shape.

    An RGB layer, whose colours are no axis of the layer, has none.
    """
    spatial = _spatial(image)
    return None if spatial == list(shape) else _channel_axis(spatial, shape)


def _spatial(image: Image) -> list[int]:
    return [int(n) for n in full_resolution(image).shape[: image.ndim]]


def _channel_axis(sizes: list[int], shape: Sequence[int]) -> int | None:
    fits = (n for n in range(len(sizes)) if sizes[:n] + sizes[n + 1 :] == list(shape))
    return next(fits, None)


@dataclass(frozen=True, slots=True, eq=False)
class Lowlands:
    """Heights of the part that is corrected, low between cells, read box by box.

    Parameters
    ----------
    name : str
        What the cut follows, in words.
    """

    part: EditedPart
    name: str
    arrays: tuple[NDArray[Any], ...]
    """On the grid of the part; their sum counts."""
    is_image: bool = False
    """Whether it takes a look at the labels to know if cells are the bright or the dark ones."""

    def __getitem__(self, box: Region, /) -> NDArray[np.float64]:
        """Heights of a box of the part."""
        heights = np.zeros([part.stop - part.start for part in box])
        for array in self.arrays:
            heights += np.asarray(array[box], np.float64)
        if not self.is_image:
            return heights
        heights = ndimage.gaussian_filter(heights, _SMOOTH_PX)
        inside = self.part.view[box] > 0
        is_dark = (
            not inside.all()
            and inside.any()
            and np.nanmedian(heights[inside]) < np.nanmedian(heights[~inside])
        )
        return -heights if is_dark else heights


def landscape_of(
    labels: Labels, part: EditedPart, image: Image | None, viewer: ViewerModel
) -> Lowlands | None:
    """Find what a cut is to follow: shown scores, else the image in memory, else nothing."""
    made = labels.metadata.get(METADATA_KEY, {})
    image_id = made.get("image_id") or (None if image is None else str(image.unique_id))
    scores = tuple(
        part.shown(each.data[part.index])
        for each in (score_layers(viewer, image_id) if image_id else ())
        if each.data.shape == part.labels.shape and is_cell(each.metadata[SCORES_KEY][2])
    )
    if scores:
        return Lowlands(part, "where scores are lowest", scores)
    if image is None:
        return None
    channels = _channels(image, part)
    if not channels:
        return None
    return Lowlands(part, f"as '{image.name}' shows it", channels, is_image=True)


def _channels(image: Image, part: EditedPart) -> tuple[NDArray[Any], ...]:
    """Channels of the part in an image in memory; none if it lies elsewhere or on another grid."""
    array = full_resolution(image)
    if not isinstance(array, np.ndarray) or not lies_on(image, part.labels.shape):
        return ()
    axis = channel_axis(image, part.labels.shape)
    if image.rgb:
        planes = [array[..., n] for n in range(min(3, array.shape[-1]))]
    elif axis is None:
        planes = [array]
    else:
        planes = list(np.moveaxis(array, axis, 0))
    return tuple(part.shown(each[part.index]) for each in planes)
