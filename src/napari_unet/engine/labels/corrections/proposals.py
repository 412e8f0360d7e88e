"""A cell that was missed, proposed from the scores around a click."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.regions import Region, grown
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.corrections.edits import CellEdit, Point, pixel_at, with_room

USUAL_SHARE = 0.4
"""Of the score of the peak near a click: what is above belongs to the cell that is proposed."""

_LEAST_SCORE = 0.01
"""Of a peak; below there is nothing to be told from the background."""

_CORE_SHARE = 0.6
"""Of the peak; pieces of "cell" above it are the cores of cells."""

_LEAST_CORE_PX = 8
"""Fewer pixels are no core."""

_OTHER, _OWN = 1, 2
"""Seeds of other cells, and of the one that is proposed."""

_PEAK_PX = 3
"""How far from a click the peak is looked for."""

_FIRST_PX = 32
"""Half the window in which the cell is looked for first; doubled until the cell lies inside."""


def add_cell(
    labels: LabelImage,
    scores: NDArray[np.floating],
    at: Point,
    *,
    new_number: int,
    cores: NDArray[np.floating] | None = None,
    share: float = USUAL_SHARE,
    largest_px: int = 1 << 20,
) -> CellEdit:
    """Propose the outline of a cell that was missed, from the scores around a click.

    It is what belongs to the peak near the click and is above a share of its
    score; what belongs to other cells rather, such as a rim around them, is
    left out, and they stay as they are. A cell that has the new number
    already is proposed anew.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    scores : array of that shape
        Of foreground or "cell", high inside of cells.
    at : sequence of float
    new_number : int
    cores : array of that shape, optional
        Scores of "cell" alone, which are low where cells meet. With them a
        missed cell beside it is left out, too.
    share : float
        Less makes the cell larger.
    largest_px : int
        More pixels are no cell.

    Returns
    -------
    CellEdit

    Raises
    ------
    LabelsError
        If another cell is there, or nothing around it looks like one.
    """
    place = pixel_at(labels, at)
    there = int(labels[place])
    if there > 0 and there != new_number:
        raise LabelsError(f"Cell {there} is there already; click where one is missing.")
    pixel = tuple(slice(n, n + 1) for n in place)
    near = grown(pixel, [_PEAK_PX] * labels.ndim, labels.shape)
    is_free = (labels[near] <= 0) | (labels[near] == new_number)
    heights = scores if cores is None else cores
    free = np.where(is_free & ~np.isnan(heights[near]), heights[near], -np.inf)
    offset = np.unravel_index(int(free.argmax()), free.shape)
    peak = tuple(int(n) + part.start for n, part in zip(offset, near, strict=True))
    top = float(np.nan_to_num(scores[peak]))
    is_found, half = False, _FIRST_PX
    while top >= _LEAST_SCORE and not is_found:
        window = tuple(slice(n, n + 1) for n in peak)
        box = grown(window, [half] * labels.ndim, labels.shape)
        before = labels[box].copy()
        own = tuple(n - part.start for n, part in zip(peak, box, strict=True))
        others = (before > 0) & (before != new_number)
        mask = _piece((scores[box] >= top * share) | others, own)
        seeds = others.astype(np.int32)
        seeds[own] = _OWN
        if cores is not None:
            _add_cores(seeds, cores[box], mask & ~others, own)
        here = mask
        if (seeds[mask] == _OTHER).any():
            here = watershed(-np.nan_to_num(heights[box]), seeds, mask=mask) == _OWN
        count = np.count_nonzero(here)
        if count > largest_px:
            break
        is_found = not _is_cut_off(here | (before == new_number), box, labels.shape)
        half *= 2
    if not is_found:
        raise LabelsError("Nothing around this place looks like one cell; paint it instead.")
    after = with_room(before, new_number)
    after[before == new_number] = 0
    after[ndimage.binary_fill_holes(here) & ~others] = new_number
    return CellEdit(box, before, after, (new_number,))


def _piece(mask: NDArray[np.bool_], at: tuple[int, ...]) -> NDArray[np.bool_]:
    pieces, _ = ndimage.label(mask)
    piece: NDArray[np.bool_] = pieces == pieces[at]
    return piece


def _add_cores(
    seeds: NDArray[np.int32],
    cores: NDArray[np.floating],
    mask: NDArray[np.bool_],
    peak: tuple[int, ...],
) -> None:
    """Mark the core of the cell, and those of others that are as sure as it is."""
    found, _ = ndimage.label((cores >= _CORE_SHARE * cores[peak]) & mask)
    is_core = np.bincount(found.reshape(-1)) >= _LEAST_CORE_PX
    is_core[0] = False
    seeds[is_core[found]] = _OTHER
    if found[peak] > 0:
        seeds[found == found[peak]] = _OWN


def _is_cut_off(here: NDArray[np.bool_], box: Region, shape: Sequence[int]) -> bool:
    """Whether it goes on beyond its box, in an image of this shape."""
    sides = [
        side
        for axis, (part, n) in enumerate(zip(box, shape, strict=True))
        for side, is_inner in (((axis, 0), part.start > 0), ((axis, -1), part.stop < n))
        if is_inner
    ]
    return any(bool(np.take(here, end, axis).any()) for axis, end in sides)
