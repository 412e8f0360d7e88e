"""From labels of a time series to tracks, with a report after each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.labels.tracking.appearances import FrameLook, Overlaps
from napari_unet.engine.labels.tracking.divisions import find_divisions
from napari_unet.engine.labels.tracking.laptrack_links import distance_links, load_laptrack
from napari_unet.engine.labels.tracking.matching import best_pairs
from napari_unet.engine.labels.tracking.settings import TrackingSettings
from napari_unet.engine.labels.tracking.tracks import Tracks, joined


@dataclass(frozen=True, slots=True)
class TrackingReport:
    """How far it has come; the last one has the tracks."""

    done: int
    total: int
    """`done` of `total` steps: each frame is read, then linked; the last is all the rest."""
    tracks: Tracks | None = None


def track_cells(
    stack: AnyImage,
    settings: TrackingSettings | None = None,
    *,
    pixel_size: Sequence[float] | None = None,
) -> Tracks:
    """Follow the cells of a time series in one call; see `iterate_tracking`.

    Parameters
    ----------
    stack, settings, pixel_size
        As for `iterate_tracking`.

    Raises
    ------
    LabelsError, TrackingError
        As `iterate_tracking`.
    """
    *_, last = iterate_tracking(stack, settings, pixel_size=pixel_size)
    assert last.tracks is not None  # noqa: S101 - the last report has them
    return last.tracks


def iterate_tracking(
    stack: AnyImage,
    settings: TrackingSettings | None = None,
    *,
    pixel_size: Sequence[float] | None = None,
) -> Iterator[TrackingReport]:
    """Follow the cells of a time series.

    A cell is linked to the one in the next frame that it shares the most pixels
    with; all cells of both frames are matched at once, by the largest sum of
    IoU. What overlaps nothing, and what comes back after a gap, is linked by
    distance (laptrack). Last, cells that begin are held against those that may
    be their parents. To stop, iterate no further.

    Parameters
    ----------
    stack : (T, H, W) or (T, Z, H, W) integer array
        0 is background; each positive number of a frame is one cell. It may be
        lazy.
    settings : TrackingSettings, optional
    pixel_size : sequence of float, optional
        Size of a pixel along each axis of a frame, in any one unit; only their
        proportions count. All alike if left out.

    Yields
    ------
    TrackingReport
        The last one holds the tracks.

    Raises
    ------
    LabelsError
        If the stack has other axes or does not hold whole numbers.
    TrackingError
        If laptrack is not installed.

    References
    ----------
    Jaqaman et al. (2008). https://doi.org/10.1038/nmeth.1237
    """
    settings = settings or TrackingSettings()
    shape = tuple(map(int, stack.shape))
    if len(shape) not in (3, 4) or 0 in shape:
        raise LabelsError(
            f"The labels have shape {shape}; a time series has frames of 2 or 3 axes, (T, Y, X) or "
            "(T, Z, Y, X). Choose labels of several frames."
        )
    load_laptrack()
    step = _step(pixel_size, len(shape) - 1)
    total = 2 * shape[0] + 1
    look, overlaps = FrameLook(len(step)), list[Overlaps]()
    for done, frame in enumerate(stack, start=1):
        overlaps.append(look.add(np.asarray(frame)))
        yield TrackingReport(done, total)
    appearances = look.appearances()
    places = appearances.centres * step
    largest_move = settings.largest_move_px or appearances.median_diameter(step.tolist())
    parts = []
    for done, pairs in enumerate(overlaps, start=shape[0] + 1):
        parts.append(_overlap_links(pairs, places, largest_move))
        yield TrackingReport(done, total)
    for part in distance_links(
        appearances,
        places,
        np.concatenate(parts),
        largest_move=largest_move,
        longest_gap_frames=settings.longest_gap_frames,
    ):
        parts.append(part)
        yield TrackingReport(total - 1, total)
    links = np.concatenate(parts)
    divisions = links[:0]
    if settings.divisions:
        divisions = find_divisions(appearances, places, links, largest_move=largest_move)
    tracks = joined(appearances, links, divisions, largest_move_px=largest_move)
    yield TrackingReport(total, total, tracks)


def _step(pixel_size: Sequence[float] | None, ndim: int) -> NDArray[np.float64]:
    if pixel_size is None:
        return np.ones(ndim)
    if len(pixel_size) != ndim:
        raise LabelsError(
            f"The size of a pixel is given along {len(pixel_size)} axes, and a frame has {ndim}."
        )
    sizes = np.abs(np.asarray(pixel_size, np.float64))
    step: NDArray[np.float64] = sizes / sizes[-1]
    return step


def _overlap_links(
    pairs: Overlaps, places: NDArray[np.float64], largest_move: float
) -> NDArray[np.int64]:
    moves = np.linalg.norm(places[pairs.before] - places[pairs.after], axis=1)
    near = moves <= largest_move
    before, after = pairs.before[near], pairs.after[near]
    chosen = best_pairs(before, after, pairs.ious[near])
    links: NDArray[np.int64] = np.stack([before[chosen], after[chosen]], axis=1)
    return links
