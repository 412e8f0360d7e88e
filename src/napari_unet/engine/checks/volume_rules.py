"""What is said of a stack whose cells were found slice by slice, and are discs."""

from __future__ import annotations

from collections.abc import Iterator

from napari_unet.engine.base.words import count
from napari_unet.engine.checks.finding import Finding, note
from napari_unet.engine.checks.image_case import ImageCase

_FEW_LINKED = 0.75
"""Of the discs that stay if they are linked: with more, hardly any cell reaches into two slices."""

LINK = ("Link the slices", {"volume": "linked"})
"""Caption of the remedy, and what it changes."""


def slices_apart(case: ImageCase) -> Iterator[Finding]:
    """Whoever segments a stack slice by slice may expect cells to be linked."""
    ndim, choices, facts = case.description.architecture.ndim, case.choices, case.facts
    count = 1
    for length in facts.shape[:-ndim]:
        count *= length
    if choices.extent != "stack" or choices.volume != "slices" or count < 2:
        return
    text = (
        f"Each of the {count} slices is segmented by itself: a cell seen in several of them gets "
        "another number in each, as a disc for each slice."
    )
    if ndim != 2 or case.description.gives_classes:
        yield note(text)
    elif choices.is_movie:
        yield note(f"{text} To follow cells through time, take Tracks afterwards.")
    else:
        yield note(f"{text} For whole cells link the slices.", *LINK)


def discs(name: str, *, found: int, linked: int, slices: int) -> Finding | None:
    """Offer to link what was found slice by slice, where neighbouring slices overlap.

    Parameters
    ----------
    name : str
        The image's.
    found : int
        Discs, each slice counted by itself.
    linked : int
        Cells that they are if they are linked.
    slices : int
        In all.

    Returns
    -------
    Finding or None
        None where hardly any cell reaches into two slices.
    """
    if linked > _FEW_LINKED * found or not found:
        return None
    cells = count(linked, "cell", grouped=True)
    return note(
        f"These are {found:,} discs in the {slices} slices of '{name}', because a cell counts in "
        f"each slice that it reaches; linked where neighbouring slices overlap they are {cells}.",
        *LINK,
        code="discs",
    )
