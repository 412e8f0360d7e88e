"""What is known of the discs of a stack, and of the cells that they are together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.cell_list import CellScores, joined_scores
from napari_unet.engine.labels.cell_types import CellTypes, joined_types
from napari_unet.engine.labels.linking.slices import SliceLinker


class DiscCount:
    """Counts the discs of stacks, and what they are if they are linked.

    Parameters
    ----------
    settings : SegmentationSettings
    slices : int
        Of each stack; the slices of several come one stack after the other.
    """

    def __init__(self, settings: SegmentationSettings, slices: int) -> None:
        self._linker, self._slices = SliceLinker(settings), slices
        self._added = 0

    def add(self, labels: LabelImage) -> None:
        """Count the cells (H, W) of the next slice."""
        self._linker.add(labels)
        self._added += 1
        if self._added % self._slices == 0:
            self._linker.end()

    @property
    def discs(self) -> int:
        """Each slice counted by itself."""
        return self._linker.discs

    @property
    def linked(self) -> int:
        """Cells that they are if they are linked."""
        return self._linker.cells


class KnownCells:
    """Puts together what a network said of the cells of each slice.

    Parameters
    ----------
    linked : bool
        Whether a cell lies in several slices: it has the mean of what is said
        of its discs, the larger the more.
    """

    def __init__(self, *, linked: bool) -> None:
        self._is_linked = linked
        self._types: list[tuple[CellTypes, NDArray[np.float64]]] = []
        self._scores: list[tuple[CellScores, NDArray[np.float64]]] = []

    def add(self, labels: LabelImage, scores: CellScores | None, types: CellTypes | None) -> None:
        """Take in a slice.

        Parameters
        ----------
        labels : integer array
        scores : CellScores, optional
            With a window in the whole stack.
        types : CellTypes, optional
        """
        counts = np.bincount(labels.reshape(-1)).astype(float) if self._is_linked else None
        if scores is not None:
            areas = np.empty(0) if counts is None else counts[scores.numbers]
            self._scores.append((scores, areas))
        if types is not None:
            areas = np.empty(0) if counts is None else counts[types.labels]
            self._types.append((types, areas))

    @property
    def scores(self) -> CellScores | None:
        """Of all cells; None if nothing is known."""
        parts = [part for part, _ in self._scores]
        if not self._is_linked or not parts:
            return joined_scores(parts)
        areas = np.concatenate([area for _, area in self._scores])
        numbers, cells = np.unique(
            np.concatenate([part.numbers for part in parts]), return_inverse=True
        )
        prints = np.zeros(numbers.size, np.uint64)
        # That of a cell is the sum of those of its runs.
        np.add.at(prints, cells, np.concatenate([part.prints for part in parts]))
        sums = np.bincount(cells, areas)
        scores, doubts = (
            np.bincount(cells, areas * np.concatenate([getattr(part, name) for part in parts]))
            / sums
            for name in ("scores", "doubts")
        )
        return CellScores(numbers, prints, scores, doubts)

    @property
    def types(self) -> CellTypes | None:
        """Of all cells; None if the network tells none."""
        parts = [part for part, _ in self._types]
        if not self._is_linked or not parts:
            return joined_types(parts)
        numbers, cells = np.unique(
            np.concatenate([part.labels for part in parts]), return_inverse=True
        )
        shares = np.concatenate([part.shares * area[:, np.newaxis] for part, area in self._types])
        sums = np.zeros((numbers.size, shares.shape[1]))
        np.add.at(sums, cells, shares)
        return CellTypes(numbers, parts[0].names, sums / sums.sum(axis=1, keepdims=True))
