"""What a network is trained with: layers, files, what their labels mean, and the pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.images.image import AnyImage, LabelImage, PlaneIndex, plane_key
from napari_unet.engine.labels.checksums import is_as_written
from napari_unet.engine.labels.look_over import seen_area
from napari_unet.script import TrainRecipe
from napari_unet.viewer.drawn_regions import DrawnRegion, region_mask
from napari_unet.viewer.layers import LayerImage

if TYPE_CHECKING:
    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.networks.annotation import LabelKind
    from napari_unet.engine.networks.network import Network, NetworkDescription
    from napari_unet.engine.training.hold_out import HeldOut
    from napari_unet.engine.training.knowledge.bank import Bank
    from napari_unet.engine.training.pairs import TrainingPair
    from napari_unet.versions.autosave import InterruptedTraining

Meaning: TypeAlias = Literal["reviewed", "regions", "painted", "slices", "seen"]
"""Of pixels without a label: background; background in the drawn regions only; unknown; background
in slices of a volume that show a label, unknown in the others; background
around cells that were looked over and found right or corrected."""

IS_FINISHED = "is_finished"
"""In what is known about a saved training: it came to its end, and was not kept yet."""


@dataclass(frozen=True, slots=True, eq=False)
class PairSource:
    """An image layer with a labels layer on its grid."""

    image: LayerImage
    """Its whole stack."""
    labels: LabelImage
    """The layer's own memory; it is copied before anything is learned."""
    name: str
    labels_id: str = ""
    """Of the labels layer, so that it can be found again."""
    predictions: Mapping[str, LabelRuns] = field(default_factory=dict)
    """What Segment had found, by plane."""
    regions: tuple[DrawnRegion, ...] = ()
    """Where everything was reviewed, if the meaning is "regions"."""
    checksums: Mapping[str, Any] = field(default_factory=dict)
    """Of what Segment had found, by plane; a copy or file of its layer has no more than these."""
    types: Mapping[int, str] = field(default_factory=dict)
    """Types of cells, by label."""
    given_types: Mapping[int, str] = field(default_factory=dict)
    """Those of them that no network has predicted."""
    marks: Mapping[int, str] = field(default_factory=dict)
    """Of cells that were looked over, by label."""

    def corrected(self, index: PlaneIndex, labels: LabelImage) -> NDArray[np.bool_] | None:
        """What a person has changed in a plane since it was predicted; None if nobody knows."""
        key = plane_key(index)
        kept = self.predictions.get(key)
        if kept is not None and kept.shape == labels.shape:
            return kept.changed(labels)
        is_as_found = is_as_written(labels, self.checksums.get(key))
        return np.zeros(labels.shape, bool) if is_as_found else None

    def plane_pixels(self, index: PlaneIndex) -> tuple[AnyImage, int]:
        """Pixels of one plane, and which of their axes counts channels."""
        return replace(self.image, plane=index, extent="slice").pixels()

    def plane_name(self, index: PlaneIndex) -> str:
        """Such as "cells, slice 3"; slices are counted from 1."""
        numbers = ", ".join(str(part + 1) for part in index if not isinstance(part, slice))
        return f"{self.name}, slice {numbers}" if numbers else self.name

    def reviewed(
        self, index: PlaneIndex, labels: LabelImage, meaning: Meaning
    ) -> NDArray[np.bool_] | None:
        """Where in a plane everything was reviewed; None where its labels say that alone."""
        if meaning == "regions":
            return region_mask(self.regions, index, np.shape(self.labels))
        return seen_area(labels, self.marks) if meaning == "seen" else None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that decides about a training."""

    recipe: TrainRecipe
    """What a script needs to know, too: the settings, what labels mean, and the like."""
    sources: tuple[PairSource, ...]
    """The pairs of layers that the recipe names."""
    network: Network | None
    """Where to start; without it a new one is made."""
    autosave_folder: Path | None = None
    """Where the training is saved, to go on with after a stop or a crash."""
    resumes: InterruptedTraining | None = None
    """Go on with this one."""

    @property
    def label_kind(self) -> LabelKind:
        """What the numbers of the labels are; a new network learns what was chosen."""
        from napari_unet.engine.networks.annotation import label_kind

        if self.network is None:
            return self.recipe.label_kind
        return label_kind(self.network.description.class_roles)

    def new_description(self, pairs: Sequence[TrainingPair]) -> NetworkDescription:
        """What is made for these pairs, where no network is gone on from."""
        from napari_unet.engine.training.pairs import new_description

        names = self.recipe.class_names if self.label_kind == "classes" else None
        return new_description(pairs, ndim=self.recipe.ndim, class_names=names)

    @property
    def start_file(self) -> Path | None:
        """File of the model that it begins with; None where it is in none."""
        from napari_unet.engine.models.checkpoint import bundled_models

        if self.network is None or not self.recipe.model:
            return None
        return bundled_models().get(self.recipe.model, Path(self.recipe.model))

    def read_bank(self) -> Bank | None:
        """Read what the network knows, by example; None for a new one."""
        from napari_unet.engine.training.knowledge.bank import known_bank

        if self.network is None:
            return None
        return known_bank(self.network.description, self.start_file)

    @property
    def about(self) -> dict[str, Any]:
        """What it is, to be told when it is offered again."""
        return {
            "model": "" if self.network is None else self.network.description.name,
            "source": "" if self.network is None else self.recipe.model,
            "images": [image for image, _ in self.recipe.pairs],
            "labels": [labels for _, labels in self.recipe.pairs],
        }


def annotation(plan: Plan) -> list[TrainingPair]:
    """Read the pairs of all layers and files: images with their labels and what these mean."""
    pairs = [pair for source in plan.sources for pair in labelled_planes(source, plan)]
    return [*pairs, *_from_folders(plan)]


def annotation_in_parts(plan: Plan) -> HeldOut:
    """Read the pairs, and set part of them aside if the plan says so."""
    from napari_unet.engine.training.hold_out import HeldOut, hold_out

    pairs = annotation(plan)
    if not plan.recipe.holds_out or not pairs:
        return HeldOut(tuple(pairs), (), "Nothing is held out.")
    gap_px = 96 if plan.network is None else plan.network.description.architecture.margin_px
    seed = plan.recipe.settings.seed
    return hold_out(pairs, seed=seed, gap_px=gap_px, label_kind=plan.label_kind)


def labelled_planes(source: PairSource, plan: Plan) -> Iterator[TrainingPair]:
    """Pairs of the planes of a layer that somebody has labelled."""
    labels = np.asarray(source.labels)
    planes = source.image.planes()
    for index in planes:
        drawn = np.array(labels[index])
        corrected = source.corrected(index, drawn)
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
    image = replace(source.image, plane=index, extent="slice")
    pixels, channel_axis = image.pixels()
    types = source.types if plan.label_kind == "cells" else {}
    if plan.recipe.meaning == "painted" and corrected is not None:
        # Only the cells that somebody has changed or given a type: the others are the network's.
        touched = corrected
        if plan.label_kind == "cells":
            types = source.given_types
            touched = np.isin(labels, [*np.unique(labels[corrected]).tolist(), *types])
        labels = np.where(touched & (labels > 0), labels, labels.dtype.type(0))
    pair = _maker(plan)(
        np.asarray(pixels),
        labels,
        regions=source.reviewed(index, labels, plan.recipe.meaning),
        corrected=corrected,
        name=source.plane_name(index),
        channel_axis=channel_axis,
        types=types,
        spacing=image.spacing if np.ndim(labels) == 3 else None,
    )
    if corrected is not None and pair.reviewed is not None:
        # Who changed a pixel has looked at it.
        pair = replace(pair, reviewed=pair.reviewed | corrected)
    return replace(pair, intensity_reference=image.intensity_reference())


def _from_folders(plan: Plan) -> Iterator[TrainingPair]:
    from napari_unet.files.pairs import pair_files, read_pairs

    if plan.recipe.folders:
        check_folder_meaning(plan.recipe.meaning)

    def make_pair(image: AnyImage, labels: LabelImage, name: str, **known: Any) -> TrainingPair:
        channel_axis = -1 if image.ndim > labels.ndim else None
        return _maker(plan)(image, labels, name=name, channel_axis=channel_axis, **known)

    for images, labels in plan.recipe.folders:
        for paths in pair_files(Path(images), Path(labels)).pairs:
            yield from read_pairs(
                *paths,
                ndim=plan.recipe.ndim,
                make_pair=make_pair,
                only_seen=plan.recipe.meaning == "seen",
            )


def check_folder_meaning(meaning: Meaning) -> None:
    """Raise unless unlabelled pixels of files can mean that.

    Raises
    ------
    TrainingError
    """
    if meaning == "regions":
        raise TrainingError(
            "Regions are drawn on layers, so nothing in the folders would be learned from; choose "
            "another meaning of unlabelled pixels, or take the folders away."
        )


def _maker(plan: Plan) -> Callable[..., TrainingPair]:
    recipe = plan.recipe
    return pair_maker(recipe.meaning, recipe.background_label, plan.label_kind)


def pair_maker(
    meaning: Meaning, background_label: int | None, label_kind: LabelKind
) -> Callable[..., TrainingPair]:
    """Return what makes a pair of an image and its labels, by what these mean."""
    from napari_unet.engine.training.pairs import annotated_pair

    return partial(
        annotated_pair,
        unlabelled="ignore" if meaning == "painted" else "reviewed",
        slices="painted" if meaning == "slices" else None,
        background_label=background_label,
        label_kind=label_kind,
    )
