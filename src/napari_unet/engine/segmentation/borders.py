"""Cells that touch, parted at every waist and joined where the model has learned that it is one.

The core of each piece of foreground is parted into basins, one around each place that lies deepest
inside; basins that no waist divides are one. Then each border between two is measured and judged.
What is measured are sums and extremes over the border and its two sides; what is looked at around
a pixel lies within `REACH_PX` of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.border_test import BORDER_FEATURES
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.components import Runs, joined
from napari_unet.engine.segmentation.foreground import Foreground
from napari_unet.engine.segmentation.watershed import flood_from, large_seeds

_DEEPEST_PX = 24
"""Depths are not told apart beyond this."""

_SMOOTHING_PX = 1.0
_SMOOTHED_TO = 3.0
"""The Gaussian ends after so many deviations."""

_APART = 0.5
"""Two centres of basins are at least so many of their depths apart."""

_LEAST_DEPTH_PX = 0.6
"""Of a centre."""

_WAIST_PX = 0.75
"""What is not shallower by this than the shallower of its two sides divides nothing."""

_CELL_PX = 3.0
"""How many pixels of depth a cell score of 1 counts for."""

REACH_PX = int(_DEEPEST_PX * (1 + _APART) + _SMOOTHING_PX * _SMOOTHED_TO) + 2
"""From a pixel to the scores that decide whether it is a centre, and how deep it lies."""


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Where two basins meet.

    Parameters
    ----------
    pairs : (borders, 2) int array
        Labels of both sides.
    features : (borders, len(BORDER_FEATURES)) float64 array
    """

    pairs: NDArray[np.int64]
    features: NDArray[np.float64]


def grow_basins(foreground: Foreground, settings: InstanceSettings) -> None:
    """Part each piece into basins, and join those whose border the model takes for none.

    Parameters
    ----------
    foreground : Foreground
        Of a plane; its labels are changed.
    settings : InstanceSettings
        With a border test.

    Raises
    ------
    SettingsError
        If they have none.
    """
    if settings.border_test is None:
        raise SettingsError("The model has no border test; choose one that was trained with it.")
    basins = _Basins(foreground, settings)
    borders = basins.measured()
    basins.join(borders.pairs, settings.border_test.joins(borders.features))


def measure_borders(foreground: Foreground, settings: InstanceSettings) -> Borders:
    """Part each piece into basins and measure where they meet, to learn from it."""
    return _Basins(foreground, settings).measured()


class _Meetings(NamedTuple):
    """Faces between pixels of two basins, ordered by the basins."""

    first: NDArray[np.int64]
    """Of each border: its first face."""
    pairs: NDArray[np.int64]
    """(borders, 2). Basins of each, from 0."""
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    """`one`, `other`: for each face the pixel on either side, in C order."""


class _Basins:
    """Basins of a foreground, from 0, in its labels.

    Parameters
    ----------
    foreground, settings
        As `grow_basins` takes them.
    """

    def __init__(self, foreground: Foreground, settings: InstanceSettings) -> None:
        cell, beyond = foreground.cell, foreground.beyond
        self._foreground = foreground
        self._labels = foreground.canvas.labels.reshape(-1)
        seeds, _ = large_seeds(foreground, settings)
        core = np.zeros(cell.shape, np.bool_)
        _fill(seeds.starts, seeds.lengths, core.reshape(-1))
        self._depth = _smooth(_depths(core))
        self._smooth_cell = _smooth(cell)
        is_centre = _centres(self._depth, core)
        landscape = self._depth + np.float32(_CELL_PX) * self._smooth_cell
        if beyond is not None:
            is_centre |= beyond & foreground.mask
            landscape[beyond] = np.finfo(np.float32).max
        starts = np.flatnonzero(is_centre)
        numbers = np.arange(starts.size)
        if beyond is not None:
            # Basin 0, which has the best of all equal ways.
            inside = ~beyond.reshape(-1)[starts]
            numbers = np.where(inside, np.cumsum(inside), 0)
        self._count = int(numbers.max(initial=0)) + 1
        ones = np.ones(starts.size, np.int64)
        seeds = Runs(seeds.first, starts, ones, np.ones(starts.size, np.bool_))
        self._base = flood_from(foreground, seeds, numbers, landscape)
        self._join_shallow()

    def measured(self) -> Borders:
        """Where they meet."""
        meetings = self._meetings()
        return Borders(meetings.pairs + self._base, self._features(meetings))

    def join(self, pairs: NDArray[np.int64], is_one: NDArray[np.bool_]) -> None:
        """Make the two basins of some pairs of labels one."""
        pairs = pairs - self._base
        if self._foreground.beyond is not None:
            is_one = is_one & (pairs != 0).all(axis=1)
        numbers = joined(pairs, is_one, self._count)
        _renumber(self._foreground.places, *self._runs, self._labels, numbers, self._base)
        self._count = int(numbers.max()) + 1

    @property
    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        return self._foreground.runs.lengths, self._foreground.runs.values

    def _join_shallow(self) -> None:
        """Make basins one that no waist divides."""
        meetings = self._meetings()
        if meetings.first.size:
            peaks = self._sides()[2]
            waists = _highest(self._depth.reshape(-1), meetings)
            is_shallow = peaks[meetings.pairs].min(axis=1) - waists < _WAIST_PX
            self.join(meetings.pairs + self._base, is_shallow)

    def _meetings(self) -> _Meetings:
        width, stride = self._foreground.cell.shape[1], self._foreground.canvas.labels.shape[1]
        where = (self._foreground.places, self._foreground.runs.starts, *self._runs)
        keys, one, other = (np.empty(0, np.int64) for _ in range(3))
        for _ in range(2):  # counted, then written down
            size = _meet(where, self._labels, self._base, stride, width, keys, one, other)
            if keys.size == 0:
                keys, one, other = (np.empty(size, np.int64) for _ in range(3))
        order = np.argsort(keys, kind="stable")
        keys, one, other = keys[order], one[order], other[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        return _Meetings(first, np.stack(np.divmod(keys[first], 2**31), axis=1), one, other)

    def _sides(self) -> tuple[NDArray[Any], ...]:
        """Of each basin: pixels, sum of cell scores, greatest depth and smoothed cell score."""
        sides = tuple(np.zeros(self._count, kind) for kind in (np.int64, *3 * (np.float64,)))
        maps = (self._foreground.cell, self._depth, self._smooth_cell)
        flat = tuple(each.reshape(-1) for each in maps)
        where = (self._foreground.places, self._foreground.runs.starts, *self._runs)
        _measure(where, self._labels, self._base, flat, sides)
        return sides

    def _features(self, meetings: _Meetings) -> NDArray[np.float64]:
        """Measures of borders, in the order of `BORDER_FEATURES`."""
        first, pairs, one, other = meetings
        if not first.size:
            return np.empty((0, len(BORDER_FEATURES)))
        cell = self._foreground.cell
        border = self._foreground.border
        border = np.zeros_like(cell) if border is None else border
        area_px, cell_sum, depth, smooth = (np.take(each, pairs) for each in self._sides())
        length = np.diff(first, append=one.size)
        border_of, cell_of = border.reshape(-1), cell.reshape(-1)
        border_near = [_around(border, side) for side in (one, other)]
        cell_near = [-_around(-cell, side) for side in (one, other)]

        def mean(of_one: NDArray[np.float32], of_other: NDArray[np.float32]) -> Any:
            return np.add.reduceat(of_one / 2 + of_other / 2, first, dtype=np.float64) / length

        rows, columns = np.divmod(one, cell.shape[1])
        extent = sum(
            np.maximum.reduceat(each, first) - np.minimum.reduceat(each, first)
            for each in (rows, columns)
        )
        waist = _highest(self._depth.reshape(-1), meetings)
        dip = smooth.min(axis=1) - _highest(self._smooth_cell.reshape(-1), meetings)
        smaller = area_px.min(axis=1)
        return np.stack(
            [
                np.log(area_px.max(axis=1) / smaller),
                length / (2 * np.sqrt(smaller / np.pi)),
                mean(border_of[one], border_of[other]),
                np.maximum.reduceat(np.maximum(border_of[one], border_of[other]), first),
                mean(*border_near),
                np.minimum.reduceat(np.minimum(*border_near), first),
                mean(cell_of[one], cell_of[other]),
                _highest(cell_of, meetings),
                mean(*cell_near),
                waist / (depth.min(axis=1) + 1e-3),
                waist / (depth.max(axis=1) + 1e-3),
                (cell_sum / area_px).sum(axis=1),
                dip,
                extent / (length + 1),
            ],
            axis=1,
        ).astype(np.float64)


def _highest(of_pixels: NDArray[np.float32], meetings: _Meetings) -> NDArray[np.float32]:
    """Highest value over each border, of the lower of the two pixels that meet there."""
    lower = np.minimum(of_pixels[meetings.one], of_pixels[meetings.other])
    highest: NDArray[np.float32] = np.maximum.reduceat(lower, meetings.first)
    return highest


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(
        image, _SMOOTHING_PX, truncate=_SMOOTHED_TO
    )
    return smooth


def _depths(core: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel of the core to what is none, at most `_DEEPEST_PX`."""
    squares = np.where(core, np.uint16(_DEEPEST_PX**2), np.uint16(0))
    _sweep_rows(squares)
    nearest = np.empty_like(squares)
    _meet_columns(squares, nearest)
    depths: NDArray[np.float32] = np.sqrt(nearest, dtype=np.float32)
    return depths


@numba.njit(cache=True, nogil=True)
def _fill(starts: Any, lengths: Any, image: Any) -> None:
    for run in range(starts.size):
        for i in range(lengths[run]):
            image[starts[run] + i] = True


@numba.njit(cache=True, nogil=True)
def _sweep_rows(squares: Any) -> None:
    """Square of the distance within the row, at most what is there."""
    height, width = squares.shape
    for y in range(height):
        last = -(10**6)
        for x in range(width):
            if squares[y, x] == 0:
                last = x
            else:
                squares[y, x] = min(np.int64(squares[y, x]), (x - last) ** 2)
        last = 10**6
        for x in range(width - 1, -1, -1):
            if squares[y, x] == 0:
                last = x
            else:
                squares[y, x] = min(np.int64(squares[y, x]), (last - x) ** 2)


@numba.njit(cache=True, nogil=True)
def _meet_columns(squares: Any, nearest: Any) -> None:
    """Least square over each column, of what lies so far away in it."""
    height, width = squares.shape
    for y in range(height):
        for x in range(width):
            least = np.int64(squares[y, x])
            step = 1
            while step * step < least:
                if y >= step:
                    least = min(least, np.int64(squares[y - step, x]) + step * step)
                if y + step < height:
                    least = min(least, np.int64(squares[y + step, x]) + step * step)
                step += 1
            nearest[y, x] = least


@numba.njit(cache=True, nogil=True)
def _centres(depth: Any, core: Any) -> Any:
    """Pixels of the core deeper than all within a share of their depth; the first of equal ones."""
    height, width = depth.shape
    found = np.zeros(depth.shape, np.bool_)
    for y in range(height):
        for x in range(width):
            own = depth[y, x]
            if core[y, x] and own >= _LEAST_DEPTH_PX:
                found[y, x] = _is_deepest(depth, y, x, own)
    return found


@numba.njit(cache=True, nogil=True)
def _is_deepest(depth: Any, y: int, x: int, own: Any) -> bool:
    height, width = depth.shape
    radius = max(1.5, _APART * own)
    reach = int(radius)
    for dy in range(max(-reach, -y), min(reach, height - 1 - y) + 1):
        for dx in range(max(-reach, -x), min(reach, width - 1 - x) + 1):
            if dy * dy + dx * dx <= radius * radius:
                other = depth[y + dy, x + dx]
                is_before = dy < 0 or (dy == 0 and dx < 0)
                if other > own or (other == own and is_before):
                    return False
    return True


@numba.njit(cache=True, nogil=True)
def _meet(
    where: Any, labels: Any, base: int, stride: int, width: int, keys: Any, one: Any, other: Any
) -> int:
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
                if count < keys.size:
                    here = starts[run] + i
                    there = here + (1 if step == 0 else width)
                    low, high = min(own, beside) - base, max(own, beside) - base
                    keys[count] = (np.int64(low) << 31) + high
                    one[count] = here if own < beside else there
                    other[count] = there if own < beside else here
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _measure(where: Any, labels: Any, base: int, maps: Any, sides: Any) -> None:
    """Sum up and find the extremes of each basin."""
    places, starts, lengths, values = where
    cell, depth, smooth = maps
    area_px, cell_sum, deepest, highest = sides
    for run in range(values.size):
        if not values[run] or labels[places[run]] < base:
            continue
        for i in range(lengths[run]):
            basin, pixel = labels[places[run] + i] - base, starts[run] + i
            area_px[basin] += 1
            cell_sum[basin] += cell[pixel]
            deepest[basin] = max(deepest[basin], depth[pixel])
            highest[basin] = max(highest[basin], smooth[pixel])


@numba.njit(cache=True, nogil=True)
def _renumber(places: Any, lengths: Any, values: Any, labels: Any, numbers: Any, base: int) -> None:
    """Give the pixels of each basin its new number."""
    for run in range(values.size):
        if values[run] and labels[places[run]] >= base:
            for place in range(places[run], places[run] + lengths[run]):
                labels[place] = base + numbers[labels[place] - base]


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
