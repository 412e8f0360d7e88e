"""A labels layer that is followed through time: the request, and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.runs import LabelRuns
from napari_unet.engine.labels.tracking.settings import TrackingSettings
from napari_unet.engine.labels.tracking.tracking import iterate_tracking
from napari_unet.engine.labels.tracking.tracks import Tracks
from napari_unet.widgets.tracks.layers import new_tracked_layers

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels
    from napari.layers import Tracks as TracksLayer


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be followed, free of the viewer."""

    labels: Any
    """(T, H, W) or (T, Z, H, W) integer array, which may be lazy."""
    name: str
    """Of its layer."""
    place: dict[str, Any]
    """As `place_of` gives it."""
    settings: TrackingSettings
    pixel_size: tuple[float, ...]
    """Along the axes of a frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What came out."""

    request: Request
    tracks: Tracks
    source: LabelRuns
    """The labels as they were."""
    columns: dict[str, NDArray[Any]]
    """Of the table of tracks."""
    layers: tuple[Labels, TracksLayer | None]
    """Labels that keep their numbers, and lines; no lines without cells."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come; the last one has the result."""

    done: int
    total: int
    text: str
    followed: Followed | None = None


def follow(request: Request) -> Iterator[Progress]:
    """Follow the cells of a layer, and make layers and a table, for a worker's thread.

    Raises
    ------
    UNetError
        As `iterate_tracking`.
    """
    # A copy: whoever paints meanwhile changes other labels than these.
    stack = np.array(request.labels)
    frames = len(stack)
    for report in iterate_tracking(stack, request.settings, pixel_size=request.pixel_size):
        is_reading = report.done <= frames
        text = f"frame {report.done} of {frames}" if is_reading else "linking the cells"
        yield Progress(report.done, report.total + frames, text)
    tracks, total = report.tracks, report.total + frames
    assert tracks is not None  # noqa: S101 - the last report has them
    numbered = np.empty(stack.shape, np.int32)
    for at, frame in enumerate(tracks.relabelled(stack)):
        numbered[at] = frame
        yield Progress(report.total + at + 1, total, "numbering the cells")
    source = LabelRuns.of(stack)
    layers = new_tracked_layers(tracks, numbered, name=request.name, place=request.place)
    followed = Followed(request, tracks, source, track_columns(tracks), layers)
    yield Progress(total, total, "", followed)


def save(folder: Path, followed: Followed) -> Iterator[int]:
    """Write what was followed in the form of the Cell Tracking Challenge, for a worker's thread."""
    from napari_unet.files.tracking_challenge import write_challenge

    yield from write_challenge(folder, followed.tracks, followed.source.labels())


def track_columns(tracks: Tracks) -> dict[str, NDArray[Any]]:
    """Columns of the table of tracks; an empty table has none."""
    if not tracks.count:
        return {}
    lives = tracks.lives()
    return {
        "track": lives["track"],
        "begins": lives["first_frame"],
        "ends": lives["last_frame"],
        "frames": lives["frames"],
        # What is no number is shown as nothing.
        "parent": np.where(lives["parent"] > 0, lives["parent"], np.nan),
    }
