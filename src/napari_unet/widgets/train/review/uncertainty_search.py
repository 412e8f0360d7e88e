"""Finds the places in which the loaded model is least sure, and leads there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.session import Session
from napari_unet.viewer.layers import shown_plane
from napari_unet.viewer.worker import Worker
from napari_unet.widgets.train.job import doubtful_places
from napari_unet.widgets.train.plan import PairSource
from napari_unet.widgets.train.review.uncertainty_panel import DoubtPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.engine.labels.uncertainty import DoubtfulRegion


class DoubtSearch(QWidget):
    """A button, and below it the way through what was found.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    read_sources : callable
        Returns the pairs of the form; raises a `UNetError` if they are not complete.

    Attributes
    ----------
    found : Signal
        The first place is before the eyes.
    failed : Signal
        Carries the exception.
    """

    found = Signal()
    failed = Signal(object)

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
        self._worker: Worker | None = None
        self.button = QPushButton("Where to annotate next")
        self.button.setToolTip(
            "<qt>Look for the places of the image in which the loaded model is least sure, and go "
            "through them: labels painted there teach it most.</qt>"
        )
        self.button.clicked.connect(self.search)
        self.panel = DoubtPanel(viewer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.panel)

    def search(self) -> None:
        """Look at the slice of the first pair that is shown."""
        if self._worker is not None:
            return
        try:
            sources = self._read_sources()
            if not sources:
                raise UNetError("There is no image layer to look at; open one of the images.")
            network = self._session.network
            if network is None:
                raise UNetError("No model is loaded; choose one first.")
        except UNetError as error:
            self.failed.emit(error)
            return
        source = sources[0]
        plane = self._plane(source)
        job = partial(doubtful_places, source, plane, network, self._session.device)
        self.button.setEnabled(False)
        self._worker = Worker(job)
        self._worker.finished.connect(partial(self._on_finished, source, plane))
        self._worker.failed.connect(self.failed)
        self._worker.ended.connect(self._on_ended)
        self._worker.start()

    def stop(self) -> None:
        """Look no more, and take the frame away."""
        if self._worker is not None:
            self._worker.stop()
        self.panel.clear()

    def _plane(self, source: PairSource) -> PlaneIndex:
        ndim = sum(isinstance(part, slice) for part in source.image.plane)
        labels = self._labels_layer(source)
        return (
            source.image.plane if labels is None else shown_plane(labels, self._viewer.dims, ndim)
        )

    def _labels_layer(self, source: PairSource) -> Layer | None:
        found = [each for each in self._viewer.layers if str(each.unique_id) == source.labels_id]
        return found[0] if found else None

    def _on_finished(
        self, source: PairSource, plane: PlaneIndex, regions: tuple[DoubtfulRegion, ...]
    ) -> None:
        labels = self._labels_layer(source)
        if labels is not None:
            self.panel.show_regions(regions, labels, plane=plane)
            self.found.emit()

    def _on_ended(self) -> None:
        self._worker = None
        self.button.setEnabled(True)
