"""Finds the places in which the loaded model is least sure, and leads there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.session import Session
from napari_unet.viewer.layers import find_layer, shown_plane
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.train.plan import PairSource
from napari_unet.widgets.train.review.ranking import Looked, Ranked, rank_places
from napari_unet.widgets.train.review.uncertainty_panel import UncertaintyPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import Network

_STOPPED = "Stopped before any part of the image was looked at."
_PART = "Stopped: these places are in the part that was looked at."
_NONE_IN_PART = "Stopped: in the part that was looked at the network is sure everywhere."


class UncertaintySearch(QWidget):
    """A button that runs and stops, and below it the way through what was found.

    Parameters
    ----------
    read_sources : callable
        Returns the pairs of the form; raises a `UNetError` if they are not complete.
    """

    found = Signal()
    """The first place is before the eyes."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        read_sources: Callable[[], tuple[PairSource, ...]],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._read_sources = read_sources
        self._job = Job(self)
        self._cancel = threading.Event()
        self.run_panel = RunPanel(
            "Find where to annotate next",
            "<qt>Look for the places of the image in which the loaded model is least sure, and go "
            "through them: there it errs most often.</qt>",
        )
        self.run_panel.run_clicked.connect(self.start)
        self.run_panel.stop_clicked.connect(self._on_stop_clicked)
        layers = viewer.layers
        self.run_panel.label.follow(
            lambda: session.network,
            session.network_loaded,
            *(layers.events.inserted, layers.events.removed, layers.selection.events.active),
        )
        self.panel = UncertaintyPanel(viewer)
        in_column(self.run_panel, self.panel, within=self)

    @property
    def button(self) -> QPushButton:
        """Starts the search, and stops it while it runs."""
        return self.run_panel.button

    def start(self) -> None:
        """Look at the slice of the first pair that is shown."""
        if self.run_panel.is_running:
            return
        self.panel.clear()
        try:
            source, network = self._prepared()
        except UNetError as error:
            self.run_panel.show_error(str(error))
            return
        plane = self._plane(source)
        self._cancel = threading.Event()
        self.run_panel.show_running("reading the image")
        self._job.start(
            partial(rank_places, source, plane, network, self._session.device, self._cancel),
            on_report=self._on_report,
            on_result=partial(self._on_found, source, plane),
            on_error=self._on_failed,
        )

    def stop(self) -> None:
        """Look no more, and take the frame away."""
        self._job.stop()
        self.run_panel.show_idle()
        self.panel.clear()

    def _prepared(self) -> tuple[PairSource, Network]:
        from napari_unet.engine.networks.annotation import labels_are_classes

        network = self._session.network
        if network is None:
            raise UNetError("No model is loaded; choose one first.")
        description = network.description
        if labels_are_classes(description.class_roles):
            raise UNetError(
                f"'{description.name}' tells {', '.join(description.class_roles)} apart and finds "
                "no cells, and places are ranked by the cells in them; choose a model that finds "
                "cells."
            )
        sources = self._read_sources()
        if not sources:
            raise UNetError("There is no image layer to look at; open one of the images.")
        return sources[0], network

    def _plane(self, source: PairSource) -> PlaneIndex:
        labels = find_layer(self._viewer, source.labels_id)
        if labels is None:
            return source.image.plane
        ndim = sum(isinstance(part, slice) for part in source.image.plane)
        return shown_plane(labels, self._viewer.dims, ndim)

    def _on_stop_clicked(self) -> None:
        self._cancel.set()
        self.run_panel.show_progress(0, 0, "stopping")

    def _on_report(self, report: Looked | Ranked) -> None:
        if isinstance(report, Looked) and not self._cancel.is_set():
            self.run_panel.show_progress(report.tile, report.tiles, report.text)

    def _on_found(self, source: PairSource, plane: PlaneIndex, ranked: Ranked) -> None:
        self.run_panel.show_idle(_how_it_ended(ranked))
        labels = find_layer(self._viewer, source.labels_id)
        if labels is not None and (ranked.regions or not ranked.is_stopped):
            self.panel.show_regions(ranked.regions, labels, plane=plane)
            self.found.emit()

    def _on_failed(self, error: Exception) -> None:
        self.run_panel.show_error(failure_sentence(error))


def _how_it_ended(ranked: Ranked) -> str:
    if not ranked.is_stopped:
        return ""
    if not ranked.share:
        return _STOPPED
    return _PART if ranked.regions else _NONE_IN_PART
