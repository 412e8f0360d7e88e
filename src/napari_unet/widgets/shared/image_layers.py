"""The image layer that is looked at: which one is selected, and what its pixels are like."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.checks.image_facts import ImageFacts, image_facts
from napari_unet.viewer.layers import full_resolution, pixel_size_um, spacing_of
from napari_unet.viewer.results import SCORES_KEY, is_made_up
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot, while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel


class SelectedImage(QObject):
    """Follows the layer list of a viewer.

    Parameters
    ----------
    parent : QObject
        It lives as long as this.
    """

    changed = Signal()
    """Another layer, other data, or another name; once for all that happens at a time."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._soon = single_shot(self, self._on_due)
        viewer.layers.selection.events.active.connect(self._on_event)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._on_event)
        self._follow()

    @property
    def layer(self) -> Image | None:
        """The selected image layer; the uppermost one if another kind is selected."""
        active = self._viewer.layers.selection.active
        # Scores are images, too, but of no cells.
        images = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_made_up(layer)
        ]
        if active in images:
            return active
        return images[-1] if images else None

    def _follow(self) -> None:
        layer = self.layer
        if layer is not None:
            # Once for each layer, however often.
            for event in (layer.events.name, layer.events.data):
                event.connect(self._on_event)

    @while_alive
    def _on_event(self, _event: Any = None) -> None:
        self._soon.start()

    def _on_due(self) -> None:
        self._follow()
        self.changed.emit()


class ImageLook(QObject):
    """Keeps the facts about the image that it was last shown.

    Parameters
    ----------
    parent : QObject
        It lives as long as this.

    Attributes
    ----------
    facts : ImageFacts, optional
        None until it has looked.
    """

    looked = Signal()
    """The facts are those of the layer that was asked for last."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.facts: ImageFacts | None = None
        self._looked_at: tuple[Any, ...] = ()
        self._job = Job(self)

    def start(
        self,
        layer: Image,
        viewer: ViewerModel,
        *,
        channel_axis: int | None = None,
        channel: int | None = None,
    ) -> None:
        """Look at a layer, unless it has just been looked at.

        Parameters
        ----------
        viewer : napari viewer
            Its other image layers are facts, too.
        channel_axis, channel : int, optional
            How the layer is read; counted from 0.
        """
        array, options = full_resolution(layer), _options(layer, viewer, channel_axis, channel)
        wanted = (id(array), options)
        if wanted == self._looked_at and self.facts is not None:
            self.looked.emit()
            return
        self.stop()
        self._looked_at = wanted
        look = partial(image_facts, array, **options)
        if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            self._on_result(look())
        else:
            # A block of a lazy array may take any time to read.
            self._job.start(look, on_result=self._on_result)

    def stop(self) -> None:
        """Drop a look that takes long, and forget."""
        self.facts, self._looked_at = None, ()
        self._job.stop()

    def _on_result(self, facts: ImageFacts) -> None:
        self.facts = facts
        self.looked.emit()


def _options(
    layer: Image, viewer: ViewerModel, channel_axis: int | None, channel: int | None
) -> dict[str, Any]:
    height, width = np.asarray(layer.scale, float)[-2:] if layer.ndim > 1 else (1.0, 1.0)
    return {
        "name": str(layer.name),
        "is_rgb": bool(layer.rgb),
        "channel_axis": channel_axis,
        "channel": None if channel is None else channel + 1,
        "axis_labels": tuple(layer.axis_labels),
        "pixel_size_um": pixel_size_um(layer),
        "spacing": spacing_of(layer, [n for n in range(layer.ndim) if n != channel_axis]),
        "pixel_aspect": abs(height / width) if width else 1.0,
        "other_images": tuple(
            str(other.name)
            for other in viewer.layers
            if isinstance(other, Image) and other != layer and SCORES_KEY not in other.metadata
        ),
    }
