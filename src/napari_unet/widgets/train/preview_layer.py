"""What the network that learns sees now, as a layer over the field of view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.viewer.results import part_of_place
from napari_unet.widgets.train.job import Previewed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


class PreviewLayer:
    """Adds one Labels layer, changes it in place, and takes it away.

    Parameters
    ----------
    viewer : napari viewer
    """

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
