"""Looks at the chosen image before a run, and at the cells after it, and says what may be wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer

from napari_unet.engine.errors import UNetError
from napari_unet.engine.host_memory import free_host_bytes
from napari_unet.engine.memory import segmentation_memory
from napari_unet.guard import (
    Choices,
    Concern,
    ImageFacts,
    concerns,
    found_size_concern,
    image_facts,
)
from napari_unet.layers import (
    SCORES_KEY,
    full_resolution,
    pixel_size_um,
    shown_plane,
    spatial_ndim,
    visible_box,
)
from napari_unet.session import Session
from napari_unet.widgets.runs import MEMORY_SHARE_OF_SCORES
from napari_unet.widgets.segment_form import SegmentForm
from napari_unet.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.network import NetworkDescription


class Advice(QObject):
    """Keeps the concerns of the form up to date.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    form : SegmentForm
    """

    def __init__(self, viewer: ViewerModel, session: Session, form: SegmentForm) -> None:
        super().__init__(form)
        self._viewer = viewer
        self._session = session
        self._form = form
        self._facts: ImageFacts | None = None
        self._looked_at: tuple[Any, ...] = ()
        self._looking: Worker | None = None
        self._found: Concern | None = None
        # Several fields change at once when another layer is chosen.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._look)

    def refresh(self) -> None:
        """Look at the image that is chosen now."""
        self._found = None
        self._soon.start(0)

    def show_found(self, diameter_px: float | None, settings: dict[str, Any]) -> None:
        """Look at the size of the cells that were found.

        Parameters
        ----------
        diameter_px : float, optional
            Median of the cells.
        settings : dict
            Of the run, as its provenance has them.
        """
        network = self._session.network
        if network is not None:
            zoom = _zoom(network.description, settings["diameter_px"], settings["pixel_size_um"])
            self._found = found_size_concern(diameter_px, network.description, zoom)
            self._show()

    def stop(self) -> None:
        """Drop a look that takes long."""
        self._soon.stop()
        if self._looking is not None:
            self._looking.stop()

    def _look(self) -> None:
        layer = self._form.layer
        if layer is None or self._session.network is None:
            self._facts = None
            self._form.concerns.show_concerns(())
            return
        array, options = full_resolution(layer), self._options(layer)
        wanted = (id(array), options)
        if wanted == self._looked_at and self._facts is not None:
            self._show()
            return
        self._looked_at, self._facts = wanted, None
        self.stop()
        look = partial(_look_at, array, options)
        if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            (self._facts,) = look()
            self._show()
            return
        # A block of a lazy array may take any time to read.
        self._looking = Worker(look)
        self._looking.finished.connect(self._on_looked)
        self._looking.ended.connect(self._on_ended)
        self._looking.start()

    def _options(self, layer: Image) -> dict[str, Any]:
        choice = self._form.channel_choice
        height, width = np.asarray(layer.scale, float)[-2:] if layer.ndim > 1 else (1.0, 1.0)
        return {
            "name": str(layer.name),
            "is_rgb": bool(layer.rgb),
            "channel_axis": choice.channel_axis,
            "channel": None if choice.channel is None else choice.channel + 1,
            "axis_labels": tuple(layer.axis_labels),
            "pixel_size_um": pixel_size_um(layer),
            "pixel_aspect": abs(height / width) if width else 1.0,
            "is_multiscale": bool(layer.multiscale),
            "other_images": tuple(
                str(other.name)
                for other in self._viewer.layers
                if isinstance(other, Image) and other != layer and SCORES_KEY not in other.metadata
            ),
        }

    def _on_looked(self, facts: ImageFacts) -> None:
        self._facts = facts
        self._show()

    def _on_ended(self) -> None:
        self._looking = None

    def _show(self) -> None:
        network, layer = self._session.network, self._form.layer
        if network is None or layer is None or self._facts is None:
            return
        found = [] if self._found is None else [self._found]
        choices = self._choices(layer, network.description)
        self._form.concerns.show_concerns(
            found + concerns(self._facts, network.description, choices)
        )

    def _choices(self, layer: Image, description: NetworkDescription) -> Choices:
        facts, extent = self._facts, self._form.extent_choice.extent
        assert facts is not None  # noqa: S101 - asked only with facts
        size_in_um = False
        try:
            diameter_px = self._form.settings().diameter_px
        except UNetError:
            diameter_px, size_in_um = None, True
        axis, ndim = self._form.channel_choice.channel_axis, description.unet.ndim
        if spatial_ndim(layer, axis) < ndim:
            return Choices(extent, (), diameter_px, size_in_um)
        plane = shown_plane(layer, self._viewer.dims, ndim, without=axis)
        shape = facts.shape
        if extent != "stack":
            shape = tuple(n for n, at in zip(shape, plane, strict=True) if isinstance(at, slice))
        if extent == "view":
            kept = tuple(each for each in range(layer.ndim) if each != axis)
            box = visible_box(layer, kept, plane, list(shape))
            if box is not None:
                shape = tuple(np.subtract(box[1::2], box[::2]).tolist())
        zoom = _zoom(description, diameter_px, facts.pixel_size_um)
        free = free_host_bytes()
        scores = 4 * description.unet.classes * math.prod(shape) * zoom**ndim
        keeps_scores = scores <= MEMORY_SHARE_OF_SCORES * free
        needed = segmentation_memory(shape, description, kept_scores=keeps_scores, zoom=zoom)
        return Choices(extent, plane, diameter_px, size_in_um, needed, free, keeps_scores)


def _look_at(array: Any, options: dict[str, Any]) -> Iterator[ImageFacts]:
    yield image_facts(array, **options)


def _zoom(
    description: NetworkDescription, diameter_px: float | None, size_um: float | None
) -> float:
    """Factor by which the engine resizes the image."""
    if diameter_px is not None and description.object_diameter_px is not None:
        return description.object_diameter_px / diameter_px
    if size_um is not None and description.pixel_size_um is not None:
        return size_um / description.pixel_size_um
    return 1.0
