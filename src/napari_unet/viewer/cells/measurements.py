"""Measurements of cells in the features table of a Labels layer: made, written and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import Region, around, sizes
from napari_unet.engine.labels.cell_list import SCORE, CellList, CellScores, Window, list_cells
from napari_unet.viewer.cells.features import LABEL_COLUMNS, joined_features

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.labels.measurements import Column, PixelSize
    from napari_unet.viewer.label_edits import Painted

MEASURED_KEY = "napari_unet_measured"
"""Where a layer's metadata keep the names of the columns that were measured."""

_LARGEST_PART = 0.25
"""Of the labels: in a larger part it is quicker to measure all cells than to pick out some."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be measured, free of napari."""

    labels: Any
    """(H, W) or (Z, H, W) integer array, which may be lazy."""
    images: Mapping[str, Any]
    """Arrays of the shape of `labels`, by name; they may be lazy, too."""
    pixel_size: PixelSize | None
    takes_background: bool
    cell_scores: CellScores | None = None
    """What a network said of the cells."""

    def asks_as(self, other: Request) -> bool:
        """Whether it asks for the same of labels of the same shape."""
        return (
            self.labels.shape == other.labels.shape
            and self.pixel_size == other.pixel_size
            and self.takes_background == other.takes_background
            and list(self.images) == list(other.images)
            and all(_is_same(image, other.images[name]) for name, image in self.images.items())
        )


def _is_same(one: Any, other: Any) -> bool:
    """Whether two arrays are the same memory, as two views of a colour are."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(one.__array_interface__ == other.__array_interface__)
    return one is other


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The cells of a layer as they were measured."""

    request: Request
    background: Mapping[str, float] | None
    """What was taken from each image."""
    cells: CellList
    columns: dict[str, Column]
    """As `measure_cells` gives them, without scores."""

    @property
    def table(self) -> dict[str, Column]:
        """The columns, with score and doubt where these are known of any cell."""
        known = self.request.cell_scores
        return self.columns if known is None else {**self.columns, **known.columns_of(self.cells)}

    @property
    def without_score(self) -> int:
        """Cells without a score, where other cells have one; 0 where none has."""
        known = self.request.cell_scores
        return 0 if known is None else int(np.isnan(known.columns_of(self.cells)[SCORE]).sum())

    def box(self, label: int) -> Region | None:
        """Return the box around a cell; None if there was no such cell."""
        row = self.cells.row(label)
        return None if row is None else self.cells.box(row)


def measure(
    request: Request, known: Measured | None = None, painted: Sequence[Painted] = ()
) -> Measured | None:
    """Measure cells, for a worker's thread; those that are as they were need not be measured.

    Parameters
    ----------
    known : Measured, optional
        Of the labels as they were.
    painted : sequence of Painted
        All that has happened to the labels since. Without it they are compared
        with what is known, cell by cell.

    Returns
    -------
    Measured or None
        None if nothing has changed.

    Raises
    ------
    UNetError
        As `measure_cells`; also if there are no pixels.
    """
    if not request.labels.size:
        raise LabelsError("The labels have no pixels; choose another layer.")
    if known is not None and not request.asks_as(known.request):
        known = None
    if known is not None and painted:
        changed = np.array(sorted(set().union(*(n for each in painted for n in each.numbers))), int)
        part = _part_of(known, changed, [each.box for each in painted])
        return _updated(request, known, changed, part, None)
    labels = _native(np.asarray(request.labels))
    cells = list_cells(labels)
    if known is None:
        return _all_measured(replace(request, labels=labels), cells)
    changed = cells.changed_since(known.cells)
    if not changed.size:
        return None
    now = cells.box_around(changed)
    part = _part_of(known, changed, [] if now is None else [now])
    return _updated(replace(request, labels=labels), known, changed, part, cells)


def _part_of(known: Measured, changed: NDArray[np.int64], boxes: list[Region]) -> Region:
    """Box around cells as they were and as they are."""
    before = known.cells.box_around(changed)
    return around(boxes if before is None else [*boxes, before])


def _updated(
    request: Request,
    known: Measured,
    changed: NDArray[np.int64],
    part: Region,
    cells: CellList | None,
) -> Measured:
    """Measure the cells that have changed, which lie in a part, and take the others over."""
    from napari_unet.engine.labels.measurements import measure_changed

    background = _background(request)
    is_small = np.prod(sizes(part)) < _LARGEST_PART * np.prod(request.labels.shape)
    if background == known.background and is_small:
        labels = _native(np.asarray(request.labels))
        # The list first: what is painted meanwhile makes it differ, and is measured next.
        if cells is None:
            window = Window(tuple(side.start for side in part), labels.shape)
            here = np.where(np.isin(labels[part], changed), labels[part], 0)
            cells = known.cells.with_part(list_cells(here, window=window), changed)
        columns = measure_changed(
            *(known.columns, changed, part, labels, request.images),
            pixel_size=request.pixel_size,
            background=background,
        )
        if columns is not None:
            return Measured(request, background, cells, columns)
    return _all_measured(request, list_cells(request.labels) if cells is None else cells)


def _all_measured(request: Request, cells: CellList) -> Measured:
    from napari_unet.engine.labels.measurements import measure_cells

    background = _background(request)
    images = {name: np.asarray(image) for name, image in request.images.items()}
    columns = measure_cells(
        request.labels, images, pixel_size=request.pixel_size, background=background
    )
    return Measured(request, background, cells, columns)


def _background(request: Request) -> dict[str, float] | None:
    from napari_unet.engine.labels.measurements import background_level

    if not request.takes_background:
        return None
    images = request.images.items()
    return {name: background_level(request.labels, np.asarray(image)) for name, image in images}


def _native(labels: NDArray[Any]) -> NDArray[Any]:
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)


def write_features(layer: Labels, columns: Mapping[str, Column]) -> None:
    """Write measurements into a layer's features, in place of those of before.

    Other columns stay, also those of cells that are gone: an undo may bring them back.
    """
    before, old = layer.features, layer.metadata.get(MEASURED_KEY, ())
    measured = {name: column for name, column in columns.items() if name != "label"}
    layer.metadata = {**layer.metadata, MEASURED_KEY: tuple(measured)}
    layer.features = joined_features(before, columns["label"], measured, without=old)


def table_of(layer: Labels) -> dict[str, Column]:
    """Read what was measured from a layer's features, after what else is known of these cells.

    Returns
    -------
    dict of str to (cells,) array
        The label first; empty where nothing was measured.
    """
    features = layer.features
    measured = [name for name in layer.metadata.get(MEASURED_KEY, ()) if name in features]
    if not measured or "index" not in features:
        return {}
    # All cells have a size; who has none is not there any more.
    is_there = features[measured[0]].notna().to_numpy()
    others = [name for name in features if name not in (*LABEL_COLUMNS, *measured)]
    table = {name: features[name].to_numpy()[is_there] for name in (*others, *measured)}
    return {"label": features["index"].to_numpy()[is_there], **table}
