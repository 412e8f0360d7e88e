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
from napari_unet.viewer.label_edits import LabelEdit, label_edit
from napari_unet.viewer.warm_up import preparation
from napari_unet.widgets.tracks.layers import new_lines_layer, new_numbered_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels
    from napari.layers import Tracks as TracksLayer


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What is known of a film that is followed anew, after its labels were edited."""

    tracks: Tracks
    shown: Any
    """The labels that keep their numbers, which are to be changed."""
    is_numbered: bool
    """These are the edited labels, so that a cell has the number of its track already."""

    def numbers_in(self, tracks: Tracks) -> NDArray[np.int64]:
        """Track that each cell was in; 0 for what is new."""
        if not self.is_numbered:
            return self.tracks.numbers_of(tracks.appearances)
        labels = tracks.appearances.labels
        return np.where(np.isin(labels, self.tracks.numbers), labels, 0)


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
    before: Before | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What came out."""

    request: Request
    tracks: Tracks
    source: LabelRuns
    """The labels as they were."""
    columns: dict[str, NDArray[Any]]
    """Of the table of tracks."""
    numbered: Labels | LabelEdit
    """Labels that keep their numbers: a layer, or what changes the one of before."""
    lines: TracksLayer | None
    """None without cells."""


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
    for text in preparation.wait_for("tracks"):
        yield Progress(0, 1, text)
    # A copy: whoever paints meanwhile changes other labels than these.
    stack = np.array(request.labels)
    frames = len(stack)
    for report in iterate_tracking(stack, request.settings, pixel_size=request.pixel_size):
        is_reading = report.done <= frames
        text = f"frame {report.done} of {frames}" if is_reading else "linking the cells"
        yield Progress(report.done, report.total + frames, text)
    tracks, total = report.tracks, report.total + frames
    assert tracks is not None  # noqa: S101 - the last report has them
    before, name, place = request.before, request.name, request.place
    if before is not None:
        highest = int(before.tracks.numbers.max(initial=0))
        tracks = tracks.keeping(before.numbers_in(tracks), above=highest)
    numbered = np.empty(stack.shape, np.int32)
    for at, frame in enumerate(tracks.relabelled(stack)):
        numbered[at] = frame
        yield Progress(report.total + at + 1, total, "numbering the cells")
    layer = (
        new_numbered_layer(numbered, name=name, place=place)
        if before is None
        else label_edit(np.asarray(before.shown), numbered)
    )
    lines = new_lines_layer(tracks, name=name, place=place)
    source = LabelRuns.of(stack)
    followed = Followed(request, tracks, source, track_columns(tracks), layer, lines)
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
