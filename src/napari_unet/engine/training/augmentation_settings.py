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
    fewest_levels : int
        In one patch of five, round to so many grey values or more, as an image
        is stored that was too dim; 0 is off.
    stain : float
        In colour images of stained tissue, the largest change of the amount of
        each of three dyes, as a share of it.
    hue_degrees : float
        Largest turn of the hues of stained tissue.
    saturation : float
        Largest factor on how colourful stained tissue is; drawn between its
        inverse and it.
    channel_mixing : float
        Largest share of one colour of stained tissue that is added to another.
    grey_share : float
        Share of the patches of stained tissue that lose their colour.
    inverted_share : float
        Share of the patches of stained tissue that lose their colour and
        become bright on dark, as in fluorescence.

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
    fewest_levels: int = 0
    stain: float = 0.0
    hue_degrees: float = 0.0
    saturation: float = 1.0
    channel_mixing: float = 0.0
    grey_share: float = 0.0
    inverted_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "contrast", "gamma", "colour", "saturation"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 1 (off) or more.")
        for name in (
            "elastic_sigma_px",
            "brightness",
            "noise",
            "blur_px",
            "fewest_levels",
            "hue_degrees",
        ):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 0 (off) or more.")
        # Above a third, mixed colours could cancel each other out.
        for name, most in (("stain", 0.9), ("channel_mixing", 0.3)):
            if not 0 <= getattr(self, name) <= most:
                raise SettingsError(f"{name} is {getattr(self, name):g}; use 0 (off) to {most:g}.")
        if self.grey_share < 0 or self.inverted_share < 0:
            raise SettingsError("grey_share and inverted_share are shares; use 0 (off) or more.")
        if self.grey_share + self.inverted_share > 1:
            raise SettingsError(
                f"grey_share and inverted_share are {self.grey_share:g} and "
                f"{self.inverted_share:g}; together use 1 at most."
            )
        if self.elastic_grid < 2:
            raise SettingsError(f"elastic_grid is {self.elastic_grid}; use 2 or more points.")

    @property
    def changes_stain(self) -> bool:
        """Whether stained tissue is given other colours."""
        loses_colour = self.grey_share + self.inverted_share > 0
        is_mixed = self.stain > 0 or self.channel_mixing > 0
        return loses_colour or is_mixed or self.hue_degrees > 0 or self.saturation > 1


NO_AUGMENTATION = AugmentationSettings(
    flip=False, rotate=False, scale=1.0, elastic_sigma_px=0.0, brightness=0.0, contrast=1.0,
    gamma=1.0, noise=0.0, blur_px=0.0, colour=1.0,
)  # fmt: skip
