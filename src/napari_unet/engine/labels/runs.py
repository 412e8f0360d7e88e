"""Label images as runs of equal numbers, of which there are far fewer than pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers

_FEW_A_RUN = 4
"""Numbers for each run up to which a table of all of them is smaller than it is worth."""


def run_starts(*images: NDArray[np.generic], by_row: bool = False) -> NDArray[np.int64]:
    """Where a run begins: any of the images has another value there than a pixel before.

    Parameters
    ----------
    *images : arrays of one shape
    by_row : bool
        Whether a run also begins with each row.

    Returns
    -------
    (runs,) int64 array
        In pixels in C order.
    """
    begins = np.zeros(images[0].size, np.bool_)
    begins[:1] = True
    if by_row:
        begins[:: max(1, images[0].shape[-1])] = True
    for image in images:
        flat = image.reshape(-1)
        begins[1:] |= flat[1:] != flat[:-1]
    return np.flatnonzero(begins)


@dataclass(frozen=True, slots=True, eq=False)
class LabelRuns:
    """A copy of labels, of a few bytes for each run, to know later what was changed since."""

    shape: tuple[int, ...]
    starts: NDArray[np.int64]
    """(N,) int64. Where each run begins, in pixels in C order."""
    numbers: LabelImage
    """(N,) integer. Of each run."""

    @classmethod
    def of(cls, labels: LabelImage) -> LabelRuns:
        """Copy labels of any shape."""
        starts = run_starts(labels)
        return cls(labels.shape, starts, labels.reshape(-1)[starts])

    def labels(self) -> LabelImage:
        """Return the labels as they were."""
        size = int(np.prod(self.shape))
        lengths = np.diff(self.starts, append=size)
        return np.repeat(self.numbers, lengths).reshape(self.shape)

    def changed(self, labels: LabelImage) -> NDArray[np.bool_]:
        """Where labels of the same shape are other ones now: bool array."""
        different: NDArray[np.bool_] = self.labels() != labels
        return different


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of one image of several that were cut into the same runs."""

    ids: NDArray[np.int64 | np.uint64]
    """(N,) int64 or uint64. Ascending; the first is 0, the background, if there is none, too."""
    index: NDArray[np.int64]
    """(runs,) int64. Which of them each run belongs to."""
    areas: NDArray[np.int64]
    """(N,) int64. In pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class CommonRuns:
    """Rows of several label images of one shape, cut where any of them changes."""

    shape: tuple[int, ...]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """`starts`, `lengths`: (runs,) int64. In pixels in C order."""
    numbers: tuple[NDArray[np.int64 | np.uint64], ...]
    """Tuple of (runs,) int64 or uint64. Of each image; 0 where they are negative."""

    @classmethod
    def of(cls, *images: LabelImage) -> CommonRuns:
        """Cut label images of one shape.

        Raises
        ------
        LabelsError
                If they are not whole numbers.
        """
        images = tuple(map(whole_numbers, images))
        starts = run_starts(*images, by_row=True)
        return cls(
            images[0].shape,
            starts,
            np.diff(starts, append=images[0].size),
            tuple(_wide(image.reshape(-1)[starts]) for image in images),
        )

    def cells(self, image: int) -> Cells:
        """Cells of one of the images, given by its place."""
        numbers = self.numbers[image]
        if int(numbers.max(initial=0)) <= _FEW_A_RUN * numbers.size:
            # Ten times as fast as to sort.
            is_there = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
            is_there[0] = is_there[numbers] = True
            ids, index = np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[numbers]
            ids = ids.astype(numbers.dtype, copy=False)
        else:
            # With a 0 there is a background in any image, of the same type: NumPy makes floats of
            # uint64 beside int64.
            ids, index = np.unique(np.append(numbers, numbers.dtype.type(0)), return_inverse=True)
            index = index.reshape(-1)[:-1]
        areas = np.bincount(index, self.lengths, ids.size).astype(np.int64)
        return Cells(ids, index, areas)

    def shared(self, one: Cells, other: Cells) -> coo_array:
        """Pixels that each two cells of two images share, background left out.

        Returns
        -------
        (N, M) sparse array
            By the index of the cells in `one` and in `other`.
        """
        in_cells = (one.index > 0) & (other.index > 0)
        pairs = (one.index[in_cells], other.index[in_cells])
        table = coo_array((self.lengths[in_cells], pairs), (one.ids.size, other.ids.size))
        table.sum_duplicates()
        return table


def _wide(numbers: LabelImage) -> NDArray[np.int64 | np.uint64]:
    """Numbers in 64 bits, 0 where they are negative; uint64 stays, whose upper half has no sign."""
    if numbers.dtype == np.uint64:
        return numbers
    wide: NDArray[np.int64] = np.maximum(numbers.astype(np.int64), 0)
    return wide


def ious_of(one: Cells, other: Cells, shared: coo_array) -> NDArray[np.float64]:
    """Shared pixels of each pair of cells divided by those of both."""
    rows, columns = shared.coords
    ious: NDArray[np.float64] = shared.data / (one.areas[rows] + other.areas[columns] - shared.data)
    return ious


def ends_of_runs(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last pixel (runs, D) of runs that do not leave their row."""
    firsts = np.stack(np.unravel_index(starts, shape), axis=1).astype(np.int64, copy=False)
    lasts = firsts.copy()
    lasts[:, -1] += lengths - 1
    return firsts, lasts


def boxes_of(
    firsts: NDArray[np.int64], lasts: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Box around each group of runs, by their first and last pixels.

    Parameters
    ----------
    firsts, lasts : (runs, D) int array
    groups : (runs,) int array
        The group of each run, from 0.

    Returns
    -------
    starts, stops : (groups, D) int64 array
    """
    shape = (int(groups.max(initial=-1)) + 1, firsts.shape[1])
    starts, stops = np.full(shape, np.iinfo(np.int64).max), np.zeros(shape, np.int64)
    for axis in range(shape[1]):
        np.minimum.at(starts[:, axis], groups, firsts[:, axis])
        np.maximum.at(stops[:, axis], groups, lasts[:, axis] + 1)
    return starts, stops
