"""What the network that is trained sees now, as a layer over the field of view."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import part_of_place
from napari_unet.viewer.viewpoint import box_in_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.engine.networks.network import Network

_MOST_PX, _MOST_VOXELS = 512, 80
"""Along each axis of what is segmented again and again, in images and in volumes."""


@dataclass(frozen=True, slots=True, eq=False)
class Previewed:
    """The field of view, as the network sees it now."""

    image: LayerImage
    """Of which `labels` are a part."""
    labels: LabelImage
    corner: tuple[int, ...]
    """First pixel of `labels` in the axes of the image's labels."""
    step: int
    layer: Labels | None = None
    """Around `labels`, the first time; made in the thread because it takes a while."""


class PreviewLayer:
    """Adds one Labels layer, changes it in place, and takes it away."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        layer = self._layer
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, seen: Previewed) -> None:
        """Show what was seen; what a person does to the layer's look stays."""
        if seen.layer is not None:
            self.remove()
            active = self._viewer.layers.selection.active
            self._layer = seen.layer
            self._viewer.add_layer(seen.layer)
            # Who paints goes on painting.
            self._viewer.layers.selection.active = active
            return
        layer = self.layer
        if layer is None:
            return  # Someone removed it: they do not want it.
        if layer.data.shape == seen.labels.shape:
            layer.data[...] = seen.labels
            layer.refresh(extent=False, highlight=False, thumbnail=False)
        else:
            layer.data = seen.labels
            layer.editable = False
        corner = part_of_place(seen.image.place, seen.corner)["translate"]
        if not np.allclose(layer.translate, corner):
            layer.translate = corner

    def remove(self) -> None:
        """Take it away."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)


def see(
    view: LayerImage,
    network: Network,
    *,
    device: str,
    cancel: threading.Event | None = None,
    most_px: int | None = None,
) -> tuple[LabelImage, tuple[int, ...]] | None:
    """Segment what is in view, or the middle of it; None if it was cancelled.

    Of a volume the middle is in the slice that is shown.

    Parameters
    ----------
    most_px : int, optional
        Along each axis; that of the preview without it. Of volumes it is that of
        the preview at most.

    Returns
    -------
    labels : integer array
        With as many axes as the image's labels.
    corner : tuple of int
        Its first pixel.
    """
    from napari_unet.engine.base.settings import SegmentationSettings
    from napari_unet.engine.segmentation.segmentation import iterate_planes

    pixels, channel_axis = view.pixels()
    most = most_px or _MOST_PX
    if network.description.architecture.ndim == 3:
        most = min(most, _MOST_VOXELS)
    wanted = _middle(view, most)
    region = tuple(edge for part in wanted for edge in (part.start, part.stop))
    last = None
    for report in iterate_planes(
        np.asarray(pixels),
        network,
        settings=SegmentationSettings(channel_axis=channel_axis, region=region),
        instances=network.description.instances,
        device=device,
        intensity_reference=view.intensity_reference(),
    ):
        if cancel is not None and cancel.is_set():
            return None
        last = report
    if last is None or last.labels is None or last.plane is None:
        return None
    # The plane is segmented beyond the region, so that cells at its edge are whole.
    part = tuple(
        slice(want.start - have.start, want.stop - have.start)
        for want, have in zip(wanted, last.plane.area, strict=True)
    )
    box = box_in_layer(wanted, view.plane)
    labels = np.array(last.labels[part]).reshape([part.stop - part.start for part in box])
    return labels, tuple(part.start for part in box)


def _middle(view: LayerImage, most_px: int) -> Region:
    """What is in view in the axes of the plane, and along each axis at most so much of it."""
    sizes = [
        n for n, at in zip(view.labels_shape, view.plane, strict=True) if isinstance(at, slice)
    ]
    edges = view.region or [edge for size in sizes for edge in (0, size)]
    middles = view.near or [size // 2 for size in sizes]
    region = []
    for start, stop, middle in zip(edges[::2], edges[1::2], middles, strict=True):
        first = min(max(start, middle - most_px // 2), max(start, stop - most_px))
        region.append(slice(first, min(stop, first + most_px)))
    return tuple(region)
