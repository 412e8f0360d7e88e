"""The connected components of a label image: where each lies, and what it encloses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.connected import cut_rows, joined, meeting_runs
from napari_unet.engine.labels.runs import boxes_of, ends_of_runs

NOBODY, OPEN = -1, -2
"""Whom a piece of background has around it: no cell, or an edge, or more than one cell."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelPieces:
    """Connected pixels of equal numbers, in reading order of their first pixel.

    Pixels of a cell that share a corner are connected; those of background, so
    that no cell leaks, must share a face.

    Parameters
    ----------
    shape : tuple of int
        Of the label image.
    numbers : (P,) int64 array
        Number of each piece; 0 is background.
    sizes : (P,) int64 array
        In pixels.
    starts, stops : (P, D) int64 array
        The box around each piece.
    owners : (P,) int64 array
        For a hole the only piece around it; `NOBODY` or `OPEN` for any other.
    touches : (P,) bool array
        Whether a cell shares a face with a cell of another number.
    run_pieces, run_lengths : (runs,) int array
        The image, row by row, as runs of pixels of one piece.
    """

    shape: tuple[int, ...]
    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    owners: NDArray[np.int64]
    touches: NDArray[np.bool_]
    run_pieces: NDArray[np.int64]
    run_lengths: NDArray[np.int64]

    def painted(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an image in which each piece has its one of the (P,) `values`."""
        return np.repeat(values[self.run_pieces], self.run_lengths).reshape(self.shape)

    def count_in(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the pixels of each piece where `mask`, of the image's shape, is true."""
        places = np.cumsum(self.run_lengths) - self.run_lengths
        if not places.size:
            return np.zeros(0, np.int64)
        in_runs = np.add.reduceat(mask.reshape(-1), places, dtype=np.int64)
        counts = np.bincount(self.run_pieces, in_runs, self.numbers.size)
        return counts.astype(np.int64)

    def box(self, pieces: NDArray[Any]) -> Region | None:
        """Return the box around some pieces, given as a mask or as indices."""
        starts, stops = self.starts[pieces], self.stops[pieces]
        if not len(starts):
            return None
        return tuple(map(slice, starts.min(axis=0).tolist(), stops.max(axis=0).tolist()))


def label_pieces(labels: LabelImage) -> LabelPieces:
    """Find the connected components of every number in a label image.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Pieces of background and of negative numbers are found as well.

    Returns
    -------
    LabelPieces
    """
    runs = cut_rows(labels)
    pairs, by_face = meeting_runs(runs, labels.shape, corners=True)
    values = runs.values[pairs]
    is_same = values[:, 0] == values[:, 1]
    is_joined = is_same & (by_face | (values[:, 0] != 0))
    pieces = joined(pairs, is_joined, runs.starts.size)
    numbers = np.empty(int(pieces.max(initial=-1)) + 1, np.int64)
    numbers[pieces] = runs.values
    starts, stops = boxes_of(*ends_of_runs(runs.starts, runs.lengths, labels.shape), pieces)
    neighbours = pieces[pairs[by_face & ~is_same]]  # (M, 2)
    owners = _owners(numbers, neighbours)
    owners[_at_edge(starts, stops, labels.shape) | (numbers != 0)] = OPEN
    touches = np.zeros(numbers.size, np.bool_)
    touches[neighbours[(numbers[neighbours] > 0).all(axis=1)]] = True
    return LabelPieces(
        labels.shape,
        numbers,
        np.bincount(pieces, runs.lengths, numbers.size).astype(np.int64),
        starts,
        stops,
        owners,
        touches,
        pieces,
        runs.lengths,
    )


def _owners(numbers: NDArray[np.int64], neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Name the only cell beside each piece of background; it may still lie at an edge."""
    owners = np.full(numbers.size, NOBODY)
    for hole, other in (neighbours.T, neighbours[:, ::-1].T):
        is_hole = numbers[hole] == 0
        owners[hole[is_hole]] = other[is_hole]
    for hole, other in (neighbours.T, neighbours[:, ::-1].T):
        # Only one of several is noted above; what is ignored is no cell.
        owners[hole[(owners[hole] != other) | (numbers[other] < 0)]] = OPEN
    return owners


def _at_edge(
    starts: NDArray[np.int64], stops: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Whether the box of a piece reaches an edge of the image."""
    first = 1 if len(shape) == 3 and shape[0] == 1 else 0  # one plane has no slices beyond it
    at_edge = (starts == 0) | (stops == shape)
    reaches: NDArray[np.bool_] = at_edge[:, first:].any(axis=1)
    return reaches
