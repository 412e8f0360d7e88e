"""How much of the computer's memory a segmentation takes, before it is started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

# Measured by benchmarks/memory.py, that of borders by tracemalloc around `instances_from_scores` on
# crowded tissue; rounded up, because too little is worse than too much.
PLANE_BYTES_PER_PIXEL = 22.0
"""What telling cells apart takes at its peak, beside scores and labels, for each pixel."""

BORDER_BYTES_PER_PIXEL = 15.0
"""What judging borders takes beside that, for each pixel."""

RESTORING_BYTES_PER_PIXEL = 12.0
"""What bringing labels back to the image's own size takes, for each pixel of that."""

_FIXED_BYTES = 60 << 20
_MOST_TILE_PIXELS = 1 << 20
_SCORE_BYTES = _LABEL_BYTES = 4


def segmentation_memory(
    shape: tuple[int, ...],
    description: NetworkDescription,
    *,
    kept_scores: bool,
    zoom: float = 1.0,
    other_zooms: Sequence[float] = (),
    number_bytes: int = 4,
    is_volume: bool = False,
) -> int:
    """Bytes of the computer's memory that a segmentation takes at its peak, on the safe side.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image in pixels. Axes before those that the
        network reads count planes that are segmented one by one.
    description : NetworkDescription
    kept_scores : bool
        Whether the scores of every plane stay in memory.
    zoom : float
        Factor by which the image is resized for the network.
    other_zooms : sequence of float
        The same for other networks whose scores are averaged with its own.
    number_bytes : int
        Of a number in the network's arithmetic: 4 for float32, 2 for half
        precision, 0 if it runs on a GPU, whose own memory holds the tiles.
    is_volume : bool
        Whether the planes' scores make one volume of the last three axes, in which
        cells are told apart.

    Returns
    -------
    int
    """
    ndim, classes = description.architecture.ndim, description.architecture.classes
    own_pixels, planes = math.prod(shape[-ndim:]), math.prod(shape[:-ndim])
    pixels, is_resized = own_pixels * zoom**ndim, zoom != 1.0
    scores = _SCORE_BYTES * classes * pixels
    if kept_scores:
        # Beside the plane at work; at the image's own size or the network's, whoever keeps them.
        scores += _SCORE_BYTES * classes * max(pixels, own_pixels) * (planes - (not is_resized))
    # A network at another scale has a sum of its own, interpolated class by class.
    apart = max((each for each in other_zooms if each != zoom), default=None)
    if apart is not None:
        scores += _SCORE_BYTES * (classes * own_pixels * apart**ndim + pixels)
    labels = float(_LABEL_BYTES * own_pixels * planes)
    if is_resized:
        labels += _LABEL_BYTES * pixels + RESTORING_BYTES_PER_PIXEL * own_pixels
    if is_volume:
        voxels = math.prod(shape[-ndim - 1 :])
        scores += PLANE_BYTES_PER_PIXEL * voxels
        scores += 0 if kept_scores else _SCORE_BYTES * classes * voxels
    # Where tiles are not exact, the image is computed in as few as fit.
    most = pixels if description.architecture.inexact_because else _MOST_TILE_PIXELS
    tile_px = min(pixels, most) ** (1 / ndim)
    tile = number_bytes * description.architecture.numbers_at_once((math.ceil(tile_px),) * ndim)
    plane = PLANE_BYTES_PER_PIXEL
    plane += BORDER_BYTES_PER_PIXEL * (description.instances.judges_borders and ndim == 2)
    return int(scores + labels + plane * pixels + tile + _FIXED_BYTES)
