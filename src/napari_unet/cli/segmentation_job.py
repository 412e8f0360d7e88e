"""One image file after the other segmented in the same way, each as a call in any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_unet.cli.batch import Processors, Stopped
from napari_unet.cli.better_model import BetterModel
from napari_unet.cli.checks import Look, look_at_image
from napari_unet.cli.console import BatchBar, count, describe_failure
from napari_unet.cli.file_plan import PlannedFile, kept_elsewhere
from napari_unet.cli.image_part import ImagePart, WantedPart
from napari_unet.cli.summary import measured
from napari_unet.engine.base.cancel import CancelsTorch
from napari_unet.engine.base.errors import FileError
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
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import read_image, write_labels, write_picture, write_scores
from napari_unet.files.label_notes import segmentation_notes
from napari_unet.files.overlay import draw_overlay

_MEMORY_SHARE = 0.5
"""Of the free memory, that images which are computed side by side may take."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """What there is to say of an image that is done.

    Parameters
    ----------
    line : str
        For people.
    warnings : tuple of str
        Sentences.
    measured : dict
        Fields of `SummaryRow`.
    """

    line: str
    warnings: tuple[str, ...]
    measured: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SegmentationJob:
    """Segments image files, each by a call, also in several threads.

    Parameters
    ----------
    networks : tuple of Network
        Whose scores are averaged; most often one.
    models : tuple of str
        Bundled names or files that they were loaded from, for the notes in the files of labels.
    settings : SegmentationSettings
    instances : InstanceSettings
    part : WantedPart
        Which part of each image.
    device : str
    intensities : {"stack", "slice"}
        Where the range of intensities of a single slice is measured.
    overwrite, skip_existing : bool
        Replace outputs that exist, or leave them as they are.
    checks : bool
        Look at each image first, and refuse what is none.
    bar : BatchBar, optional
    processors : Processors
    cancel : threading.Event
        Ends what is computed, in all threads.
    """

    networks: tuple[Network, ...]
    models: tuple[str, ...]
    settings: SegmentationSettings
    instances: InstanceSettings
    part: WantedPart = WantedPart()  # noqa: RUF009 - frozen
    device: str = "auto"
    intensities: Literal["stack", "slice"] = "stack"
    overwrite: bool = False
    skip_existing: bool = False
    checks: bool = False
    bar: BatchBar | None = None
    processors: Processors = field(default_factory=lambda: Processors(1))
    cancel: threading.Event = field(default_factory=threading.Event)
    _better_model: BetterModel = field(init=False)

    def __post_init__(self) -> None:
        better = BetterModel(self.description, self.models, device=self.device)
        object.__setattr__(self, "_better_model", better)

    @property
    def description(self) -> NetworkDescription:
        """Of the first network, by which images are read and cells told apart."""
        return self.networks[0].description

    def __call__(self, planned: PlannedFile) -> Segmented:
        """Segment one image and write all that was asked for."""
        if self.bar is None:
            return self._done(planned, lambda _: None)
        with self.bar.item() as reach:
            return self._done(planned, reach)

    def close(self) -> None:
        """Give the processors back, and take the bar away."""
        self.processors.close()
        if self.bar is not None:
            self.bar.close()

    def _done(self, planned: PlannedFile, reach: Callable[[float], None]) -> Segmented:
        if planned.problem is not None:
            raise planned.problem
        if self.cancel.is_set():
            raise Stopped
        started = time.perf_counter()
        architecture = self.description.architecture
        series = None if planned.series is None else planned.series.number
        part = self.part.of(read_image(planned.source, series=series), ndim=architecture.ndim)
        settings = self._settings_for(part)
        look = look_at_image(part, self.description, settings) if self.checks else Look()
        look.refuse()
        keeps_scores = "scores" in planned.extras
        alone = self._is_large(part, settings, kept_scores=keeps_scores)
        with self.processors.taken(alone=alone) as waited:
            result = self._segment(part, settings, reach, keep_scores=keeps_scores)
        self._write(planned, part.image, settings, result)
        seconds = time.perf_counter() - started - waited
        advice = (self._advice(part, settings),) if result.doubt else ()
        resized = "" if result.zoom == 1 else f", resized {result.zoom:.3g} times for the model"
        line = (
            f"{planned.title}: {self._told(result)} in {seconds:.1f} s{resized} -> {planned.output}"
        )
        sizes = {}
        if not self.description.gives_classes:
            sizes = measured(result.labels, part.image.pixel_size_um, ndim=architecture.ndim)
        return Segmented(
            line,
            (*look.lines(), *result.notes, *filter(None, advice)),
            {**sizes, "seconds": round(seconds, 2)},
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
        """Say which other model fits better; empty if none does."""
        reference = self._intensity_reference(part)
        with self.processors.taken(alone=False), CancelsTorch(self.cancel, Stopped):
            return self._better_model.sentence(part.image.array, settings, reference)

    def _settings_for(self, part: ImagePart) -> SegmentationSettings:
        """Take from the file what was not given on the command line."""
        settings = replace(self.settings, channel_axis=part.channel_axis)
        size_um = part.image.pixel_size_um
        if settings.pixel_size_um is None and size_um is not None:
            settings = replace(settings, pixel_size_um=size_um[-1])
        return settings

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
        if part.stack is None or self.intensities == "slice":
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
        self,
        planned: PlannedFile,
        image: ImageFile,
        settings: SegmentationSettings,
        result: Segmentation,
    ) -> None:
        """Write whatever can be written, the labels first; then raise what could not."""
        axes = image.label_axes
        scale: dict[str, Any] = {
            "axes": axes if len(axes) == result.labels.ndim else None,
            "pixel_size_um": image.pixel_size_um,
            "frame_interval_s": image.frame_interval_s,
            "overwrite": self.overwrite,
        }

        names = [each.description.name for each in self.networks]
        notes = segmentation_notes(
            image=image.name if image.series is None else f"{image.name} {image.series.label}",
            model=ensemble_name(names),
            source=self.models[0],
            averaged_with=[
                {"model": name, "model_source": source}
                for name, source in zip(names[1:], self.models[1:], strict=True)
            ],
            cells=result.cell_count,
            settings=settings,
            instances=self.instances,
        )
        ndim = self.description.architecture.ndim
        notes["checksums"] = plane_checksums(result.labels, plane_ndim=ndim)

        def labels() -> None:
            try:
                write_labels(planned.output, result.labels, notes=notes, **scale)
            except Exception as error:
                kept = kept_elsewhere(
                    planned.output, "The labels are", lambda path: write_labels(path, result.labels)
                )
                raise FileError(f"{describe_failure(error)}{kept}") from error

        def scores() -> None:
            assert result.scores is not None  # noqa: S101 - they were to be kept
            write_scores(planned.extras["scores"], result.scores, result.class_roles, **scale)

        def overlay() -> None:
            picture = draw_overlay(image.array, result.labels, channel_axis=settings.channel_axis)
            write_picture(planned.extras["overlay"], picture, overwrite=self.overwrite)

        def types() -> None:
            assert result.types is not None  # noqa: S101 - the network tells types apart
            write_cell_types(
                planned.extras["types"],
                result.types.by_label,
                result.types.probability_by_label,
                overwrite=self.overwrite,
            )

        writers = {"scores": scores, "overlay": overlay, "types": types}
        problems: list[Exception] = []
        for path, write in [
            (planned.output, labels),
            *((path, writers[kind]) for kind, path in planned.extras.items()),
        ]:
            if self.skip_existing and path.exists():
                continue  # of an earlier run, perhaps corrected since
            try:
                write()
            except Exception as error:
                problems.append(error)
        if problems:
            sentences = [describe_failure(problem) for problem in problems]
            sentences += ["The labels are written."] if planned.output.exists() else []
            raise FileError(" ".join(sentences)) from problems[0]
