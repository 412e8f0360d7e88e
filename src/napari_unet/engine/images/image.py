"""Images as the network reads them: channel axes, intensities and size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.regions import Region as Region
from napari_unet.engine.images.pixels import check_kind, check_pixels, finite_pieces, values_at

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

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


def plane_key(index: PlaneIndex) -> str:
    """Name of a plane: "3" is the fourth of a stack, ":,3" the fourth across its second axis."""
    return ",".join(":" if isinstance(part, slice) else str(part) for part in index)


@dataclass(frozen=True, slots=True)
class Normalization:
    """How intensities are brought to the range the network was trained at.

    Parameters
    ----------
    kind : {"percentile", "zero-mean", "none", "raw"}
        "percentile" maps `low_percentile` to 0 and `high_percentile` to 1,
        "zero-mean" maps the mean to 0 and the standard deviation to 1,
        "none" leaves floats as they are and maps the range of an integer
        dtype to 0..1, "raw" leaves integers as they are, too.
    low_percentile, high_percentile : float
        In percent of all pixels of the whole image.
    per_channel : bool
        Whether each channel is measured on its own, or all together.
    epsilon : float
        Added to the width of the range that becomes 1.
    """

    kind: Literal["percentile", "zero-mean", "none", "raw"] = "percentile"
    low_percentile: float = 1.0
    high_percentile: float = 99.8
    per_channel: bool = False
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "zero-mean", "none", "raw"):
            raise SettingsError(
                f"Normalisation is {self.kind!r}; use 'percentile', 'zero-mean', 'none' or 'raw'."
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise SettingsError(
                f"Percentiles are {self.low_percentile:g} and {self.high_percentile:g}; "
                "the low one must be below the high one, both between 0 and 100."
            )
        if not 0 <= self.epsilon < math.inf:
            raise SettingsError(f"epsilon is {self.epsilon}; use 0 or a small positive number.")


@dataclass(frozen=True, slots=True)
class IntensityScaling:
    """The line that maps raw to normalised intensities: (raw - offset) * scale.

    Parameters
    ----------
    offset, scale : float or tuple of float
        One for each channel where these are measured apart.
    """

    offset: float | tuple[float, ...]
    scale: float | tuple[float, ...]

    @property
    def is_constant(self) -> bool:
        """Whether all intensities become 0."""
        return not np.any(self.scale)


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
                f"needs {ndim + 1} axes. Segment every slice (every_slice=True, --every-slice), "
                "or choose another channel axis or one plane of the image."
            )
        return np.moveaxis(image, channel_axis, 0)
    if image.ndim == ndim:
        return image[np.newaxis]
    if image.ndim == ndim + 1 and image.shape[-1] in (3, 4):
        return np.moveaxis(image, -1, 0)
    raise ImageShapeError(_too_many_axes(image.shape, ndim))


def _too_many_axes(shape: tuple[int, ...], ndim: int) -> str:
    found = f"The image has shape {shape}; this model reads {ndim}-D images."
    if len(shape) < ndim:
        return f"{found} Give an image with at least {ndim} axes."
    if len(shape) == ndim + 1:
        return (
            f"{found} Segment every slice (every_slice=True, --every-slice), choose one slice, "
            "or name the channel axis (channel_axis=0)."
        )
    return f"{found} Choose the planes to segment first, for example image[0]."


def measure_intensity(image: AnyImage, normalization: Normalization) -> IntensityScaling:
    """Measure over the whole image what `normalization` needs, and check its pixels.

    The image is read in parts, chunk by chunk if it is a dask array: once, or
    for percentiles of a large image of 32-bit pixels twice and of 64-bit ones
    up to four times. Percentiles are exact.

    Parameters
    ----------
    image : real array of any shape
    normalization : Normalization

    Returns
    -------
    IntensityScaling
        A constant image gives scale 0, so that it becomes all zeros.

    Raises
    ------
    ImageShapeError, ImageValueError
        See `check_pixels`.
    """
    return IntensityScaling(*_line(image, normalization))


def _line(image: AnyImage, normalization: Normalization) -> tuple[float, float]:
    """Offset and scale of an image."""
    if normalization.kind in ("none", "raw"):
        check_pixels(image)
        dtype = np.dtype(image.dtype)
        if dtype.kind in "ui" and normalization.kind == "none":
            return 0.0, 1.0 / float(np.iinfo(dtype).max)
        return 0.0, 1.0
    check_kind(image)
    if normalization.kind == "zero-mean":
        count, mean, square_sum = 0, 0.0, 0.0
        for piece in finite_pieces(image):
            if not piece.size:
                continue
            values = piece.astype(np.float64)
            # Chan's update: no cancellation on images with a large offset.
            n, piece_mean = values.size, float(values.mean())
            delta = piece_mean - mean
            square_sum += float(((values - piece_mean) ** 2).sum())
            square_sum += delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        deviation = math.sqrt(square_sum / count)
        return mean, _inverse(deviation, normalization.epsilon)
    percents = (normalization.low_percentile, normalization.high_percentile, 0.0, 100.0)
    low, high, lowest, highest = _percentiles(image, percents)
    if high <= low:
        # Fewer bright pixels than the percentile leaves out: use the full range.
        low, high = lowest, highest
    return low, _inverse(high - low, normalization.epsilon)


def _inverse(width: float, epsilon: float) -> float:
    return 1.0 / (width + epsilon) if width > 0 else 0.0


def _measured(
    array: AnyImage, normalization: Normalization, *, in_channels: int
) -> IntensityScaling:
    """Measure (C, *spatial) intensities, each channel apart where that is asked for."""
    # Channels that are to become one, or one that is to become many, have one range.
    if not normalization.per_channel or not 1 < array.shape[0] == in_channels:
        return measure_intensity(array, normalization)
    offsets, scales = zip(*(_line(channel, normalization) for channel in array), strict=True)
    return IntensityScaling(offsets, scales)


def _percentiles(image: AnyImage, percents: Sequence[float]) -> list[float]:
    ranks = [(image.size - 1) * percent / 100 for percent in percents]
    around = {whole for rank in ranks for whole in (math.floor(rank), math.ceil(rank))}
    value_at = values_at(image, sorted(around))
    return [
        value_at[math.floor(rank)]
        + (rank % 1) * (value_at[math.ceil(rank)] - value_at[math.floor(rank)])
        for rank in ranks
    ]


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
        values = np.subtract(values, _of_channels(self.scaling.offset, values), out=values)
        values = np.multiply(values, _of_channels(self.scaling.scale, values), out=values)
        result: FloatImage = values.astype(np.float32, copy=False)
        if result.shape[0] == 1 and self.in_channels > 1:
            return np.repeat(result, self.in_channels, axis=0)
        return result


def _of_channels(number: float | tuple[float, ...], values: NDArray[Any]) -> Any:
    """Give a number for each channel the axes of (C, *spatial) values."""
    if not isinstance(number, tuple):
        return number
    return np.asarray(number, values.dtype).reshape(-1, *(1,) * (values.ndim - 1))


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
        normalised as the whole.

    Raises
    ------
    ImageShapeError, ImageValueError
        If the image cannot be used as it is.
    """
    check_kind(image)
    array = channels_first(image, ndim=ndim, channel_axis=channel_axis)
    found = array.shape[0]
    fits = found in (1, in_channels) or (found in (3, 4) and in_channels == 1)
    if not fits and not (found == 4 and in_channels == 3):
        raise ImageShapeError(
            f"The image has {found} channels; this model reads {in_channels}. "
            "Choose one channel to segment (--channel), or a model trained on that many."
        )
    # Alpha carries no signal and must not count in the percentiles.
    colour = array[:3] if found == 4 and in_channels in (1, 3) else array
    if intensity_reference is None:
        scaling = _measured(colour, normalization, in_channels=in_channels)
    else:
        if intensity_reference is not image:
            check_pixels(colour)
        if normalization.per_channel:
            reference = channels_first(intensity_reference, ndim=ndim, channel_axis=channel_axis)
            scaling = _measured(reference[: len(colour)], normalization, in_channels=in_channels)
        else:
            scaling = measure_intensity(intensity_reference, normalization)
    return ImageSource(colour, in_channels, scaling)


def zoomed_shape(shape: tuple[int, ...], zoom: float) -> tuple[int, ...]:
    """Shape in pixels after resizing by `zoom`; never below one pixel."""
    if not (math.isfinite(zoom) and zoom > 0):
        raise SettingsError(f"The image is to be resized by {zoom}; use a positive factor.")
    return tuple(max(1, round(n * zoom)) for n in shape)


@dataclass(frozen=True, slots=True)
class ZoomedSource:
    """An image that is resized where it is read, by linear interpolation.

    Where it shrinks it is smoothed first (anti-aliasing), as scikit-image's
    `resize` does it; beyond its border it is mirrored.

    Parameters
    ----------
    source : ImageSource
    zoom : float
        Above 1 for more pixels.
    """

    source: ImageSource
    zoom: float

    @property
    def scaling(self) -> IntensityScaling:
        """The source's."""
        return self.source.scaling

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape in pixels after resizing."""
        return zoomed_shape(self.source.shape, self.zoom)

    def read(self, region: Region) -> FloatImage:
        """Read (in_channels, *region) as float32, normalised; reads only the pixels it takes."""
        from napari_unet.engine.images.resampling import mirrored, resampled, taps

        axes = []
        needed = []
        for part, n, m in zip(region, self.shape, self.source.shape, strict=True):
            sigma = max(0.0, (m / n - 1) / 2) if self.zoom < 1 else 0.0
            index, weights = taps(np.arange(*part.indices(n)), n, m, sigma_px=sigma)
            index = mirrored(index, m)
            needed.append(slice(int(index.min()), int(index.max()) + 1))
            axes.append((index - index.min(), weights))
        return resampled(self.source.read(tuple(needed)), axes, grows=self.zoom > 1)


def nearest_index(length: int, source_length: int) -> NDArray[np.intp]:
    """For each of `length` pixels of an axis the nearest of `source_length` pixels."""
    centres = (np.arange(length) + 0.5) * (source_length / length)
    return np.minimum(centres.astype(np.intp), source_length - 1)


def restore_scores(scores: Scores, shape: tuple[int, ...]) -> Scores:
    """Bring (C, *spatial) scores back to the image's own grid by linear interpolation."""
    from napari_unet.engine.images.resampling import resampled, taps

    if scores.shape[1:] == tuple(shape):
        return scores
    axes = [
        (np.clip(index, 0, m - 1), weights)
        for n, m in zip(shape, scores.shape[1:], strict=True)
        for index, weights in [taps(np.arange(n), n, m, sigma_px=0)]
    ]
    restored = np.empty((scores.shape[0], *shape), np.float32)
    for plane, into in zip(scores, restored, strict=True):
        into[...] = resampled(plane, axes, grows=shape[0] > scores.shape[1])
    return restored
