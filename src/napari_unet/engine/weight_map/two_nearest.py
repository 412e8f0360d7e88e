"""Distances to the two nearest cells of each pixel, exact, and the weights made of them.

The separable transform: along each axis a pixel needs to know no more than the
two nearest *distinct* labels of each place, because a label that is not among
them is beaten there by two others. How these are kept and searched is in
`candidates`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.weight_map.candidates import Search, weigh_band
from napari_unet.engine.weight_map.formula import WeightFormula

Box: TypeAlias = tuple[slice, slice, slice]
"""Start and stop along (Z, Y, X), in pixels."""

MOST_CELLS = (1 << 24) - 1
"""Largest number of a cell: so many bits of a candidate are its label."""

_BAND_BYTES = 1 << 20
_LEAST_BAND_ROWS = 32


def weigh(
    ids: NDArray[np.int32],
    weights: NDArray[np.float32],
    formula: WeightFormula,
    *,
    spacing: Sequence[float],
    box: Box | None = None,
    corner: tuple[int, int, int] = (0, 0, 0),
    workers: int = 1,
) -> None:
    """Write the weights of the pixels of a box.

    Parameters
    ----------
    ids : (Z, Y, X) int32 array, in C order
        0 is background, 1 to `MOST_CELLS` are cells, less is to be ignored.
    weights : (Z, Y, X) float32 array, in C order
        Changed in place; may be larger than `ids`.
    spacing : three floats
        Size of a pixel along each axis, in the unit of the formula's sigmas.
    box : three slices, optional
        The part of `ids` whose weights are wanted: all of it by default. What
        lies around it within `reach_px` counts.
    corner : three ints
        Where the first pixel of `ids` lies in `weights`.
    workers : int
        Threads.
    """
    box = box or (slice(0, ids.shape[0]), slice(0, ids.shape[1]), slice(0, ids.shape[2]))
    if any(part.stop <= part.start for part in box):
        return
    search = _search(ids, weights.shape, formula, tuple(spacing))
    terms = formula.terms
    first = (corner[0] * weights.shape[1] + corner[1]) * weights.shape[2] + corner[2]
    strides = (first, weights.shape[1] * weights.shape[2], weights.shape[2])
    places = (box[0].start, box[0].stop, box[2].start, box[2].stop)
    flat, key = weights.reshape(-1), type(search.none)
    bands = list(_bands(ids, box[1]))

    def weigh_rows(band: tuple[int, int]) -> None:
        weigh_band(ids, flat, strides, band, places, search, terms, key)

    if workers > 1 and len(bands) > 1:
        with ThreadPoolExecutor(min(workers, len(bands))) as pool:
            list(pool.map(weigh_rows, bands))
    else:
        for band in bands:
            weigh_rows(band)


def _bands(ids: NDArray[np.int32], rows: slice) -> list[tuple[int, int]]:
    """Cut rows into bands whose candidates stay in the cache."""
    row_bytes = 8 * ids.shape[0] * ids.shape[2]
    height = max(_LEAST_BAND_ROWS, _BAND_BYTES // row_bytes)
    count = max(1, round((rows.stop - rows.start) / height))
    edges = [rows.start + (rows.stop - rows.start) * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))


def _search(
    ids: NDArray[np.int32],
    whole_shape: tuple[int, ...],
    formula: WeightFormula,
    spacing: tuple[float, ...],
) -> Search:
    """Choose 32 bits where distances are whole numbers and fit beside the labels."""
    # In units of the finest spacing, whose squares are then exact.
    finest = min(spacing)
    steps = [step / finest for step in spacing]
    reach = formula.reach / finest
    most_rows = max(_LEAST_BAND_ROWS, _BAND_BYTES // (8 * ids.shape[0] * ids.shape[2]))
    counts = [
        min(math.floor(reach / step), n - 1) for step, n in zip(steps, ids.shape, strict=True)
    ]
    farthest = math.floor(min(reach**2, _diagonal(ids.shape, steps))) + 1
    # A candidate may be none plus the costs of two axes; rows are counted in the same bits.
    bits = max((4 * farthest + 4).bit_length(), (2 * most_rows + 3 * counts[1] + 4).bit_length())
    dtype: type[Any]
    if len(set(spacing)) == 1 and int(ids.max()).bit_length() <= 32 - bits:
        dtype, shift, scale = np.uint32, 32 - bits, 1
    else:
        dtype, shift = np.int64, MOST_CELLS.bit_length()
        # Of the whole image, so that any part of it is computed alike.
        most = math.floor(min(reach**2, _diagonal(whole_shape, steps))) + 1
        scale = 1 << max(0, 62 - shift - (4 * most + 4).bit_length())
    costs = [round(step**2 * scale) for step in steps]
    tables = [
        np.array([(k * k * cost) << shift for k in range(count + 1)], dtype)
        for cost, count in zip(costs, counts, strict=True)
    ]
    border = formula.border_reach / finest
    far_steps = min(math.floor(border / steps[2]), counts[2])
    # What is left of the reach, and a little more, in favour of those on its edge.
    rest = [border - k * steps[2] + 1e-6 for k in range(far_steps + 1)]
    waiting = [((math.ceil(r**2 * scale) + 1) << shift) - 1 for r in rest]
    near_reach = max(formula.near_reach / finest, border / 2)
    none = farthest * scale << shift
    return Search(
        dtype(shift),
        dtype((1 << shift) - 1),
        dtype(none),
        finest**2 / scale,
        dtype(costs[1]),
        counts[1],
        tables[0],
        tables[2],
        min(math.floor(near_reach / steps[2]), counts[2]),
        np.array([min(value, none - 1) for value in waiting], dtype),
    )


def _diagonal(shape: tuple[int, ...], steps: Sequence[float]) -> float:
    """Squared distance from one corner to the opposite one."""
    return sum(((n - 1) * step) ** 2 for n, step in zip(shape, steps, strict=True))
