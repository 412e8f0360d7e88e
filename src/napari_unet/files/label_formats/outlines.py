"""Outlines of cells along the edges of their pixels, exact both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.components import cut_rows, joined, meeting_runs
from napari_unet.files.label_formats.polygons import Outline, Ring


def outlines(labels: LabelImage) -> Iterator[Outline]:
    """Outline every cell of a label image, plane by plane.

    Parameters
    ----------
    labels : (..., H, W) integer array

    Yields
    ------
    Outline
        In the order of their numbers in each plane. Corners are whole numbers. No outline
        touches itself, so that every polygon is a valid one for QuPath; parts that meet only
        at a corner are polygons of their own. Seen with Y downwards, outlines run clockwise and
        those of holes the other way round.
    """
    for plane in np.ndindex(labels.shape[:-2]):
        yield from _plane_outlines(labels[plane], plane)


def _plane_outlines(labels: LabelImage, plane: tuple[int, ...]) -> Iterator[Outline]:
    pieces, numbers = _pieces(labels)
    padded = np.pad(pieces, 1, constant_values=-1)
    nothing = np.empty((0, 2), np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    corners, rings = _trace(padded, *nothing)
    traced = (
        np.empty((corners, 2), np.int32),
        np.empty(rings, np.int64),
        np.empty(rings, np.int64),
    )
    _trace(padded, *traced)
    lines, ends, owners = traced
    if not rings:
        return
    cells: dict[int, dict[int, list[Ring]]] = {}
    for ring, piece in zip(np.split(lines, ends[:-1]), owners.tolist(), strict=True):
        # The first ring of a piece begins at its first pixel, so that it is the outer one.
        cells.setdefault(numbers[piece], {}).setdefault(piece, []).append(ring)
    for number in sorted(cells):
        yield Outline(number, plane, list(cells[number].values()))


def _pieces(labels: LabelImage) -> tuple[NDArray[np.int64], list[int]]:
    """Number the parts of cells that hang together by the edges of pixels; -1 is no cell."""
    runs = cut_rows(labels)
    pairs, by_face = meeting_runs(runs, labels.shape)
    values = runs.values[pairs]
    of_runs = joined(pairs, by_face & (values[:, 0] == values[:, 1]), runs.starts.size)
    numbers = np.zeros(int(of_runs.max(initial=-1)) + 1, np.int64)
    numbers[of_runs] = runs.values
    of_runs = np.where(runs.values > 0, of_runs, -1)
    return np.repeat(of_runs, runs.lengths).reshape(labels.shape), numbers.tolist()


@numba.njit(cache=True, nogil=True)
def _trace(pieces: Any, corners: Any, ends: Any, owners: Any) -> tuple[int, int]:
    """Follow every outline with its piece on the right; write it down where there is room."""
    height, width = pieces.shape
    seen = np.zeros(pieces.shape, np.bool_)
    count = rings = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            piece = pieces[y, x]
            if piece < 0 or pieces[y - 1, x] == piece or seen[y, x]:
                continue
            # Along the upper edge of a pixel: east, south, west and north are 0, 1, 2 and 3.
            row, column, way = y, x, 0
            while True:
                if count < len(corners):
                    corners[count, 0], corners[count, 1] = column - 1, row - 1
                count += 1
                turn = 0
                while turn == 0:
                    if way == 0:
                        seen[row, column] = True
                    row += (way == 1) - (way == 3)
                    column += (way == 0) - (way == 2)
                    # The two pixels ahead of this corner, on the left and on the right.
                    left = pieces[row - (way == 0 or way == 3), column - (way >= 2)]
                    right = pieces[row - (way >= 2), column - (way == 1 or way == 2)]
                    # Left first: where a piece meets itself at a corner, the background is cut.
                    turn = 3 if left == piece else (0 if right == piece else 1)
                way = (way + turn) % 4
                if row == y and column == x and way == 0:
                    break
            if rings < len(ends):
                ends[rings], owners[rings] = count, piece
            rings += 1
    return count, rings
