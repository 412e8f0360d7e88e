"""How training patches are varied; forms and options are made from this class."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.engine.base.errors import SettingsError


@dataclass(frozen=True, slots=True)
class AugmentationSettings:
    """How much each training patch is varied.

    Parameters
    ----------
    flip : bool
        Mirror each axis with probability one half.
    rotate : bool
        Turn by any angle in the image plane.
    scale : float
        Largest zoom factor; the zoom is drawn between its inverse and it.
    elastic_sigma_px : float
        Standard deviation of the displacements of the coarse grid, in pixels.
    elastic_grid : int
        Grid points per axis.
    brightness : float
        Standard deviation of an added offset, in units of the normalised range.
    contrast : float
        Largest factor on the intensities; drawn between its inverse and it.
    gamma : float
        Largest exponent; drawn between its inverse and it.
    noise : float
        Largest standard deviation of added Gaussian noise.
    blur_px : float
        Largest standard deviation of a Gaussian blur, in pixels.
    colour : float
        Largest factor on a single channel, for images with several.

    References
    ----------
    Ronneberger et al. (2015), section 3.1. https://arxiv.org/abs/1505.04597
    """

    flip: bool = True
    rotate: bool = True
    scale: float = 1.4
    elastic_sigma_px: float = 10.0
    elastic_grid: int = 3
    brightness: float = 0.1
    contrast: float = 1.3
    gamma: float = 1.5
    noise: float = 0.1
    blur_px: float = 1.5
    colour: float = 1.2

    def __post_init__(self) -> None:
        for name in ("scale", "contrast", "gamma", "colour"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 1 (off) or more.")
        for name in ("elastic_sigma_px", "brightness", "noise", "blur_px"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 0 (off) or more.")
        if self.elastic_grid < 2:
            raise SettingsError(f"elastic_grid is {self.elastic_grid}; use 2 or more points.")


NO_AUGMENTATION = AugmentationSettings(
    flip=False, rotate=False, scale=1.0, elastic_sigma_px=0.0, brightness=0.0, contrast=1.0,
    gamma=1.0, noise=0.0, blur_px=0.0, colour=1.0,
)  # fmt: skip
