"""Rules for the cells or classes that are painted in the labels of one image, and in all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.words import count
from napari_unet.engine.checks.finding import Finding, Rule, error, note, warning
from napari_unet.engine.checks.image_case import is_of_other_size
from napari_unet.engine.checks.label_facts import LabelCase, LabelSummary
from napari_unet.engine.networks.annotation import MOST_CLASSES, are_single_slices
from napari_unet.engine.networks.class_roles import BACKGROUND

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

_count = partial(count, grouped=True)

# Chosen on 693 label images of real cells, whose faults are few and small.
_MANY_SPECKS = 0.1
_LARGE_HOLES = 0.02

_MANY_CLASSES = 20
_FEW_CELLS = 5
_TINY_CELL_PX = 30


# -- cells ---------------------------------------------------------------------------------------


def no_background(case: LabelCase) -> Iterator[Finding]:
    """From cells alone a network learns that all is cell."""
    facts = case.facts
    if not facts.background_px and case.given.unlabelled == "ignore":
        yield warning(
            f"{case.name} holds {_count(facts.ids.size, 'cell')} but no background, as pixels that "
            "are not painted are ignored; paint some background, or mark regions in which every "
            "cell is painted."
        )
    elif not facts.background_px:
        yield warning(
            f"{case.name} holds cells at all {facts.cell_px:,} of its pixels and no background; if "
            "that is not so, paint cells alone."
        )


def mask(case: LabelCase) -> Iterator[Finding]:
    """In a mask the number says cell or no cell, and not which; training would merge them all."""
    facts, strays = case.facts, case.facts.faults.strays
    if facts.is_mask:
        count = int(strays.sum()) + 1
        yield warning(
            f"{case.name} is a mask: {count} separate pieces have the one number {facts.ids[0]}, "
            f"so {case.consequence}.",
            f"Number the {count} pieces",
            ids=_all(facts.ids),
            box=facts.pieces.box(strays),
            is_senseless=True,
        )


def disconnected(case: LabelCase) -> Iterator[Finding]:
    """Slips of the brush and cells that share a number are learned as one cell."""
    facts, strays = case.facts, case.facts.faults.strays
    ids = np.unique(facts.pieces.numbers[strays])
    if ids.size and not facts.is_mask and not case.given.in_slices:
        count = int(strays.sum()) + ids.size
        which = f"The number {ids[0]} lies" if ids.size == 1 else f"{ids.size} numbers lie"
        yield warning(
            f"{which} in several places of {case.name}, in {count} pieces together; cells that do "
            "not touch need numbers of their own.",
            f"Number the {count} pieces",
            ids=_all(ids),
            box=facts.pieces.box(strays),
        )


def specks(case: LabelCase) -> Iterator[Finding]:
    """Left by a slip of the brush, each would be a cell, with a border of its own."""
    pieces, found = case.facts.pieces, case.facts.faults.specks
    if found.any():
        count = int(found.sum())
        is_many = count > max(3, _MANY_SPECKS * case.facts.ids.size)
        yield (warning if is_many else note)(
            f"{case.name} holds {_count(count, 'speck')} of at most "
            f"{_count(int(pieces.sizes[found].max()), 'pixel')}, far too small for a cell.",
            f"Remove {_count(count, 'speck')}",
            ids=_all(np.unique(pieces.numbers[found])),
            box=pieces.box(found),
        )


def holes(case: LabelCase) -> Iterator[Finding]:
    """Where the brush left a gap, the network would learn background amid a cell."""
    pieces, found = case.facts.pieces, case.facts.faults.holes
    if found.any():
        count, pixels = _count(int(found.sum()), "hole"), int(pieces.sizes[found].sum())
        ids = np.unique(pieces.numbers[pieces.owners[found]])
        is_large = pixels / case.facts.areas.sum() > _LARGE_HOLES
        yield (warning if is_large else note)(
            f"{_count(ids.size, 'cell')} of {case.name} {'has' if ids.size == 1 else 'have'} "
            f"{count}, {_count(pixels, 'pixel')} together, which the network would learn as "
            "background.",
            f"Fill {count}",
            ids=_all(ids),
            box=pieces.box(found),
        )


def single_slices(case: LabelCase) -> Iterator[Finding]:
    """Where only some slices were painted, all cells of the others would be background."""
    given = case.given
    says_all = given.unlabelled == "reviewed" and given.reviewed is None and not given.in_slices
    painted = given.labels > 0
    if says_all and are_single_slices(painted):
        count, depth = int(painted.any(axis=(1, 2)).sum()), len(painted)
        yield warning(
            f"Only {count} of {depth} slices of {case.name} show labels, and all cells of the "
            "others would be learned as background; learn from the painted slices only "
            "(--slices painted on the command line)."
        )


def content(case: LabelCase) -> Iterator[Finding]:
    """Whoever sees a number of cells that they did not paint finds most slips by it."""
    facts, pixels = case.facts, case.given.labels.size
    painted, background = facts.cell_px, facts.background_px
    across = float(np.median(facts.diameters_px))
    text = (
        f"{case.name} holds {_count(facts.cell_sizes_px.size, 'cell')}, the median one "
        f"{_px(across)} pixels across, on {painted:,} of its {pixels:,} pixels "
        f"({_percent(painted, pixels)})"
    )
    if painted + background < pixels:
        text += (
            f"; {_count(background, 'pixel')} of background "
            f"count{'s' if background == 1 else ''} too, the other "
            f"{pixels - painted - background:,} are ignored"
        )
    yield note(f"{text}.", ids=_all(facts.ids))


def touching(case: LabelCase) -> Iterator[Finding]:
    """Where cells meet, pixels of theirs are learned as what keeps them apart."""
    pieces, every = case.facts.pieces, case.facts.ids
    ids = np.intersect1d(pieces.numbers[pieces.touches], every)
    if ids.size > 1:
        yield note(
            f"{ids.size} of the {every.size} cells of {case.name} touch a neighbour; where they "
            "meet the network learns to keep them apart.",
            ids=_all(ids),
        )


def negative(case: LabelCase) -> Iterator[Finding]:
    """Some programs mark background or borders by -1, and others what is to be left out."""
    lowest = int(case.facts.pieces.numbers.min(initial=0))
    if lowest < 0:
        yield warning(
            f"{case.name} holds numbers below 0 (down to {lowest}), which are no cells; they count "
            "as background."
        )


CELL_RULES: tuple[Rule[LabelCase], ...] = (
    *(single_slices, no_background, mask, disconnected, negative, specks, holes, content),
    touching,
)


def empty(case: LabelCase) -> Iterator[Finding]:
    """An image without cells teaches where there are none, if somebody has looked."""
    background = case.facts.background_px
    if case.is_alone:
        return  # That is said of all labels together.
    if background:
        yield note(
            f"{case.name} holds no cell, so the network learns from all {background:,} pixels that "
            "there is none; that is fine if it is true."
        )
    else:
        yield warning(
            f"{case.name} holds nothing painted or reviewed, so all of its pixels are ignored.",
            code="ignored",
        )


# -- classes -------------------------------------------------------------------------------------


def many_classes(case: LabelCase) -> Iterator[Finding]:
    """Nobody paints so many classes: such labels are rather cells."""
    highest = int(case.facts.ids.max(initial=0))
    if case.class_names is not None and highest > max(_MANY_CLASSES, len(case.class_names)):
        yield (warning if highest <= MOST_CLASSES else error)(
            f"{case.name} holds numbers up to {highest}, each of which would be a class; if they "
            "are those of cells, say that the labels are cells.",
            is_senseless=True,
        )


def classes(case: LabelCase) -> Iterator[Finding]:
    """A number beyond the last class has no channel; from one class alone a network learns it."""
    facts, roles = case.facts, case.roles
    if case.class_names is not None and facts.ids.size and facts.ids[-1] > MOST_CLASSES:
        return  # that is told already
    if facts.ids.size and facts.ids[-1] > len(roles):
        known = ", ".join(f"{number} {role}" for number, role in enumerate(roles, 1))
        yield error(
            f"{case.name} holds the number {facts.ids[-1]}, for which the model has no class; it "
            f"knows {known}, so paint with these numbers."
        )
        return
    areas = {roles[number - 1]: area for number, area in zip(facts.ids, facts.areas, strict=True)}
    seen = areas.keys() | ({BACKGROUND} & set(roles) if facts.background_px else set())
    if len(seen) == 1:
        yield warning(
            f"{case.name} holds only {seen.pop()} and none of the other classes; paint examples of "
            "each.",
            code="one-class",
        )
    if areas:
        shares = ", ".join(f"{area:,} of {role}" for role, area in areas.items())
        pixels = case.given.labels.size
        yield note(f"{case.name} has {shares} among its {pixels:,} pixels.", code="content")


# -- all labels together -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AllLabels:
    """What a rule for all labels together judges."""

    facts: Sequence[LabelSummary]
    """Of those that could be looked at."""
    description: NetworkDescription | None
    is_complete: bool
    """All could be looked at."""
    are_classes: bool = False
    """Numbers are those of classes."""

    @property
    def cells(self) -> int:
        """How many there are in all."""
        return sum(each.cell_sizes_px.size for each in self.facts)


def no_labels(case: AllLabels) -> Iterator[Finding]:
    """Without a cell there is nothing to learn; what could not be looked at may hold one."""
    if case.cells or not case.is_complete:
        return
    if not case.facts:
        yield error("There are no labels; choose at least one layer.", code="no-images")
    elif case.are_classes:
        yield error("Nothing is painted; paint some of each class before training.")
    elif any(each.has_background for each in case.facts):
        yield error("No cell is painted; paint at least a few whole cells before training.")
    else:
        yield error(
            "Nothing is painted or reviewed, so every pixel would be ignored; paint at least a few "
            "cells.",
            code="all-ignored",
        )


def few(case: AllLabels) -> Iterator[Finding]:
    """What cells have in common shows only in several."""
    cells = case.cells
    if not case.is_complete or not 0 < cells < _FEW_CELLS or case.are_classes:
        return
    largest = max(int(each.cell_sizes_px.max(initial=0)) for each in case.facts)
    if cells == 1 and largest <= _TINY_CELL_PX:
        yield warning(
            f"The only cell that is painted has {_count(largest, 'pixel')}; paint at least a few "
            "whole cells.",
            code="tiny",
        )
    else:
        # One cell in all labels is rather a mask, or labels of something else.
        yield (warning if cells == 1 else note)(
            f"Only {_count(cells, 'cell')} {'is' if cells == 1 else 'are'} painted; a network "
            "needs several to learn what they have in common."
        )


def size(case: AllLabels) -> Iterator[Finding]:
    """A model knows cells of about one size."""
    learned = None if case.description is None else case.description.object_diameter_px
    if not learned or not case.cells or case.are_classes:
        return
    seen = float(np.median(np.concatenate([each.diameters_px for each in case.facts])))
    # Of a volume a ball as wide as the cell is in a slice.
    seen *= math.cbrt(math.prod(case.description.spacing or ()) if case.description else 1.0)
    if is_of_other_size(seen, learned):
        yield warning(
            f"The cells are {_px(seen)} pixels across and those the model learned on "
            f"{_px(learned)}; resize images and labels by {learned / seen:.2g}, or train for "
            "longer."
        )


def untouched(case: AllLabels) -> Iterator[Finding]:
    """From what it has found itself a model learns its own mistakes anew."""
    with_cells = [each for each in case.facts if each.cell_sizes_px.size]
    same = [each.name for each in with_cells if each.is_untouched]
    if not same:
        return
    if len(same) < len(with_cells):
        yield note(
            f"{len(same)} of the {len(with_cells)} label images ('{same[0]}' first) hold what a "
            "model has found and nobody has changed; they teach it what it does already."
        )
        return
    holds = f"'{same[0]}' holds" if len(same) == 1 else f"All {len(same)} label images hold"
    yield warning(
        f"{holds} the cells that a model has found, and nobody has changed any: it would learn its "
        "own mistakes anew. Correct some cells first, above all where it is wrong."
    )


TOGETHER_RULES: tuple[Rule[AllLabels], ...] = (no_labels, untouched, few, size)


# -- words ---------------------------------------------------------------------------------------


def _all(ids: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(number) for number in ids)


def _px(length: float) -> str:
    return f"{length:.1f}" if length < 10 else f"{length:.0f}"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 or not part else f"{share:.1g} %"
