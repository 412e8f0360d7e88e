"""What a network is to be taught with: layers and files, what their labels mean, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.images.image import AnyImage, LabelImage, PlaneIndex, plane_key
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.viewer.drawn_regions import DrawnRegion, drawn_regions, region_mask
from napari_unet.viewer.layers import LayerImage, full_resolution, read_layer
from napari_unet.viewer.results import predictions_of

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels, Shapes

    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.pairs import TrainingPair
    from napari_unet.versions import InterruptedTraining

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
    sources : tuple of PairSource
    folders : tuple of (Path, Path)
        Of images, and of label images with the same names.
    meaning : {"reviewed", "regions", "painted"}
    background_label : int, optional
    network : Network, optional
        Where to start; without it a new one is made.
    settings : TrainingSettings
    holds_out : bool
        Set part of the annotation aside, to see how good the network gets.
    device : str
    autosave_folder : Path, optional
        Where the training is saved, to go on with after a stop or a crash.
    about : mapping of str to value
        What it is, to be told when it is offered again.
    resumes : InterruptedTraining, optional
        Go on with this one.
    """

    sources: tuple[PairSource, ...]
    meaning: Meaning
    background_label: int | None
    network: Network | None
    settings: TrainingSettings
    holds_out: bool
    device: str
    folders: tuple[tuple[Path, Path], ...] = ()
    autosave_folder: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    resumes: InterruptedTraining | None = None


def read_pair(
    image: Image,
    labels: Labels,
    dims: Dims,
    *,
    network_ndim: int,
    regions: Shapes | None = None,
) -> PairSource:
    """Take an image layer and its labels layer, on the Qt thread; nothing is copied.

    Parameters
    ----------
    image : napari Image layer
        An axis that the labels lack counts channels.
    labels : napari Labels layer
    dims : napari Dims
    network_ndim : int
        Axes that the network reads at once.
    regions : napari Shapes layer, optional
        Where everything was reviewed.

    Raises
    ------
    TrainingError, ImageShapeError
        If the two do not lie on each other, pixel by pixel.
    """
    channel_axis = None
    if not image.rgb and image.ndim == labels.ndim + 1:
        shape = full_resolution(image).shape
        axes = [n for n in range(image.ndim) if shape[:n] + shape[n + 1 :] == labels.data.shape]
        channel_axis = axes[0] if axes else None
    read = read_layer(
        image, dims, network_ndim=network_ndim, extent="stack", channel_axis=channel_axis
    )
    _check_labels(read, labels)
    return PairSource(
        read,
        labels.data,
        str(image.name),
        str(labels.unique_id),
        predictions_of(labels),
        () if regions is None else drawn_regions(regions, labels),
    )


def _check_labels(image: LayerImage, labels: Labels) -> None:
    data = labels.data
    if labels.multiscale or not isinstance(data, np.ndarray):
        raise TrainingError(
            f"The labels of '{labels.name}' are not in memory; duplicate the layer as a NumPy "
            "array first."
        )
    if data.shape != image.labels_shape:
        raise TrainingError(
            f"Image '{image.name}' has {_size(image.labels_shape)} pixels, but the labels "
            f"'{labels.name}' have {_size(data.shape)}; choose the labels of this image."
        )
    place = image.place
    if not np.allclose(labels.scale, place["scale"]) or not np.allclose(
        labels.translate, place["translate"]
    ):
        raise TrainingError(
            f"'{labels.name}' does not lie on '{image.name}': its scale or place is another; "
            "give the labels the scale and translate of the image, or choose other labels."
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def annotation(plan: Plan) -> list[TrainingPair]:
    """Read the pairs of all layers and files: images with their labels and what these mean."""
    pairs = [pair for source in plan.sources for pair in labelled_planes(source, plan)]
    return [*pairs, *_from_folders(plan)]


def _from_folders(plan: Plan) -> Iterator[TrainingPair]:
    from napari_unet.engine.training.pairs import annotated_pair
    from napari_unet.files.pairs import pair_files, read_pairs

    if plan.folders and plan.meaning == "regions":
        raise TrainingError(
            "Regions are drawn on layers, so nothing in the folders would be learned from; choose "
            "another meaning of unlabelled pixels, or take the folders away."
        )

    def make_pair(image: AnyImage, labels: LabelImage, name: str) -> TrainingPair:
        return annotated_pair(
            image,
            labels,
            unlabelled="ignore" if plan.meaning == "painted" else "reviewed",
            background_label=plan.background_label,
            teaches=_teaches(plan),
            name=name,
            channel_axis=-1 if image.ndim > labels.ndim else None,
        )

    ndim = 2 if plan.network is None else plan.network.description.unet.ndim
    for images, labels in plan.folders:
        for paths in pair_files(images, labels).pairs:
            yield from read_pairs(*paths, ndim=ndim, make_pair=make_pair)


def labelled_planes(source: PairSource, plan: Plan) -> Iterator[TrainingPair]:
    """Pairs of the planes of a layer that somebody has labelled."""
    labels = np.asarray(source.labels)
    planes = source.image.planes()
    for index in planes:
        drawn = np.array(labels[index])
        kept = source.predictions.get(plane_key(index))
        corrected = kept.changed(drawn) if kept is not None and kept.shape == drawn.shape else None
        is_empty = not drawn.any() and (corrected is None or not corrected.any())
        if len(planes) > 1 and is_empty:
            continue
        yield _pair(source, index, drawn, corrected, plan)


def _pair(
    source: PairSource,
    index: PlaneIndex,
    labels: LabelImage,
    corrected: NDArray[np.bool_] | None,
    plan: Plan,
) -> TrainingPair:
    from napari_unet.engine.training.pairs import annotated_pair

    image = replace(source.image, plane=index, extent="slice")
    pixels, channel_axis = image.pixels()
    regions = None
    if plan.meaning == "regions":
        regions = region_of(source, index)
    painted = labels
    if plan.meaning == "painted" and corrected is not None:
        painted = _touched(labels, corrected)
    pair = annotated_pair(
        np.asarray(pixels),
        painted,
        unlabelled="ignore" if plan.meaning == "painted" else "reviewed",
        regions=regions,
        background_label=plan.background_label,
        teaches=_teaches(plan),
        corrected=corrected,
        name=plane_name(source.name, index),
        channel_axis=channel_axis,
    )
    if corrected is not None and pair.reviewed is not None:
        # Who changed a pixel has looked at it.
        pair = replace(pair, reviewed=pair.reviewed | corrected)
    return replace(pair, intensity_reference=image.intensity_reference())


def _teaches(plan: Plan) -> Literal["cells", "classes"]:
    """What the numbers of labels are to the network: cells, or its classes."""
    from napari_unet.engine.networks.annotation import teaches_classes

    roles = () if plan.network is None else plan.network.description.class_roles
    return "classes" if roles and teaches_classes(roles) else "cells"


def plane_name(name: str, index: PlaneIndex) -> str:
    """Such as "cells, slice 3"; slices are counted from 1."""
    numbers = ", ".join(str(part + 1) for part in index if not isinstance(part, slice))
    return f"{name}, slice {numbers}" if numbers else name


def region_of(source: PairSource, index: PlaneIndex) -> NDArray[np.bool_]:
    """Where in a plane everything was reviewed."""
    return region_mask(source.regions, index, np.shape(source.labels))


def _touched(labels: LabelImage, corrected: NDArray[np.bool_]) -> LabelImage:
    """Keep only the cells that somebody has changed: the others are the network's own."""
    numbers = np.unique(labels[corrected])
    return np.where(np.isin(labels, numbers) & (labels > 0), labels, labels.dtype.type(0))
