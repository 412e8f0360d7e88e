"""The image that an exported model is tested and illustrated with, and its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.export.onnx import reference_scores
from napari_unet.engine.images.image import AnyImage, channels_first, colour_axis, mirrored
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.bundled import bundled_ancestor
from napari_unet.engine.networks.network import Network, NetworkDescription

_EXAMPLE_PX = {2: 256, 3: 32}
"""Length of the axes of the test image, in pixels, if the network reads so little."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image and what a network makes of it."""

    image: NDArray[np.float32]
    """(1, in_channels, *S) float32. Not normalised."""
    scores: NDArray[np.float32]
    """(1, classes, *S') float32."""
    preprocessing: list[dict[str, Any]]
    """Steps in bioimage.io's words that bring such images to what the network reads."""


def example_of(network: Network, image: AnyImage | None = None) -> Example:
    """Cut a small part out of an image, and compute its scores.

    Parameters
    ----------
    image : (H, W), (Z, H, W) or either with one channel axis, first or last, optional
        A bundled image of its kind by default, the same in all channels and slices.
    """
    description = network.description
    config = description.architecture
    array = _sample(description) if image is None else np.asarray(image)
    is_plain = array.ndim == config.ndim or colour_axis(array.shape, config.ndim) is not None
    channel_axis = None if is_plain else 0
    array = channels_first(array, ndim=config.ndim, channel_axis=channel_axis)
    array = _central_part(array, config)
    whole = (slice(None),) * config.ndim
    raw = ImageSource(array, config.in_channels, IntensityScaling(0.0, 1.0)).read(whole)
    normalization, seen = description.normalization, description.intensity
    gain = normalization.gain(array.dtype if seen is None else seen.dtype)
    steps = normalization.bioimage_steps(axis_names(config), gain=gain)
    ranged = raw * np.float32(gain)
    scaling = normalization.measure_channels(ranged, in_channels=config.in_channels)
    images = ImageSource(ranged, config.in_channels, scaling).read(whole)[np.newaxis]
    return Example(raw[np.newaxis], reference_scores(network, images), steps)


def _sample(description: NetworkDescription) -> AnyImage:
    with Image.open(bundled_ancestor(description).sample_images[0]) as picture:
        plane = np.asarray(picture)
    is_flat = description.architecture.ndim == 2
    return plane if is_flat else np.repeat(plane[np.newaxis], _EXAMPLE_PX[3], axis=0)


def _central_part(array: AnyImage, config: Architecture) -> AnyImage:
    """Cut the size of an example out of the middle of (C, *S), mirrored where it is smaller."""
    for axis in range(1, array.ndim):
        along, length = config.along(axis - 1), array.shape[axis]
        wanted = max(least_size_px(config, axis - 1), _EXAMPLE_PX[config.ndim])
        least, multiple = along.valid_input_size(1), along.size_multiple
        size = least + math.ceil(max(0, wanted - least) / multiple) * multiple
        index = np.arange(size) + max(0, (length - size) // 2)
        array = np.take(array, mirrored(index, length), axis=axis)
    return array


def cover_of(example: Example) -> Image.Image:
    """Draw the image and, beside it, what the network sees in it."""
    image, scores = example.image[0], example.scores[0]
    while image.ndim > 3:  # the middle slice of a volume
        image, scores = image[:, image.shape[1] // 2], scores[:, scores.shape[1] // 2]
    low, high = np.percentile(image, (1, 99.8))
    left = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    left = np.stack([left[min(channel, len(left) - 1)] for channel in range(3)])
    # Scores without the background, which is black: the last class red, those before it green.
    right = np.zeros((3, *scores.shape[1:]))
    right[1] = scores[1:-1].sum(0) if len(scores) > 2 else scores[-1]
    right[0] = scores[-1]
    crop = (image.shape[-1] - scores.shape[-1]) // 2
    part = slice(crop, crop + scores.shape[-1])
    both = np.concatenate([left[:, part, part], np.clip(right, 0, 1)], axis=2)
    return Image.fromarray((both * 255).astype(np.uint8).transpose(1, 2, 0))


def axis_names(config: Architecture) -> Sequence[str]:
    """Names of the spatial axes."""
    return ("z", "y", "x")[-config.ndim :]


def halo_px(config: Architecture, axis: int) -> int:
    """Pixels that a program which works in tiles should cut off each tile's scores."""
    along = config.along(axis)
    if config.ndim == 2:
        return along.tile_overlap_px
    # All of it on six sides would leave a volume of a few pixels in a tile that fits memory.
    return min(along.tile_overlap_px, 2 * along.size_multiple)


def least_size_px(config: Architecture, axis: int) -> int:
    """Shortest length of an axis that a package says may be given, in pixels."""
    along = config.along(axis)
    # Instance normalisation needs more than one pixel at the lowest level.
    return along.valid_input_size(2 * halo_px(config, axis) + 2 * along.size_multiple)
