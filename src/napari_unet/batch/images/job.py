"""One image file after the other segmented in the same way, each as a call in any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from napari_unet.batch.attempts import Processors, Stopped
from napari_unet.batch.images.entry import ImageEntry, ImageOutcome
from napari_unet.batch.images.part import ImagePart
from napari_unet.batch.images.results import ImageResults
from napari_unet.batch.images.volume import cell_axes, offer_of_linking, volume_concerns
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import measured
from napari_unet.engine.base.cancel import CancelsTorch
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.labels.cell_types import cells_in_words
from napari_unet.engine.labels.classes import class_counts, shares_in_words
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import mean_zooms_of
from napari_unet.engine.segmentation.memory import segmentation_memory
from napari_unet.engine.segmentation.segmentation import Segmentation, iterate_segmentation
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_image


class Look(Protocol):
    """The look at an image; see `concerns_before`."""

    def __call__(
        self,
        part: ImagePart,
        description: NetworkDescription,
        settings: SegmentationSettings,
        *,
        refuses: bool,
    ) -> Iterable[str]:
        """Say in sentences what may spoil the result."""


Advise: TypeAlias = Callable[[AnyImage, SegmentationSettings, AnyImage | None], str]
"""Says which other model fits an image with a doubtful result better; empty if none does."""

_MEMORY_SHARE = 0.5
"""Of the free memory, that images which are computed side by side may take."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """An image that is done.

    Parameters
    ----------
    line : str
        For people.
    outcome : ImageOutcome
    """

    line: str
    outcome: ImageOutcome


@dataclass(frozen=True, slots=True)
class ImageJob:
    """Segments image files, each by a call, also in several threads.

    Parameters
    ----------
    networks : tuple of Network
        Whose scores are averaged; most often one.
    batch : BatchSettings
    device : str
    look : callable, optional
        Asked before each image.
    advise : callable, optional
        Asked after an image whose result is in doubt.
    processors : Processors
    cancel : threading.Event
        Ends what is computed, in all threads.
    """

    networks: tuple[Network, ...]
    batch: BatchSettings
    device: str = "auto"
    look: Look | None = None
    advise: Advise | None = None
    processors: Processors = field(default_factory=lambda: Processors(1))
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def description(self) -> NetworkDescription:
        """Of the first network, by which images are read and cells told apart."""
        return self.networks[0].description

    @property
    def instances(self) -> InstanceSettings:
        """How cells are told apart."""
        return self.batch.instances_of(self.description.instances)

    def __call__(self, entry: ImageEntry, reach: Callable[[float], None]) -> Segmented:
        """Segment one image and write all that was asked for.

        Parameters
        ----------
        entry : ImageEntry
        reach : callable
            Given the share that is done, 0 to 1.

        Raises
        ------
        UNetError
            If the image cannot be read or segmented, or the results not be written.
        Stopped
            After `cancel` was set.
        """
        planned = entry.planned
        if planned.problem is not None:
            raise planned.problem
        if self.cancel.is_set():
            raise Stopped
        started = time.perf_counter()
        architecture = self.description.architecture
        file = read_image(planned.source, series=planned.series)
        part = self.batch.part.of(file, ndim=architecture.ndim)
        settings = self.batch.settings_for(part, ndim=architecture.ndim)
        concerns = volume_concerns(part, settings)
        checks = self.batch.checks
        if self.look is not None and checks != "none":
            refuses = checks == "refuse"
            concerns += tuple(self.look(part, self.description, settings, refuses=refuses))
        keeps_scores = "scores" in planned.extras
        alone = self._is_large(part, settings, kept_scores=keeps_scores)
        with self.processors.taken(alone=alone) as waited:
            result = self._segment(part, settings, reach, keep_scores=keeps_scores)
        self._results(entry, part.image, settings, result).write()
        seconds = time.perf_counter() - started - waited
        advice = self._advice(part, settings) if result.doubt else ""
        offer = offer_of_linking(part, result)
        resized = "" if result.zoom == 1 else f", resized {result.zoom:.3g} times for the model"
        told = f"{self._told(result)} in {seconds:.1f} s{resized}"
        sizes: dict[str, Any] = {}
        scores = result.cell_scores
        if not self.description.gives_classes:
            sizes = measured(
                result.labels, part.image.pixel_size_um, ndim=cell_axes(result, self.description)
            )
        return Segmented(
            f"{planned.title}: {told} -> {planned.output}",
            ImageOutcome(
                **sizes,
                seconds=round(seconds, 2),
                mean_doubt=None if scores is None else scores.mean_doubt,
                doubt=result.doubt,
                warnings=(*concerns, *result.notes, *filter(None, (advice, offer))),
            ),
        )

    def _told(self, result: Segmentation) -> str:
        """What was found, in words."""
        if not self.description.gives_classes:
            return cells_in_words(result.cell_count, result.types)
        return shares_in_words(class_counts(result.labels, result.class_roles), result.class_roles)

    def _advice(self, part: ImagePart, settings: SegmentationSettings) -> str:
        if self.advise is None:
            return ""
        reference = self._reference(part)
        with self.processors.taken(alone=False), CancelsTorch(self.cancel, Stopped):
            return self.advise(part.image.array, settings, reference)

    def _reference(self, part: ImagePart) -> AnyImage | None:
        in_channels = self.description.architecture.in_channels
        return self.batch.intensity_reference(part, in_channels=in_channels)

    def _is_large(
        self, part: ImagePart, settings: SegmentationSettings, *, kept_scores: bool
    ) -> bool:
        """Whether memory might run out if more images of this size were computed beside it."""
        shape = list(part.image.array.shape)
        if part.channel_axis is not None:
            del shape[part.channel_axis]
        zoom, *others = mean_zooms_of([each.description for each in self.networks], settings)
        needed = segmentation_memory(
            tuple(shape),
            self.description,
            kept_scores=kept_scores,
            zoom=zoom,
            other_zooms=others,
            is_volume=settings.volume == "three_planes",
        )
        return needed * self.processors.images > _MEMORY_SHARE * free_host_bytes()

    def _segment(
        self,
        part: ImagePart,
        settings: SegmentationSettings,
        reach: Callable[[float], None],
        *,
        keep_scores: bool,
    ) -> Segmentation:
        result = None
        with CancelsTorch(self.cancel, Stopped):
            for step in iterate_segmentation(
                part.image.array,
                self.networks,
                settings=settings,
                instances=self.instances,
                device=self.device,
                intensity_reference=self._reference(part),
                keep_scores=keep_scores,
            ):
                reach((step.slice_index + step.tile / step.tiles) / step.slices)
                result = step.result
        assert result is not None  # noqa: S101 - the last report carries the result
        return result

    def _results(
        self,
        entry: ImageEntry,
        image: ImageFile,
        settings: SegmentationSettings,
        result: Segmentation,
    ) -> ImageResults:
        both = zip(self.networks, self.batch.models, strict=True)
        models = tuple((network.description.name, model.source) for network, model in both)
        ndim = cell_axes(result, self.description)
        return ImageResults(entry, image, settings, self.instances, result, models, ndim)
