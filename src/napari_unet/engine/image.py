"""Images as the network reads them: channel axes, intensities and size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.errors import ImageShapeError, ImageValueError, SettingsError

AnyImage: TypeAlias = NDArray[Any]
"""(H, W), (Z, H, W) or either with one channel axis; any real dtype."""

FloatImage: TypeAlias = NDArray[np.float32]
LabelImage: TypeAlias = NDArray[Any]
"""Integers; 0 is background, each positive value is one cell."""

Scores: TypeAlias = NDArray[np.float32]
"""(C, H, W) or (C, Z, H, W); one probability per class role."""

WeightMap: TypeAlias = NDArray[np.float32]
Region: TypeAlias = tuple[slice, ...]

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""

_CHUNK_PIXELS = 1 << 22
_HISTOGRAM_BINS = 1 << 16


@dataclass(frozen=True, slots=True)
class Normalization:
    """How intensities are brought to the range the network was trained at.

    Parameters
    ----------
    kind : {"percentile", "zero-mean", "none"}
        "percentile" maps `low_percentile` to 0 and `high_percentile` to 1,
        "zero-mean" maps the mean to 0 and the standard deviation to 1,
        "none" leaves floats as they are and maps the range of an integer
        dtype to 0..1.
    low_percentile, high_percentile : float
        In percent of all pixels of the whole image, all channels together.
    """

    kind: Literal["percentile", "zero-mean", "none"] = "percentile"
    low_percentile: float = 1.0
    high_percentile: float = 99.8

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "zero-mean", "none"):
            raise SettingsError(
                f"Normalisation is {self.kind!r}; use 'percentile', 'zero-mean' or 'none'."
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise SettingsError(
                f"Percentiles are {self.low_percentile:g} and {self.high_percentile:g}; "
                "the low one must be below the high one, both between 0 and 100."
            )


@dataclass(frozen=True, slots=True)
class IntensityScaling:
    """The line that maps raw to normalised intensities: (raw - offset) * scale."""

    offset: float
    scale: float


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


def _chunks(image: AnyImage) -> Iterator[NDArray[Any]]:
    """Flat pieces of at most a few million pixels, in memory order."""
    if image.size <= _CHUNK_PIXELS or image.ndim == 0:
        yield np.asarray(image).reshape(-1)
        return
    if image.shape[0] == 1 or image[0].size > _CHUNK_PIXELS:
        for plane in image:
            yield from _chunks(plane)
        return
    rows = max(1, _CHUNK_PIXELS // max(1, image[0].size))
    for start in range(0, image.shape[0], rows):
        yield np.asarray(image[start : start + rows]).reshape(-1)


def check_pixels(image: AnyImage) -> None:
    """Raise unless `image` holds at least one pixel and only finite real numbers.

    Raises
    ------
    ImageShapeError
        If it is empty.
    ImageValueError
        If its dtype is not real numbers or if pixels are NaN or infinite.
    """
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "buif":
        raise ImageValueError(
            f"The image has dtype {dtype}; the network reads whole or real numbers. "
            + (
                "Take its magnitude first, for example np.abs(image)."
                if dtype.kind == "c"
                else "Convert it first, for example image.astype('float32')."
            )
        )
    if image.size == 0:
        raise ImageShapeError(
            f"The image has shape {image.shape} and no pixels; choose one with at least 1 x 1."
        )
    if dtype.kind == "f":
        bad = sum(int(np.count_nonzero(~np.isfinite(chunk))) for chunk in _chunks(image))
        if bad:
            raise ImageValueError(
                f"{bad} of {image.size} pixels are NaN or infinite; replace them first, "
                "for example with np.nan_to_num(image)."
            )


def measure_intensity(image: AnyImage, normalization: Normalization) -> IntensityScaling:
    """Measure over the whole image what `normalization` needs.

    Memory stays at a few chunks however large the image is. Percentiles are
    exact for 8- and 16-bit images; for others they lie within 2e-10 of the
    image's range of the exact value.

    Parameters
    ----------
    image : real array of any shape, finite
    normalization : Normalization

    Returns
    -------
    IntensityScaling
        A constant image gives scale 0, so that it becomes all zeros.
    """
    if normalization.kind == "none":
        dtype = np.dtype(image.dtype)
        if dtype.kind in "ui":
            return IntensityScaling(0.0, 1.0 / float(np.iinfo(dtype).max))
        return IntensityScaling(0.0, 1.0)
    if normalization.kind == "zero-mean":
        count, mean, square_sum = 0, 0.0, 0.0
        for chunk in _chunks(image):
            values = chunk.astype(np.float64)
            # Chan's update: no cancellation on images with a large offset.
            n, chunk_mean = values.size, float(values.mean())
            delta = chunk_mean - mean
            square_sum += float(((values - chunk_mean) ** 2).sum())
            square_sum += delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        deviation = math.sqrt(square_sum / count)
        return IntensityScaling(mean, 1.0 / deviation if deviation > 0 else 0.0)
    low, high = _percentiles(image, (normalization.low_percentile, normalization.high_percentile))
    if high <= low:
        # Fewer bright pixels than the percentile leaves out: use the full range.
        low, high = _percentiles(image, (0.0, 100.0))
    return IntensityScaling(low, 1.0 / (high - low) if high > low else 0.0)


def _percentiles(image: AnyImage, percents: tuple[float, float]) -> tuple[float, float]:
    dtype = np.dtype(image.dtype)
    ranks = [(image.size - 1) * percent / 100 for percent in percents]
    if dtype.kind == "b" or (dtype.kind in "ui" and dtype.itemsize <= 2):
        lowest = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
        counts = np.zeros(1 << (8 * dtype.itemsize), np.int64)
        for chunk in _chunks(image):
            counts += np.bincount(chunk.astype(np.int32) - lowest, minlength=counts.size)
        cumulative = np.cumsum(counts)

        def value_at(rank: int) -> float:
            return float(np.searchsorted(cumulative, rank, side="right")) + lowest

        results = []
        for rank in ranks:
            below, fraction = int(rank), rank - int(rank)
            value = value_at(below)
            results.append(value + (fraction * (value_at(below + 1) - value) if fraction else 0.0))
        return results[0], results[1]
    if image.size <= _CHUNK_PIXELS:
        values = np.percentile(np.asarray(image, dtype=np.float64), percents)
        return float(values[0]), float(values[1])
    first, second = (_percentile_by_histogram(image, rank) for rank in ranks)
    return first, second


def _percentile_by_histogram(image: AnyImage, rank: float) -> float:
    """Value at `rank` by zooming twice into a histogram: two passes, no sorting."""
    low = min(float(chunk.min()) for chunk in _chunks(image))
    high = max(float(chunk.max()) for chunk in _chunks(image))
    below = 0
    for _ in range(2):
        if high <= low:
            return low
        counts = np.zeros(_HISTOGRAM_BINS, np.int64)
        width = (high - low) / _HISTOGRAM_BINS
        for chunk in _chunks(image):
            values = chunk[(chunk >= low) & (chunk <= high)].astype(np.float64)
            bins = np.minimum((values - low) / width, _HISTOGRAM_BINS - 1).astype(np.int32)
            counts += np.bincount(bins, minlength=_HISTOGRAM_BINS)
        cumulative = below + np.cumsum(counts)
        bin_index = min(int(np.searchsorted(cumulative, rank, "right")), _HISTOGRAM_BINS - 1)
        below = int(cumulative[bin_index] - counts[bin_index])
        low, high = low + bin_index * width, low + (bin_index + 1) * width
    return low + 0.5 * (high - low)


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
        values = np.subtract(values, self.scaling.offset, out=values)
        values = np.multiply(values, self.scaling.scale, out=values)
        result: FloatImage = values.astype(np.float32, copy=False)
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
        normalised as the whole.

    Raises
    ------
    ImageShapeError, ImageValueError
        If the image cannot be used as it is.
    """
    check_pixels(image)
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
        scaling = measure_intensity(colour, normalization)
    else:
        check_pixels(intensity_reference)
        scaling = measure_intensity(intensity_reference, normalization)
    return ImageSource(colour, in_channels, scaling)


def zoomed_shape(shape: tuple[int, ...], zoom: float) -> tuple[int, ...]:
    """Shape in pixels after resizing by `zoom`; never below one pixel."""
    if not (math.isfinite(zoom) and zoom > 0):
        raise SettingsError(f"The image is to be resized by {zoom}; use a positive factor.")
    return tuple(max(1, round(n * zoom)) for n in shape)


def resize_channels(array: AnyImage, zoom: float) -> FloatImage:
    """Resize (C, *spatial) by `zoom`, smoothing first where it shrinks (anti-aliasing)."""
    from skimage.transform import resize

    shape = zoomed_shape(array.shape[1:], zoom)
    planes = [
        resize(
            np.asarray(plane, dtype=np.float32),
            shape,
            order=1,
            mode="reflect",
            anti_aliasing=zoom < 1,
            preserve_range=True,
        ).astype(np.float32, copy=False)
        for plane in array
    ]
    return np.stack(planes)


def nearest_index(length: int, source_length: int) -> NDArray[np.intp]:
    """For each of `length` pixels of an axis the nearest of `source_length` pixels."""
    centres = (np.arange(length) + 0.5) * (source_length / length)
    return np.minimum(centres.astype(np.intp), source_length - 1)


def restore_labels(labels: LabelImage, shape: tuple[int, ...]) -> LabelImage:
    """Bring labels back to the image's own grid by nearest neighbour; no new values appear."""
    if labels.shape == tuple(shape):
        return labels
    index = [nearest_index(n, m) for n, m in zip(shape, labels.shape, strict=True)]
    return np.ascontiguousarray(labels[np.ix_(*index)])


def restore_scores(scores: Scores, shape: tuple[int, ...]) -> Scores:
    """Bring (C, *spatial) scores back to the image's own grid by linear interpolation."""
    from skimage.transform import resize

    if scores.shape[1:] == tuple(shape):
        return scores
    planes = [resize(plane, shape, order=1, mode="edge", anti_aliasing=False) for plane in scores]
    return np.stack(planes).astype(np.float32)
