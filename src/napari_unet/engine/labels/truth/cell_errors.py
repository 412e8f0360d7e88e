"""Which found cells are right beside the true ones, and what is wrong with the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError, LabelsError, SettingsError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.comparison import Change, ChangeKind, Comparison, compare_runs
from napari_unet.engine.labels.evaluation import (
    Evaluation,
    ImageScore,
    check_same_shape,
    checked_thresholds,
    score_runs,
)
from napari_unet.engine.labels.runs import CommonRuns
from napari_unet.engine.labels.truth.intervals import share_interval

ErrorKind: TypeAlias = Literal["missed", "false", "merged", "split", "regrouped", "outline"]
Verdict: TypeAlias = Literal["right"] | ErrorKind

ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
VERDICTS: tuple[Verdict, ...] = ("right", *ERROR_KINDS)
"""In an error image the first is 1, the second 2 and so on."""

CURVE_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU thresholds of the curve of average precision, 0.5 to 0.95."""

RIGHT_IOU = 0.5
"""From this overlap on a found cell is right."""

_KINDS: Mapping[ChangeKind, ErrorKind] = {
    "lost": "missed",
    "gained": "false",
    "merged": "merged",
    "split": "split",
    "regrouped": "regrouped",
    "reshaped": "outline",
}
"""What a change from the true cells to the found ones is."""


@dataclass(frozen=True, slots=True)
class CellError:
    """True and found cells that lie on each other and do not match.

    Parameters
    ----------
    kind : str
        "missed" is a true cell with no found one, "false" a found cell with no
        true one; "merged" are several true cells in one found one, "split" is
        one true cell in several; "regrouped" are several true cells that were
        cut into several others, "outline" is a true and a found cell that
        overlap too little.
    true_ids, found_ids : tuple of int
        Numbers of the cells.
    iou : float
        Of the true and the found cell that are most alike; 0 where there are
        none on one side.
    box : tuple of slices
        Around all of them.
    centre : tuple of float
        Mean place of their pixels.
    true_px, found_px : int
        Their pixels.
    """

    kind: ErrorKind
    true_ids: tuple[int, ...]
    found_ids: tuple[int, ...]
    iou: float
    box: Region
    centre: tuple[float, ...]
    true_px: int
    found_px: int

    @property
    def size_px(self) -> int:
        """Pixels of the true cells, or of the found ones if these are more."""
        return max(self.true_px, self.found_px)


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Cells of one image by what became of them; each is counted once."""

    true: Mapping[Verdict, int]
    found: Mapping[Verdict, int]
    places: Mapping[Verdict, int]
    """Errors, each of one cell or of several; of what is right the pairs."""


@dataclass(frozen=True, slots=True)
class VerdictShare:
    """How many cells of all images share a verdict.

    Parameters
    ----------
    verdict : str
    places, true_cells, found_cells : int
    share : float
        Of all true cells; of "false" ones that of all found cells.
    low, high : float
        Interval of the share, with 95 % confidence, as of `share_interval`.
    """

    verdict: Verdict
    places: int
    true_cells: int
    found_cells: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class CellErrors:
    """What `find_errors` found.

    Parameters
    ----------
    shape : tuple of int
        Of the label images.
    right_iou : float
    evaluation : Evaluation
        Of one image, or of each plane where planes were compared by themselves.
    counts : tuple of VerdictCounts
        Of the same images.
    errors : tuple of CellError
        Largest first.
    run_starts, run_errors, run_is_right : (runs,) array
        The image as runs of pixels in C order: where each begins, in which
        error it lies (-1 for none), and whether it is of a found cell that is
        right.
    """

    shape: tuple[int, ...]
    right_iou: float
    evaluation: Evaluation
    counts: tuple[VerdictCounts, ...]
    errors: tuple[CellError, ...]
    run_starts: NDArray[np.int64]
    run_errors: NDArray[np.int64]
    run_is_right: NDArray[np.bool_]

    def image(self) -> NDArray[np.uint8]:
        """Colour each pixel of a cell by what became of the cell.

        Returns
        -------
        uint8 array of `shape`
            0 where no cell is, otherwise 1 + the place in `VERDICTS`. Where cells
            of two errors lie on each other, that of the found one; an error
            covers what is right. What a right cell lacks of its true one is 0.
        """
        kinds = [1 + VERDICTS.index(error.kind) for error in self.errors]
        values = np.array([*kinds, 0], np.uint8)[self.run_errors]  # -1 is the last one
        values[self.run_is_right] = 1
        lengths = np.diff(self.run_starts, append=math.prod(self.shape))
        return np.repeat(values, lengths).reshape(self.shape)

    def at(self, place: Sequence[int]) -> int | None:
        """Return which of the errors a pixel lies in; None for none."""
        flat = int(np.ravel_multi_index(tuple(place), self.shape))
        error = int(self.run_errors[np.searchsorted(self.run_starts, flat, side="right") - 1])
        return None if error < 0 else error


def find_errors(
    truth: LabelImage,
    found: LabelImage,
    *,
    right_iou: float = RIGHT_IOU,
    ndim: int | None = None,
    thresholds: Sequence[float] = CURVE_THRESHOLDS,
) -> CellErrors:
    """Say of each true and each found cell whether it is right, and what is wrong if not.

    A true and a found cell belong together if they share more than half of the
    smaller one. Cells that belong together, with those that belong to these,
    are one place. It is right if it is one true and one found cell whose
    overlap, divided by their union (IoU), is at least `right_iou`; otherwise it
    is one error, named by how many true and found cells there are. So each cell
    that average precision counts as missed or extra at this IoU is in exactly
    one error, and each error has such a cell.

    Parameters
    ----------
    truth, found : integer array of one shape
        Each positive value is one cell; 0 and what is negative is none. Floats
        will do if they are whole.
    right_iou : float
        From 0.5 to 1: below, a cell could match two.
    ndim : int, optional
        Axes of a cell: 2 for a stack whose planes are images of their own; all
        axes without it.
    thresholds : sequence of float
        IoU, for the scores in `CellErrors.evaluation`.

    Returns
    -------
    CellErrors

    Raises
    ------
    ImageShapeError
        If the shapes differ, or have fewer axes than a cell.
    LabelsError
        If the arrays hold numbers that are not whole, or no pixels.
    SettingsError
        If `right_iou` or a threshold makes no sense.

    References
    ----------
    Hoover et al. (1996), IEEE TPAMI 18, 673 (correct, over- and
    under-segmented, missed and noise regions); Caicedo et al. (2019), Cytometry
    A 95, 952 (missed, extra, merged and split nuclei).

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import find_errors
    >>> truth = np.array([[1, 1, 2, 2, 0, 0, 3]])
    >>> found = np.array([[4, 4, 4, 4, 0, 5, 0]])
    >>> [(error.kind, error.true_ids) for error in find_errors(truth, found).errors]
    [('merged', (1, 2)), ('false', ()), ('missed', (3,))]
    """
    truth, found = np.asarray(truth), np.asarray(found)
    ndim = truth.ndim if ndim is None else ndim
    _check(truth, found, right_iou, ndim)
    thresholds = checked_thresholds(thresholds)
    front = truth.shape[: truth.ndim - ndim]
    planes = [_Plane.of(truth[i], found[i], right_iou, thresholds) for i in np.ndindex(front)]
    before = np.cumsum([0, *(len(plane.errors) for plane in planes)])
    errors = [
        _within(error, index)
        for index, plane in zip(np.ndindex(front), planes, strict=True)
        for error in plane.errors
    ]
    order = sorted(range(len(errors)), key=lambda at: -errors[at].size_px)
    places = np.full(len(errors) + 1, -1)
    places[order] = np.arange(len(errors))
    size = math.prod(truth.shape[truth.ndim - ndim :])
    return CellErrors(
        truth.shape,
        right_iou,
        Evaluation(tuple(plane.score for plane in planes)),
        tuple(plane.counts for plane in planes),
        tuple(errors[at] for at in order),
        np.concatenate([plane.starts + number * size for number, plane in enumerate(planes)]),
        np.concatenate(
            [
                places[np.where(plane.run_errors < 0, -1, plane.run_errors + first)]
                for plane, first in zip(planes, before[:-1].tolist(), strict=True)
            ]
        ),
        np.concatenate([plane.run_is_right for plane in planes]),
    )


def verdict_shares(counts: Sequence[VerdictCounts]) -> tuple[VerdictShare, ...]:
    """Add up the cells of several images by what became of them, in the order of `VERDICTS`."""
    true = [sum(each.true.values()) for each in counts]
    found = [sum(each.found.values()) for each in counts]
    shares = []
    for verdict in VERDICTS:
        of = [(each.found if verdict == "false" else each.true)[verdict] for each in counts]
        all_cells = found if verdict == "false" else true
        low, high = share_interval(of, all_cells)
        shares.append(
            VerdictShare(
                verdict,
                sum(each.places[verdict] for each in counts),
                sum(each.true[verdict] for each in counts),
                sum(each.found[verdict] for each in counts),
                sum(of) / sum(all_cells) if sum(all_cells) else 0.0,
                low,
                high,
            )
        )
    return tuple(shares)


def _check(truth: LabelImage, found: LabelImage, right_iou: float, ndim: int) -> None:
    check_same_shape(truth, found)
    if not truth.size:
        raise LabelsError("The labels have no pixels; choose others.")
    if not 1 <= ndim <= truth.ndim:
        raise ImageShapeError(
            f"The labels have {truth.ndim} axes and a cell cannot have {ndim}; use 1 to "
            f"{truth.ndim}."
        )
    if not 0.5 <= right_iou <= 1:
        raise SettingsError(
            f"A cell is to be right from an IoU of {right_iou:g} on; use 0.5 to 1, because below "
            "0.5 a cell could match two."
        )


# -- one image, or one plane ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """What was found in one image, or in one plane of a stack."""

    score: ImageScore
    counts: VerdictCounts
    errors: list[CellError]
    starts: NDArray[np.int64]
    run_errors: NDArray[np.int64]
    run_is_right: NDArray[np.bool_]

    @classmethod
    def of(
        cls, truth: LabelImage, found: LabelImage, right_iou: float, thresholds: Sequence[float]
    ) -> _Plane:
        runs = CommonRuns.of(truth, found)
        true, others = runs.cells(0), runs.cells(1)
        compared = compare_runs(runs, true, others, same_iou=right_iou)
        errors = [_error(change) for change in compared.changes]
        run_errors = compared.run_changes
        return cls(
            score_runs(runs, true, others, thresholds),
            _counted(compared, errors),
            errors,
            runs.starts,
            run_errors,
            (run_errors < 0) & (others.index > 0),
        )


def _error(change: Change) -> CellError:
    return CellError(
        _KINDS[change.kind],
        change.before_ids,
        change.after_ids,
        change.iou,
        change.box,
        change.centre,
        change.before_px,
        change.after_px,
    )


def _counted(compared: Comparison, errors: Sequence[CellError]) -> VerdictCounts:
    true, found, places = (Counter[Verdict]({"right": compared.unchanged}) for _ in range(3))
    for error in errors:
        true[error.kind] += len(error.true_ids)
        found[error.kind] += len(error.found_ids)
        places[error.kind] += 1
    whole = ({verdict: each[verdict] for verdict in VERDICTS} for each in (true, found, places))
    return VerdictCounts(*whole)


def _within(error: CellError, index: tuple[int, ...]) -> CellError:
    """Bring an error in a plane to the axes of the stack."""
    if not index:
        return error
    front = tuple(slice(at, at + 1) for at in index)
    centre = (*map(float, index), *error.centre)
    return replace(error, box=(*front, *error.box), centre=centre)
