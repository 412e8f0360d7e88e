"""Where basins begin: around each place that lies deepest inside the core of a piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_DEEPEST_PX = 24
"""Depths are not told apart beyond this."""

_SMOOTHING_PX = 1.0
_SMOOTHED_TO = 3.0
"""The Gaussian ends after so many deviations."""

_APART = 0.5
"""Two centres of basins are at least so many of their depths apart."""

_LEAST_DEPTH_PX = 0.6
"""Of a centre."""

_CELL_PX = 3.0
"""How many pixels of depth a cell score of 1 counts for."""

REACH_PX = int(_DEEPEST_PX * (1 + _APART) + _SMOOTHING_PX * _SMOOTHED_TO) + 2
"""From a pixel to the scores that decide whether it is a centre, and how deep it lies."""


@dataclass(frozen=True, slots=True, eq=False)
class BasinMaps:
    """What basins are made and measured by: (H, W) arrays."""

    depth: NDArray[np.float32]
    """Smoothed distance to what is no core, in pixels."""
    smooth_cell: NDArray[np.float32]
    """Smoothed scores of cells."""
    is_centre: NDArray[np.bool_]
    """Where a basin begins."""

    @classmethod
    def of(cls, cell: NDArray[np.float32], core: NDArray[np.bool_]) -> BasinMaps:
        """Look for centres; what is around a pixel counts as far as `REACH_PX`."""
        depth = _smooth(_depths(core))
        return cls(depth, _smooth(cell), _centres(depth, core))

    @property
    def landscape(self) -> NDArray[np.float32]:
        """What basins grow by, the highest first."""
        landscape: NDArray[np.float32] = self.depth + np.float32(_CELL_PX) * self.smooth_cell
        return landscape


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
