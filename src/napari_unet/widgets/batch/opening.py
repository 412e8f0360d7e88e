"""An image of a batch with its cells: read for the viewer, and written once they are corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.batch.images.entry import ImageEntry
from napari_unet.batch.queue import Queue
from napari_unet.widgets.batch.work import PROGRAM, Live, summary_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_unet.engine.images.image import LabelImage
    from napari_unet.files.samples import LayerData

_FIRST = 1


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What the files of an image hold."""

    folder: Path
    """Of its queue."""
    entry: ImageEntry
    layers: tuple[Layer, ...]
    """The image, or each of its channels, and its cells if there are any; in no viewer yet."""
    checksum: int
    """Of the cells."""
    was_edited: bool
    """The cells that were open before have been edited."""


def open_entry(folder: Path, entry: ImageEntry, before: LabelImage | None, known: int) -> Opened:
    """Read an image and its cells, for a worker's thread.

    Parameters
    ----------
    folder : Path
        Of the queue.
    entry : ImageEntry
    before : integer array, optional
        The cells that are open.
    known : int
        `Opened.checksum` of these.

    Raises
    ------
    FileError
        If the image or its cells cannot be read.
    """
    from napari_unet.engine.labels.checksums import checksum
    from napari_unet.viewer.label_files import read_layer_data

    planned = entry.planned
    layers = _new_layers(read_layer_data(planned.source, planned.series or _FIRST))
    found = 0
    if planned.output.exists():
        labels, options, kind = read_layer_data(planned.output, _FIRST)
        found = checksum(labels)
        layers += _new_layers((labels, {**options, "name": f"{planned.title}: cells"}, kind))
    was_edited = before is not None and checksum(np.asarray(before)) != known
    return Opened(folder, entry, tuple(layers), found, was_edited)


def _new_layers(data: LayerData) -> list[Layer]:
    """Make a layer, of an image with channels one of each, over which the cells lie."""
    from napari.layers import Layer
    from napari.layers.utils.stack_utils import split_channels

    array, options, kind = data
    names = list(options.get("axis_labels", ()))
    if "c" not in names:
        return [Layer.create(array, options, kind)]
    axis = names.index("c")
    per_axis = ("scale", "units", "axis_labels")
    kept = {
        key: [each for place, each in enumerate(value) if place != axis]
        if key in per_axis
        else value
        for key, value in options.items()
        if key != "rgb"
    }
    return [Layer.create(*channel) for channel in split_channels(array, axis, **kept)]


def save_corrections(
    opened: Opened, labels: LabelImage, made: Mapping[str, Any], live: Live
) -> Opened:
    """Write corrected cells into the files of an image, and take them into queue and table.

    Parameters
    ----------
    opened : Opened
    labels : integer array
        As they are now.
    made : mapping
        How they came about, as the layer says it.
    live : Live
        What runs, if anything does.

    Returns
    -------
    Opened
        As it is now.

    Raises
    ------
    FileError
        If something cannot be written; the cells are written first.
    """
    from napari_unet.batch.images.results import write_cell_table
    from napari_unet.batch.summary import measured
    from napari_unet.engine.labels.checksums import checksum
    from napari_unet.files.images import read_image, read_labels, write_labels

    entry = opened.entry
    file = read_labels(entry.output)
    write_labels(
        entry.output,
        labels,
        axes=file.axes,
        pixel_size_um=file.pixel_size_um,
        frame_interval_s=file.frame_interval_s,
        notes={**(file.notes or {}), **made},
        overwrite=True,
    )
    axes_of_cell = 3 if labels.ndim > 2 and not _is_by_slice(made) else 2
    sizes = measured(labels, file.pixel_size_um, ndim=axes_of_cell)
    if "measurements" in entry.planned.extras:
        image = read_image(entry.planned.source, series=entry.planned.series)
        table = replace(file, array=labels)
        write_cell_table(entry, table, image, ndim=axes_of_cell)
    outcome = replace(entry.outcome, **{"median_area_px": None, "median_area_um2": None, **sizes})
    entry = replace(entry, outcome=outcome, is_corrected=True)
    _record(opened.folder, entry, live)
    return replace(opened, entry=entry, checksum=checksum(labels))


def _is_by_slice(made: Mapping[str, Any]) -> bool:
    settings = made.get("settings", {})
    if not isinstance(settings, Mapping) or settings.get("volume", "slices") != "slices":
        return False
    return bool(settings.get("every_slice"))


def _record(folder: Path, entry: ImageEntry, live: Live) -> None:
    queue, summary = live.queue, live.summary
    if queue is not None and summary is not None and queue.folder == folder:
        queue.record(entry)  # whoever works on it writes it
        summary.add(entry)
        return
    with Queue.held(folder, program=PROGRAM) as held:
        held.record(entry)
        held.write()
        summary_of(held).write()
