"""Images resized where they are read: each pixel a weighted sum of those that were there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.regions import Region, whole
from napari_unet.engine.images.image import FloatImage, Scores, mirrored
from napari_unet.engine.images.normalization import IntensityScaling
from napari_unet.engine.images.source import ImageSource


def zoomed_shape(shape: tuple[int, ...], zoom: float | tuple[float, ...]) -> tuple[int, ...]:
    """Shape in pixels after resizing, perhaps by axis; never below one pixel."""
    zooms = zoom if isinstance(zoom, tuple) else (zoom,) * len(shape)
    for each in zooms:
        if not (math.isfinite(each) and each > 0):
            raise SettingsError(f"The image is to be resized by {each}; use a positive factor.")
    return tuple(max(1, round(n * each)) for n, each in zip(shape, zooms, strict=True))


@dataclass(frozen=True, slots=True)
class ZoomedSource:
    """An image that is resized where it is read, by linear interpolation.

    Where it shrinks it is smoothed first (anti-aliasing), as scikit-image's
    `resize` does it; beyond its border it is mirrored.

    Parameters
    ----------
    source : ImageSource
    zoom : float or tuple of float
        Above 1 for more pixels; one for each axis where they differ.
    """

    source: ImageSource
    zoom: float | tuple[float, ...]

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
        axes = []
        needed = []
        zooms = self.zoom if isinstance(self.zoom, tuple) else (self.zoom,) * len(region)
        for part, n, m, zoom in zip(region, self.shape, self.source.shape, zooms, strict=True):
            # What rounding of the shape alone makes smaller is not smoothed.
            sigma = max(0.0, (m / n - 1) / 2) if zoom < 1 else 0.0
            index, weights = taps(np.arange(*part.indices(n)), n, m, sigma_px=sigma)
            index = mirrored(index, m)
            needed.append(slice(int(index.min()), int(index.max()) + 1))
            axes.append((index - index.min(), weights))
        return resampled(self.source.read(tuple(needed)), axes, grows=zooms[0] > 1)


def at_scale(source: ImageSource, zooms: Sequence[float]) -> ImageSource | ZoomedSource:
    """Return an image, resized where it is read if any axis has another factor than 1."""
    return source if all(zoom == 1.0 for zoom in zooms) else ZoomedSource(source, tuple(zooms))


def nearest_index(length: int, source_length: int) -> NDArray[np.intp]:
    """For each of `length` pixels of an axis the nearest of `source_length` pixels."""
    centres = (np.arange(length) + 0.5) * (source_length / length)
    return np.minimum(centres.astype(np.intp), source_length - 1)


def restore_scores(scores: Scores, shape: tuple[int, ...]) -> Scores:
    """Bring (C, *spatial) scores back to the image's own grid by linear interpolation."""
    if scores.shape[1:] == tuple(shape):
        return scores
    restored = np.empty((scores.shape[0], *shape), np.float32)
    grid = scores.shape[1:]
    for each, into in zip(scores, restored, strict=True):
        into[...] = interpolated(each, whole(grid), grid, whole(shape), shape)
    return restored


def interpolated(
    values: NDArray[np.float32],
    box: Region,
    grid: tuple[int, ...],
    wanted: Region,
    other_grid: tuple[int, ...],
) -> NDArray[np.float32]:
    """Interpolate values linearly at the pixels of another grid over the same image.

    Parameters
    ----------
    values : (*box) float32 array
    box : tuple of slice
        Where they lie in their grid.
    grid, other_grid : tuple of int
        Pixels of the image in the grid of the values and in the other one.
    wanted : tuple of slice
        Part of the other grid; the values reach one pixel beyond it where the
        image goes on.

    Returns
    -------
    (*wanted) float32 array
    """
    axes, needed = [], []
    for inside, m, part, n in zip(box, grid, wanted, other_grid, strict=True):
        index, weights = taps(np.arange(part.start, part.stop), n, m, sigma_px=0)
        index = np.clip(index, 0, m - 1) - inside.start
        needed.append(slice(int(index.min()), int(index.max()) + 1))
        axes.append((index - index.min(), weights))
    return resampled(values[tuple(needed)], axes, grows=other_grid[0] > grid[0])


def taps(
    pixels: NDArray[Any], length: int, source_length: int, *, sigma_px: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """How pixels of a resized axis are made up: a Gaussian, then linear interpolation.

    Parameters
    ----------
    pixels : (n,) int array
        Of the resized axis.
    length, source_length : int
        Pixels of the whole axis, resized and as it was.
    sigma_px : float
        Of the Gaussian, in pixels as they were; 0 for none.

    Returns
    -------
    index, weights : (n, taps) array
        Pixels as they were, perhaps outside of the axis, and their weights.
    """
    centres = (pixels + 0.5) * (source_length / length) - 0.5
    before = np.floor(centres)
    towards_next = (centres - before)[:, np.newaxis]
    radius = int(4 * sigma_px + 0.5)
    steps = np.arange(-radius, radius + 1)
    gaussian = np.exp(-0.5 * (steps / sigma_px) ** 2) if radius else np.ones(1)
    gaussian /= gaussian.sum()
    weights = (1 - towards_next) * np.append(gaussian, 0) + towards_next * np.append(0, gaussian)
    index = before[:, np.newaxis].astype(np.intp) + np.arange(-radius, radius + 2)
    return index, weights.astype(np.float32)


def resampled(
    values: NDArray[np.float32],
    axes: Sequence[tuple[NDArray[np.intp], NDArray[np.float32]]],
    *,
    grows: bool,
) -> NDArray[np.float32]:
    """Weighted sums along the last axes, each given by its index and weights."""
    order = range(-len(axes), 0)
    # The first axis is the fastest: it is given the most pixels.
    for axis in reversed(order) if grows else order:
        index, weights = axes[axis]
        outer, inner = values.shape[:axis], values.shape[values.ndim + axis + 1 :]
        block = np.ascontiguousarray(values, np.float32).reshape(
            math.prod(outer), values.shape[axis], math.prod(inner)
        )
        sums = np.zeros((block.shape[0], index.shape[0], block.shape[2]), np.float32)
        _add_weighted(block, index, weights, sums)
        values = sums.reshape(*outer, index.shape[0], *inner)
    return values


@numba.njit(cache=True, nogil=True)
def _add_weighted(values: Any, index: Any, weights: Any, sums: Any) -> None:
    for outer in range(values.shape[0]):
        for i in range(index.shape[0]):
            for tap in range(index.shape[1]):
                weight, source = weights[i, tap], index[i, tap]
                for inner in range(values.shape[2]):
                    sums[outer, i, inner] += weight * values[outer, source, inner]
