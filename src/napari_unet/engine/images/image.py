"""What images, labels and scores are as arrays: their names, their axes, their colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError

AnyImage: TypeAlias = NDArray[Any]
"""(H, W), (Z, H, W) or either with one channel axis; any real dtype."""

FloatImage: TypeAlias = NDArray[np.float32]
LabelImage: TypeAlias = NDArray[Any]
"""Integers; 0 is background, each positive value is one cell."""

Scores: TypeAlias = NDArray[np.float32]
"""(C, H, W) or (C, Z, H, W); one probability per class role."""

WeightMap: TypeAlias = NDArray[np.float32]
PlaneIndex: TypeAlias = tuple[int | slice, ...]
"""Where a plane lies in a stack: a number for each axis of slices, a whole slice for the others."""

_MOST_LAST_CHANNELS, _SHORT = 32, 8
"""Of an axis behind those of a plane: longest, and how many times shorter than these it is."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


def plane_key(index: PlaneIndex) -> str:
    """Name of a plane: "3" is the fourth of a stack, ":,3" the fourth across its second axis."""
    return ",".join(":" if isinstance(part, slice) else str(part) for part in index)


def mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Fold an index back into an axis at the centres of its ends: 2 1 0 1 2 1 0 for three."""
    period = max(1, 2 * (length - 1))
    folded = index % period
    return np.minimum(folded, period - folded)


def colour_axis(shape: tuple[int, ...], ndim: int) -> int | None:
    """Last axis of an image with one axis too many, if it is as long as RGB or RGBA."""
    return ndim if len(shape) == ndim + 1 and shape[-1] in (3, 4) else None


def looks_like_picture(image: AnyImage) -> bool:
    """Whether labels are rather a colour picture than a stack that is 3 or 4 pixels wide."""
    return image.dtype == np.uint8 and colour_axis(image.shape, 2) == 2 and min(image.shape[:2]) > 4


def without_alpha(channels: AnyImage) -> AnyImage:
    """View (C, *spatial) colours without their fourth: it carries no intensity."""
    return channels[:3] if channels.shape[0] == 4 else channels


def channels_fit(found: int, in_channels: int) -> bool:
    """Whether an image's channels can be given to a network that reads `in_channels`.

    One channel is repeated, colours become grey, and alpha is dropped.
    """
    return found in (1, in_channels) or (found, in_channels) in ((3, 1), (4, 1), (4, 3))


def channels_first(image: AnyImage, *, ndim: int, channel_axis: int | None = None) -> AnyImage:
    """View `image` with its channel axis in front.

    Parameters
    ----------
    image : array with `ndim` axes, or `ndim` + 1 with channels
    ndim : int
        2 or 3: spatial axes.
    channel_axis : int, optional
        Where the channels are. Without it a trailing axis of 3 or 4 (RGB,
        RGBA) is taken as channels when there is one axis too many.

    Returns
    -------
    (C, *spatial) view of the same memory

    Raises
    ------
    ImageShapeError
        If the axes do not fit.
    """
    if channel_axis is not None:
        if not -image.ndim <= channel_axis < image.ndim or image.ndim != ndim + 1:
            raise ImageShapeError(
                f"The image has shape {image.shape}; with channels on axis {channel_axis} it "
                f"needs {ndim + 1} axes. Segment every slice (every_slice=True), "
                "or choose another channel axis or one plane of the image."
            )
        return np.moveaxis(image, channel_axis, 0)
    if image.ndim == ndim:
        return image[np.newaxis]
    if colour_axis(image.shape, ndim) is not None:
        return np.moveaxis(image, -1, 0)
    raise ImageShapeError(_too_many_axes(image.shape, ndim))


def ends_in_channels(shape: Sequence[int], ndim: int) -> bool:
    """Whether the last axis is so short beside the two before that it must be channels.

    Parameters
    ----------
    shape : sequence of int
        Of an image whose channels nobody has named.
    ndim : int
        Axes that a network reads.
    """
    if len(shape) <= ndim or len(shape) < 3 or shape[-1] in (3, 4):  # these are colours
        return False
    return 2 <= shape[-1] <= _MOST_LAST_CHANNELS and _SHORT * shape[-1] <= min(shape[-3:-1])


def _too_many_axes(shape: tuple[int, ...], ndim: int) -> str:
    found = f"The image has shape {shape}; this model reads {ndim}-D images."
    if len(shape) < ndim:
        return f"{found} Give an image with at least {ndim} axes."
    if ends_in_channels(shape, ndim):
        slices = "" if len(shape) == ndim + 1 else ", and segment every slice (every_slice=True)"
        return (
            f"{found} Its last axis is so short that it must be channels; name it "
            f"(channel_axis={len(shape) - 1}){slices}."
        )
    # If one of the axes is channels, it is the shortest.
    channels = f"(channel_axis={min(range(len(shape)), key=shape.__getitem__)})"
    each = f"{found} Segment every {'slice' if ndim == 2 else 'volume'} (every_slice=True),"
    if len(shape) > ndim + 1:
        return (
            f"{each} with the channel axis named if there is one {channels}, or choose the planes "
            "to segment first."
        )
    if ndim == 2:
        each += " link the slices for whole cells (volume='linked'),"
    return f"{each} choose one slice, or name the channel axis {channels}."
