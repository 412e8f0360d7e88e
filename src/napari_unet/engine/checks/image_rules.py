"""What may spoil a segmentation, in plain words with the remedy: a rule for each thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.engine.checks.channel_rules import channels
from napari_unet.engine.checks.finding import (
    IN_LARGE_WIDGET,
    IN_MODEL_WIDGET,
    IN_TRAIN_WIDGET,
    RUN,
    Finding,
    Rule,
    found_by,
    note,
    warning,
    worst_first,
)
from napari_unet.engine.checks.image_case import (
    Choices,
    ImageCase,
    as_read,
    other_brightness,
    other_ground,
)
from napari_unet.engine.checks.size_rules import (
    size_without_scale,
    too_small,
    unequal_sides,
    unequal_slices,
    zoom,
)
from napari_unet.engine.checks.volume_rules import slices_apart
from napari_unet.engine.networks.class_roles import BACKGROUND, is_cell

if TYPE_CHECKING:
    from napari_unet.engine.checks.image_facts import ImageFacts
    from napari_unet.engine.networks.network import NetworkDescription

MOST_FINDINGS = 3
"""Who reads a fourth?"""

# The figures below were chosen on the 664 images and label images of the 2018 Data Science Bowl.
_SATURATED = 0.05
_FEWEST_LEVELS = 12
"""With 12 grey levels as many cells were found as with 256, with 8 fewer."""

_USUAL_HIGHEST = 2.0
"""Networks that take intensities as they are mostly learned on values from 0 to 1."""


def image_findings(
    facts: ImageFacts, description: NetworkDescription, choices: Choices | None = None
) -> tuple[Finding, ...]:
    """Say what may go wrong with an image, a model and the form's choices.

    Parameters
    ----------
    description : NetworkDescription
        Of the model that is loaded.

    Returns
    -------
    tuple of Finding
        At most three; what would spoil everything comes first.
    """
    case = ImageCase(facts, description, choices or Choices())
    # Where there is no image, nothing else about it matters.
    for rules in (NO_IMAGE_RULES, IMAGE_RULES):
        found = found_by(rules, case, name=facts.name)
        if found:
            break
    return worst_first(found)[:MOST_FINDINGS]


def doubtful(sentence: str, description: NetworkDescription) -> Finding:
    """Return the way out of a result of which its own scores say that it is not to be trusted."""
    if description.not_trainable_because:
        return warning(sentence, code="doubtful")
    return warning(sentence, "Correct cells and train", IN_TRAIN_WIDGET, code="doubtful")


_LONGEST_NAME = 24
"""Characters of a name that a button holds in a narrow dock."""


def with_better_model(doubt: Finding, name: str, *, source: str, certainty: float) -> Finding:
    """Add the model that fits better to what `doubtful` found; its own way out comes second.

    Parameters
    ----------
    name, source : str
        Of that model: for people, and what it is loaded by.
    certainty : float
        Of the model's result, 0 to 1.
    """
    fits = f"'{name}' fits better: on a part of this image it is {100 * certainty:.0f} % sure."
    return replace(
        doubt,
        text=f"{doubt.text} {fits}",
        remedy=f"Run with {name if len(name) <= _LONGEST_NAME else 'it'}",
        changes={"model": source, "second_model": "", **RUN},
        other_remedies={doubt.remedy: doubt.changes} if doubt.remedy else {},
    )


# -- no image at all -----------------------------------------------------------------------------


def labels_instead(case: ImageCase) -> Iterator[Finding]:
    """A network finds nothing of use in labels, which are easily taken for their image."""
    facts, others = case.facts, case.facts.other_images
    text = f"'{facts.name}' looks like labels or a mask rather than an image of cells."
    if facts.few_values and len(others) == 1:
        remedy = (f"Segment '{others[0]}' instead", {"layer": others[0]})
        yield warning(text, *remedy, is_senseless=True)
    elif facts.few_values:
        kind = "layer" if others else "image"
        yield warning(f"{text} Choose the {kind} that it was made from.", is_senseless=True)


def empty_image(case: ImageCase) -> Iterator[Finding]:
    """An image that is the same all over has been exported wrongly, or is the wrong slice."""
    facts = case.facts
    if facts.is_flat and facts.range is not None:
        where = "the middle of " if facts.is_lazy else ""
        yield (note if facts.is_lazy else warning)(
            f"All pixels looked at in {where}'{facts.name}' are {facts.range[1]:g}; it seems to "
            "be empty. Choose another slice, channel or image."
        )


# -- the model and its axes ----------------------------------------------------------------------


def no_cells_told(case: ImageCase) -> Iterator[Finding]:
    """Cells can only be made of what the network tells if it tells them from background."""
    roles, guesses = case.description.class_roles, case.description.guesses
    if (any(map(is_cell, roles)) and BACKGROUND in roles) or case.description.gives_classes:
        return
    *others, last = (f"'{word}'" for word in roles)
    listed = f"{', '.join(others)} and {last}" if others else last
    text = f"The model tells {listed}, and not where cells are, so nothing can be segmented"
    if any(guess.about == "roles" for guess in guesses):
        text = f"{text} yet. Say in the Model widget what its channels mean."
        yield warning(text, "Say what its channels mean", IN_MODEL_WIDGET)
    else:
        yield warning(f"{text}. Choose another model.")


def too_few_axes(case: ImageCase) -> Iterator[Finding]:
    """A model of stacks cannot read a single image."""
    axes, reads = len(case.facts.shape), case.description.architecture.ndim
    if axes < reads:
        yield warning(
            f"'{case.facts.name}' has {axes} axes and the model reads stacks of {reads}. Open a "
            "stack, or choose a model that reads single images."
        )


# -- memory --------------------------------------------------------------------------------------


def memory(case: ImageCase) -> Iterator[Finding]:
    """An image beyond the memory may take everything else on the computer along."""
    needed, free = case.choices.needed_bytes, case.choices.free_bytes
    if needed is not None and free is not None and needed > free:
        yield warning(
            f"This takes about {_size(needed)} of memory and {_size(free)} are free: it will be "
            "slow, or stop with a message. Segment it in blocks, of which one is in memory at a "
            "time, or a part of it alone.",
            "Open Large images",
            IN_LARGE_WIDGET,
        )
    elif not case.choices.keeps_scores:
        yield note(
            f"There is no memory to keep the scores of '{case.facts.name}', so changed thresholds "
            "show only after another Run."
        )


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GB" if gib >= 1 else f"{count / 2**20:.0f} MB"


# -- intensities ---------------------------------------------------------------------------------


def contrast(case: ImageCase) -> Iterator[Finding]:
    """Noise, a black frame and few levels spoil the range to which intensities are stretched."""
    facts = case.facts
    if facts.range is None or case.description.normalization.keeps_brightness:
        return
    if facts.is_noise and facts.is_large:
        yield note(
            f"'{facts.name}' looks like noise alone, which is stretched to full contrast here. "
            "Look whether there are cells in this slice and channel."
        )
    elif facts.padded:
        yield warning(
            f"{100 * facts.padded:.0f} % of '{facts.name}' is exactly 0, as around a stitched or "
            "turned image, and that leaves little contrast for the rest. Crop it away first."
        )
    elif facts.levels is not None and facts.levels < _FEWEST_LEVELS and facts.is_large:
        yield note(
            f"'{facts.name}' has only {facts.levels} grey levels between dark and bright, so dim "
            "cells may be missed. Export it again with its full depth, such as 16 bits."
        )


def other_range(case: ImageCase) -> Iterator[Finding]:
    """A model that takes intensities as they are needs the range that it learned on."""
    facts, learned = case.facts, case.description.intensity
    if learned is not None and (other := other_brightness(facts, case.description)):
        yield warning(
            f"To the model, which takes intensities as they are, '{facts.name}' is {other[0]:.0f} "
            f"times {other[1]} than the images it learned on. Bring it to their range first "
            f"({learned.low:g} to {learned.high:g}, {learned.dtype})."
        )


def unknown_range(case: ImageCase) -> Iterator[Finding]:
    """Where a model does not say which range it learned on, it is mostly from 0 to 1."""
    facts, description = case.facts, case.description
    is_raw = description.normalization.keeps_brightness and description.intensity is None
    if facts.range is None or not is_raw:
        return
    if as_read(facts.range[2], facts.dtype) <= _USUAL_HIGHEST:
        return
    text = (
        f"The model takes intensities as they are, and '{facts.name}' goes up to "
        f"{facts.range[2]:g}; most such networks learned on 0 to 1."
    )
    if any("normali" in guess.about for guess in description.guesses):
        text = f"{text} Choose in the Model widget how it reads them."
        yield note(text, "Choose how it reads them", IN_MODEL_WIDGET)
    else:
        yield note(f"{text} Bring it to that range before it reads them.")


def inverted(case: ImageCase) -> Iterator[Finding]:
    """Stretching does not turn dark cells on a bright ground into bright ones."""
    if other := other_ground(case.facts, case.description):
        yield warning(
            f"'{case.facts.name}' is {other[0]} between its cells, the images the model learned on "
            f"were {other[1]} there. Invert the image, or choose a model for such images."
        )


def saturated(case: ImageCase) -> Iterator[Finding]:
    """Where the camera has run over, nothing shows where one cell ends and the next begins."""
    facts = case.facts
    # The white ground of a bright field is meant to be so.
    if facts.saturated >= _SATURATED and (facts.ground or 0) < 0.5:
        yield note(
            f"{100 * facts.saturated:.0f} % of the pixels of '{facts.name}' are as bright as its "
            "camera or file allows, so touching cells may run together. Less exposure keeps them "
            "apart."
        )


NO_IMAGE_RULES: tuple[Rule[ImageCase], ...] = (labels_instead, empty_image)

IMAGE_RULES: tuple[Rule[ImageCase], ...] = (
    *(no_cells_told, too_few_axes, size_without_scale, channels, memory),
    *(contrast, other_range, unknown_range, inverted, saturated),
    *(too_small, zoom, unequal_sides, unequal_slices, slices_apart),
)
"""In the order in which findings of one severity are told."""
