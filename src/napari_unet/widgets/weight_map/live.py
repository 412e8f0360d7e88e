"""The weight map of a labels layer as an overlay that follows every stroke."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.engine.images.image import PlaneIndex
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.viewer.layers import place_of, shown_plane
from napari_unet.viewer.results import add_below, move_to, new_weight_layer, weight_limits
from napari_unet.viewer.worker import Job
from napari_unet.widgets.shared.parts import single_shot, while_alive
from napari_unet.widgets.weight_map.follow import LabelEvents, MapReport, Spacing, follow, weight_at

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.weight_map.tracker import PixelWeight, WeightMapTracker

_PAUSE_MS = 15
"""What happens within this time makes one update: a brush tells of each move of the mouse."""

_REST = 3
"""How many times as long as napari needs to draw a new map the brush has the window to itself."""


class LiveWeightMap(QObject):
    """Keeps the overlay of one labels layer up to date; the latest edit wins.

    A large map takes napari a while to draw. The larger it is, the fewer of the
    edits of a stroke get a map of their own, so that the brush stays quick.

    Attributes
    ----------
    labels, overlay : napari layers, optional
        The layer whose map is shown, and the one that shows it; None if none is.
    ndim : int
        Axes along which distances are measured.
    """

    updated = Signal(object)
    """Carries a `MapReport`."""
    moved = Signal()
    """The labels were scaled, given a unit or put elsewhere, and the overlay with them."""
    ended = Signal(str)
    """Carries a sentence: a layer is gone, so the overlay is no longer kept up."""
    failed = Signal(object)
    """Carries the exception; the overlay stays as it was."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.labels: Labels | None = None
        self.overlay: Image | None = None
        self._settings = WeightMapSettings()
        self.ndim = 2
        self._spacing: Spacing = None
        self._trackers: dict[str, WeightMapTracker] = {}
        self._job = Job(self)
        self._is_due = False
        self._pause = single_shot(self, self._update, after_ms=_PAUSE_MS)
        self._events = LabelEvents(viewer, self)
        self._events.edited.connect(self._on_edited)
        self._events.moved.connect(self._on_moved)
        self._events.removed.connect(self._on_removed)

    @property
    def is_busy(self) -> bool:
        """Whether an edit is not shown yet."""
        return self._job.is_running or self._pause.isActive()

    def start(
        self, labels: Labels, settings: WeightMapSettings, *, ndim: int = 2, spacing: Spacing = None
    ) -> None:
        """Show the map of a layer instead of any that is shown.

        Parameters
        ----------
        ndim : int
            2: slice by slice, as they are looked at; 3: of the last three axes together.
        spacing : Spacing
            Along these axes.
        """
        self.stop()
        self.labels, self._settings = labels, settings
        self.ndim, self._spacing = ndim, spacing
        self._pause.setInterval(_PAUSE_MS)
        self.overlay = new_weight_layer(np.zeros(labels.data.shape, np.float32), labels, settings)
        # Who paints goes on painting, and sees the cells.
        add_below(self._viewer, self.overlay, labels)
        self._events.follow(labels, self.overlay)
        self._update()

    def change(self, settings: WeightMapSettings, *, spacing: Spacing = None) -> None:
        """Show the map with other settings."""
        if self.labels is None or (settings, spacing) == (self._settings, self._spacing):
            return
        self._settings, self._spacing = settings, spacing
        self._trackers = {}
        if self.overlay is not None:
            self.overlay.contrast_limits = weight_limits(settings)
        self._pause.start()

    def stop(self) -> None:
        """Take the overlay away; nothing listens to the labels any more."""
        self._job.stop()
        self._pause.stop()
        self._events.leave()
        overlay = self.overlay
        self.labels = self.overlay = None
        self._trackers = {}
        if overlay is not None and overlay in self._viewer.layers:
            self._viewer.layers.remove(overlay)

    def at(self, position: Sequence[float]) -> PixelWeight | None:
        """Distances to the two nearest cells and the weight at a place in the world, if known."""
        if self.labels is None or self._job.is_running:
            return None
        return weight_at(self.labels, self._plane(), self._trackers, position)

    def _plane(self) -> PlaneIndex:
        assert self.labels is not None  # noqa: S101 - asked only while it is on
        return shown_plane(self.labels, self._viewer.dims, self.ndim)

    def _on_edited(self) -> None:
        # In napari's own event: only note it, the brush must not wait.
        if not self._pause.isActive():
            self._pause.start()

    def _on_moved(self) -> None:
        if self.labels is not None and self.overlay is not None:
            move_to(self.overlay, place_of(self.labels, tuple(range(self.labels.ndim))))
            self.moved.emit()

    def _update(self) -> None:
        labels, overlay = self.labels, self.overlay
        if labels is None or overlay is None:
            return
        if self._job.is_running:
            self._is_due = True
            return
        if labels.data.shape != overlay.data.shape:
            ndim = min(self.ndim, labels.ndim)
            spacing = self._spacing if ndim == self.ndim else None
            self.start(labels, self._settings, ndim=ndim, spacing=spacing)
            return
        self._is_due = False
        arrays, settings = (labels.data, overlay.data), (self._settings, self._spacing)
        self._job.start(
            partial(follow, *arrays, self._plane(), self._trackers, *settings),
            on_result=self._on_followed,
            on_error=self.failed.emit,
            on_end=self._on_ended,
        )

    def _on_followed(self, report: MapReport) -> None:
        if self.overlay is not None:
            self.overlay.refresh(extent=False, highlight=False, thumbnail=False)
            # Its turn comes after the drawing that has just been asked for.
            QTimer.singleShot(0, partial(self._on_drawn, time.perf_counter()))
            self.updated.emit(report)

    @while_alive
    def _on_drawn(self, began: float) -> None:
        rest_ms = _REST * 1000 * (time.perf_counter() - began)
        self._pause.setInterval(max(_PAUSE_MS, round(rest_ms)))

    def _on_ended(self) -> None:
        if self._is_due and self.labels is not None:
            self._pause.start()

    def _on_removed(self, name: str) -> None:
        self.stop()
        self.ended.emit(f"Layer '{name}' was removed.")
