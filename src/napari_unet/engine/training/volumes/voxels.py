"""How high voxels are: told by training volumes, and brought to what a network reads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import slice_factor
from napari_unet.engine.images.image import channels_first
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.resampling import ZoomedSource, nearest_index
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.weight_map.weight_map import volume_spacing

if TYPE_CHECKING:
    from napari_unet.engine.training.pairs import TrainingPair

_MOST = 50.0
"""Distance between slices, in pixel sizes, with which they still are a volume."""

_AS_IT_IS = IntensityScaling(0.0, 1.0)


def anisotropy_of(spacing: Sequence[float]) -> float:
    """Distance between slices in pixel sizes, from the size of a voxel along Z, Y and X.

    Raises
    ------
    SettingsError
        If that is no size of a voxel.
    """
    depth, height, width = volume_spacing(spacing, 3)
    found = depth / math.sqrt(height * width)
    if not 1 / _MOST <= found <= _MOST:
        raise SettingsError(
            f"Slices are {found:.3g} pixels apart, and 1/{_MOST:g} to {_MOST:g} are possible; "
            "check the voxel size."
        )
    return found


def ring_around(
    cells: NDArray[np.bool_], ring_px: float, anisotropy: float | None, *, in_plane: bool = False
) -> NDArray[np.bool_]:
    """Where the nearest cell is not further away than `ring_px` pixels of a slice.

    Parameters
    ----------
    in_plane : bool
        Nothing beyond the slices that show cells is near: where cells were
        painted in single slices, they go on above and below.
    """
    if ring_px <= 0 or not cells.any():
        return cells
    if in_plane:
        ring = np.zeros_like(cells)
        for number in np.flatnonzero(cells.any(axis=(1, 2))):
            ring[number] = ring_around(cells[number], ring_px, None)
        return ring
    sampling = None if anisotropy is None else (anisotropy, 1.0, 1.0)
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~cells, sampling=sampling) <= ring_px
    return near


def median_anisotropy(pairs: Iterable[TrainingPair]) -> float | None:
    """Of the volumes that tell how far apart their slices are; None if none does."""
    known = [each for each in (pair.anisotropy for pair in pairs) if each is not None]
    return float(np.median(known)) if known else None


def with_anisotropy(network: Network, pairs: Sequence[TrainingPair]) -> Network:
    """Return a network that reads volumes as most of these are, if it knows of no voxel size."""
    description = network.description
    known = median_anisotropy(pairs) if description.architecture.ndim == 3 else None
    if known is None or description.anisotropy is not None:
        return network
    return Network(network.unet, dataclasses.replace(description, anisotropy=known))


def on_grid_of(pair: TrainingPair, description: NetworkDescription) -> TrainingPair:
    """Return a volume with slices as far apart as the network reads them; others as they are.

    Where there are more or fewer slices then, the image is interpolated between
    them and labels are those of the nearest.
    """
    factor = slice_factor(pair.anisotropy, description.anisotropy)
    if factor == 1.0:
        return pair
    axis, before = pair.channel_axis, np.asarray(pair.image)
    image = channels_first(before, ndim=3, channel_axis=axis)
    if axis is None and len(image) == 4:
        image = image[:3]  # alpha
    reference = pair.intensity_reference
    if reference is not None and reference.ndim == before.ndim:
        reference = channels_first(reference, ndim=3, channel_axis=axis)
    source = ZoomedSource(ImageSource(image, len(image), _AS_IT_IS), (factor, 1.0, 1.0))
    read = source.read((slice(None),) * 3)
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        read = np.rint(read).astype(image.dtype)
    nearest = nearest_index(source.shape[0], image.shape[1])
    return dataclasses.replace(
        pair,
        image=read,
        labels=np.asarray(pair.labels)[nearest],
        channel_axis=0,
        intensity_reference=image if reference is None else reference,
        spacing=description.spacing,
        reviewed=None if pair.reviewed is None else pair.reviewed[nearest],
        corrected=None if pair.corrected is None else pair.corrected[nearest],
    )
