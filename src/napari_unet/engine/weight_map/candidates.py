"""Candidates for a pixel's nearest and second cell, one integer each, and the search among them.

A candidate is a squared distance, shifted, and a label in the lowest bits: the
lesser of two is the nearer cell, a step along an axis is an addition, and the
search is the same few operations for all pixels of a block. It is compiled;
indices are unsigned because numba would look at signed ones for negative
numbers each time, and `key` is the dtype of the candidates, to which its wider
sums are brought back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.weight_map.formula import BLOCK, Terms, compute_terms, write_weights


class Search(NamedTuple):
    """How far and at what cost candidates are looked for; a tuple as numba needs it."""

    shift: Any
    """Bits of the label, which are the lowest; of the candidates' dtype, as the next two."""
    mask: Any
    """The bits of the label."""
    none: Any
    """A candidate that is not there."""
    unit: float
    """Squared distance of a cost of 1."""
    row_cost: Any
    """Cost of one step along y, not shifted, of the dtype of `shift`; n steps cost n * n times."""
    rows: int
    """Most steps along y."""
    slice_costs: NDArray[Any]
    pixel_costs: NDArray[Any]
    """`slice_costs`, `pixel_costs`: (steps + 1,). Shifted costs of 0, 1, ... steps along z
    and x."""
    near_steps: int
    """Most steps along x to a nearest cell."""
    waiting: NDArray[Any]
    """(steps + 1,). So many steps away along x there can only be a second cell for pixels
    whose nearest candidate is not more than this."""


@numba.njit(cache=True, nogil=True)
def weigh_band(
    ids: Any,
    weights: Any,
    strides: Any,
    band: Any,
    places: Any,
    search: Search,
    terms: Terms,
    key: Any,
) -> None:
    """Write the weights of some rows of each slice."""
    z_start, z_stop, x_start, x_stop = places
    rows, depth, height, width = band[1] - band[0], ids.shape[0], ids.shape[1], ids.shape[2]
    flat_ids = ids.reshape(ids.size)
    block = np.int64(BLOCK)
    part = (width + block - 1) // block * block
    slices = search.slice_costs.size - 1
    first, last = max(0, z_start - slices), min(depth, z_stop + slices)
    # (row, slice, nearest or second, pixel), flat; with room for whole blocks.
    found = np.full(rows * (last - first) * 2 * part, search.none, key)
    for z in range(first, last):
        place = ((z - first) * 2 * part, (last - first) * 2 * part, part)
        _search_columns(flat_ids, z * height, height, width, band, found, place, search, key)
    margin = search.pixel_costs.size
    room = margin + part + block + margin
    row = np.full(2 * room, search.none, key)
    best = np.empty(2 * block, key)
    term = np.empty(block, np.float64)
    lowest = np.empty((width + _STRETCH - 1) // _STRETCH, key)
    highest = np.empty(lowest.size, key)
    for y in range(rows):
        for z in range(z_start, z_stop):
            at = (y * (last - first) + z - first) * 2 * part
            _copy(found, at, row, margin, width)
            _copy(found, at + part, row, room + margin, width)
            if last - first > 1:
                around = (z - first, last - z - 1, 2 * part)
                for x in range(0, width, block):
                    _search_slices(found, at + x, part, around, row, margin + x, room, search, key)
            place = strides[0] + z * strides[1] + (y + band[0]) * strides[2]
            id_place = (z * height + y + band[0]) * width
            _sum_up(row, margin, room, lowest, highest, search, key)
            for x in range(x_start, x_stop, block):
                if _is_lonely(x, width, lowest, highest, search, terms):
                    term[:] = 0
                else:
                    _search_row(row, margin + x, room, best, search, key)
                    compute_terms(best, term, search, terms)
                count = min(block, x_stop - x)
                write_weights(flat_ids, id_place + x, weights, place + x, count, term, terms)


@numba.njit(cache=True, nogil=True)
def _search_columns(
    ids: Any,
    first_row: int,
    height: int,
    width: int,
    band: Any,
    found: Any,
    place: Any,
    search: Search,
    key: Any,
) -> None:
    """Find the two nearest cells of each pixel of a band within its column.

    Two sweeps keep the last two distinct labels with the row where they were.
    """
    at, stride, part = place
    start, stop = max(0, band[0] - search.rows), min(height, band[1] + search.rows)
    # So that the row 0 of "no label yet" is too far away from any other.
    offset = search.rows + 1
    passed = np.zeros(2 * width, key)
    for y in range(start, band[1]):
        _sweep(ids, (first_row + y) * width, width, key(offset + y - start), passed, search, key)
        if y >= band[0]:
            kept = at + (y - band[0]) * stride
            _copy(passed, 0, found, kept, width)
            _copy(passed, width, found, kept + part, width)
    passed[:] = 0
    for y in range(stop - 1, band[0] - 1, -1):
        above, below = key(offset + y - start), key(offset + stop - 1 - y)
        _sweep(ids, (first_row + y) * width, width, below, passed, search, key)
        if y < band[1]:
            kept = at + (y - band[0]) * stride
            _join(found, kept, part, above, passed, below, width, search, key)


@numba.njit(cache=True, nogil=True)
def _sweep(ids: Any, at: Any, width: Any, row: Any, passed: Any, search: Search, key: Any) -> None:
    """Go on by a row: `passed` holds the last two distinct labels, each with its row."""
    at, far = np.uint64(at), np.uint64(width)
    shift = search.shift
    mask = search.mask
    place = key(row << shift)
    for i in range(far):
        label = ids[at + i]
        near, second = passed[i], passed[far + i]
        own = key(label)
        is_other = (label > 0) & ((near & mask) != own)
        passed[far + i] = near if is_other else second
        passed[i] = key(place | own) if label > 0 else near


@numba.njit(cache=True, nogil=True)
def _join(
    found: Any,
    at: Any,
    part: Any,
    above: Any,
    passed: Any,
    below: Any,
    width: Any,
    search: Search,
    key: Any,
) -> None:
    """Make candidates of what both sweeps passed; `above` and `below` are the row for each."""
    at, part, far = np.uint64(at), np.uint64(part), np.uint64(width)
    none = search.none
    mask = search.mask
    for i in range(far):
        a = _candidate(found[at + i], above, search, mask, key)
        b = _candidate(found[at + part + i], above, search, mask, key)
        c = _candidate(passed[i], below, search, mask, key)
        d = _candidate(passed[far + i], below, search, mask, key)
        near = a if a < c else c
        other = c if a < c else a
        second = other if ((other ^ near) & mask) != 0 else none
        b = b if ((b ^ near) & mask) != 0 else none
        d = d if ((d ^ near) & mask) != 0 else none
        second = b if b < second else second
        found[at + i] = near
        found[at + part + i] = d if d < second else second


@numba.njit(cache=True, nogil=True)
def _candidate(passed: Any, row: Any, search: Search, mask: Any, key: Any) -> Any:
    steps = key(row - (passed >> search.shift))
    cost = key(key(steps * steps) * search.row_cost)
    reached = key(key(cost << search.shift) | (passed & mask))
    return reached if steps <= key(search.rows) else search.none


@numba.njit(cache=True, nogil=True)
def _search_slices(
    found: Any,
    at: int,
    part: int,
    around: Any,
    row: Any,
    place: int,
    room: int,
    search: Search,
    key: Any,
) -> None:
    """Merge the candidates of a block with those above and below it; `row` holds its own."""
    before, after, stride = around
    mask = search.mask
    costs = search.slice_costs
    most = min(costs.size - 1, max(before, after))
    for k in range(1, most + 1):
        cost = costs[k]
        if not _any_above(row, place, key(cost | mask)):
            break
        up = at - k * stride if k <= before else at
        down = at + k * stride if k <= after else at
        _take_nearer(row, place, found, up, down, cost, key)
    _take_own_second(row, place, room, found, at, part, mask)
    for k in range(1, most + 1):
        cost = costs[k]
        if not _any_above(row, place + room, key(cost | mask)):
            break
        up = at - k * stride if k <= before else at
        down = at + k * stride if k <= after else at
        _take_second(row, place, room, found, up, down, part, cost, mask, key)


@numba.njit(cache=True, nogil=True)
def _search_row(row: Any, at: int, room: int, best: Any, search: Search, key: Any) -> None:
    """Find the nearest and the second cell of a block of background pixels."""
    mask = search.mask
    costs = search.pixel_costs
    block = np.int64(BLOCK)
    _copy(row, at, best, 0, block)
    for k in range(1, search.near_steps + 1):
        if not _any_above(best, 0, key(costs[k] | mask)):
            break
        _take_nearer(best, 0, row, at - k, at + k, costs[k], key)
    _take_own_second(best, 0, block, row, at, room, mask)
    _close_cells(best, mask, key)
    for k in range(1, search.waiting.size):
        if not _any_waiting(best, key(costs[k] | mask), search.waiting[k]):
            break
        _take_second(best, 0, block, row, at - k, at + k, room, costs[k], mask, key)


_STRETCH = 32
"""Pixels whose labels are summed up together."""


@numba.njit(cache=True, nogil=True)
def _sum_up(
    row: Any, margin: int, room: int, lowest: Any, highest: Any, search: Search, key: Any
) -> None:
    """Write the lowest and the highest label of the candidates of each stretch of a row."""
    mask = search.mask
    for stretch in range(lowest.size):
        at, far = np.uint64(margin + stretch * _STRETCH), np.uint64(room)
        low, high = mask, key(0)
        for i in range(np.uint64(_STRETCH)):
            near, second = key(row[at + i] & mask), key(row[at + far + i] & mask)
            # A label of 0 is none; where there is no nearest there is no second one.
            low = near if (near < low) & (near > 0) else low
            low = second if (second < low) & (second > 0) else low
            high = near if near > high else high
            high = second if second > high else high
        lowest[stretch], highest[stretch] = low, high


@numba.njit(cache=True, nogil=True)
def _is_lonely(x: Any, width: Any, lowest: Any, highest: Any, search: Search, terms: Terms) -> bool:
    """Whether a block has not two cells within reach, so that no term stands there."""
    steps = search.pixel_costs.size - 1
    first = max(0, x - steps) // _STRETCH
    last = (min(width, x + np.int64(BLOCK) + steps) - 1) // _STRETCH
    low, high = lowest[first], highest[first]
    for stretch in range(first + 1, last + 1):
        low, high = min(low, lowest[stretch]), max(high, highest[stretch])
    return high == 0 or (terms.near == 0 and low == high)


@numba.njit(cache=True, nogil=True)
def _copy(source: Any, start: Any, target: Any, place: Any, count: Any) -> None:
    start, place = np.uint64(start), np.uint64(place)
    for i in range(np.uint64(count)):
        target[place + i] = source[start + i]


@numba.njit(cache=True, nogil=True)
def _any_above(best: Any, at: Any, limit: Any) -> bool:
    at = np.uint64(at)
    found = 0
    for i in range(BLOCK):
        found |= best[at + i] > limit
    return found != 0


@numba.njit(cache=True, nogil=True)
def _any_waiting(best: Any, limit: Any, near_limit: Any) -> bool:
    found = 0
    for i in range(BLOCK):
        found |= (best[BLOCK + i] > limit) & (best[i] <= near_limit)
    return found != 0


@numba.njit(cache=True, nogil=True)
def _take_nearer(best: Any, at: Any, rows: Any, one: Any, other: Any, cost: Any, key: Any) -> None:
    at, one, other = np.uint64(at), np.uint64(one), np.uint64(other)
    for i in range(BLOCK):
        near = best[at + i]
        a, b = rows[one + i], rows[other + i]
        reached = key((a if a < b else b) + cost)
        best[at + i] = reached if reached < near else near


@numba.njit(cache=True, nogil=True)
def _take_own_second(
    best: Any, at: Any, far: Any, rows: Any, own: Any, part: Any, mask: Any
) -> None:
    """Start with the better of the own candidates whose label is not the nearest."""
    at, far, own, part = np.uint64(at), np.uint64(far), np.uint64(own), np.uint64(part)
    for i in range(BLOCK):
        near, second = rows[own + i], rows[own + part + i]
        best[at + far + i] = second if ((near ^ best[at + i]) & mask) == 0 else near


@numba.njit(cache=True, nogil=True)
def _close_cells(best: Any, mask: Any, key: Any) -> None:
    """Let the pixels of cells wait for nothing."""
    for i in range(BLOCK):
        best[BLOCK + i] = best[BLOCK + i] if best[i] > mask else key(0)


@numba.njit(cache=True, nogil=True)
def _take_second(
    best: Any,
    at: Any,
    far: Any,
    rows: Any,
    one: Any,
    other: Any,
    part: Any,
    cost: Any,
    mask: Any,
    key: Any,
) -> None:
    at, far, part = np.uint64(at), np.uint64(far), np.uint64(part)
    one, other = np.uint64(one), np.uint64(other)
    for i in range(BLOCK):
        near, found = best[at + i], best[at + far + i]
        first, second = rows[one + i], rows[one + part + i]
        reached = key((second if ((first ^ near) & mask) == 0 else first) + cost)
        found = reached if reached < found else found
        first, second = rows[other + i], rows[other + part + i]
        reached = key((second if ((first ^ near) & mask) == 0 else first) + cost)
        best[at + far + i] = reached if reached < found else found
