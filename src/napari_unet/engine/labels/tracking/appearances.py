"""Every cell of every frame: where it is, how large, and what it shares with the next frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.runs import CommonRuns, ious_of


@dataclass(frozen=True, slots=True, eq=False)
class Appearances:
    """One entry for each cell in each frame, frame by frame, ordered by label within it."""

    frame_starts: NDArray[np.int64]
    """(T + 1,) int64. Where the entries of each frame begin; the last is their number."""
    labels: NDArray[np.int64]
    """(N,) int64. Number of the cell in the stack."""
    centres: NDArray[np.float64]
    """(N, D) float64. Centroid in pixels: y, x or z, y, x."""
    areas: NDArray[np.int64]
    """(N,) int64. In pixels."""

    @property
    def frames(self) -> NDArray[np.int64]:
        """(N,) int64. Frame of each entry, from 0."""
        return np.repeat(np.arange(self.frame_starts.size - 1), np.diff(self.frame_starts))

    def of_frame(self, frame: int) -> slice:
        """Entries of a frame."""
        return slice(int(self.frame_starts[frame]), int(self.frame_starts[frame + 1]))

    def median_diameter(self, step: Sequence[float]) -> float:
        """Diameter of the disc, or the ball, of the median size; NaN without cells.

        Parameters
        ----------
        step : sequence of float
            Size of a pixel along each axis of a frame, in the unit that comes back.
        """
        if not self.areas.size:
            return math.nan
        size = float(np.median(self.areas)) * math.prod(step)
        is_flat = self.centres.shape[1] == 2
        return 2 * math.sqrt(size / math.pi) if is_flat else 2 * (size * 0.75 / math.pi) ** (1 / 3)


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """Cells of a frame that share pixels with cells of the next one, as entries."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    ious: NDArray[np.float64]
    """Shared pixels divided by those of both."""


class FrameLook:
    """Finds the cells of a time series, frame by frame; it holds two frames at a time.

    Parameters
    ----------
    ndim : int
        Axes of a frame.
    """

    def __init__(self, ndim: int) -> None:
        self._starts = [0]
        self._labels = [np.zeros(0, np.int64)]
        self._areas = [np.zeros(0, np.int64)]
        self._centres = [np.zeros((0, ndim))]
        self._before: LabelImage | None = None

    def add(self, frame: LabelImage) -> Overlaps:
        """Look at the next frame; return what its cells share with those of the one before.

        Parameters
        ----------
        frame : (H, W) or (Z, H, W) integer array

        Raises
        ------
        LabelsError
            If it does not hold whole numbers.
        """
        before, self._before = self._before, whole_numbers(frame)
        images = (self._before,) if before is None else (before, self._before)
        runs = CommonRuns.of(*images)
        cells = runs.cells(len(images) - 1)
        # The background, which is the first of the cells, has no entry.
        self._starts.append(self._starts[-1] + cells.ids.size - 1)
        self._labels.append(cells.ids[1:].astype(np.int64))
        self._areas.append(cells.areas[1:])
        self._centres.append(_centres(runs, cells.index, cells.areas)[1:])
        if before is None:
            return Overlaps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        earlier = runs.cells(0)
        shared = runs.shared(earlier, cells)
        rows, columns = (each.astype(np.int64) - 1 for each in shared.coords)
        ious = ious_of(earlier, cells, shared)
        return Overlaps(rows + self._starts[-3], columns + self._starts[-2], ious)

    @property
    def labels_of_last(self) -> NDArray[np.int64]:
        """Cells of the last frame, ascending."""
        return self._labels[-1]

    def appearances(self) -> Appearances:
        """All cells of the frames so far."""
        return Appearances(
            np.array(self._starts),
            np.concatenate(self._labels),
            np.concatenate(self._centres),
            np.concatenate(self._areas),
        )


def _centres(
    runs: CommonRuns, index: NDArray[np.int64], areas: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Centroid of each cell, from the middles of its runs."""
    places = np.stack(np.unravel_index(runs.starts, runs.shape), axis=1).astype(np.float64)
    places[:, -1] += (runs.lengths - 1) / 2
    weights = runs.lengths[:, np.newaxis] * places
    sums = [np.bincount(index, weights[:, axis], areas.size) for axis in range(places.shape[1])]
    centres: NDArray[np.float64] = np.stack(sums, axis=1) / np.maximum(areas, 1)[:, np.newaxis]
    return centres
