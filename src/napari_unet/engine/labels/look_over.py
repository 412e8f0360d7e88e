"""Cells looked over one by one: in which order, which of them, and their marks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.cell_list import CellList

Mark: TypeAlias = Literal["right", "wrong", "look again", "corrected"]
"""What a person says of a cell; "corrected" is one that a person has changed or made."""

Order: TypeAlias = Literal["doubt", "small", "large", "position", "number"]
Choice: TypeAlias = Literal[
    "all", "unseen", "wrong", "look again", "border", "small", "large", "low score"
]

MARKS: tuple[Mark, ...] = get_args(Mark)
SEEN: frozenset[Mark] = frozenset({"right", "corrected"})
"""Marks of cells that are the truth."""

_SMALL, _LARGE = 0.4, 2.5
"""Of the median cell: what is smaller or larger is looked at with suspicion."""

_LOW_SCORE = 0.8


# -- order and choice ----------------------------------------------------------------------------


def usual_limits(cells: CellList) -> dict[Choice, float]:
    """Say below which size a cell is small, above which large, and below which score it is low.

    Sizes in pixels, from the median cell.
    """
    median = float(np.median(cells.areas)) if cells.areas.size else 0.0
    return {
        "small": round(_SMALL * median),
        "large": round(_LARGE * median),
        "low score": _LOW_SCORE,
    }


def chosen_cells(
    cells: CellList,
    choice: Choice = "all",
    *,
    marks: Mapping[int, str] | None = None,
    limit: float | None = None,
) -> NDArray[np.bool_]:
    """Choose cells to look at.

    Parameters
    ----------
    cells : CellList
    choice : str
        "unseen" have no mark; "border" touch the border; "small", "large" and "low score" are
        below or above a limit; "wrong" and "look again" have that mark.
    marks : mapping of int to str, optional
        By number.
    limit : float, optional
        In pixels, or a score; without it that of `usual_limits`.

    Returns
    -------
    (N,) bool array

    Raises
    ------
    SettingsError
        If there are no scores to choose by, or `choice` is none of these.
    """
    if choice not in get_args(Choice):
        raise SettingsError(f"choice is {choice!r}; use one of {', '.join(get_args(Choice))}.")
    if choice == "all":
        return np.ones(cells.numbers.size, np.bool_)
    if choice == "border":
        return cells.touches_border
    if choice in ("unseen", "wrong", "look again"):
        found = (marks or {}).get
        wanted = None if choice == "unseen" else choice
        return np.array([found(n) == wanted for n in cells.numbers.tolist()], np.bool_)
    limit = usual_limits(cells)[choice] if limit is None else limit
    if choice == "small":
        return cells.areas < limit
    if choice == "large":
        return cells.areas > limit
    low: NDArray[np.bool_] = _known(cells.scores) < limit
    return low


def in_order(cells: CellList, order: Order, chosen: NDArray[np.bool_] | None = None) -> list[int]:
    """Put the numbers of cells in the order in which they are looked over.

    Parameters
    ----------
    cells : CellList
    order : {"doubt", "small", "large", "position", "number"}
        The most doubtful first; the smallest or largest first; slice by slice in rows that are
        read to and fro, so that the way from each to the next is short.
    chosen : (N,) bool array, optional
        Only these.

    Raises
    ------
    SettingsError
        If there are no scores to order by, or `order` is none of these.
    """
    found: tuple[NDArray[np.generic], ...]
    if order == "doubt":
        found = (cells.numbers, -_known(cells.doubts))
    elif order == "small":
        found = (cells.numbers, cells.areas)
    elif order == "large":
        found = (cells.numbers, -cells.areas)
    elif order == "position":
        found = _position(cells)
    elif order == "number":
        found = (cells.numbers,)
    else:
        raise SettingsError(f"order is {order!r}; use one of {', '.join(get_args(Order))}.")
    rows = np.lexsort(found)
    if chosen is not None:
        rows = rows[chosen[rows]]
    numbers: list[int] = cells.numbers[rows].tolist()
    return numbers


def _position(cells: CellList) -> tuple[NDArray[np.generic], ...]:
    """Keys for sorting, the last one first: slices, bands of rows, and columns to and fro."""
    middles = (cells.starts + cells.stops - 1) // 2
    heights = cells.stops[:, -2] - cells.starts[:, -2]
    band = np.maximum(1, 2 * np.median(heights)) if heights.size else 1
    bands = (middles[:, -2] // band).astype(np.int64)
    across = np.where(bands % 2 == 0, middles[:, -1], -middles[:, -1])
    slices = [middles[:, axis] for axis in range(middles.shape[1] - 2)]
    return (cells.numbers, across, bands, *reversed(slices))


def _known(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if values is None:
        raise SettingsError(
            "There are no scores of these cells; take labels that Segment has made, or give "
            "`list_cells` the scores."
        )
    return values


# -- marks ---------------------------------------------------------------------------------------


class MarkBook:
    """Marks of cells, which follow what becomes of the cells.

    A cell that was changed by hand is "corrected", one that is gone has no mark, and one that is
    again as it was, as after an undo, has the mark of then.

    Parameters
    ----------
    marks : mapping of int to str
        By number.
    """

    def __init__(self, marks: Mapping[int, str] | None = None) -> None:
        self.marks: dict[int, str] = dict(marks or {})
        self._once: dict[tuple[int, int], str] = {}

    def give(self, number: int, mark: str) -> None:
        """Mark a cell; an empty mark takes it away.

        Raises
        ------
        SettingsError
            If there is no such mark.
        """
        if mark and mark not in MARKS:
            raise SettingsError(f"mark is {mark!r}; use one of {', '.join(MARKS)}.")
        self.marks.pop(number, None)
        if mark:
            self.marks[number] = mark

    def follow(self, before: CellList, after: CellList, touched: Collection[int]) -> bool:
        """Take over what has become of the cells.

        Parameters
        ----------
        before, after : CellList
        touched : collection of int
            Numbers that a person painted, or painted over. What changed without that, as
            by another run of a model, loses its mark: nobody has looked at it.

        Returns
        -------
        bool
            Whether any mark is another one now.
        """
        was, start = _prints(before), dict(self.marks)
        now = _prints(after)
        for number, print_ in was.items() - now.items():
            self._once[number, print_] = self.marks.pop(number, "")
        for number, print_ in now.items() - was.items():
            made = "corrected" if number in touched else ""
            self.give(number, self._once.get((number, print_), made))
        return self.marks != start


def _prints(cells: CellList) -> dict[int, int]:
    return dict(zip(cells.numbers.tolist(), cells.prints.tolist(), strict=True))


def progress(cells: CellList, marks: Mapping[int, str]) -> str:
    """Tell in a line how many cells were seen, as "37 of 106 seen, 2 wrong".

    A cell to look at again was not seen yet.
    """
    there = set(cells.numbers.tolist())
    found = [mark for number, mark in marks.items() if number in there]
    again, wrong = found.count("look again"), found.count("wrong")
    parts = [f"{len(found) - again:,} of {len(there):,} seen"]
    parts += [f"{wrong:,} wrong"] if wrong else []
    parts += [f"{again:,} to look at again"] if again else []
    return ", ".join(parts)


# -- what was seen, for a training ---------------------------------------------------------------


def seen_area(
    labels: LabelImage, marks: Mapping[int, str], *, around_px: float | None = None
) -> NDArray[np.bool_]:
    """Where labels are the truth: in cells that are right or corrected, and around them.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    marks : mapping of int to str
        By number.
    around_px : float, optional
        So far around a cell its background was seen, too, as long as no other cell is nearer
        that nobody has found right; without it half the diameter of the median cell.

    Returns
    -------
    bool array of the shape of `labels`
    """
    numbers = [number for number, mark in marks.items() if mark in SEEN]
    seen: NDArray[np.bool_] = np.isin(labels, numbers)
    if not seen.any():
        return seen
    if around_px is None:
        areas = np.bincount(np.unique(labels[seen], return_inverse=True)[1])
        around_px = float(np.median(areas)) ** (1 / labels.ndim) / 2
    others = (labels > 0) & ~seen
    away = ndimage.distance_transform_edt(~seen)
    area: NDArray[np.bool_] = ~others & (away <= around_px)
    if others.any():
        area &= away < ndimage.distance_transform_edt(~others)
    return area
