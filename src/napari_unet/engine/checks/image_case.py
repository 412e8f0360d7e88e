"""What a rule for images judges: the image, the model that is to segment it, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.engine.images.image import PlaneIndex

if TYPE_CHECKING:
    from napari_unet.engine.checks.image_facts import ImageFacts
    from napari_unet.engine.networks.network import NetworkDescription


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form says beside the image and the model.

    Parameters
    ----------
    extent : {"slice", "stack", "view"}
    plane : tuple of int or slice
        The slice that is shown, in the axes of the labels; () if unknown.
    diameter_px : float, optional
        Cell size that was asked for.
    size_in_um : bool
        The cell size was given in micrometres.
    needed_bytes, free_bytes : int, optional
        Memory that the segmentation takes, and that there is.
    keeps_scores : bool
        Whether the scores fit into memory, so that thresholds act at once.
    """

    extent: str = "slice"
    plane: PlaneIndex = ()
    diameter_px: float | None = None
    size_in_um: bool = False
    needed_bytes: int | None = None
    free_bytes: int | None = None
    keeps_scores: bool = True


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
        """Diameter of a cell as it was asked for, or else as the model learnt it."""
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
