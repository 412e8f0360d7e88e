"""The layers of a network's scores, shown and taken away with one tick, without another run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import add_below, new_scores_layer, score_layers, zeros_on
from napari_unet.viewer.worker import Job
from napari_unet.widgets.segment.live import LiveLabels
from napari_unet.widgets.segment.recipe import Recipe
from napari_unet.widgets.segment.reports import KeptScores

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class ShownScores(QObject):
    """Makes layers of the scores that the last run has left, under the cells."""

    failed = Signal(object)
    """Carries the exception."""

    def __init__(self, viewer: ViewerModel, live: LiveLabels, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._live = viewer, live
        self._job = Job(self)
        self._run: tuple[LayerImage, Recipe] | None = None

    def keep(self, image: LayerImage, recipe: Recipe) -> None:
        """Take the scores that follow the settings for those of this run."""
        self._run = image, recipe

    def show(self, layer: Image) -> None:
        """Show the scores of an image, if they are those of the last run and not there yet."""
        self._job.stop()
        image_id = str(layer.unique_id)
        if self._run is None or self._live.kept is None or score_layers(self._viewer, image_id):
            return
        image, recipe = self._run
        if image.layer_id == image_id:
            self._job.start(
                partial(layers_of_scores, self._live.kept, image, recipe),
                on_result=self._on_made,
                on_error=self.failed.emit,
            )

    def remove(self, layer: Image) -> None:
        """Take all scores of an image away, of whatever run."""
        self._job.stop()
        for each in score_layers(self._viewer, str(layer.unique_id)):
            self._viewer.layers.remove(each)

    def _on_made(self, layers: list[Image]) -> None:
        labels = self._live.layer
        for layer in layers if labels is not None else ():
            add_below(self._viewer, layer, labels)


def layers_of_scores(kept: KeptScores, image: LayerImage, recipe: Recipe) -> list[Image]:
    """Make a layer for each class but the background; any thread may.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    """
    layers = []
    for number, role in enumerate(recipe.network.description.class_roles):
        if role != "background":
            array = zeros_on(image, np.float32)
            for index, plane in kept.planes:
                array[index] = plane.on_own_grid()[number]
            layers.append(new_scores_layer(array, image, recipe.model, role))
    return layers
