"""One image file after the other segmented in the same way, each as a call in any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from napari_unet.batch.attempts import Processors, Stopped
from napari_unet.batch.cell_table import cell_table, size_along
from napari_unet.batch.file_plan import kept_elsewhere
from napari_unet.batch.image_part import ImagePart
from napari_unet.batch.queue import Entry, Outcome
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import measured
from napari_unet.batch.words import count
from napari_unet.engine.base.cancel import CancelsTorch
from napari_unet.engine.base.errors import FileError, UNetError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import AnyImage, without_alpha
from napari_unet.engine.labels.checksums import plane_checksums
from napari_unet.engine.labels.classes import class_counts, shares_in_words
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import ensemble_name, zooms_of
from napari_unet.engine.segmentation.memory import segmentation_memory
from napari_unet.engine.segmentation.segmentation import Segmentation, iterate_segmentation
from napari_unet.files.cell_types import write_cell_types
from napari_unet.files.image_file import ImageFile, existing
from napari_unet.files.images import (
    read_image,
    read_labels,
    write_labels,
    write_picture,
    write_scores,
)
from napari_unet.files.label_notes import score_notes, segmentation_notes
from napari_unet.files.measurements import write_measurements
from napari_unet.files.overlay import draw_overlay

ENTRY_KEY = "queue_entry"
"""Where the notes of labels say which entry of a queue has written them."""


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


def failure(error: Exception) -> str:
    """Say in one sentence what went wrong with an image."""
    if isinstance(error, UNetError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory; close other programs, or use smaller images or tiles."
    return f"Something went wrong that should not ({type(error).__name__}: {error})."


@dataclass(frozen=True, slots=True)
class Segmented:
    """An image that is done.

    Parameters
    ----------
    line : str
        For people.
    outcome : Outcome
    """

    line: str
    outcome: Outcome


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

    def __call__(self, entry: Entry, reach: Callable[[float], None]) -> Segmented:
        """Segment one image and write all that was asked for.

        Parameters
        ----------
        entry : Entry
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
        settings = self._settings_for(part)
        concerns: tuple[str, ...] = ()
        checks = self.batch.checks
        if self.look is not None and checks != "none":
            refuses = checks == "refuse"
            concerns = tuple(self.look(part, self.description, settings, refuses=refuses))
        keeps_scores = "scores" in planned.extras
        alone = self._is_large(part, settings, kept_scores=keeps_scores)
        with self.processors.taken(alone=alone) as waited:
            result = self._segment(part, settings, reach, keep_scores=keeps_scores)
        self._write(entry, part.image, settings, result)
        seconds = time.perf_counter() - started - waited
        advice = self._advice(part, settings) if result.doubt else ""
        resized = "" if result.zoom == 1 else f", resized {result.zoom:.3g} times for the model"
        told = f"{self._told(result)} in {seconds:.1f} s{resized}"
        sizes: dict[str, Any] = {}
        if not self.description.gives_classes:
            sizes = measured(result.labels, part.image.pixel_size_um, ndim=architecture.ndim)
        return Segmented(
            f"{planned.title}: {told} -> {planned.output}",
            Outcome(
                **sizes,
                seconds=round(seconds, 2),
                doubt=result.doubt,
                warnings=(*concerns, *result.notes, *filter(None, (advice,))),
            ),
        )

    def _told(self, result: Segmentation) -> str:
        """What was found, in words."""
        if not self.description.gives_classes:
            found = count(result.cell_count, "cell")
            if result.types is None or not result.cell_count:
                return found
            counts = (f"{number} {name}" for name, number in result.types.counts.items())
            return f"{found} ({', '.join(counts)})"
        return shares_in_words(class_counts(result.labels, result.class_roles), result.class_roles)

    def _advice(self, part: ImagePart, settings: SegmentationSettings) -> str:
        if self.advise is None:
            return ""
        reference = self._intensity_reference(part)
        with self.processors.taken(alone=False), CancelsTorch(self.cancel, Stopped):
            return self.advise(part.image.array, settings, reference)

    def _settings_for(self, part: ImagePart) -> SegmentationSettings:
        """Take from the file what the settings of the batch leave open."""
        batch = self.batch
        settings = replace(batch.settings, channel_axis=part.channel_axis)
        if batch.every_stack:
            spatial = part.image.array.ndim - (part.channel_axis is not None)
            has_slices = spatial > self.description.architecture.ndim
            settings = replace(settings, every_slice=has_slices)
        size_um = part.image.pixel_size_um
        if settings.pixel_size_um is None and size_um is not None:
            settings = replace(settings, pixel_size_um=size_um[-1])
        if batch.diameter_um is None:
            return settings
        if size_um is None:
            raise FileError(
                f"'{part.image.path}' does not say how large its pixels are, and the cell size is "
                "in micrometres; give it in pixels."
            )
        return replace(settings, diameter_px=batch.diameter_um / size_um[-1])

    def _is_large(
        self, part: ImagePart, settings: SegmentationSettings, *, kept_scores: bool
    ) -> bool:
        """Whether memory might run out if more images of this size were computed beside it."""
        shape = list(part.image.array.shape)
        if part.channel_axis is not None:
            del shape[part.channel_axis]
        zoom, *others = zooms_of([each.description for each in self.networks], settings)
        needed = segmentation_memory(
            tuple(shape),
            self.description,
            kept_scores=kept_scores,
            zoom=zoom,
            other_zooms=others,
        )
        return needed * self.processors.images > _MEMORY_SHARE * free_host_bytes()

    def _intensity_reference(self, part: ImagePart) -> AnyImage | None:
        """Return all slices, with the channels in front, for one slice of them."""
        if part.stack is None or self.batch.intensities == "slice":
            return None
        if part.stack_channel_axis is None:
            return part.stack[np.newaxis]
        channels = np.moveaxis(part.stack, part.stack_channel_axis, 0)
        reads_four = self.description.architecture.in_channels == 4
        return channels if reads_four else without_alpha(channels)

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
                intensity_reference=self._intensity_reference(part),
                keep_scores=keep_scores,
            ):
                reach((step.slice_index + step.tile / step.tiles) / step.slices)
                result = step.result
        assert result is not None  # noqa: S101 - the last report carries the result
        return result

    def _write(
        self, entry: Entry, image: ImageFile, settings: SegmentationSettings, result: Segmentation
    ) -> None:
        """Write whatever can be written, the labels first; then raise what could not."""
        planned = entry.planned
        writers = {
            "scores": self._write_scores,
            "overlay": self._write_overlay,
            "types": self._write_types,
            "measurements": self._write_measurements,
        }
        problems: list[Exception] = []
        try:
            self._write_labels(entry, image, settings, result)
        except Exception as error:
            problems.append(error)
        for kind, path in planned.extras.items():
            if path.exists() and not entry.replaces:
                continue  # of the run that was interrupted, or to be kept
            try:
                writers[kind](entry, image, settings, result)
            except Exception as error:
                problems.append(error)
        if problems:
            sentences = [failure(problem) for problem in problems]
            sentences += ["The labels are written."] if planned.output.exists() else []
            raise FileError(" ".join(sentences)) from problems[0]

    def _write_labels(
        self, entry: Entry, image: ImageFile, settings: SegmentationSettings, result: Segmentation
    ) -> None:
        path = entry.output
        if path.exists():
            if entry.keeps or _is_of(entry):
                return  # perhaps corrected since
            if not entry.replaces:
                raise existing(path)
        names = [each.description.name for each in self.networks]
        sources = [model.source for model in self.batch.models]
        notes = segmentation_notes(
            image=image.name if image.series is None else f"{image.name} {image.series.label}",
            model=ensemble_name(names),
            source=sources[0],
            averaged_with=[
                {"model": name, "model_source": source}
                for name, source in zip(names[1:], sources[1:], strict=True)
            ],
            cells=result.cell_count,
            settings=settings,
            instances=self.instances,
        )
        ndim = self.description.architecture.ndim
        notes["checksums"] = plane_checksums(result.labels, plane_ndim=ndim)
        notes[ENTRY_KEY] = entry.id
        notes |= score_notes(result.cell_scores)
        try:
            write_labels(path, result.labels, notes=notes, **_scale(image, result))
        except Exception as error:
            kept = kept_elsewhere(
                path, "The labels are", lambda place: write_labels(place, result.labels)
            )
            raise FileError(f"{failure(error)}{kept}") from error

    def _write_scores(
        self, entry: Entry, image: ImageFile, _settings: SegmentationSettings, result: Segmentation
    ) -> None:
        assert result.scores is not None  # noqa: S101 - they were to be kept
        scale = _scale(image, result)
        write_scores(entry.planned.extras["scores"], result.scores, result.class_roles, **scale)

    def _write_overlay(
        self, entry: Entry, image: ImageFile, settings: SegmentationSettings, result: Segmentation
    ) -> None:
        picture = draw_overlay(image.array, result.labels, channel_axis=settings.channel_axis)
        write_picture(entry.planned.extras["overlay"], picture, overwrite=True)

    def _write_types(
        self, entry: Entry, _image: ImageFile, _settings: SegmentationSettings, result: Segmentation
    ) -> None:
        assert result.types is not None  # noqa: S101 - the network tells types apart
        write_cell_types(
            entry.planned.extras["types"],
            result.types.by_label,
            result.types.probability_by_label,
            overwrite=True,
        )

    def _write_measurements(
        self, entry: Entry, image: ImageFile, _settings: SegmentationSettings, result: Segmentation
    ) -> None:
        known = score_notes(result.cell_scores)
        labels = replace(image, array=result.labels, axes=image.label_axes, notes=known)
        ndim = self.description.architecture.ndim
        write_cell_table(entry, labels, image, ndim=ndim)


def write_cell_table(entry: Entry, labels: ImageFile, image: ImageFile, *, ndim: int) -> None:
    """Write the measurements of an entry's labels on its image, in place of those of before.

    Raises
    ------
    UNetError
        If they cannot be measured or written.
    """
    table = cell_table(labels, {"image": image}, ndim=ndim, pixel_size=size_along(image, ndim))
    write_measurements(entry.planned.extras["measurements"], table, overwrite=True)


def _scale(image: ImageFile, result: Segmentation) -> dict[str, Any]:
    axes = image.label_axes
    return {
        "axes": axes if len(axes) == result.labels.ndim else None,
        "pixel_size_um": image.pixel_size_um,
        "frame_interval_s": image.frame_interval_s,
        "overwrite": True,
    }


def _is_of(entry: Entry) -> bool:
    """Whether the labels that are there were written by this entry, before it was interrupted."""
    try:
        notes = read_labels(entry.output).notes or {}
    except UNetError:
        return False
    return notes.get(ENTRY_KEY) == entry.id
