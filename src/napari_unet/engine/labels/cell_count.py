"""How many cells labels hold, counted block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage

_BLOCK_PX = 1 << 20


@dataclass(frozen=True, slots=True)
class CellCount:
    """The cells of labels: how many different numbers above 0 there are, and the highest of them.

    Attributes
    ----------
    cells, highest : int
        0 where there is no cell.
    """

    cells: int
    highest: int


def iterate_count(labels: LabelImage) -> Iterator[CellCount]:
    """Count the cells of labels in memory; a pause after each block.

    Parameters
    ----------
    labels : integer array of one or more axes

    Yields
    ------
    CellCount
        Of the blocks so far; the last one of all.
    """
    numbers: NDArray[np.integer] = np.zeros(0, labels.dtype)
    yield CellCount(0, 0)
    for block in _blocks(labels):
        numbers = np.union1d(numbers, _numbers_in(block))
        yield CellCount(int(numbers.size), int(numbers[-1]) if numbers.size else 0)


def _blocks(labels: LabelImage) -> Iterator[LabelImage]:
    """Rows of each plane, a million pixels at a time."""
    planes = labels[np.newaxis] if labels.ndim == 1 else labels
    rows = max(1, _BLOCK_PX // max(1, planes.shape[-1]))
    for index in np.ndindex(*planes.shape[:-2]):
        plane = planes[index]
        for start in range(0, plane.shape[0], rows):
            yield plane[start : start + rows]


def _numbers_in(block: LabelImage) -> NDArray[np.integer]:
    """Numbers of the cells in some rows, sorted; only where they begin are they looked at."""
    begins = block[:, 1:][block[:, 1:] != block[:, :-1]]
    numbers: NDArray[np.integer] = np.unique(np.concatenate([block[:, :1].reshape(-1), begins]))
    return numbers[numbers > 0]
