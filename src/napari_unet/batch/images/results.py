"""What came of an image of a queue, written as its entry says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from napari_unet.batch.cell_table import cell_table, size_along
from napari_unet.batch.file_plan import kept_elsewhere
from napari_unet.batch.images.entry import ImageEntry
from napari_unet.engine.base.errors import FileError, UNetError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.base.words import failure
from napari_unet.engine.labels.checksums import plane_checksums
from napari_unet.engine.segmentation.ensemble import ensemble_name
from napari_unet.engine.segmentation.segmentation import Segmentation
from napari_unet.files.cell_types import write_cell_types
from napari_unet.files.image_file import ImageFile, existing
from napari_unet.files.images import read_labels, write_labels, write_picture, write_scores
from napari_unet.files.label_notes import score_notes, segmentation_notes
from napari_unet.files.measurements import write_measurements
from napari_unet.files.overlay import draw_overlay

ENTRY_KEY = "queue_entry"
"""Where the notes of labels say which entry of a queue has written them."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageResults:
    """A segmentation, and all that its files say of it.

    Parameters
    ----------
    entry : ImageEntry
    image : ImageFile
        The part of it that was segmented.
    settings : SegmentationSettings
    instances : InstanceSettings
    result : Segmentation
    models : tuple of (str, str)
        Name and source of each.
    ndim : int
        Axes of a cell.
    """

    entry: ImageEntry
    image: ImageFile
    settings: SegmentationSettings
    instances: InstanceSettings
    result: Segmentation
    models: tuple[tuple[str, str], ...]
    ndim: int

    def write(self) -> None:
        """Write whatever can be written, the labels first; then raise what could not.

        Raises
        ------
        FileError
        """
        entry, planned = self.entry, self.entry.planned
        writers = {
            "scores": self._write_scores,
            "overlay": self._write_overlay,
            "types": self._write_types,
            "measurements": self._write_measurements,
        }
        problems: list[Exception] = []
        try:
            self._write_labels()
        except Exception as error:
            problems.append(error)
        for kind, path in planned.extras.items():
            if path.exists() and not entry.replaces:
                continue  # of the run that was interrupted, or to be kept
            try:
                writers[kind]()
            except Exception as error:
                problems.append(error)
        if problems:
            sentences = [failure(problem) for problem in problems]
            sentences += ["The labels are written."] if planned.output.exists() else []
            raise FileError(" ".join(sentences)) from problems[0]

    def _write_labels(self) -> None:
        entry, image, result = self.entry, self.image, self.result
        path = entry.output
        if path.exists():
            if entry.keeps or _is_of(entry):
                return  # perhaps corrected since
            if not entry.replaces:
                raise existing(path)
        notes = segmentation_notes(
            image=image.name if image.series is None else f"{image.name} {image.series.label}",
            model=ensemble_name([name for name, _ in self.models]),
            source=self.models[0][1],
            averaged_with=[
                {"model": name, "model_source": source} for name, source in self.models[1:]
            ],
            cells=result.cell_count,
            settings=self.settings,
            instances=self.instances,
        )
        # Linked cells are found plane by plane, and so is what was edited.
        plane_ndim = 2 if self.settings.volume == "linked" else self.ndim
        notes["checksums"] = plane_checksums(result.labels, plane_ndim=plane_ndim)
        notes[ENTRY_KEY] = entry.id
        notes |= score_notes(result.cell_scores)
        try:
            write_labels(path, result.labels, notes=notes, **_scale(image, result))
        except Exception as error:
            kept = kept_elsewhere(
                path, "The labels are", lambda place: write_labels(place, result.labels)
            )
            raise FileError(f"{failure(error)}{kept}") from error

    def _write_scores(self) -> None:
        result = self.result
        assert result.scores is not None  # noqa: S101 - they were to be kept
        path, scale = self.entry.planned.extras["scores"], _scale(self.image, result)
        write_scores(path, result.scores, result.class_roles, **scale)

    def _write_overlay(self) -> None:
        axis = self.settings.channel_axis
        picture = draw_overlay(self.image.array, self.result.labels, channel_axis=axis)
        write_picture(self.entry.planned.extras["overlay"], picture, overwrite=True)

    def _write_types(self) -> None:
        types = self.result.types
        assert types is not None  # noqa: S101 - the network tells types apart
        write_cell_types(
            self.entry.planned.extras["types"],
            types.by_label,
            types.probability_by_label,
            overwrite=True,
        )

    def _write_measurements(self) -> None:
        image, result = self.image, self.result
        known = score_notes(result.cell_scores)
        labels = replace(image, array=result.labels, axes=image.label_axes, notes=known)
        write_cell_table(self.entry, labels, image, ndim=self.ndim)


def write_cell_table(entry: ImageEntry, labels: ImageFile, image: ImageFile, *, ndim: int) -> None:
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


def _is_of(entry: ImageEntry) -> bool:
    """Whether the labels that are there were written by this entry, before it was interrupted."""
    try:
        notes = read_labels(entry.output).notes or {}
    except UNetError:
        return False
    return notes.get(ENTRY_KEY) == entry.id
