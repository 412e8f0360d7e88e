"""What a rule for images judges, and how the image differs from those of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.images.image import PlaneIndex

if TYPE_CHECKING:
    from napari_unet.engine.checks.image_facts import ImageFacts
    from napari_unet.engine.networks.network import NetworkDescription


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form says beside the image and the model."""

    extent: str = "slice"
    plane: PlaneIndex = ()
    """The slice that is shown, in the axes of the labels; () if unknown."""
    diameter_px: float | None = None
    """Cell size that was asked for."""
    size_in_um: bool = False
    """The cell size was given in micrometres."""
    needed_bytes: int | None = None
    free_bytes: int | None = None
    """`needed_bytes`, `free_bytes`: memory that the segmentation takes, and that there is."""
    keeps_scores: bool = True
    """Whether the scores fit into memory, so that thresholds act at once."""
    volume: str = "slices"
    """What is made of a stack, as in `SegmentationSettings`."""
    is_movie: bool = False
    """The last axis of slices is time."""


@dataclass(frozen=True, slots=True)
class ImageCase:
    """What a rule judges: an image, the model that is to segment it, and how."""

    facts: ImageFacts
    description: NetworkDescription
    choices: Choices

    @property
    def reads(self) -> int:
        """How many channels the model reads."""
        return self.description.architecture.in_channels

    @property
    def cell_px(self) -> float | None:
        """Diameter of a cell as it was asked for, or else as the model learned it."""
        return self.choices.diameter_px or self.description.object_diameter_px

    @property
    def is_within_a_cell(self) -> bool:
        """Whether the image shows less than one whole cell."""
        return self.cell_px is not None and min(self.plane_shape) < self.cell_px

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width; a line counts as one row."""
        height, width = (1, *self.facts.shape)[-2:]
        return height, width


_SMALLEST_SIZE, _LARGEST_SIZE = 1 / 2.3, 2.65
"""Cells so much smaller and larger than those trained on were found as well as with a resize."""

_UNLIKE_INTENSITY = 3.0
_INVERTED = 0.4
"""Of the range, and across its middle, as chosen on the images of the 2018 Data Science Bowl."""


def is_of_other_size(diameter_px: float, learned_px: float) -> bool:
    """Whether cells, as the model sees them, are too small or too large for it."""
    return not _SMALLEST_SIZE <= diameter_px / learned_px <= _LARGEST_SIZE


def other_ground(facts: ImageFacts, description: NetworkDescription) -> tuple[str, str] | None:
    """Say which of "bright" and "dark" it is between the cells, and which it was in training.

    None if it is the same, or nobody knows. A model that reads colours has
    seen stained tissue, too: what its average image was, says nothing of
    either kind.
    """
    learned, here = description.intensity, facts.ground
    if learned is None or here is None or description.architecture.in_channels != 1:
        return None
    there = position(learned.low, learned.median, learned.high)
    if there is None or (there < 0.5) == (here < 0.5) or abs(there - here) < _INVERTED:
        return None
    return ("bright", "dark") if here > 0.5 else ("dark", "bright")


def other_brightness(
    facts: ImageFacts, description: NetworkDescription
) -> tuple[float, str] | None:
    """Say how many times "brighter" or "darker" the image is to a model that reads it as it is.

    None if it is about the same, the model stretches intensities, or nobody
    knows.
    """
    learned = description.intensity
    if facts.range is None or learned is None or not description.normalization.keeps_brightness:
        return None
    here, there = as_read(facts.range[2], facts.dtype), as_read(learned.high, learned.dtype)
    if here <= 0 or there <= 0:
        return None
    factor = max(here / there, there / here)
    return (
        (factor, "darker" if here < there else "brighter") if factor > _UNLIKE_INTENSITY else None
    )


def position(low: float, value: float, high: float) -> float | None:
    """Where a value lies between the lowest (0) and the highest (1); None without a range."""
    return (value - low) / (high - low) if high > low else None


def as_read(value: float, dtype: str) -> float:
    """What a network without normalisation is given: whole numbers as a share of the largest."""
    kind = np.dtype(dtype)
    return value / float(np.iinfo(kind).max) if kind.kind in "ui" else value
