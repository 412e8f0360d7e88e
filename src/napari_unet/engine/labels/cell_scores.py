"""Score and doubt of each cell, kept from when a network found it until somebody changes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.look_over import CellList

SCORE, DOUBT = "score", "doubt"
"""Names of their columns."""


@dataclass(frozen=True, slots=True, eq=False)
class CellScores:
    """What a network said of the cells that it found.

    Parameters
    ----------
    numbers : (N,) int64 array
        Ascending.
    prints : (N,) uint64 array
        As of `CellList`, when they were found.
    scores : (N,) float64 array
        Mean over the cell of 1 less the score of background.
    doubts : (N,) float64 array
        Mean over the cell of `pixel_uncertainty`: 0 where the network is sure, 1 where it knows
        nothing.
    """

    numbers: NDArray[np.int64]
    prints: NDArray[np.uint64]
    scores: NDArray[np.float64]
    doubts: NDArray[np.float64]

    @classmethod
    def of(cls, cells: CellList, chosen: NDArray[np.bool_] | slice = slice(None)) -> CellScores:
        """Keep the scores with which cells were listed, of those that are chosen."""
        unknown = np.full(cells.numbers.size, np.nan)
        scores = unknown if cells.scores is None else cells.scores
        doubts = unknown if cells.doubts is None else cells.doubts
        return cls(cells.numbers[chosen], cells.prints[chosen], scores[chosen], doubts[chosen])

    def known_of(self, cells: CellList) -> CellList:
        """Give cells that are as they were found their scores; NaN to the others.

        Parameters
        ----------
        cells : CellList
            Of the labels as they are now.
        """
        places = np.minimum(
            np.searchsorted(self.numbers, cells.numbers), max(0, self.numbers.size - 1)
        )
        scores = doubts = np.full(cells.numbers.size, np.nan)
        if self.numbers.size:
            is_same = self.numbers[places] == cells.numbers
            is_same &= self.prints[places] == cells.prints
            scores = np.where(is_same, self.scores[places], np.nan)
            doubts = np.where(is_same, self.doubts[places], np.nan)
        return replace(cells, scores=scores, doubts=doubts)

    def columns_of(self, cells: CellList) -> dict[str, NDArray[np.float64]]:
        """Return `score` and `doubt` of cells as they are now, (N,) each, as `known_of`."""
        known = self.known_of(cells)
        assert known.scores is not None and known.doubts is not None  # noqa: S101 - just given
        return {SCORE: known.scores, DOUBT: known.doubts}


def joined_scores(parts: Iterable[CellScores | None]) -> CellScores | None:
    """Put scores together, of a cell that several tell of the last; None if there are none."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    numbers, prints, scores, doubts = (
        np.concatenate([getattr(part, name) for part in reversed(known)])
        for name in ("numbers", "prints", "scores", "doubts")
    )
    numbers, places = np.unique(numbers, return_index=True)
    return CellScores(numbers, prints[places], scores[places], doubts[places])
