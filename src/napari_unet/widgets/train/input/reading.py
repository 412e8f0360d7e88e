"""An image layer and its labels layer, taken for a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import TrainingError
from napari_unet.viewer.cells.cell_types import given_types, types_of_layer
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.drawn_regions import drawn_regions
from napari_unet.viewer.layers import LayerImage, full_resolution, read_layer
from napari_unet.viewer.results import METADATA_KEY, predictions_of
from napari_unet.widgets.train.plan import PairSource

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels, Shapes


def read_pairs(
    pairs: Iterable[tuple[Image, Labels]],
    dims: Dims,
    *,
    network_ndim: int,
    regions: Shapes | None = None,
) -> tuple[PairSource, ...]:
    """Take every pair, as `read_pair` does."""
    return tuple(
        read_pair(image, labels, dims, network_ndim=network_ndim, regions=regions)
        for image, labels in pairs
    )


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
        _checksums(labels),
        types_of_layer(labels),
        given_types(labels),
        marks_of_layer(labels),
    )


def _checksums(labels: Labels) -> Mapping[str, Any]:
    """Those of what Segment had found; metadata that come from a file may hold anything."""
    made = labels.metadata.get(METADATA_KEY)
    known = made.get("checksums") if isinstance(made, Mapping) else None
    return known if isinstance(known, Mapping) else {}


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
