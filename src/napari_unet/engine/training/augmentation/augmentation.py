"""Random deformations and grey-value changes, so that few annotated cells teach many."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_unet.engine.training.settings import AugmentationSettings


@dataclass(frozen=True, slots=True)
class Deformation:
    """A random map from patch pixels to image pixels.

    matrix : (D, D), displacements : (D, *[grid] * D) in patch pixels.
    """

    matrix: NDArray[np.float64]
    displacements: NDArray[np.float64]


def _log_uniform(rng: np.random.Generator, largest: float) -> float:
    return math.exp(rng.uniform(-1, 1) * math.log(largest))


_APART = 3.0
"""Distance between slices in pixel sizes from which nothing moves from one to the next: what is
interpolated between them would be no image of anything (nnU-Net, Isensee et al., 2021)."""


def draw_deformation(
    rng: np.random.Generator,
    settings: AugmentationSettings,
    ndim: int,
    *,
    anisotropy: float = 1.0,
) -> Deformation:
    """Draw a random flip, rotation in the plane, zoom and elastic deformation.

    Parameters
    ----------
    anisotropy : float
        Distance between slices in pixel sizes: displacements are as long in every
        direction as they are in the plane, and where slices are far apart there
        are none from one to another.
    """
    matrix = np.eye(ndim)
    if settings.flip:
        matrix = np.diag(rng.choice([-1.0, 1.0], ndim)) @ matrix
    if settings.rotate:
        angle = rng.uniform(0, 2 * math.pi)
        turn = np.eye(ndim)
        turn[-2:, -2:] = [
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ]
        matrix = turn @ matrix
    zoom = np.full(ndim, _log_uniform(rng, settings.scale))
    grid = (settings.elastic_grid,) * ndim
    displacements = rng.normal(0.0, 1.0, (ndim, *grid)) * settings.elastic_sigma_px
    if ndim == 3:
        displacements[0] /= anisotropy
    if ndim == 3 and anisotropy >= _APART:
        zoom[0], displacements[0] = 1.0, 0.0
    return Deformation(matrix / zoom[:, np.newaxis], displacements)


def _cubic_weights(points: int, length: int) -> NDArray[np.float64]:
    """(length, points) matrix: cubic (Catmull-Rom) interpolation between grid points."""
    position = np.linspace(0, points - 1, length) if length > 1 else np.array([(points - 1) / 2])
    weights = np.zeros((length, points))
    first = np.minimum(position.astype(int), points - 2)
    t = position - first
    cubic = (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
    rows = np.arange(length)
    for offset, weight in enumerate(cubic, start=-1):
        np.add.at(weights, (rows, np.clip(first + offset, 0, points - 1)), weight)
    return weights


def source_positions(
    deformation: Deformation, centre: NDArray[np.float64], shape: tuple[int, ...]
) -> Tensor:
    """Image position behind each pixel of a patch.

    Parameters
    ----------
    centre : (D,) array
        Image position, in pixels, that comes to the centre of the patch.

    Returns
    -------
    (D, *shape) float32 tensor of image positions in pixels
    """
    offsets = torch.as_tensor(deformation.displacements, dtype=torch.float32)
    for axis, length in enumerate(shape, start=1):
        weights = torch.as_tensor(_cubic_weights(offsets.shape[axis], length), dtype=torch.float32)
        offsets = torch.tensordot(weights, offsets, dims=([1], [axis])).movedim(0, axis)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    relative = torch.stack(torch.meshgrid(*axes, indexing="ij")) + offsets
    matrix = torch.as_tensor(deformation.matrix, dtype=torch.float32)
    turned: Tensor = torch.tensordot(matrix, relative, dims=1)
    start = torch.as_tensor(centre, dtype=torch.float32).reshape(-1, *[1] * len(shape))
    return turned + start


def sample_image(image: Tensor, positions: Tensor) -> Tensor:
    """Read (C, *S) `image` linearly at `positions` (D, *P); mirrored beyond its border.

    Returns
    -------
    (C, *P) float32 tensor
    """
    sizes = torch.tensor(image.shape[1:], dtype=torch.float32)
    scale = (2.0 / (sizes - 1).clamp_min(1)).reshape(-1, *[1] * (positions.ndim - 1))
    # grid_sample counts axes backwards and positions from -1 to 1.
    grid = (positions * scale - 1).flip(0).movedim(0, -1)
    patch = functional.grid_sample(
        image[None], grid[None], mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return patch[0]


def sample_labels(labels: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Read integer `labels` at the nearest pixel of `positions` (D, *P).

    Returns
    -------
    labels : (*P,) tensor
        0 beyond the border.
    inside : (*P,) bool tensor
        Where the position lies within the image.
    """
    index = positions.round().long()
    sizes = torch.tensor(labels.shape).reshape(-1, *[1] * (positions.ndim - 1))
    inside = ((index >= 0) & (index < sizes)).all(0)
    clipped = torch.minimum(index.clamp_min(0), sizes - 1)
    return torch.where(inside, labels[tuple(clipped)], 0), inside


def vary_intensities(
    patch: Tensor, rng: np.random.Generator, settings: AugmentationSettings
) -> Tensor:
    """Change grey values as another microscope, exposure or stain might.

    Parameters
    ----------
    patch : (C, *P) float32 tensor, normalised

    Returns
    -------
    (C, *P) float32 tensor
    """
    if settings.negative_share > 0 and rng.random() < settings.negative_share:
        patch = 1 - patch
    if settings.gamma > 1:
        # Negative values keep their sign: normalised images reach a little below 0.
        exponent = _log_uniform(rng, settings.gamma)
        patch = patch.sign() * patch.abs().pow(exponent)
    if settings.blur_px > 0 and rng.random() < 0.25:
        patch = _blur(patch, rng.uniform(0, settings.blur_px))
    factor = _log_uniform(rng, settings.contrast)
    offset = rng.normal(0.0, 1.0) * settings.brightness
    patch = patch * factor + offset
    if patch.shape[0] > 1 and settings.colour > 1:
        gains = [_log_uniform(rng, settings.colour) for _ in range(patch.shape[0])]
        patch = patch * torch.tensor(gains, dtype=patch.dtype).reshape(-1, *[1] * (patch.ndim - 1))
    if settings.noise > 0:
        sigma = rng.uniform(0, settings.noise) * (rng.random() < 0.5)
        noise = rng.standard_normal(tuple(patch.shape), dtype=np.float32)
        patch = patch + float(sigma) * torch.from_numpy(noise)
    if settings.fewest_levels > 0 and rng.random() < 0.2:
        # A bright image has 256 values at least; what lies between is drawn evenly in bits.
        levels = settings.fewest_levels * (256 / settings.fewest_levels) ** rng.random()
        patch = (patch * levels).round() / levels
    return patch


def _blur(patch: Tensor, sigma_px: float) -> Tensor:
    radius = max(1, math.ceil(3 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, dtype=patch.dtype)
    kernel = torch.exp(-0.5 * (offsets / max(sigma_px, 1e-3)) ** 2)
    kernel /= kernel.sum()
    # In the image plane only: planes of a stack lie further apart.
    for axis in (-1, -2):
        moved = patch.movedim(axis, -1)
        flat = moved.reshape(-1, 1, moved.shape[-1])
        padded = functional.pad(flat, (radius, radius), mode="replicate")
        patch = functional.conv1d(padded, kernel[None, None]).reshape(moved.shape).movedim(-1, axis)
    return patch
