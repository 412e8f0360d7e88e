"""An image as the network reads it, part by part: normalised and in its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import (
    LUMINANCE,
    AnyImage,
    FloatImage,
    channels_first,
    channels_fit,
    without_alpha,
)
from napari_unet.engine.images.lazy import viewable
from napari_unet.engine.images.normalization import IntensityScaling, Normalization
from napari_unet.engine.images.pixels import check_kind, check_pixels


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image that is normalised and brought to the network's channels where it is read.

    Parameters
    ----------
    array : (C, *spatial) view of the raw image
    in_channels : int
        Channels that the network reads.
    scaling : IntensityScaling
    """

    array: AnyImage
    in_channels: int
    scaling: IntensityScaling

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape in pixels."""
        return tuple(int(n) for n in self.array.shape[1:])

    def read(self, region: Region) -> FloatImage:
        """Read (in_channels, *region) as float32, normalised; raw memory stays untouched."""
        raw = np.asarray(self.array[(slice(None), *region)])
        channels = raw.shape[0]
        # float64 offsets: a 32-bit integer image loses its low bits in float32.
        exact = raw.dtype.itemsize > 2
        values: NDArray[Any] = raw.astype(np.float64 if exact else np.float32)
        if channels in (3, 4) and self.in_channels == 1:
            weights = np.asarray(LUMINANCE, values.dtype)
            values = np.tensordot(weights, values[:3], axes=1)[np.newaxis]
        elif channels == 4 and self.in_channels == 3:
            values = values[:3]
        result: FloatImage = self.scaling.applied(values).astype(np.float32, copy=False)
        if result.shape[0] == 1 and self.in_channels > 1:
            return np.repeat(result, self.in_channels, axis=0)
        return result


def open_image(
    image: AnyImage,
    *,
    ndim: int,
    in_channels: int,
    normalization: Normalization,
    channel_axis: int | None = None,
    intensity_reference: AnyImage | None = None,
) -> ImageSource:
    """Check an image and make it readable for a network.

    Parameters
    ----------
    image : array
        `ndim` spatial axes and at most one channel axis, any real dtype.
    ndim, in_channels : int
        What the network reads. One channel is repeated for a network that
        reads several; RGB becomes grey for a network that reads one; the
        alpha of RGBA is dropped.
    normalization : Normalization
    channel_axis : int, optional
        See `channels_first`.
    intensity_reference : array, optional
        Measure intensities on this image instead, so that a crop of it is
        normalised as the whole. One with more axes, of which the image is a
        slice, has its channels in front.

    Raises
    ------
    ImageShapeError, ImageValueError
        If the image cannot be used as it is.
    """
    is_itself = intensity_reference is None or intensity_reference is image
    image = viewable(image)
    check_kind(image)
    array = channels_first(image, ndim=ndim, channel_axis=channel_axis)
    found = array.shape[0]
    if not channels_fit(found, in_channels):
        raise ImageShapeError(
            f"The image has {found} channels; this model reads {in_channels}. "
            "Choose one channel to segment, or a model trained on that many."
        )
    # Alpha carries no signal and must not count in the percentiles.
    colour = without_alpha(array) if in_channels in (1, 3) else array
    reference = colour
    if not is_itself:
        check_pixels(colour)
        reference = viewable(intensity_reference)
        if normalization.per_channel:
            reference = _channels_of(reference, image, colour, ndim, channel_axis)
    scaling = normalization.measure_channels(reference, in_channels=in_channels)
    return ImageSource(colour, in_channels, scaling)


def _channels_of(
    reference: AnyImage,
    image: AnyImage,
    channels: AnyImage,
    ndim: int,
    channel_axis: int | None,
) -> AnyImage:
    """View the channels of a reference in front, as many as the image has."""
    if len(channels) == 1:
        return reference[np.newaxis]
    if reference.ndim == image.ndim:
        reference = channels_first(reference, ndim=ndim, channel_axis=channel_axis)
    if reference.shape[0] < len(channels):
        raise ImageShapeError(
            f"The intensity reference has shape {reference.shape}, the image {len(channels)} "
            "channels, each with a range of its own; give a reference with these in front."
        )
    return reference[: len(channels)]
