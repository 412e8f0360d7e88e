"""Which cells one result has gained, lost, split, merged or reshaped beside another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.evaluation import Evaluation, evaluate
from napari_unet.engine.labels.runs import Cells, CommonRuns, boxes_of, ends_of_runs, ious_of

ChangeKind: TypeAlias = Literal["gained", "lost", "split", "merged", "regrouped", "reshaped"]

CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
"""In a change image the first is 1, the second 2 and so on."""

SAME_IOU = 0.8
"""From this overlap on a cell is taken as unchanged."""

_NO_GAIN = 1e-6
_SHARED = 0.5
"""Two cells belong together if they share more than this of the smaller one."""


@dataclass(frozen=True, slots=True)
class Change:
    """Cells of two results that lie on each other and are not the same.

    Parameters
    ----------
    kind : str
        "gained" and "lost" are cells without a counterpart, "split" and
        "merged" one cell that became several and several that became one,
        "regrouped" several that became others, "reshaped" one cell with
        another outline or place.
    before_ids, after_ids : tuple of int
        Numbers of the cells.
    box : tuple of slices
        Around all of them.
    centre : tuple of float
        Mean place of their pixels.
    before_px, after_px : int
        Their pixels before and after.
    improvement : float, optional
        How many errors fewer there are: cells that are missed or too many. Of
        a pair of a true and a found cell each counts as an error by 1 - IoU.
        Negative where there are more; None without a truth.
    iou : float
        Of the two cells before and after that are most alike; 0 where there are
        none on one side.
    """

    kind: ChangeKind
    before_ids: tuple[int, ...]
    after_ids: tuple[int, ...]
    box: Region
    centre: tuple[float, ...]
    before_px: int
    after_px: int
    improvement: float | None = None
    iou: float = 0.0

    @property
    def is_better(self) -> bool | None:
        """Whether it is nearer to the truth; None if that is unknown or equal."""
        if self.improvement is None or abs(self.improvement) < _NO_GAIN:
            return None
        return self.improvement > 0


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What `compare_cells` found.

    Parameters
    ----------
    shape : tuple of int
        Of the label images.
    changes : tuple of Change
        Largest first.
    before_cells, after_cells, unchanged : int
        Cells before and after, and how many of them are the same.
    before_score, after_score : Evaluation, optional
        Against the truth, if there is one.
    run_changes, run_lengths : (runs,) int array
        The image, row by row, as runs of pixels: in which change each lies, -1
        for none.
    """

    shape: tuple[int, ...]
    changes: tuple[Change, ...]
    before_cells: int
    after_cells: int
    unchanged: int
    before_score: Evaluation | None
    after_score: Evaluation | None
    run_changes: NDArray[np.int64]
    run_lengths: NDArray[np.int64]

    @property
    def counts(self) -> Mapping[ChangeKind, int]:
        """Changes of each kind."""
        counted = Counter(change.kind for change in self.changes)
        return {kind: counted[kind] for kind in CHANGE_KINDS}


def compare_cells(
    before: LabelImage,
    after: LabelImage,
    truth: LabelImage | None = None,
    *,
    same_iou: float = SAME_IOU,
) -> Comparison:
    """List the cells in which two results for the same image differ.

    Parameters
    ----------
    before, after : (H, W) or (Z, H, W) integer array
        Each positive value is one cell; 0 and what is negative is none. The
        numbers need not correspond. Floats will do if they are whole.
    truth : integer array of the same shape, optional
        With it each change says whether it is an improvement.
    same_iou : float
        Overlap, divided by the union, from which two cells are the same.

    Returns
    -------
    Comparison

    Raises
    ------
    ImageShapeError
        If the shapes differ.
    LabelsError
        If the arrays hold numbers that are not whole.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import compare_cells
    >>> before = np.array([[1, 1, 1, 1, 0, 0, 0]])
    >>> after = np.array([[1, 1, 2, 2, 0, 0, 3]])
    >>> [(change.kind, change.after_ids) for change in compare_cells(before, after).changes]
    [('split', (1, 2)), ('gained', (3,))]
    """
    images = [np.asarray(each) for each in (before, after, truth) if each is not None]
    for image in images:
        if image.shape != images[0].shape:
            raise ImageShapeError(
                f"The labels before have shape {images[0].shape}, the others {image.shape}; "
                "they must be labels of the same image."
            )
    runs = CommonRuns.of(*images)
    compared = compare_runs(runs, runs.cells(0), runs.cells(1), same_iou=same_iou)
    if truth is None:
        return compared
    return replace(
        compared,
        changes=_judged(compared.changes, runs),
        before_score=evaluate(images[2], images[0]),
        after_score=evaluate(images[2], images[1]),
    )


def compare_runs(runs: CommonRuns, old: Cells, new: Cells, *, same_iou: float) -> Comparison:
    """Compare as `compare_cells`, without a truth, the cells of two images cut into common runs."""
    shared = runs.shared(old, new)
    groups, count = _groups(old, new, shared)
    best = _best_ious(old, new, shared, groups, count)
    is_same = _is_same(groups, best, same_iou)
    numbers = np.cumsum(~is_same) - 1
    of_old, of_new = (np.where(is_same[part], -1, numbers[part]) for part in groups)
    changes = _changes(runs, old, new, of_old, of_new, best[~is_same].tolist())
    order = sorted(range(len(changes)), key=lambda i: _rank(changes[i]))
    places = np.full(len(changes) + 1, -1)
    places[order] = np.arange(len(changes))
    # Of a pixel that two changes claim the cell that is there now decides.
    now, then = of_new[new.index], of_old[old.index]
    return Comparison(
        runs.shape,
        tuple(changes[i] for i in order),
        old.ids.size - 1,
        new.ids.size - 1,
        int(is_same.sum()) - 1,
        None,
        None,
        places[np.where(now >= 0, now, then)],
        runs.lengths,
    )


def change_image(comparison: Comparison) -> NDArray[np.uint8]:
    """Colour every pixel of a changed cell by the kind of its change.

    Returns
    -------
    uint8 array of the shape of the compared labels
        0 where nothing has changed, otherwise 1 + the place of the kind in
        `CHANGE_KINDS`.
    """
    kinds = [1 + CHANGE_KINDS.index(change.kind) for change in comparison.changes]
    values = np.array([*kinds, 0], np.uint8)  # -1 is the last one
    coloured = np.repeat(values[comparison.run_changes], comparison.run_lengths)
    return coloured.reshape(comparison.shape)


def _related(one: Cells, other: Cells, shared: coo_array) -> NDArray[np.bool_]:
    """Whether each pair in `shared` belongs together."""
    rows, columns = shared.coords
    smaller = np.minimum(one.areas[rows], other.areas[columns])
    related: NDArray[np.bool_] = shared.data > _SHARED * smaller
    return related


def _groups(
    old: Cells, new: Cells, shared: coo_array
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], int]:
    """For each cell before and after the group that it belongs to; 0 is the background's."""
    rows, columns = (part[_related(old, new, shared)] for part in shared.coords)
    total = old.ids.size + new.ids.size
    # The two backgrounds are one group, the first.
    rows, columns = np.append(0, rows), np.append(0, columns) + old.ids.size
    graph = coo_array((np.ones(rows.size, np.int8), (rows, columns)), (total, total))
    count, groups = connected_components(graph, directed=False)
    return (groups[: old.ids.size].astype(int), groups[old.ids.size :].astype(int)), int(count)


def _best_ious(
    old: Cells,
    new: Cells,
    shared: coo_array,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    count: int,
) -> NDArray[np.float64]:
    """Highest IoU of a cell before with one after in each group."""
    rows, columns = shared.coords
    within = groups[0][rows] == groups[1][columns]
    best = np.zeros(count)
    np.maximum.at(best, groups[0][rows[within]], ious_of(old, new, shared)[within])
    return best


def _is_same(
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    best: NDArray[np.float64],
    same_iou: float,
) -> NDArray[np.bool_]:
    """Whether each group is one cell that is the same before and after, or the background."""
    olds, news = (np.bincount(part, minlength=best.size) for part in groups)
    same: NDArray[np.bool_] = (olds == 1) & (news == 1) & (best >= same_iou)
    same[0] = True
    return same


# -- changes -------------------------------------------------------------------------------------


def _changes(
    runs: CommonRuns,
    old: Cells,
    new: Cells,
    of_old: NDArray[np.int64],
    of_new: NDArray[np.int64],
    ious: list[float],
) -> list[Change]:
    count = 1 + max(int(of_old.max()), int(of_new.max()))
    boxes, centres = _places(runs, of_old[old.index], of_new[new.index], count)
    members = [_members(of, count) for of in (of_old, of_new)]
    changes = []
    for i in range(count):
        olds, news = (part[i] for part in members)
        changes.append(
            Change(
                _kind(len(olds), len(news)),
                tuple(old.ids[olds].tolist()),
                tuple(new.ids[news].tolist()),
                tuple(slice(int(low), int(high)) for low, high in boxes[i]),
                tuple(centres[i].tolist()),
                int(old.areas[olds].sum()),
                int(new.areas[news].sum()),
                iou=ious[i],
            )
        )
    return changes


def _members(changes: NDArray[np.int64], count: int) -> list[NDArray[np.intp]]:
    """Indices of the cells in each change."""
    order = np.argsort(changes, kind="stable")
    return np.split(order, np.searchsorted(changes[order], np.arange(count + 1)))[1:-1]


def _kind(before: int, after: int) -> ChangeKind:
    if not before:
        return "gained"
    if not after:
        return "lost"
    if before == after == 1:
        return "reshaped"
    if before == 1:
        return "split"
    return "merged" if after == 1 else "regrouped"


def _places(
    runs: CommonRuns, then: NDArray[np.int64], now: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Box (changes, D, 2) and mean place (changes, D) of the pixels of each change."""
    which = np.concatenate([then, np.where(now == then, -1, now)])
    run = np.concatenate([np.arange(then.size)] * 2)[which >= 0]
    which = which[which >= 0]
    lengths = runs.lengths[run]
    firsts, lasts = ends_of_runs(runs.starts[run], lengths, runs.shape)
    boxes = np.stack(boxes_of(firsts, lasts, which), axis=-1)
    pixels = np.bincount(which, lengths, count)
    middles = ((firsts + lasts) / 2).T
    sums = [np.bincount(which, lengths * middle, count) for middle in middles]
    return boxes, np.stack(sums, axis=1) / np.maximum(pixels, 1)[:, np.newaxis]


def _rank(change: Change) -> tuple[int, list[int]]:
    return -max(change.before_px, change.after_px), [part.start for part in change.box]


# -- the truth -----------------------------------------------------------------------------------


def _judged(changes: tuple[Change, ...], runs: CommonRuns) -> tuple[Change, ...]:
    """Say of each change how much nearer to the truth it is."""
    true = runs.cells(2)
    old_ious, new_ious = (_ious(true, runs.cells(image), runs) for image in (0, 1))
    judged = []
    for change in changes:
        olds = [old_ious.get(number, {}) for number in change.before_ids]
        news = [new_ious.get(number, {}) for number in change.after_ids]
        concerned = {number for each in (*olds, *news) for number in each}
        gain = _errors(olds, concerned) - _errors(news, concerned)
        judged.append(replace(change, improvement=gain))
    return tuple(judged)


def _ious(true: Cells, found: Cells, runs: CommonRuns) -> dict[int, dict[int, float]]:
    """For each found cell the true ones that it belongs to, with the IoU of both."""
    shared = runs.shared(true, found)
    related = _related(true, found, shared)
    rows, columns = (part[related] for part in shared.coords)
    ious = ious_of(true, found, shared)[related]
    table: dict[int, dict[int, float]] = {}
    for number, cell, iou in zip(
        true.ids[rows].tolist(), found.ids[columns].tolist(), ious.tolist(), strict=True
    ):
        table.setdefault(cell, {})[number] = iou
    return table


def _errors(found: list[dict[int, float]], true: set[int]) -> float:
    """Missed and extra cells; of a pair, each counts as far as the other does not cover it."""
    pairs = sorted(
        ((iou, i, number) for i, each in enumerate(found) for number, iou in each.items()),
        reverse=True,
    )
    cells, numbers, matched = set(range(len(found))), set(true), 0.0
    for iou, i, number in pairs:
        if i in cells and number in numbers:
            cells.remove(i)
            numbers.remove(number)
            matched += iou
    return len(true) + len(found) - 2 * matched
