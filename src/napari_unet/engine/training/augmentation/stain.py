"""Other stains for images of coloured tissue, so that a network knows tissue and no few slides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.images.normalization import IntensityScaling, Normalization
from napari_unet.engine.images.source import open_image
from napari_unet.engine.training.settings import AugmentationSettings

_DYES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density of haematoxylin, eosin and DAB in red, green and blue (Ruifrok & Johnston)."""

_DARKEST = 1 / 255
"""Transmittance below which a camera tells no difference: no density is above its logarithm."""

_SAMPLE = 4096
"""Pixels of an image by which its intensities are measured after a change of stain."""

_BRIGHT = 0.5
"""Share of the brightest value that the middle pixel of an image of stained tissue lets through."""


@dataclass(frozen=True, slots=True, eq=False)
class StainChange:
    """A random map from the colours of a slide to those it might have had."""

    mixing: NDArray[np.float64]
    """(3, 3). Makes the optical densities of red, green and blue from the old ones."""
    grey: NDArray[np.float64] | None = None
    """(3,). Weights with which the colours become one grey value."""
    inverted: bool = False
    """Whether that grey value is turned upside down, as in fluorescence."""

    def apply(self, colours: Tensor) -> Tensor:
        """Change (3, *P) transmittances of 0 to 1; (1, *P) where they become grey."""
        density = -colours.clamp(_DARKEST, 1).log()
        mixing = torch.as_tensor(self.mixing, dtype=colours.dtype)
        mixed: Tensor = torch.tensordot(mixing, density, dims=1)
        changed = mixed.clamp_min_(0).neg_().exp_()
        if self.grey is None:
            return changed
        weights = torch.as_tensor(self.grey, dtype=colours.dtype)
        grey: Tensor = torch.tensordot(weights, changed, dims=1)[None]
        return 1 - grey if self.inverted else grey


def draw_stain_change(rng: np.random.Generator, settings: AugmentationSettings) -> StainChange:
    """Draw other amounts of dye, hues and saturations, and whether colour is lost.

    References
    ----------
    Ruifrok and Johnston (2001). Anal. Quant. Cytol. Histol. 23, 291.
    Tellez et al. (2019). https://arxiv.org/abs/1902.06543
    """
    amounts = 1 + rng.uniform(-1, 1, 3) * settings.stain
    mixing = _DYES.T @ np.diag(amounts) @ np.linalg.inv(_DYES.T)
    # The third power: most hues are near the slide's own, and yet each is seen.
    angle = math.radians(settings.hue_degrees) * rng.uniform(-1, 1) ** 3
    saturation = math.exp(rng.uniform(-1, 1) * math.log(settings.saturation))
    mixing = _turned_hue(angle, saturation) @ mixing
    leaks = np.eye(3) + rng.uniform(-1, 1, (3, 3)) * settings.channel_mixing
    # Each row sums to one, so that grey stays grey.
    mixing = leaks / leaks.sum(axis=1, keepdims=True) @ mixing
    lot, weights = rng.random(), rng.dirichlet(np.ones(3))
    inverted = bool(lot < settings.inverted_share)
    is_grey = lot < settings.inverted_share + settings.grey_share
    return StainChange(mixing, weights if is_grey else None, inverted)


def _turned_hue(angle: float, saturation: float) -> NDArray[np.float64]:
    """(3, 3) turn by `angle` about the grey axis, with the distance from it stretched."""
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * across
    stretched: NDArray[np.float64] = grey + saturation * turn
    return stretched


@dataclass(frozen=True, slots=True, eq=False)
class StainedImage:
    """What must be known of a normalised image of stained tissue to change its stain.

    Patches are normalised, but dyes absorb light: their amounts add up in the
    logarithm of the transmittance only. So a patch is brought back to
    transmittances, changed there, and normalised by what the whole image would
    measure after the same change, as it would be when it is segmented.
    """

    scaling: IntensityScaling
    """By which the image was normalised."""
    white: float
    """Raw value of full light: the brightest of the image."""
    sample: Tensor
    """(3, N) float32. Transmittances of some of its pixels."""
    normalization: Normalization

    def varied(
        self, patch: Tensor, rng: np.random.Generator, settings: AugmentationSettings
    ) -> Tensor:
        """Change the stain of a normalised (3, *P) patch; (1, *P) where it becomes grey."""
        change = draw_stain_change(rng, settings)
        scale, offset = _of_channels(self.scaling, patch)
        changed = change.apply((patch / scale + offset) / self.white) * self.white
        scale, offset = _of_channels(self._scaling_after(change), changed)
        return (changed - offset) * scale

    def _scaling_after(self, change: StainChange) -> IntensityScaling:
        if not self.normalization.measures_image:
            return self.scaling
        sample = change.apply(self.sample).numpy() * self.white
        return open_image(
            sample[..., np.newaxis],
            ndim=2,
            in_channels=len(sample),
            normalization=self.normalization,
            channel_axis=0,
        ).scaling


def _of_channels(scaling: IntensityScaling, patch: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and offset with the axes of a (C, *P) patch."""
    shape = (-1, *[1] * (patch.ndim - 1))
    return tuple(  # type: ignore[return-value]
        torch.tensor(numbers, dtype=patch.dtype).reshape(shape)
        for numbers in (scaling.scale, scaling.offset)
    )


def stained_image(
    array: AnyImage, scaling: IntensityScaling, normalization: Normalization
) -> StainedImage | None:
    """Return what a change of stain needs of an image, or None if it shows no stained tissue.

    Parameters
    ----------
    array : (C, *S) array
        Raw intensities.
    scaling : IntensityScaling
        By which it is normalised.

    Returns
    -------
    StainedImage or None
        Tissue lets light through, so that most pixels are bright in a colour
        at least; of fluorescence in colours most are dark.
    """
    if len(array) != 3 or scaling.is_constant:
        return None
    flat = np.asarray(array).reshape(3, -1)
    white = float(flat.max())
    if white <= 0:
        return None
    # An odd step does not meet the same columns of each row.
    step = math.ceil(flat.shape[1] / _SAMPLE) | 1
    sample = flat[:, ::step].astype(np.float32) / white
    if np.median(sample.max(axis=0)) < _BRIGHT:
        return None
    return StainedImage(scaling, white, torch.from_numpy(sample), normalization)
