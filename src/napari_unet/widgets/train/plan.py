"""What a network is to be trained with: layers and files, what their labels mean, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import AnyImage, LabelImage, PlaneIndex
from napari_unet.script import TrainRecipe
from napari_unet.viewer.drawn_regions import DrawnRegion, region_mask
from napari_unet.viewer.layers import LayerImage

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.networks.network import Network
    from napari_unet.versions.autosave import InterruptedTraining

Meaning: TypeAlias = Literal["reviewed", "regions", "painted"]
"""Of pixels without a label: background; background in the drawn regions only; unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class PairSource:
    """An image layer with a labels layer on its grid.

    Parameters
    ----------
    image : LayerImage
        Its whole stack.
    labels : integer array
        The layer's own memory; it is copied before anything is learned.
    name : str
    labels_id : str
        Of the labels layer, so that it can be found again.
    predictions : mapping of str to LabelRuns
        What Segment had found, by plane.
    regions : tuple of DrawnRegion
        Where everything was reviewed, if the meaning is "regions".
    """

    image: LayerImage
    labels: LabelImage
    name: str
    labels_id: str = ""
    predictions: Mapping[str, LabelRuns] = field(default_factory=dict)
    regions: tuple[DrawnRegion, ...] = ()

    def plane_pixels(self, index: PlaneIndex) -> tuple[AnyImage, int]:
        """Pixels of one plane, and which of their axes counts channels."""
        return replace(self.image, plane=index, extent="slice").pixels()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that decides about a training.

    Parameters
    ----------
    recipe : TrainRecipe
        What a script needs to know, too: the settings, what labels mean, and the like.
    sources : tuple of PairSource
        The pairs of layers that the recipe names.
    network : Network, optional
        Where to start; without it a new one is made.
    autosave_folder : Path, optional
        Where the training is saved, to go on with after a stop or a crash.
    resumes : InterruptedTraining, optional
        Go on with this one.
    """

    recipe: TrainRecipe
    sources: tuple[PairSource, ...]
    network: Network | None
    autosave_folder: Path | None = None
    resumes: InterruptedTraining | None = None

    @property
    def teaches(self) -> Literal["cells", "classes"]:
        """What the numbers of the labels are; a new network learns cells."""
        from napari_unet.engine.networks.annotation import teaches_classes

        roles = () if self.network is None else self.network.description.class_roles
        return "classes" if roles and teaches_classes(roles) else "cells"

    @property
    def about(self) -> dict[str, Any]:
        """What it is, to be told when it is offered again."""
        return {
            "model": "" if self.network is None else self.network.description.name,
            "source": "" if self.network is None else self.recipe.model,
            "images": [image for image, _ in self.recipe.pairs],
            "labels": [labels for _, labels in self.recipe.pairs],
        }


def plane_name(name: str, index: PlaneIndex) -> str:
    """Such as "cells, slice 3"; slices are counted from 1."""
    numbers = ", ".join(str(part + 1) for part in index if not isinstance(part, slice))
    return f"{name}, slice {numbers}" if numbers else name


def region_of(source: PairSource, index: PlaneIndex) -> NDArray[np.bool_]:
    """Where in a plane everything was reviewed."""
    return region_mask(source.regions, index, np.shape(source.labels))


def find_layer(viewer: ViewerModel, layer_id: str) -> Layer | None:
    """Find a layer again by its id; None if it was removed."""
    return next((layer for layer in viewer.layers if str(layer.unique_id) == layer_id), None)
