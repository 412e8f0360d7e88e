"""Finds the places in which the loaded model is least sure, and leads there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import PlaneIndex, plane_key
from napari_unet.session import Session
from napari_unet.viewer.layers import find_layer, shown_plane
from napari_unet.widgets.shared.buttons import JobButton
from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.train.plan import PairSource
from napari_unet.widgets.train.review.uncertainty_panel import UncertaintyPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.labels.uncertainty import UncertainRegion
    from napari_unet.engine.networks.network import Network


class UncertaintySearch(QWidget):
    """A button, and below it the way through what was found.

    Parameters
    ----------
    read_sources : callable
        Returns the pairs of the form; raises a `UNetError` if they are not complete.
    """

    found = Signal()
    """The first place is before the eyes."""
    failed = Signal(object)
    """Carries the exception."""

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
        self.button = JobButton(
            "Where to annotate next",
            "Look for the places of the image in which the loaded model is least sure, and go "
            "through them: labels painted there teach it most.",
            self._prepare,
        )
        self.button.failed.connect(self.failed)
        self.panel = UncertaintyPanel(viewer)
        in_column(self.button, self.panel, within=self)

    def stop(self) -> None:
        """Look no more, and take the frame away."""
        self.button.stop()
        self.panel.clear()

    def _prepare(self) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """Look at the slice of the first pair that is shown."""
        sources = self._read_sources()
        if not sources:
            raise UNetError("There is no image layer to look at; open one of the images.")
        network = self._session.network
        if network is None:
            raise UNetError("No model is loaded; choose one first.")
        source = sources[0]
        plane = self._plane(source)
        work = partial(uncertain_places, source, plane, network, self._session.device)
        return work, partial(self._on_found, source, plane)

    def _plane(self, source: PairSource) -> PlaneIndex:
        labels = find_layer(self._viewer, source.labels_id)
        if labels is None:
            return source.image.plane
        ndim = sum(isinstance(part, slice) for part in source.image.plane)
        return shown_plane(labels, self._viewer.dims, ndim)

    def _on_found(
        self, source: PairSource, plane: PlaneIndex, regions: tuple[UncertainRegion, ...]
    ) -> None:
        labels = find_layer(self._viewer, source.labels_id)
        if labels is not None:
            self.panel.show_regions(regions, labels, plane=plane)
            self.found.emit()


def uncertain_places(
    source: PairSource, plane: PlaneIndex, network: Network, device: str
) -> tuple[UncertainRegion, ...]:
    """Rank the places of a slice by how unsure the network is, for a worker's thread.

    What a person has changed since the prediction has been looked at.
    """
    from napari_unet.engine.labels.uncertainty import rank_uncertainty
    from napari_unet.engine.models.one_call import segment

    pixels, channel_axis = source.plane_pixels(plane)
    plain, flipped = (
        segment(
            np.asarray(pixels),
            network,
            channel_axis=channel_axis,
            flips=flips,
            device=device,
            intensity_reference=source.image.intensity_reference(),
        )
        for flips in (False, True)
    )
    assert plain.scores is not None  # noqa: S101 - they were not told not to be kept
    labels = np.array(source.labels[plane])
    kept = source.predictions.get(plane_key(plane))
    reviewed = kept.changed(labels) if kept is not None and kept.shape == labels.shape else None
    return rank_uncertainty(
        plain.scores,
        network.description.class_roles,
        plain.labels,
        reviewed=reviewed,
        flipped_scores=flipped.scores,
    )
