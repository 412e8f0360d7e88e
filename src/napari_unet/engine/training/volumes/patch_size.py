"""How large patches are: about the cells, within images and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.settings import USUAL_PATCH_PX, TrainingSettings

MOST_VOXELS = 2**21
"""In a batch of volumes: more would take seconds a step, and see little more of the cells."""

_STEP_PX = 16
_LEAST_VOLUME_PX = 48
"""Of a patch of a volume: a network of three poolings sees about so far."""

_DIAMETERS = 2.0
"""Of the median cell, along each axis of a patch of a volume: cells are seen whole in it."""

_BYTES_PER_NUMBER = 40
"""That a step takes at most for each number which a network keeps at once when it segments: what is
kept for the gradients are 28 to 31 in float32, and less than half in bfloat16. With all else,
benchmarks/training_step.py measured 34."""

_COPIES = 5
"""Of each weight: itself, its mean, its gradient, and two of the optimiser."""

_MOST_OF_FREE = 0.8
"""The rest is for the batch, the images, and other programs."""


def patch_shape(
    settings: TrainingSettings,
    architecture: Architecture,
    shapes: Sequence[tuple[int, ...]],
    *,
    diameter_px: float | None = None,
    room_bytes: int | None = None,
) -> tuple[int, ...]:
    """Return what a network gives out for a patch: patches of a training share a shape.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the labels of all images. In volumes a patch is no longer than the
        smallest of them along any axis.
    diameter_px : float, optional
        Of the median cell.
    room_bytes : int, optional
        Memory that a single patch may take.

    Returns
    -------
    (H, W) or (Z, H, W) tuple of int
        Pixels, as the network rounds them. In volumes without a
        `patch_size_px` some cells long, and so that a batch has `MOST_VOXELS`
        at most as it goes in.

    Raises
    ------
    TrainingError
        If not even the smallest patch, or that which was chosen, has room.
    """
    ndim, chosen = architecture.ndim, settings.patch_size_px
    limits = [min(axis) for axis in zip(*shapes, strict=True)]

    def sizes_in(size: int) -> tuple[int, ...]:
        wanted = (size,) * ndim if ndim == 2 else tuple(min(size, most) for most in limits)
        return tuple(architecture.along(axis).valid_input_size(n) for axis, n in enumerate(wanted))

    candidates: Sequence[int] = (chosen or USUAL_PATCH_PX,)
    if chosen is None and ndim == 3:
        candidates = range(_usual_length(diameter_px), 0, -_STEP_PX)
    for size in candidates:
        shape = sizes_in(size)
        has_room = room_bytes is None or step_bytes(architecture, shape) <= room_bytes
        if has_room and settings.batch_size * math.prod(shape) <= MOST_VOXELS:
            break
    if room_bytes is not None and step_bytes(architecture, shape) > room_bytes:
        raise TrainingError(_no_room(architecture, shape, room_bytes))
    return tuple(architecture.along(axis).output_size(n) for axis, n in enumerate(shape))


def _usual_length(diameter_px: float | None) -> int:
    """Length of a patch of a volume with such cells."""
    wanted = 0 if diameter_px is None else _STEP_PX * round(_DIAMETERS * diameter_px / _STEP_PX)
    return int(np.clip(wanted, _LEAST_VOLUME_PX, USUAL_PATCH_PX))


def step_bytes(architecture: Architecture, shape: tuple[int, ...], patches: int = 1) -> int:
    """Memory that a step takes on the CPU at most, about, beside the weights.

    Parameters
    ----------
    shape : tuple of int
        Of a patch as it goes in.
    patches : int
        That are computed at once.
    """
    return patches * _BYTES_PER_NUMBER * architecture.numbers_at_once(shape)


def room_for_patches(free_bytes: int, network: Network) -> int:
    """Bytes of the free memory that a step of a network may take, beside its weights."""
    weights = sum(each.numel() for each in network.unet.parameters())
    return int(_MOST_OF_FREE * free_bytes) - _COPIES * 4 * weights


def _no_room(architecture: Architecture, shape: tuple[int, ...], room_bytes: int) -> str:
    sizes, half = " x ".join(map(str, shape)), max(_STEP_PX, shape[-1] // 2)
    needed = memory_in_words(step_bytes(architecture, shape))
    return (
        f"To learn from one patch of {sizes} pixels takes about {needed} of memory, and there is "
        f"room for {memory_in_words(max(0, room_bytes))}; choose a smaller patch size, for example "
        f"{half}, fewer features (base width) for a new network, or close other programs."
    )


def memory_in_words(count: int) -> str:
    """Bytes in words."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
