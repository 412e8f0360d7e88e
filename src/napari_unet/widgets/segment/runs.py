"""What the Segment form has done in a worker's thread: cells found, and found again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import DeviceError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import PlaneIndex, Region
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import METADATA_KEY, new_labels_layer, new_scores_layer
from napari_unet.widgets.segment.filling import Filling
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import (
    Drawn,
    Edited,
    Found,
    FoundAgain,
    KeptScores,
    Opened,
    Step,
)

if TYPE_CHECKING:
    from napari_unet.engine.segmentation.planes import PlaneScores
    from napari_unet.viewer.label_canvas import LabelCanvas


def find_cells(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> Iterator[Opened | Step | Drawn | Found]:
    """Segment, and fill a layer tile by tile.

    Parameters
    ----------
    image : LayerImage
    recipe : Recipe
    earlier : LabelCanvas, optional
        Over the labels of an earlier run: filled again, unless they were edited.
    scores : dict
        For each class role the array of the layer that shows its scores, as
        far as there is one.
    """
    from napari_unet.engine.segmentation.segmentation import iterate_planes

    pixels, channel_axis = image.pixels()
    settings = recipe.settings_for(image, channel_axis)
    reports = iterate_planes(
        pixels,
        recipe.network,
        settings=settings,
        instances=recipe.instances,
        device=recipe.device,
        intensity_reference=image.intensity_reference(),
        near=image.near,
    )

    planes = image.planes()
    run: Filling | None = None
    begun = -1
    for report in reports:
        # Nothing is opened before the first tile: an error must leave the viewer as it is.
        if run is None:
            run, opened = _open(image, recipe, earlier, scores)
            if opened.layer is not None:
                opened.layer.metadata[METADATA_KEY] = recipe.provenance(
                    image, settings, cells=0, checksums={}
                )
            yield opened
        index = planes[report.slice_index]
        if report.slice_index != begun:
            begun = report.slice_index
            run.canvas.begin(index)
        yield Step(report.tile, report.tiles, report.slice_index, report.slices)
        if run.draw(report, index, recipe.instances):
            yield Drawn(index, is_whole=report.labels is not None)
    assert run is not None  # noqa: S101 - there is at least one plane
    cells = sum(run.kept.cells.values())
    made = recipe.provenance(image, settings, cells=cells, checksums=run.canvas.checksums)
    kept = run.kept if run.kept.planes else None
    yield Found(cells, run.notes, made, recipe.instances, run.diameter_px, kept)


def _open(
    image: LayerImage, recipe: Recipe, earlier: LabelCanvas | None, scores: dict[str, Any]
) -> tuple[Filling, Opened]:
    from napari_unet.viewer.label_canvas import LabelCanvas

    edited = earlier is not None and any(earlier.is_edited(index) for index in image.planes())
    layer = None
    if earlier is not None and not edited:
        canvas = earlier
    else:
        canvas = LabelCanvas(_zeros(image, np.int32))
        layer = new_labels_layer(canvas.array, image, recipe.model)
    added = []
    if recipe.shows_scores:
        for role in recipe.network.description.class_roles:
            if role != "background" and role not in scores:
                scores[role] = _zeros(image, np.float32)
                added.append(new_scores_layer(scores[role], image, recipe.model, role))
    else:
        scores = {}
    # A part of an image, or one slice of many, goes in beside cells that have their numbers; and
    # so do all slices, one after the other, beside those of an earlier run.
    is_part = image.has_slices and (image.extent != "stack" or layer is None)
    keeps_numbers = image.region is not None or is_part
    return Filling(canvas, scores, keeps_numbers=keeps_numbers), Opened(
        canvas, layer, tuple(added), edited
    )


def _zeros(image: LayerImage, dtype: type[np.generic]) -> NDArray[Any]:
    shape = image.labels_shape
    try:
        return np.zeros(shape, dtype)
    except MemoryError as error:
        gib = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        raise DeviceError(
            f"A layer of the size of '{image.name}' needs {gib:.1f} GiB of memory, which is not "
            "free; save a part of the image as a file of its own and open that."
        ) from error


def find_again(
    kept: KeptScores, instances: InstanceSettings, shown: PlaneIndex, visible: Region | None
) -> Iterator[Drawn | Edited | FoundAgain]:
    """Make the cells anew from kept scores: what is in view first, then all of them.

    Parameters
    ----------
    kept : KeptScores
    instances : InstanceSettings
    shown : PlaneIndex
        The plane in view.
    visible : tuple of slice, optional
        The part of it that is in view.

    Yields
    ------
    Drawn or Edited or FoundAgain
        Last one of the other two.
    """
    canvas = kept.canvas
    edited = 0
    order = sorted(range(len(kept.planes)), key=lambda number: kept.planes[number][0] != shown)
    for number in order:
        index, plane = kept.planes[number]
        is_ours = not canvas.is_edited(index)
        in_view_first = index == shown and visible is not None and _is_small(visible, plane)
        if is_ours and in_view_first and visible is not None:
            is_ours = canvas.preview(index, plane, visible, instances)
            yield Drawn(index, is_whole=False)
        if is_ours:
            labels = plane.labels(instances)
            kept.cells[number] = int(labels.max(initial=0))
            is_ours = canvas.finish(index, plane, labels, keeps_numbers=True)
        if is_ours:
            yield Drawn(index, is_whole=True)
        else:
            edited += 1
            kept.cells[number] = np.unique(canvas.array[index][canvas.array[index] > 0]).size
    all_edited = edited == len(order)
    yield Edited() if all_edited else FoundAgain(sum(kept.cells.values()), edited)


def _is_small(visible: Region, plane: PlaneScores) -> bool:
    """Whether a part is so much less than the plane that it is worth a pass of its own."""
    pixels = np.prod([part.stop - part.start for part in visible])
    return bool(pixels < 0.5 * np.prod(plane.shape))
