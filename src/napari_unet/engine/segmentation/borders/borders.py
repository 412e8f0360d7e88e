"""Cells that touch, parted at every waist and joined where the model has learned that it is one.

The core of each piece of foreground is parted into basins, one around each place that lies deepest
inside; basins that no waist divides are one. Then each border between two is measured and judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.labels.components import Runs
from napari_unet.engine.segmentation.borders.basins import BasinMaps
from napari_unet.engine.segmentation.borders.tables import BorderTables, measure_basins
from napari_unet.engine.segmentation.foreground import Foreground
from napari_unet.engine.segmentation.watershed import flood_from, large_seeds


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
    base, tables = _parted(foreground, settings)
    is_one = settings.border_test.joins(tables.features())
    _join(foreground, base, tables, is_one)


def measure_borders(foreground: Foreground, settings: InstanceSettings) -> Borders:
    """Part each piece into basins and measure where they meet, to learn from it."""
    base, tables = _parted(foreground, settings)
    return Borders(tables.pairs + base, tables.features())


def _parted(foreground: Foreground, settings: InstanceSettings) -> tuple[int, BorderTables]:
    """Grow basins, and join those that no waist divides; the label of basin 0, and tables."""
    seeds, _ = large_seeds(foreground, settings)
    core = np.zeros(foreground.cell.shape, np.bool_)
    _fill(seeds.starts, seeds.lengths, core.reshape(-1))
    maps, beyond = BasinMaps.of(foreground.cell, core), foreground.beyond
    is_centre, landscape = maps.is_centre, maps.landscape
    if beyond is not None:
        is_centre |= beyond & foreground.mask
        landscape[beyond] = np.finfo(np.float32).max
    starts = np.flatnonzero(is_centre)
    numbers = np.arange(starts.size)
    if beyond is not None:
        # Basin 0, which has the best of all equal ways.
        inside = ~beyond.reshape(-1)[starts]
        numbers = np.where(inside, np.cumsum(inside), 0)
    ones = np.ones(starts.size, np.int64)
    centres = Runs(seeds.first, starts, ones, np.ones(starts.size, np.bool_))
    base = flood_from(foreground, centres, numbers, landscape)
    basins = np.arange(int(numbers.max(initial=0)) + 1)
    tables = measure_basins(foreground, maps, basins, base=base)
    return base, _join(foreground, base, tables, tables.is_shallow)


def _join(
    foreground: Foreground, base: int, tables: BorderTables, is_one: NDArray[np.bool_]
) -> BorderTables:
    """Make both sides of some borders one, in the labels and in the tables."""
    if foreground.beyond is not None:
        is_one = is_one & (tables.pairs != 0).all(axis=1)
    joined = tables.one_where(is_one)
    numbers = np.zeros(int(tables.basins.max()) + 1, np.int64)
    numbers[tables.basins] = joined
    runs = foreground.runs
    labels = foreground.canvas.labels.reshape(-1)
    _renumber(foreground.places, runs.lengths, runs.values, labels, numbers, base)
    return tables.joined(joined)


@numba.njit(cache=True, nogil=True)
def _fill(starts: Any, lengths: Any, image: Any) -> None:
    for run in range(starts.size):
        for i in range(lengths[run]):
            image[starts[run] + i] = True


@numba.njit(cache=True, nogil=True)
def _renumber(places: Any, lengths: Any, values: Any, labels: Any, numbers: Any, base: int) -> None:
    """Give the pixels of each basin its new number."""
    for run in range(values.size):
        if values[run] and labels[places[run]] >= base:
            for place in range(places[run], places[run] + lengths[run]):
                labels[place] = base + numbers[labels[place] - base]
