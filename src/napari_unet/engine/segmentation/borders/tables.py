"""What is measured of basins and of the borders between them, gathered from any number of parts.

All of it are counts, sums of whole numbers and highest values, so that no order of gathering
matters: a whole image has the same tables as its parts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.exact_sums import ONE, as_whole, whole
from napari_unet.engine.labels.components import joined
from napari_unet.engine.segmentation.borders.basins import BasinMaps
from napari_unet.engine.segmentation.foreground import Foreground

_WAIST_PX = 0.75
"""What is not shallower by this than the shallower of its two sides divides nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class BorderTables:
    """Basins, which have any numbers, and the borders between them."""

    basins: NDArray[np.int64]
    """(N,) int64. Ascending."""
    sizes: NDArray[np.int64]
    """(N, 2) int64. Pixels, and sum of the cell scores."""
    peaks: NDArray[np.float32]
    """(N, 2) float32. Greatest depth and smoothed cell score."""
    pairs: NDArray[np.int64]
    """(M, 2) int64. Basins on both sides, the lower number first; ascending."""
    sums: NDArray[np.int64]
    """(M, 5) int64. Faces, and sums over both of their sides: border scores, the highest of
    these nearby, cell scores, the lowest of these nearby."""
    highs: NDArray[np.float32]
    """(M, 5) float32. Highest border score; the negative of the lowest nearby; of the lower
    side of a face the highest cell score, depth and smoothed cell score."""
    ends: NDArray[np.int64]
    """(M, 2, 4) int64. On each side the highest of row, -row, column, -column."""

    @classmethod
    def gathered(cls, parts: Sequence[BorderTables]) -> BorderTables:
        """Tables of all parts together; each pixel and each face is in one of them."""
        columns = [np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)]
        return cls._grouped(*columns)

    def joined(self, numbers: NDArray[np.int64]) -> BorderTables:
        """Tables of larger basins: (N,) `numbers` says which each becomes part of."""
        pairs = numbers[np.searchsorted(self.basins, self.pairs)]
        return self._grouped(
            numbers, self.sizes, self.peaks, pairs, self.sums, self.highs, self.ends
        )

    @classmethod
    def _grouped(
        cls,
        numbers: NDArray[np.int64],
        sizes: NDArray[np.int64],
        peaks: NDArray[np.float32],
        pairs: NDArray[np.int64],
        sums: NDArray[np.int64],
        highs: NDArray[np.float32],
        ends: NDArray[np.int64],
    ) -> BorderTables:
        order, first = _groups(numbers)
        is_border = pairs[:, 0] != pairs[:, 1]
        is_swapped = (pairs[:, 0] > pairs[:, 1])[:, np.newaxis, np.newaxis]
        ends = np.where(is_swapped, ends[:, ::-1], ends)
        pairs = np.sort(pairs, axis=1)
        by_pair, of_pair = _groups(*pairs[is_border].T)
        by_pair = np.flatnonzero(is_border)[by_pair]
        return cls(
            numbers[order[first]],
            np.add.reduceat(sizes[order], first) if first.size else sizes[:0],
            np.maximum.reduceat(peaks[order], first) if first.size else peaks[:0],
            pairs[by_pair[of_pair]],
            np.add.reduceat(sums[by_pair], of_pair) if of_pair.size else sums[:0],
            np.maximum.reduceat(highs[by_pair], of_pair) if of_pair.size else highs[:0],
            np.maximum.reduceat(ends[by_pair], of_pair) if of_pair.size else ends[:0],
        )

    def one_where(self, is_one: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Number of each basin once both sides of some borders are one: the lowest of them."""
        components = joined(np.searchsorted(self.basins, self.pairs), is_one, self.basins.size)
        first = np.unique(components, return_index=True)[1]
        numbers: NDArray[np.int64] = self.basins[first][components]
        return numbers

    @property
    def is_shallow(self) -> NDArray[np.bool_]:
        """(M,) bool. Whether no waist divides both sides."""
        peaks = self._of_sides(self.peaks[:, 0]).astype(np.float64)
        shallow: NDArray[np.bool_] = peaks.min(axis=1) - self.highs[:, 3] < _WAIST_PX
        return shallow

    def features(self) -> NDArray[np.float64]:
        """Measures of borders, (M, features) in the order of `BORDER_FEATURES`."""
        area_px = self._of_sides(self.sizes[:, 0])
        cell = self._of_sides(self.sizes[:, 1]) / (ONE * area_px)
        depth, smooth = (self._of_sides(each).astype(np.float64) for each in self.peaks.T)
        highs = self.highs.astype(np.float64)
        length = self.sums[:, 0]
        means = self.sums[:, 1:] / (2 * ONE * length[:, np.newaxis])
        smaller = area_px.min(axis=1)
        one = self.ends[:, 0].sum(axis=1)
        return np.stack(
            [
                np.log(area_px.max(axis=1) / smaller),
                length / (2 * np.sqrt(smaller / np.pi)),
                means[:, 0],
                highs[:, 0],
                means[:, 1],
                -highs[:, 1],
                means[:, 2],
                highs[:, 2],
                means[:, 3],
                highs[:, 3] / (depth.min(axis=1) + 1e-3),
                highs[:, 3] / (depth.max(axis=1) + 1e-3),
                cell.sum(axis=1),
                smooth.min(axis=1) - highs[:, 4],
                one / (length + 1),
            ],
            axis=1,
        )

    def _of_sides(self, of_basins: NDArray[Any]) -> NDArray[Any]:
        sides: NDArray[Any] = of_basins[np.searchsorted(self.basins, self.pairs)]
        return sides


def _groups(*keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order in which equal keys, the first counts most, follow each other, and where they begin."""
    order = np.lexsort(keys[::-1])
    begins = np.zeros(order.size, np.bool_)
    begins[:1] = True
    for key in keys:
        begins[1:] |= np.diff(key[order]) != 0
    return order, np.flatnonzero(begins)


def measure_basins(
    foreground: Foreground,
    maps: BasinMaps,
    numbers: NDArray[np.int64],
    *,
    base: int,
    origin: tuple[int, int] = (0, 0),
) -> BorderTables:
    """Measure basins and borders of (part of) an image.

    Parameters
    ----------
    foreground : Foreground
        The pixels of its runs are measured, and their faces with the next
        pixels along each axis, which may lie beyond the runs.
    maps : BasinMaps
        Of the same shape.
    numbers : (basins,) int array
        The number of each basin, ascending, whose label is `base` more than
        its place in them; lower labels are no basins.
    base : int
    origin : (row, column)
        Of the first pixel in the whole image.
    """
    labels, cell = foreground.canvas.labels.reshape(-1), foreground.cell
    border = np.zeros_like(cell) if foreground.border is None else foreground.border
    runs = foreground.runs
    where = (foreground.places, runs.starts, runs.lengths, runs.values)
    sizes, peaks = np.zeros((numbers.size, 2), np.int64), np.zeros((numbers.size, 2), np.float32)
    pixels = (cell.reshape(-1), maps.depth.reshape(-1), maps.smooth_cell.reshape(-1))
    _measure(where, labels, base, pixels, sizes, peaks)
    one, other = _faces(where, labels, base, foreground.canvas.labels.shape[1], cell.shape[1])
    sides = labels[foreground.canvas.places(np.stack([one, other], axis=1).reshape(-1))]
    pairs = numbers[sides.reshape(-1, 2) - base]
    near = [(_around(border, side), -_around(-cell, side)) for side in (one, other)]
    flat = [border.reshape(-1), cell.reshape(-1)]
    sums = [
        sum(as_whole(each) for each in both)
        for both in (
            [flat[0][one], flat[0][other]],
            [near[0][0], near[1][0]],
            [flat[1][one], flat[1][other]],
            [near[0][1], near[1][1]],
        )
    ]
    highs = [
        np.maximum(flat[0][one], flat[0][other]),
        -np.minimum(near[0][0], near[1][0]),
        *(np.minimum(each[one], each[other]) for each in (flat[1], *pixels[1:])),
    ]
    ends = []
    for side in (one, other):
        rows, columns = np.divmod(side, cell.shape[1])
        rows, columns = rows + origin[0], columns + origin[1]
        ends.append(np.stack([rows, -rows, columns, -columns], axis=1))
    return BorderTables._grouped(
        numbers,
        sizes,
        peaks,
        pairs,
        np.stack([np.ones(one.size, np.int64), *sums], axis=1),
        np.stack(highs, axis=1),
        np.stack(ends, axis=1),
    )


def _faces(
    where: Any, labels: Any, base: int, stride: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels on either side of each face between two basins, in C order."""
    one, other = np.empty(0, np.int64), np.empty(0, np.int64)
    size = _meet(where, labels, base, stride, width, one, other)  # counted, then written down
    one, other = np.empty(size, np.int64), np.empty(size, np.int64)
    _meet(where, labels, base, stride, width, one, other)
    return one, other


@numba.njit(cache=True, nogil=True)
def _meet(where: Any, labels: Any, base: int, stride: int, width: int, one: Any, other: Any) -> int:
    """Count the faces between two basins, and write them down where there is room."""
    places, starts, lengths, values = where
    count = 0
    for run in range(values.size):
        if not values[run]:
            continue
        for i in range(lengths[run]):
            own = labels[places[run] + i]
            if own < base:
                continue
            for step in range(2):
                beside = labels[places[run] + i + (1 if step == 0 else stride)]
                if beside < base or beside == own:
                    continue
                if count < one.size:
                    one[count] = starts[run] + i
                    other[count] = starts[run] + i + (1 if step == 0 else width)
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _measure(where: Any, labels: Any, base: int, maps: Any, sizes: Any, peaks: Any) -> None:
    """Sum up and find the extremes of each basin."""
    places, starts, lengths, values = where
    cell, depth, smooth = maps
    for run in range(values.size):
        if not values[run] or labels[places[run]] < base:
            continue
        for i in range(lengths[run]):
            basin, pixel = labels[places[run] + i] - base, starts[run] + i
            sizes[basin, 0] += 1
            sizes[basin, 1] += whole(cell[pixel])
            peaks[basin, 0] = max(peaks[basin, 0], depth[pixel])
            peaks[basin, 1] = max(peaks[basin, 1], smooth[pixel])


@numba.njit(cache=True, nogil=True)
def _around(image: Any, pixels: Any) -> Any:
    """Highest value of each pixel and its neighbours."""
    height, width = image.shape
    found = np.empty(pixels.size, np.float32)
    for i in range(pixels.size):
        y, x = divmod(pixels[i], width)
        highest = image[y, x]
        for row in range(max(0, y - 1), min(height, y + 2)):
            for column in range(max(0, x - 1), min(width, x + 2)):
                highest = max(highest, image[row, column])
        found[i] = highest
    return found
