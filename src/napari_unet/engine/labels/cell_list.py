"""The cells of labels as a list: where each lies, how large it is, what a network said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.runs import boxes_of, ends_of_runs, run_starts
from napari_unet.engine.labels.uncertainty import pixel_uncertainty
from napari_unet.engine.networks.class_roles import BACKGROUND, as_cells

SCORE, DOUBT = "score", "doubt"
"""Names of their columns."""

_BITS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMaps:
    """What a network said of each pixel.

    Parameters
    ----------
    score : float32 array
        1 less the score of background.
    doubt : float32 array
        1 where two classes have the same score, 0 where it is sure; edges of cells left out.
    """

    score: NDArray[np.float32]
    doubt: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Where a part of labels was cut from.

    Parameters
    ----------
    corner : tuple of int
        Its first pixel. Where the part has fewer axes, it is a plane, or a part of one, along the
        last ones.
    shape : tuple of int
        Of the whole.
    """

    corner: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of_plane(cls, index: Sequence[int], shape: tuple[int, ...]) -> Window:
        """Return the window of a whole plane, by its place along the first axes."""
        return cls((*index, *(0,) * (len(shape) - len(index))), shape)


@dataclass(frozen=True, slots=True, eq=False)
class CellList:
    """The cells of labels, a row for each.

    Parameters
    ----------
    shape : tuple of int
        Of the labels, D axes.
    numbers : (N,) int64 array
        Ascending.
    areas : (N,) int64 array
        In pixels.
    starts, stops : (N, D) int64 array
        The box around each.
    prints : (N,) uint64 array
        The same as long as a cell has the same pixels.
    scores, doubts : (N,) float64 array, optional
        Mean over the cell of `ScoreMaps`.
    """

    shape: tuple[int, ...]
    numbers: NDArray[np.int64]
    areas: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    prints: NDArray[np.uint64]
    scores: NDArray[np.float64] | None = None
    doubts: NDArray[np.float64] | None = None

    def row(self, number: int) -> int | None:
        """Row of a cell; None if it is not there."""
        place = int(np.searchsorted(self.numbers, number))
        is_there = place < self.numbers.size and int(self.numbers[place]) == number
        return place if is_there else None

    def box(self, row: int) -> Region:
        """Box around the cell of a row."""
        return tuple(map(slice, self.starts[row].tolist(), self.stops[row].tolist()))

    def box_around(self, numbers: NDArray[np.int64]) -> Region | None:
        """Box around all of some cells; None if none of them is there."""
        rows = np.isin(self.numbers, numbers)
        if not rows.any():
            return None
        first, last = self.starts[rows].min(axis=0), self.stops[rows].max(axis=0)
        return tuple(map(slice, first.tolist(), last.tolist()))

    def with_part(self, part: CellList, numbers: NDArray[np.int64]) -> CellList:
        """Return the list with some cells as they are in another one, or gone; without scores.

        Parameters
        ----------
        part : CellList
            Of a window of the same labels, with these cells alone.
        numbers : (M,) int64 array
        """
        stays = ~np.isin(self.numbers, numbers)
        names = ("numbers", "areas", "starts", "stops", "prints")
        joined = {
            name: np.concatenate([getattr(self, name)[stays], getattr(part, name)])
            for name in names
        }
        order = np.argsort(joined["numbers"])
        return CellList(self.shape, *(joined[name][order] for name in names))

    def changed_since(self, before: CellList) -> NDArray[np.int64]:
        """Numbers of cells, (M,), that are other ones than in a list of before, or not in both."""
        now, was = (
            np.rec.fromarrays([each.numbers.astype(np.uint64), each.prints])
            for each in (self, before)
        )
        found: NDArray[np.int64] = np.unique(np.setxor1d(now, was)["f0"]).astype(np.int64)
        return found

    @property
    def touches_border(self) -> NDArray[np.bool_]:
        """(N,) bool. The first and last slice are no border where every cell lies in one slice."""
        reach = (self.stops - self.starts).max(axis=0, initial=0)
        at_end = (self.starts == 0) | (self.stops == np.array(self.shape))
        counts = reach > 1
        counts[-2:] = True
        touches: NDArray[np.bool_] = (at_end & counts).any(axis=1)
        return touches


def score_maps(scores: NDArray[np.float32], class_roles: Sequence[str]) -> ScoreMaps:
    """Condense the scores of a network for `list_cells`.

    Parameters
    ----------
    scores : (C, *S) float array
        Probability of each class role, as `segment` returns them.
    class_roles : sequence of str
        "background" among them.

    Raises
    ------
    SettingsError
        If there is no background.
    """
    if BACKGROUND not in class_roles:
        raise SettingsError(
            f"The classes are {', '.join(class_roles)}; the score of a cell is told from that of "
            "the background, so give it, too."
        )
    scores, roles = as_cells(np.asarray(scores, np.float32), class_roles)
    score: NDArray[np.float32] = 1 - scores[roles.index(BACKGROUND)]
    return ScoreMaps(score, pixel_uncertainty(scores))


def list_cells(
    labels: LabelImage, maps: ScoreMaps | None = None, *, window: Window | None = None
) -> CellList:
    """List the cells of labels, to look them over.

    Parameters
    ----------
    labels : integer array of two or more axes
    maps : ScoreMaps, optional
        Of the shape of `labels`.
    window : Window, optional
        What the labels were cut from: the cells are listed as those of the whole.

    Raises
    ------
    LabelsError
        If the labels have fewer than two axes, or are no whole numbers.
    ImageShapeError
        If scores have another shape.
    """
    labels = np.ascontiguousarray(whole_numbers(np.asarray(labels)))
    if labels.ndim < 2:
        raise LabelsError(f"The labels have shape {labels.shape}; cells have two axes or more.")
    if maps is not None and maps.score.shape != labels.shape:
        raise ImageShapeError(
            f"The scores have shape {maps.score.shape} and the labels {labels.shape}; give scores "
            "on the grid of the labels."
        )
    begins = run_starts(labels, by_row=True)
    values = labels.reshape(-1)[begins]
    is_cell = values > 0
    starts = begins[is_cell]
    lengths = np.diff(begins, append=labels.size)[is_cell]
    numbers, rows = np.unique(values[is_cell].astype(np.int64), return_inverse=True)
    areas = np.bincount(rows, lengths, numbers.size).astype(np.int64)
    prints = np.zeros(numbers.size, np.uint64)
    firsts, lasts = ends_of_runs(starts, lengths, labels.shape)
    shape = labels.shape
    if window is not None:
        front = len(window.shape) - labels.ndim
        corner, shape = np.array(window.corner[front:]), window.shape[front:]
        firsts, lasts = firsts + corner, lasts + corner
        starts = np.ravel_multi_index((*window.corner[:front], *firsts.T), window.shape)
    np.add.at(prints, rows, _mixed(starts, lengths))
    cells = CellList(shape, numbers, areas, *boxes_of(firsts, lasts, rows), prints)
    if maps is None:
        return cells
    means = [_means(each, begins, is_cell, rows, areas) for each in (maps.score, maps.doubt)]
    return replace(cells, scores=means[0], doubts=means[1])


def _mixed(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Turn runs into numbers whose sum tells sets of runs apart."""
    mixed = starts.astype(np.uint64) * _BITS[0] + lengths.astype(np.uint64) * _BITS[1]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _BITS[1]
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _means(
    image: NDArray[np.float32],
    begins: NDArray[np.int64],
    is_cell: NDArray[np.bool_],
    rows: NDArray[np.intp],
    areas: NDArray[np.int64],
) -> NDArray[np.float64]:
    if not begins.size:
        return np.zeros(0)
    sums = np.add.reduceat(np.ascontiguousarray(image).reshape(-1), begins)[is_cell]
    means: NDArray[np.float64] = np.bincount(rows, sums, areas.size) / np.maximum(areas, 1)
    return means


# -- what a network said of them ----------------------------------------------------------------


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

    @property
    def mean_doubt(self) -> float | None:
        """Mean over the cells whose doubt is known; None if there are none."""
        known = self.doubts[np.isfinite(self.doubts)]
        return round(float(known.mean()), 4) if known.size else None

    def known_of(self, cells: CellList) -> CellList:
        """Give cells that are as they were found their scores; NaN to the others.

        Parameters
        ----------
        cells : CellList
            Of the labels as they are now.
        """
        known = self.columns_of(cells)
        return replace(cells, scores=known[SCORE], doubts=known[DOUBT])

    def columns_of(self, cells: CellList) -> dict[str, NDArray[np.float64]]:
        """Return `score` and `doubt` of cells as they are now, (N,) each, as `known_of`."""
        found = np.full((2, cells.numbers.size), np.nan)
        if self.numbers.size:
            places = np.searchsorted(self.numbers, cells.numbers).clip(max=self.numbers.size - 1)
            is_same = self.numbers[places] == cells.numbers
            is_same &= self.prints[places] == cells.prints
            found = np.where(is_same, np.stack([self.scores, self.doubts])[:, places], np.nan)
        return {SCORE: found[0], DOUBT: found[1]}


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
