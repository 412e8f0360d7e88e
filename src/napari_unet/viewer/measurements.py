"""Measurements of cells in the features table of a Labels layer: made, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import Region
from napari_unet.viewer.features import LABEL_COLUMNS, joined_features

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.labels.measurements import Column, PixelSize

MEASURED_KEY = "napari_unet_measured"
"""Where a layer's metadata keep the names of the columns that were measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The cells of a layer as they were measured."""

    columns: dict[str, Column]
    """As `measure_cells` gives them."""
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    """`starts`, `stops`: (cells, D). The box around each."""
    checksum: int
    """Of the labels."""

    def box(self, label: int) -> Region | None:
        """Return the box around a cell; None if there was no such cell."""
        labels = self.columns["label"]
        place = int(np.searchsorted(labels, label))
        if place == labels.size or labels[place] != label:
            return None
        return tuple(map(slice, self.starts[place].tolist(), self.stops[place].tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be measured, free of napari."""

    labels: Any
    """(H, W) or (Z, H, W) integer array, which may be lazy."""
    images: Mapping[str, Any]
    """Arrays of the shape of `labels`, by name; they may be lazy, too."""
    pixel_size: PixelSize | None
    takes_background: bool


def measure(request: Request, known: int | None = None) -> Measured | None:
    """Measure cells, for a worker's thread.

    Parameters
    ----------
    known : int, optional
        `Measured.checksum` of labels that need not be measured again.

    Returns
    -------
    Measured or None
        None if the labels are those that are known.

    Raises
    ------
    UNetError
        As `measure_cells`; also if there are no pixels.
    """
    from napari_unet.engine.labels.checksums import checksum
    from napari_unet.engine.labels.measurements import background_level, cell_boxes, measure_cells

    labels = np.asarray(request.labels)
    labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
    if not labels.size:
        raise LabelsError("The labels have no pixels; choose another layer.")
    found = checksum(labels)
    if found == known:
        return None
    images = {name: np.asarray(image) for name, image in request.images.items()}
    taken = None
    if request.takes_background:
        taken = {name: background_level(labels, image) for name, image in images.items()}
    columns = measure_cells(labels, images, pixel_size=request.pixel_size, background=taken)
    return Measured(columns, *cell_boxes(labels), found)


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
