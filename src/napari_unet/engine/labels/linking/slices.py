"""Cells linked from slice to slice, where they overlap more than with any other cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, LabelsError
from napari_unet.engine.base.settings import LINK_OVERLAP, SegmentationSettings
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.runs import CommonRuns, ious_of


def link_slices(
    labels: LabelImage, *, link_overlap: float = LINK_OVERLAP, link_gaps: bool = True
) -> NDArray[np.int32]:
    """Give cells of neighbouring slices that overlap the same number.

    Parameters
    ----------
    labels : (..., Z, H, W) integer array
        Cells of each slice, whatever their numbers: the same one in two slices
        links nothing. Axes before Z, such as time, are not linked.
    link_overlap, link_gaps
        As in `SegmentationSettings`.

    Returns
    -------
    int32 array of the same shape
        Cells are 1, 2, ... in reading order of their first pixel.

    Raises
    ------
    LabelsError
        If the labels have fewer than three axes, or are no whole numbers.
    SettingsError
        If the overlap makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> discs = np.array([[[7, 7, 0, 1]], [[4, 4, 0, 0]], [[0, 5, 5, 5]]])
    >>> link_slices(discs, link_overlap=0.5)[:, 0]
    array([[1, 1, 0, 2],
           [1, 1, 0, 0],
           [0, 3, 3, 3]], dtype=int32)
    """
    labels = whole_numbers(np.asarray(labels))
    if labels.ndim < 3:
        raise LabelsError(
            f"The labels have shape {labels.shape}; to link slices give three axes, (Z, Y, X)."
        )
    if not labels.size:
        return labels.astype(np.int32)
    settings = SegmentationSettings(link_overlap=link_overlap, link_gaps=link_gaps)
    linker = SliceLinker(settings)
    linked: list[LabelImage] = []
    for stack in labels.reshape(-1, *labels.shape[-3:]):
        for plane in stack:
            linked += linker.add(plane)
        linked += linker.end()
    return np.stack(linked).reshape(labels.shape)


class SliceLinker:
    """Numbers the cells of slices as they come; at most the two slices before are kept.

    Two cells of neighbouring slices are one if their IoU is at least
    `link_overlap` and if each is the one in the other's slice with which it has
    the highest; of equal ones that counts which comes first. So a cell is linked
    to at most one in each neighbour, and the parts of a cell that was split in
    one slice do not draw two cells together. With `link_gaps` a cell that is
    linked to none in the slice before is linked, in the same way, to those two
    slices away that go on in none; where the slice between is background, what
    both share is filled.

    Parameters
    ----------
    settings : SegmentationSettings
        Of which `link_overlap` and `link_gaps` count.
    above : int
        Numbers begin above this.

    Attributes
    ----------
    cells : int
        So far, linked.
    discs : int
        So far, each slice counted by itself.

    References
    ----------
    Stringer et al. (2021), Cellpose, "stitch_threshold".
    https://doi.org/10.1038/s41592-020-01018-x
    """

    def __init__(self, settings: SegmentationSettings, *, above: int = 0) -> None:
        self._overlap, self._gaps = settings.link_overlap, settings.link_gaps
        self._above = above
        self._before: list[LabelImage] = []
        self.cells = 0
        self.discs = 0

    def add(self, labels: LabelImage) -> list[NDArray[np.int32]]:
        """Number the cells of the next slice.

        Parameters
        ----------
        labels : (H, W) integer array
            Whatever the numbers.

        Returns
        -------
        list of (H, W) int32 array
            Slices that are final: this one or, with `link_gaps`, the one before
            if there is one. A linked cell has the number of the one before it;
            others get new ones, in reading order.

        Raises
        ------
        ImageShapeError
            If the shape is another one than before.
        """
        if self._before and self._before[-1].shape != labels.shape:
            raise ImageShapeError(
                f"A slice has shape {labels.shape} and the one before {self._before[-1].shape}; "
                "give slices of the same shape."
            )
        own, here = _in_reading_order(labels)
        numbers = np.zeros(own + 1, np.int32)
        if self._before:
            earlier, cells = mutual_links(self._before[-1], here, overlap=self._overlap)
            numbers[cells] = earlier
        if len(self._before) > 1:
            self._bridge(here, numbers)
        new = np.flatnonzero(numbers[1:] == 0) + 1
        numbers[new] = self._above + self.cells + 1 + np.arange(new.size)
        self.cells += int(new.size)
        self.discs += own
        linked = numbers[here]
        if not self._gaps:
            self._before = [linked]
            return [linked]
        final = self._before[-1:]
        self._before = [*self._before, linked][-2:]
        return final

    def end(self) -> list[NDArray[np.int32]]:
        """Return the slice that was held back, if any; what is added next is another stack."""
        held = self._before[-1:] if self._gaps else []
        self._before = []
        return held

    def _bridge(self, here: LabelImage, numbers: NDArray[np.int32]) -> None:
        """Number cells by those two slices before, and fill the slice between."""
        first, between = self._before
        is_free = np.where(np.isin(first, between), 0, first)
        earlier, cells = mutual_links(
            is_free, np.where(numbers[here] > 0, 0, here), overlap=self._overlap
        )
        numbers[cells] = earlier
        bridged = np.zeros_like(numbers)
        bridged[cells] = earlier
        is_gap = (between == 0) & (first > 0) & (first == bridged[here])
        between[is_gap] = first[is_gap]


def mutual_links(
    before: LabelImage, here: LabelImage, *, overlap: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of cells of two slices of which each is the other's best match.

    Parameters
    ----------
    before, here : integer array of one shape
    overlap : float
        Least IoU.

    Returns
    -------
    before, here : (N,) int64 array
        Numbers of the cells of each pair.
    """
    runs = CommonRuns.of(before, here)
    one, other = runs.cells(0), runs.cells(1)
    shared = runs.shared(one, other)
    ious, (rows, columns) = ious_of(one, other, shared), shared.coords
    near = ious >= overlap
    rows, columns, ious = rows[near], columns[near], ious[near]
    # Which is written last stays: the highest, of equal ones the one with the lowest number.
    order = np.lexsort((-columns, -rows, ious))
    rows, columns = rows[order], columns[order]
    best_column, best_row = np.zeros(one.ids.size, np.int64), np.zeros(other.ids.size, np.int64)
    best_column[rows], best_row[columns] = columns, rows
    linked = np.flatnonzero(best_column)
    linked = linked[best_row[best_column[linked]] == linked]
    return one.ids[linked].astype(np.int64), other.ids[best_column[linked]].astype(np.int64)


def _in_reading_order(labels: LabelImage) -> tuple[int, NDArray[np.int64]]:
    """How many cells there are, and they numbered from 1 by their first pixels."""
    ids, first, index = np.unique(labels, return_index=True, return_inverse=True)
    is_cell = ids > 0
    numbers = np.zeros(ids.size, np.int64)
    order = np.flatnonzero(is_cell)[np.argsort(first[is_cell])]
    numbers[order] = 1 + np.arange(order.size)
    return order.size, numbers[index].reshape(labels.shape)
