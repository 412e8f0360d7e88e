"""What a run of the Segment form reports while it goes on in a worker's thread, and leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.engine.base.words import count
from napari_unet.engine.images.image import PlaneIndex

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.engine.labels.cell_list import CellScores
    from napari_unet.engine.labels.cell_types import CellTypes
    from napari_unet.engine.segmentation.planes import PlaneScores
    from napari_unet.viewer.label_canvas import LabelCanvas
    from napari_unet.viewer.layers import LayerImage
    from napari_unet.widgets.segment.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A run has begun to fill a layer."""

    canvas: LabelCanvas
    layer: Labels | None
    """To be added to the viewer; None where an earlier one is filled."""
    score_layers: tuple[Image, ...] = ()
    """To be added to the viewer."""
    kept_edited: bool = False
    """The earlier layer was edited, and so it is left as it is."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something else must be done first."""

    text: str
    """What, in words."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run is, in tiles of the present slice and in slices."""

    tile: int
    tiles: int
    slice_index: int
    slices: int
    noun: str = "tile"

    @property
    def done(self) -> int:
        """Tiles that are finished, in all slices."""
        return self.slice_index * self.tiles + self.tile

    @property
    def text(self) -> str:
        """What is being done."""
        is_last = self.tile == self.tiles
        text = "telling cells apart" if is_last else f"{self.noun} {self.tile + 1} of {self.tiles}"
        if self.slices > 1:
            which = "slice" if self.noun == "tile" else "volume"
            text = f"{which} {self.slice_index + 1} of {self.slices}, {text}"
        return text


@dataclass(frozen=True, slots=True)
class Drawn:
    """Labels changed."""

    index: PlaneIndex
    """In this plane."""
    is_whole: bool
    """All cells of the plane are final."""


@dataclass(slots=True, eq=False)
class KeptScores:
    """What lets cells be found again without the network."""

    canvas: LabelCanvas
    planes: list[tuple[PlaneIndex, PlaneScores]] = field(default_factory=list)
    cells: dict[int, int] = field(default_factory=dict)
    """Cells of each plane, by its position in `planes`."""

    @property
    def is_volume(self) -> bool:
        """Whether the scores are those of a volume, from slices in three directions."""
        return self.planes[0][1].voxel_volume_px is not None

    @property
    def is_stack(self) -> bool:
        """Whether there is every plane of a stack."""
        return len(self.planes) > 1

    @property
    def gives_classes(self) -> bool:
        """Whether there are classes, and no cells."""
        return self.planes[0][1].gives_classes

    @property
    def plane_ndim(self) -> int:
        """Axes of a plane."""
        return sum(isinstance(part, slice) for part in self.planes[0][0])


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """All cells are found."""

    cells: int
    notes: tuple[str, ...]
    """The engine's, about anything that went another way than asked for."""
    provenance: dict[str, Any]
    """For the layer's metadata."""
    diameter_px: float | None
    """Median diameter of the cells of the last plane, in pixels of the image."""
    kept: KeptScores | None
    """None if the scores take too much memory."""
    image: LayerImage
    """What was segmented."""
    recipe: Recipe
    """How."""
    classes: str = ""
    """Share of each class, in words, where there are no cells."""
    doubt: str = ""
    """Why the result is not to be trusted, as its scores say."""
    types: CellTypes | None = None
    """The type of each cell, if the network tells types apart."""
    cell_scores: CellScores | None = None
    """Score and doubt of each cell."""
    linked: int | None = None
    """Cells that discs are if they are linked; None where cells are no discs."""


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """All cells are made anew."""

    cells: int
    edited_slices: int = 0
    """Slices that a person edited, left as they are."""
    are_cut: bool = False
    """Whether cells go on where nothing was computed: a run of a part knows no more."""
    types: CellTypes | None = None
    """The type of each cell, if the network tells types apart."""
    cell_scores: CellScores | None = None
    """Score and doubt of each cell."""

    @property
    def text(self) -> str:
        """How it went, as a sentence or two."""
        text = f"{count(self.cells, 'cell')} with these settings{counts_of(self.types)}."
        if self.edited_slices:
            were = "1 slice was" if self.edited_slices == 1 else f"{self.edited_slices} slices were"
            text += f" {were} edited and left alone."
        if self.are_cut:
            text += " Some go on beyond the part that was segmented; Run again to have them whole."
        return text


@dataclass(frozen=True, slots=True)
class Edited:
    """A person edited all of the labels; they were left as they are."""


def counts_of(types: CellTypes | None) -> str:
    """Cells of each type as ": 3 mitotic, 40 other"; empty without types."""
    if types is None or not types.labels.size:
        return ""
    return ": " + ", ".join(f"{number} {name}" for name, number in types.counts.items())
