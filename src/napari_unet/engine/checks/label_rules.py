"""Rules for the cells or classes that are painted in the labels of one image, and in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.checks.finding import Finding, error, note, warning
from napari_unet.engine.checks.label_facts import LabelCase, LabelFacts, LabelRule, class_roles
from napari_unet.engine.checks.likeness import is_of_other_size
from napari_unet.engine.networks.annotation import BACKGROUND

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

# Chosen on 693 label images of real cells, whose faults are few and small.
_MANY_SPECKS = 0.1
_LARGE_HOLES = 0.02

_FEW_CELLS = 5
_TINY_CELL_PX = 30


# -- cells ---------------------------------------------------------------------------------------


def mask(case: LabelCase) -> Finding | None:
    """In a mask the number says cell or no cell, and not which; training would merge them all."""
    facts = case.facts
    if not facts.is_mask:
        return None
    count = int(facts.faults.strays.sum()) + 1
    return warning(
        f"{case.name} is a mask: {count} separate pieces have the one number {facts.ids[0]}, so "
        f"{case.consequence}.",
        f"Number the {count} pieces",
        ids=_all(facts.ids),
        box=facts.pieces.box(facts.faults.strays),
        is_senseless=True,
    )


def disconnected(case: LabelCase) -> Finding | None:
    """Slips of the brush and cells that share a number are learnt as one cell."""
    facts, strays = case.facts, case.facts.faults.strays
    ids = np.unique(facts.pieces.numbers[strays])
    if not ids.size or facts.is_mask:
        return None
    count = int(strays.sum()) + ids.size
    which = f"The number {ids[0]} lies" if ids.size == 1 else f"{ids.size} numbers lie"
    return warning(
        f"{which} in several places of {case.name}, in {count} pieces together; cells that do not "
        "touch need numbers of their own.",
        f"Number the {count} pieces",
        ids=_all(ids),
        box=facts.pieces.box(strays),
    )


def specks(case: LabelCase) -> Finding | None:
    """Left by a slip of the brush, each would be a cell, with a border of its own."""
    pieces, found = case.facts.pieces, case.facts.faults.specks
    count = int(found.sum())
    if not count:
        return None
    is_many = count > max(3, _MANY_SPECKS * case.facts.ids.size)
    return (warning if is_many else note)(
        f"{case.name} holds {_count(count, 'speck')} of at most "
        f"{_count(int(pieces.sizes[found].max()), 'pixel')}, far too small for a cell.",
        f"Remove {_count(count, 'speck')}",
        ids=_all(np.unique(pieces.numbers[found])),
        box=pieces.box(found),
    )


def holes(case: LabelCase) -> Finding | None:
    """Where the brush left a gap, the network would learn background amid a cell."""
    pieces, found = case.facts.pieces, case.facts.faults.holes
    count, pixels = int(found.sum()), int(pieces.sizes[found].sum())
    if not count:
        return None
    ids = np.unique(pieces.numbers[pieces.owners[found]])
    is_large = pixels / case.facts.areas.sum() > _LARGE_HOLES
    return (warning if is_large else note)(
        f"{_count(ids.size, 'cell')} of {case.name} {'has' if ids.size == 1 else 'have'} "
        f"{_count(count, 'hole')}, {_count(pixels, 'pixel')} together, which the network would "
        "learn as background.",
        f"Fill {_count(count, 'hole')}",
        ids=_all(ids),
        box=pieces.box(found),
    )


def no_background(case: LabelCase) -> Finding | None:
    """From cells alone a network learns that all is cell."""
    facts = case.facts
    if facts.background_px:
        return None
    if case.given.unlabelled == "ignore":
        return warning(
            f"{case.name} holds {_count(facts.ids.size, 'cell')} but no background, as pixels that "
            "are not painted are ignored; paint some background, or mark regions in which every "
            "cell is painted."
        )
    return warning(
        f"{case.name} holds cells at all {facts.cell_px:,} of its pixels and no background; if "
        "that is not so, paint cells alone."
    )


def content(case: LabelCase) -> Finding | None:
    """Whoever sees a number of cells that they did not paint finds most slips by it."""
    facts = case.facts
    painted, pixels = facts.cell_px, case.given.labels.size
    text = (
        f"{case.name} holds {_count(facts.cell_sizes_px.size, 'cell')}, the median one "
        f"{_px(float(np.median(facts.diameters_px)))} pixels across, on {painted:,} of its "
        f"{pixels:,} pixels ({_percent(painted, pixels)})"
    )
    background = facts.background_px
    if painted + background < pixels:
        text += (
            f"; {_count(background, 'pixel')} of background "
            f"count{'s' if background == 1 else ''} too, the other "
            f"{pixels - painted - background:,} are ignored"
        )
    return note(f"{text}.", ids=_all(facts.ids))


def touching(case: LabelCase) -> Finding | None:
    """Where cells meet, the paper's way of learning takes a pixel from them."""
    pieces, every = case.facts.pieces, case.facts.ids
    ids = np.intersect1d(pieces.numbers[pieces.touches], every)
    if ids.size < 2:
        return None
    return note(
        f"{ids.size} of the {every.size} cells of {case.name} touch a neighbour; where they meet "
        "the network learns a gap of one pixel.",
        ids=_all(ids),
    )


def empty(case: LabelCase) -> Finding | None:
    """An image without cells teaches where there are none, if somebody has looked."""
    background = case.facts.background_px
    if case.is_alone:
        return None  # That is said of all labels together.
    if not background:
        return warning(
            f"{case.name} holds nothing painted or reviewed, so all of its pixels are ignored.",
            code="ignored",
        )
    return note(
        f"{case.name} holds no cell, so the network learns from all {background:,} pixels that "
        "there is none; that is fine if it is true."
    )


CELL_RULES: tuple[LabelRule, ...] = (
    *(no_background, mask, disconnected, specks, holes, content, touching),
)
NO_CELL_RULES: tuple[LabelRule, ...] = (empty,)


# -- classes -------------------------------------------------------------------------------------


def classes(case: LabelCase) -> Finding | None:
    """A number beyond the last class has no channel."""
    facts, roles = case.facts, case.roles
    if not facts.ids.size or facts.ids[-1] <= len(roles):
        return None
    known = ", ".join(f"{number} {role}" for number, role in enumerate(roles, 1))
    return error(
        f"{case.name} holds the number {facts.ids[-1]}, for which the model has no class; it knows "
        f"{known}, so paint with these numbers."
    )


def one_class(case: LabelCase) -> Finding | None:
    """From one class alone a network learns that all is of it."""
    seen = {case.roles[number - 1] for number in case.facts.ids}
    if BACKGROUND in case.roles and case.facts.background_px:
        seen.add(BACKGROUND)
    if len(seen) != 1:
        return None
    return warning(
        f"{case.name} holds only {seen.pop()} and none of the other classes; paint examples of "
        "each."
    )


def shares(case: LabelCase) -> Finding | None:
    """Whoever sees shares that they did not paint finds most slips by them."""
    facts = case.facts
    listed = ", ".join(
        f"{area:,} of {case.roles[number - 1]}"
        for number, area in zip(facts.ids, facts.areas, strict=True)
    )
    if not listed:
        return None
    pixels = case.given.labels.size
    return note(f"{case.name} has {listed} among its {pixels:,} pixels.", code="content")


CLASS_KIND_RULES: tuple[LabelRule, ...] = (classes,)
CLASS_RULES: tuple[LabelRule, ...] = (one_class, shares)


# -- all labels together -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AllLabels:
    """What a rule for all labels together judges.

    Parameters
    ----------
    facts : sequence of LabelFacts
        Of those that could be looked at.
    description : NetworkDescription, optional
    is_complete : bool
        All could be looked at.
    """

    facts: Sequence[LabelFacts]
    description: NetworkDescription | None
    is_complete: bool

    @property
    def cells(self) -> int:
        """How many there are in all."""
        return sum(each.cell_sizes_px.size for each in self.facts)


def no_labels(case: AllLabels) -> Finding | None:
    """Without a cell there is nothing to learn."""
    # What could not be looked at may hold cells.
    if case.cells or (case.facts and not case.is_complete):
        return None
    if not case.facts:
        text = "There are no labels; choose at least one layer."
        return None if not case.is_complete else error(text, code="no-images")
    if not any(each.background_px for each in case.facts):
        return error(
            "Nothing is painted or reviewed, so every pixel would be ignored; paint at least a few "
            "cells.",
            code="all-ignored",
        )
    return error("No cell is painted; paint at least a few whole cells before training.")


def few(case: AllLabels) -> Finding | None:
    """What cells have in common shows only in several."""
    cells = case.cells
    if not case.is_complete or not 0 < cells < _FEW_CELLS or class_roles(case.description):
        return None
    largest = max(int(each.cell_sizes_px.max(initial=0)) for each in case.facts)
    if cells == 1 and largest <= _TINY_CELL_PX:
        return warning(
            f"The only cell that is painted has {_count(largest, 'pixel')}; paint at least a few "
            "whole cells.",
            code="tiny",
        )
    return note(
        f"Only {_count(cells, 'cell')} {'is' if cells == 1 else 'are'} painted; a network needs "
        "several to learn what they have in common."
    )


def size(case: AllLabels) -> Finding | None:
    """A model knows cells of about one size."""
    learnt = None if case.description is None else case.description.object_diameter_px
    if not learnt or not case.cells or class_roles(case.description):
        return None
    seen = float(np.median(np.concatenate([each.diameters_px for each in case.facts])))
    if not is_of_other_size(seen, learnt):
        return None
    return warning(
        f"The cells are {_px(seen)} pixels across and those the model learnt on {_px(learnt)}; "
        f"resize images and labels by {learnt / seen:.2g}, or train for longer."
    )


TOGETHER_RULES: tuple[Callable[[AllLabels], Finding | None], ...] = (no_labels, few, size)


# -- words ---------------------------------------------------------------------------------------


def _all(ids: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(number) for number in ids)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _px(length: float) -> str:
    return f"{length:.1f}" if length < 10 else f"{length:.0f}"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 or not part else f"{share:.1g} %"
