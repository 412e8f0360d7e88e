"""Every setting of training; forms and options are made from these classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import Precision


def _check(
    settings: object, names: str, least: float, advice: str, *, most: float = math.inf
) -> None:
    """Raise unless each of these fields is at least `least`, and `most` at most."""
    for name in names.split():
        value = getattr(settings, name)
        if not least <= value <= most:
            found = f"{value:g}" if isinstance(value, float) else value
            raise SettingsError(f"{name} is {found}; use {advice}.")


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
        Standard deviation of the displacements of the coarse grid, in pixels;
        in volumes 3, unless another number is chosen.
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
    negative_share : float
        Share of all patches that become their negative, as negative phase
        contrast is that of positive.

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
    negative_share: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "scale contrast gamma colour saturation", 1, "1 (off) or more")
        from_0 = "elastic_sigma_px brightness noise blur_px fewest_levels hue_degrees"
        _check(self, from_0, 0, "0 (off) or more")
        _check(self, "stain", 0, "0 (off) to 0.9", most=0.9)
        _check(self, "negative_share", 0, "0 (off) to 1", most=1)
        # Above a third, mixed colours could cancel each other out.
        _check(self, "channel_mixing", 0, "0 (off) to 0.3", most=0.3)
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


VOLUME_BATCH, VOLUME_ELASTIC_PX = 2, 3.0
"""`batch_size` and `elastic_sigma_px` in volumes: a patch of 48 x 48 x 48 has three times
the voxels of one of 192 x 192, and 10 would fold cells that are 20 voxels across."""

VOLUME_FIELDS = frozenset({"batch_size", "elastic_sigma_px"})
"""The fields that are other in volumes."""

USUAL_PATCH_PX = 192
"""Length of a patch of an image, as in the recipe of `nuclei`: of 256 half as many pixels again
would hardly count."""

MANY_STEPS = 1_000_000
"""More than any time that is given in seconds has room for."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a network is trained.

    The defaults are for a new network. `TrainingSettings.fine_tuning()` has the
    numbers for going on from a trained one with few images.

    Parameters
    ----------
    steps : int
        Batches to learn from, at most.
    patience : int
        End before the last step once the loss has not fallen over so many
        steps; 0 goes on to the last step.
    seconds : float, optional
        End after so many seconds of training, if the steps are not done by
        then. The learning rate follows the time, so that two such runs are
        never quite the same.
    batch_size : int
        Patches in a batch; in volumes 2, unless another number is chosen.
    patch_size_px : int, optional
        Length of each axis of a patch; rounded up to what the network reads.
        Without it 192 in images, and in volumes two median cells,
        48 or more, within the images, the memory and two million voxels a
        batch. Of thin stacks patches are flatter.
    learning_rate : float
        Held after the warm-up, then lowered to zero over the last `decay` of
        the steps.
    warmup_steps : int
        Steps over which the learning rate rises from zero.
    decay : float
        Share of the steps, or of the seconds, 0 to 1. Once the loss has
        levelled off, so much of the training follows, and then it ends.
    optimizer : {"adam", "sgd"}
        AdamW, or the paper's gradient descent with momentum 0.99.
    weight_decay : float
        Pull of the weights towards zero, as a share of the learning rate.
    average : float
        Decay of the running average of the weights, which is the network that
        is kept; 0 keeps the last weights.
    w0 : float
        How much more the gaps between close cells count in training: what is
        added to the weight of the narrowest.
    border_sigma_px : float
        Distance in pixels over which that weight fades as a gap gets wider.
    border_width_px : float
        Width of the border class in pixels, where the network has one that is the rim
        of cells. In tissue that is filled with cells it is one pixel on each side.
    class_balance : bool
        Weigh each class by the inverse of its share of the training pixels.
    background_share : float
        Share of patches placed anywhere; the others are centred near a cell.
    corrected_share : float
        Share of those near a cell that are centred on corrected pixels, in
        images that have any.
    crowded_share : float
        Share of those near a cell that are centred where two cells touch, in
        images where any do.
    bank_share : float
        Share of the patches that show what the network knows already: images
        with labels that come with the model. 0 learns from the new images
        alone.
    keep_knowledge : float
        How strongly the network is held to what it said before, of images that
        come with the model, and where nobody has labelled the new ones and they
        are of a kind that it knows; 0 lets it change there.
    adapt_norms : bool
        Measure anew, on these images, how the network evens out brightness
        inside it (batch norm). Without this it stays as it was in the network
        that the training starts from.
    validation_interval : int
        Steps between validations; 0 validates only at the end.
    seed : int
        Two runs with the same seed on the same machine are the same.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network's arithmetic; "auto" takes bfloat16 where
        it is faster.
    augmentation : AugmentationSettings
    """

    steps: int = 1000
    patience: int = 200
    seconds: float | None = None
    batch_size: int = 8
    patch_size_px: int | None = None
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    decay: float = 0.4
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 1e-4
    average: float = 0.995
    w0: float = 10.0
    border_sigma_px: float = 5.0
    border_width_px: float = 2.0
    class_balance: bool = False
    background_share: float = 0.1
    corrected_share: float = 0.5
    crowded_share: float = 0.0
    bank_share: float = 0.0
    keep_knowledge: float = 0.0
    adapt_norms: bool = True
    validation_interval: int = 100
    seed: int = 0
    precision: Precision = "auto"
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    def __post_init__(self) -> None:
        counts = "steps batch_size" + (" patch_size_px" if self.patch_size_px is not None else "")
        _check(self, counts, 1, "1 or more")
        from_0 = "patience warmup_steps validation_interval weight_decay keep_knowledge seed"
        _check(self, from_0, 0, "0 or more")
        for name in ("learning_rate", "w0", "border_sigma_px", "border_width_px", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value:g}; use a positive number.")
        shares = "decay average background_share corrected_share crowded_share bank_share"
        _check(self, shares, 0, "0 to 1", most=1)
        if self.optimizer not in ("adam", "sgd"):
            raise SettingsError(f"optimizer is {self.optimizer!r}; use 'adam' or 'sgd'.")

    @property
    def fewest_steps(self) -> int:
        """With fewer a network has hardly learned.

        From `nuclei` the cells of DIC images (BBBC030) were found after 30
        steps: AP 0.5 on held-out images was 0.55 after 10, 0.85 after 20 and
        1.0 after 30 steps. That is six times the warm-up. A new network has one
        ten times as long.
        """
        return max(30, 6 * self.warmup_steps)

    def learning_rate_at(self, step: int, share: float) -> float:
        """Learning rate of a step, counted from 0 and from the last fresh start of the optimiser.

        Parameters
        ----------
        share : float
            How much of the training is done, 0 to 1.
        """
        rate = self.learning_rate
        if step < self.warmup_steps:
            rate *= (step + 1) / self.warmup_steps
        remaining = 1 - share
        if remaining < self.decay:
            rate *= 0.5 * (1 - math.cos(math.pi * remaining / self.decay))
        return rate

    @classmethod
    def from_nothing(
        cls,
        *,
        seconds: float | None = None,
        steps: int | None = None,
        strength: float = 1.0,
        ndim: int = 2,
        **changes: Any,
    ) -> TrainingSettings:
        """Return the settings for teaching a new network; see `fine_tuning` for the parameters."""
        return replace(cls()._as_wanted(steps, seconds, strength, ndim), **changes)

    @classmethod
    def fine_tuning(
        cls,
        *,
        seconds: float | None = None,
        steps: int | None = None,
        strength: float = 1.0,
        ndim: int = 2,
        **changes: Any,
    ) -> TrainingSettings:
        """Return the settings for going on from a trained network with few images.

        Parameters
        ----------
        seconds : float, optional
            How long. If neither this nor `steps` is given, until the loss has
            levelled off.
        steps : int, optional
            Exactly so many, whether it has or not. With both, what comes first
            ends the training.
        strength : float
            Factor on the learning rate: below 1 changes the network more
            gently, above 1 more boldly.
        ndim : int
            Axes that the network reads at once: of volumes a batch has fewer
            patches, which are deformed less.
        **changes
            Fields of `TrainingSettings`.

        Examples
        --------
        >>> from napari_unet import TrainingSettings
        >>> TrainingSettings.fine_tuning(seconds=30).seconds
        30
        """
        usual = cls(
            steps=300,
            patience=40,
            batch_size=4,
            # Over one image of DIC cells, learned as well, nuclei lost 0.082 of average precision
            # with 1e-3 and 0.031 with this; of 20 corrections in stained tissue 3e-4 taught little.
            learning_rate=5e-4,
            warmup_steps=5,
            decay=0.4,
            average=0.95,
            bank_share=0.5,
            keep_knowledge=4.0,
            adapt_norms=False,
            validation_interval=20,
        )
        return replace(usual._as_wanted(steps, seconds, strength, ndim), **changes)

    def _as_wanted(
        self, steps: int | None, seconds: float | None, strength: float, ndim: int
    ) -> Self:
        if not strength > 0:
            raise SettingsError(f"strength is {strength:g}; use a positive number, for example 1.")
        wanted = replace(self, learning_rate=self.learning_rate * strength)
        if ndim == 3:
            varied = replace(self.augmentation, elastic_sigma_px=VOLUME_ELASTIC_PX)
            wanted = replace(wanted, batch_size=VOLUME_BATCH, augmentation=varied)
        if steps is None and seconds is None:
            return wanted
        steps = MANY_STEPS if steps is None else steps
        return replace(wanted, steps=steps, seconds=seconds, patience=0)
