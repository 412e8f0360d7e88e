"""The thread's side of where to annotate next: a slice is looked at, and its places are ranked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import PlaneIndex
from napari_unet.widgets.train.plan import PairSource

if TYPE_CHECKING:
    from napari_unet.engine.images.image import Scores
    from napari_unet.engine.labels.uncertainty import UncertainRegion
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.segmentation.segmentation import SegmentationReport


@dataclass(frozen=True, slots=True)
class Looked:
    """So many tiles of so many were looked at, each as it is and mirrored three times."""

    tile: int
    tiles: int

    @property
    def text(self) -> str:
        """What is being done."""
        is_mirrored = self.tile > self.tiles // 4
        what = "looking at the image mirrored" if is_mirrored else "looking at the image"
        return "ranking the places" if self.tile == self.tiles else what


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Where the network is least sure."""

    regions: tuple[UncertainRegion, ...]
    share: float = 1.0
    """Of the image that was looked at."""
    is_stopped: bool = False


class _StoppedError(BaseException):
    """Unwinds a tile; no `except Exception` on the way may hold it up."""


class _Look:
    """What was seen of a plane so far: as it is, and the mean with its mirror images."""

    def __init__(self) -> None:
        self.now: Scores | None = None
        self._plain: Scores | None = None
        self._seen: NDArray[np.bool_] | None = None

    def take(self, report: SegmentationReport) -> None:
        """Take a tile in; where scores are there for the first time they are plain."""
        if report.plane is None:
            return
        self.now = report.plane.scores
        if self._seen is None:
            self._seen = np.zeros(self.now.shape[1:], bool)
        if report.area is not None:
            self._seen[report.area] = True
        if self._plain is None and (report.area is None or 4 * report.tile == report.tiles):
            self._plain = self.now.copy()

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """Where nothing is known yet."""
        return np.zeros(0, bool) if self._seen is None else ~self._seen

    @property
    def plain(self) -> Scores | None:
        """Scores of the image as it is."""
        return self.now if self._plain is None else self._plain

    @property
    def mirrored(self) -> Scores | None:
        """Mean with the mirror images; None before any of them."""
        return None if self._plain is None else self.now


def rank_places(
    source: PairSource,
    plane: PlaneIndex,
    network: Network,
    device: str,
    cancel: threading.Event,
) -> Iterator[Looked | Ranked]:
    """Rank the places of a slice by how unsure the network is, for a worker's thread.

    What a person has changed since the prediction has been looked at. Once
    `cancel` is set, the places are ranked by what was seen by then.
    """
    from napari_unet.engine.base.cancel import CancelsTorch
    from napari_unet.engine.base.settings import SegmentationSettings
    from napari_unet.engine.segmentation.segmentation import iterate_planes

    pixels, channel_axis = source.plane_pixels(plane)
    reports = iterate_planes(
        np.asarray(pixels),
        network,
        # The first of the four passes is that over the image as it is.
        settings=SegmentationSettings(channel_axis=channel_axis, averaging="flips"),
        instances=network.description.instances,
        device=device,
        intensity_reference=source.image.intensity_reference(),
        near=source.image.near,
    )
    look = _Look()
    try:
        while not cancel.is_set():
            with CancelsTorch(cancel, _StoppedError):
                report = next(reports)
            look.take(report)
            yield Looked(report.tile, report.tiles)
            if report.tile == report.tiles:
                break
    except _StoppedError:
        pass
    yield _ranked(look, source, plane, network, is_stopped=cancel.is_set())


def _ranked(
    look: _Look, source: PairSource, plane: PlaneIndex, network: Network, *, is_stopped: bool
) -> Ranked:
    from napari_unet.engine.labels.uncertainty import rank_uncertainty
    from napari_unet.engine.segmentation.instances import instances_from_scores

    plain, description = look.plain, network.description
    if plain is None:
        return Ranked((), 0.0, is_stopped)
    labels = np.array(source.labels[plane])
    known = look.unseen if is_stopped else np.zeros(labels.shape, bool)
    corrected = source.corrected(plane, labels)
    if corrected is not None:
        known = known | corrected
    regions = rank_uncertainty(
        plain,
        description.class_roles,
        instances_from_scores(plain, description.class_roles, description.instances),
        reviewed=known,
        flipped_scores=look.mirrored,
    )
    return Ranked(regions, 1 - float(look.unseen.mean()) if is_stopped else 1.0, is_stopped)
