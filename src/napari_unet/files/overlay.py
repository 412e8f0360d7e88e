"""The picture that shows at a glance what was found: the image with every cell outlined."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LUMINANCE, AnyImage, LabelImage, without_alpha

_WANTED_SIDE_PX = 2048
_MOST_MAGNIFIED = 4
_PERCENTILE_PIXELS = 1 << 22
_GOLDEN_RATIO = 0.618033988749895
_COLOURS = 64
_DARKEST = 0.45
"""Luminance of an outline, 0 to 1, at least."""


def draw_overlay(
    image: AnyImage, labels: LabelImage, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Draw the outline of every cell, each in its own colour, onto the image.

    Parameters
    ----------
    image : (H, W) or (..., H, W) real array, either with one channel axis
        Of a stack the middle slice is drawn.
    labels : integer array
        The image's shape without its channels.
    channel_axis : int, optional

    Returns
    -------
    (k * H, k * W, 3) uint8 array
        Small images are magnified k times, so that outlines hide little.
    """
    array = np.asarray(image)
    if channel_axis is None and array.ndim == labels.ndim + 1:
        channel_axis = array.ndim - 1
    channels = array[np.newaxis] if channel_axis is None else np.moveaxis(array, channel_axis, 0)
    while labels.ndim > 2:
        middle = labels.shape[0] // 2
        channels, labels = channels[:, middle], labels[middle]
    factor = max(1, min(_MOST_MAGNIFIED, _WANTED_SIDE_PX // max(labels.shape)))
    picture = magnified(stretched(channels), factor)
    large = labels.repeat(factor, axis=0).repeat(factor, axis=1)
    outline = outlines(large, width_px=2)
    # Stained tissue is pink to blue: only the hues between orange and cyan stand out there.
    hues = (0.08, 0.5) if np.ptp(picture, axis=-1).any() else (0.0, 1.0)
    picture[outline] = _cell_colours(*hues)[large[outline] % _COLOURS]
    return picture


def stretched(channels: AnyImage) -> NDArray[np.uint8]:
    """Bring (C, H, W) to 8-bit RGB with the contrast stretched between percentiles."""
    channels = without_alpha(channels)
    if channels.shape[0] not in (1, 3):
        channels = channels.max(axis=0, keepdims=True)
    values = channels.astype(np.float32)
    sample = values.reshape(-1)[:: max(1, values.size // _PERCENTILE_PIXELS)]
    low, high = np.percentile(sample, (0.2, 99.8))
    values = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    if channels.shape[0] == 1 and np.median(values) < 0.25:
        values = values**0.7  # dim cells on black stay visible
    rgb = np.repeat(values, 3 // values.shape[0], axis=0)
    return np.moveaxis((rgb * 255).round().astype(np.uint8), 0, -1)  # (H, W, 3)


def magnified(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Make (H, W, 3) a whole number of times as large, smoothly."""
    from PIL import Image

    height, width = picture.shape[:2]
    size = (width * factor, height * factor)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def outlines(labels: LabelImage, *, width_px: int) -> NDArray[np.bool_]:
    """Pixels of a cell that lie within `width_px` of another label or of background."""
    from scipy import ndimage

    size = 2 * width_px + 1
    lowest = ndimage.minimum_filter(labels, size, mode="nearest")
    highest = ndimage.maximum_filter(labels, size, mode="nearest")
    inner: NDArray[np.bool_] = (labels > 0) & (lowest != highest)
    return inner


def _cell_colours(first_hue: float, last_hue: float) -> NDArray[np.uint8]:
    """Bright colours; those of neighbouring numbers differ most (golden-ratio hues)."""
    hues = first_hue + (last_hue - first_hue) * (np.arange(_COLOURS) * _GOLDEN_RATIO % 1)
    colours = np.array([colorsys.hsv_to_rgb(hue, 0.9, 1.0) for hue in hues])
    # Pure blue is nearly black to the eye: lighten what is too dark.
    luminance = colours @ np.array(LUMINANCE)
    lighter = np.maximum(0, (_DARKEST - luminance) / (1 - luminance))[:, np.newaxis]
    rgb: NDArray[np.uint8] = ((colours + (1 - colours) * lighter) * 255).round().astype(np.uint8)
    return rgb
