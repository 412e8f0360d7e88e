"""What the network that learns sees now, as a layer over the field of view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_unet.layers import PREVIEW_KEY, part_of_place
from napari_unet.widgets.training_job import Previewed

if TYPE_CHECKING:
    from napari.components import ViewerModel


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
        layer = self.layer
        place = part_of_place(seen.image.place, seen.corner)
        name = f"{seen.image.name}: preview of training"
        if layer is None:
            if self._layer is not None:
                return  # Someone removed it: they do not want it.
            active = self._viewer.layers.selection.active
            layer = Labels(
                np.asarray(seen.labels), name=name, metadata={PREVIEW_KEY: True}, **place
            )
            layer.contour, layer.editable = 2, False
            self._layer = layer
            self._viewer.add_layer(layer)
            # Who paints goes on painting.
            self._viewer.layers.selection.active = active
            return
        layer.data = seen.labels
        layer.translate = place["translate"]
        layer.editable = False

    def forget(self) -> None:
        """Begin the next training with a new one."""
        self.remove()
        self._layer = None

    def remove(self) -> None:
        """Take it away."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)
