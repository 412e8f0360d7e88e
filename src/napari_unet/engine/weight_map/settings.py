"""Every setting of the boundary weight map; forms and options are made from this class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from napari_unet.engine.base.errors import SettingsError

Variant: TypeAlias = Literal["paper", "fiji"]


@dataclass(frozen=True, slots=True)
class WeightMapSettings:
    """How much each pixel counts in training.

    `WeightMapSettings.of("fiji")` has the numbers that the Fiji plugin starts
    with; the defaults here are those of the paper.

    Parameters
    ----------
    variant : {"paper", "fiji"}
        The formula: "paper" is that of Ronneberger et al. (2015), "fiji" that
        of the U-Net plugin for Fiji, where background far away from cells
        counts less.
    w0 : float
        Weight added where two cells meet. Higher makes narrow gaps count more.
    border_sigma_px : float
        Distance in pixels over which that weight fades as the gap gets wider.
    class_balance : bool
        Weigh cells and background so that both count the same in total,
        however much of the image they cover. Variant "fiji" has its own way.
    separate_touching : bool
        Cut a gap of one pixel between touching cells first; without it there
        is nothing between them to weigh.
    background_weight : float
        Weight of background far away from any cell, 0 to 1. Variant "fiji"
        only.
    background_sigma_px : float
        Distance in pixels over which background falls from a weight of 1
        beside a cell to that weight. Variant "fiji" only.
    ignore_label : int, optional
        Pixels with this number weigh nothing: they are neither a cell nor
        background.
    """

    variant: Variant = "paper"
    w0: float = 10.0
    border_sigma_px: float = 5.0
    class_balance: bool = True
    separate_touching: bool = True
    background_weight: float = 0.1
    background_sigma_px: float = 10.0
    ignore_label: int | None = None

    def __post_init__(self) -> None:
        if self.variant not in ("paper", "fiji"):
            raise SettingsError(f"variant is {self.variant!r}; use 'paper' or 'fiji'.")
        if not (math.isfinite(self.w0) and self.w0 > 0):
            raise SettingsError(f"w0 is {self.w0:g}; use a positive weight, for example 10.")
        for name, example in (("border_sigma_px", 5), ("background_sigma_px", 10)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SettingsError(
                    f"{name} is {value:g}; use a positive distance, for example {example}."
                )
        if not 0 <= self.background_weight <= 1:
            raise SettingsError(
                f"background_weight is {self.background_weight:g}; use a weight from 0 to 1."
            )

    @classmethod
    def of(cls, variant: Variant, **changes: Any) -> WeightMapSettings:
        """Return the settings that a variant starts with, and `changes` to them."""
        start = {"w0": 50.0, "border_sigma_px": 6.0} if variant == "fiji" else {}
        return cls(variant=variant, **{**start, **changes})
