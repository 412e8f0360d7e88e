"""A look at images and their annotation before a training: what may spoil it, and the repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.words import count
from napari_unet.engine.checks.finding import Finding, found_by, worst_first
from napari_unet.engine.checks.label_facts import (
    AnnotatedImage,
    LabelCase,
    LabelFacts,
    LabelSummary,
    class_roles,
)
from napari_unet.engine.checks.label_rules import (
    CELL_RULES,
    TOGETHER_RULES,
    AllLabels,
    classes,
    disconnected,
    empty,
    many_classes,
    mask,
    negative,
)
from napari_unet.engine.checks.pair_rules import KIND_RULES, PAIR_RULES
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.images.label_numbers import whole_numbers
from napari_unet.engine.labels.repair import holes_filled, pieces_numbered, specks_removed
from napari_unet.engine.networks.network import Network, NetworkDescription

MOST_LOOKED_AT = 50
"""Of images and their labels; each takes up to a tenth of a second."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class LookedAt:
    """What was found in one image and its labels; it holds no pixels."""

    findings: tuple[Finding, ...]
    summary: LabelSummary | None
    """None where the labels could not be looked at."""
    stack: str = ""
    part_noun: str = "slice"
    """`stack`, `part_noun`: as in `AnnotatedImage`."""


def preflight(
    labels: LabelImage,
    *,
    image: AnyImage | None = None,
    network: Network | NetworkDescription | None = None,
    **known: Any,
) -> tuple[Finding, ...]:
    """Say what may spoil a training on one image and its labels.

    Takes a twentieth of a second for 2048 x 2048 pixels with 2,000 cells.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        Each positive value is one cell, or a class for a network whose classes
        have names of their own; 0 and what is negative is background. Floats
        will do if they are whole.
    image : array, optional
        What the labels belong to.
    network : Network or NetworkDescription, optional
        What is to be trained.
    **known
        Further fields of `AnnotatedImage`: `name`, `channel_axis`,
        `unlabelled`, `reviewed`, `background_label`, `grid`, `image_grid`, `corrected`.

    Returns
    -------
    tuple of Finding
        Most important first.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import preflight
    >>> mask = np.zeros((40, 40), np.uint8)
    >>> mask[5:15, 5:15] = mask[25:35, 25:35] = 1
    >>> finding = preflight(mask)[0]
    >>> finding.code, finding.remedy
    ('mask', 'Number the 2 pieces')
    """
    return preflight_all([AnnotatedImage(np.asarray(labels), image, **known)], network=network)


def preflight_all(
    annotated: Sequence[AnnotatedImage],
    *,
    network: Network | NetworkDescription | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[Finding, ...]:
    """Say what may spoil a training on several images and their labels.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
    network : Network or NetworkDescription, optional
        What is to be trained.
    class_names : sequence of str, optional
        A new network is to learn the numbers as classes, 1 as that of the
        first name; fewer names than numbers will do.

    Returns
    -------
    tuple of Finding
        Most important first, each with the name of its labels. What is said of
        all of them together comes without a name.
    """
    description = network.description if isinstance(network, Network) else network
    is_alone = len(annotated) == 1
    return findings_of_all(
        [
            looked_at(each, network=description, is_alone=is_alone, class_names=class_names)
            for each in annotated
        ],
        network=description,
        class_names=class_names,
    )


def looked_at(
    annotated: AnnotatedImage,
    *,
    network: NetworkDescription | None,
    is_alone: bool,
    class_names: Sequence[str] | None = None,
) -> LookedAt:
    """Look at one image of `preflight_all`.

    Parameters
    ----------
    is_alone : bool
        There are no others.
    """
    annotated = replace(annotated, labels=_as_integers(annotated.labels))
    facts = LabelFacts(annotated)
    case = LabelCase(facts, network, is_alone=is_alone, class_names=class_names)
    refused = _refused(case)
    findings = tuple(refused or _about_one(case))
    summary = None if refused else case.facts.summary
    return LookedAt(findings, summary, annotated.stack, annotated.part_noun)


def findings_of_all(
    looked: Sequence[LookedAt],
    *,
    network: NetworkDescription | None,
    class_names: Sequence[str] | None = None,
) -> tuple[Finding, ...]:
    """Put together what `looked_at` gave of each image, as `preflight_all` returns it."""
    summaries = [each.summary for each in looked if each.summary is not None]
    are_classes = class_names is not None or bool(class_roles(network))
    is_complete = len(summaries) == len(looked)
    together = AllLabels(summaries, network, is_complete=is_complete, are_classes=are_classes)
    return worst_first([*_summed(looked), *found_by(TOGETHER_RULES, together)])


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Take at most so many, from the first to the last at equal distances."""
    if len(items) <= most:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, most)]


def _summed(looked: Sequence[LookedAt]) -> list[Finding]:
    """Make one finding of those that several slices of a stack have in common."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in looked:
        for finding in each.findings:
            # What is no slice stays as it is.
            key = (each.stack, finding.code, each.part_noun)
            if not each.stack:
                key = (finding.name, finding.code, finding.text)
            groups.setdefault(key, []).append(finding)
    return [
        own[0] if len(own) == 1 else _of_parts(own, stack=key[0], noun=key[2])
        for key, own in groups.items()
    ]


def _of_parts(parts: Sequence[Finding], *, stack: str, noun: str) -> Finding:
    """Tell of the slice in which there is most, and in how many others there is some."""
    worst = max(
        worst_first(parts), key=lambda part: (part.severity == parts[0].severity, len(part.ids))
    )
    ids = sum(len(part.ids) for part in parts)
    if worst.code == "content" and ids:  # of classes there is no sum
        text = f"'{stack}' holds {ids:,} cells in {len(parts)} {noun}s."
    else:
        those = count(len(parts) - 1, f"other {noun}")
        text = f"{worst.text} There is the same in {those} of '{stack}'."
    remedy = f"{worst.remedy}, and so in the other {noun}s" if worst.remedy else ""
    return replace(worst, text=text, remedy=remedy, name=stack, parts=tuple(parts))


def label_findings(labels: LabelImage, *, name: str) -> tuple[Finding, ...]:
    """Say what is wrong with the numbers of labels, whatever they are for.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
    """
    labels = _as_integers(labels)
    if labels.dtype == np.uint64:  # the numbers themselves are of no account here, and may be huge
        ranks = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        labels = ranks if (labels == 0).any() else ranks + 1
    facts = LabelFacts(AnnotatedImage(labels, name=name))
    case = LabelCase(facts, consequence="they count as one cell")
    found = _refused(case) or found_by((mask, disconnected, negative), case, name=name)
    return worst_first(found)


def _as_integers(labels: LabelImage) -> LabelImage:
    try:
        return whole_numbers(labels)
    except LabelsError:
        return labels  # there is a rule that says so


def _refused(case: LabelCase) -> list[Finding]:
    """Say the first thing that keeps these labels from being looked at."""
    for rule in KIND_RULES:
        if found := found_by((rule,), case, name=case.given.name):
            return found
    return []


def _about_one(case: LabelCase) -> list[Finding]:
    about_cells = CELL_RULES if case.facts.ids.size else (empty,)
    about_classes = (many_classes, classes)
    rules = (*PAIR_RULES, *(about_classes if case.roles else about_cells))
    return found_by(rules, case, name=case.given.name)


def repair(labels: LabelImage, finding: Finding) -> LabelImage:
    """Return labels in which what was found is put right.

    Look again after it: other findings may name cells that have new numbers.

    Parameters
    ----------
    labels : integer array
        Those that were looked at, or a later state of them.
    finding : Finding
        One with a `remedy`.

    Returns
    -------
    array of the same shape, a copy
        Of the same dtype, or of a wider one if new numbers do not fit; only
        cells in `finding.ids` have changed. Without a remedy it is equal to
        `labels`.
    """
    labels = np.asarray(labels)
    if not finding.remedy:
        return labels.copy()
    return _REPAIRS[finding.code](labels, finding.ids)


_REPAIRS: dict[str, Callable[[LabelImage, tuple[int, ...]], LabelImage]] = {
    "mask": pieces_numbered,
    "disconnected": pieces_numbered,
    "specks": specks_removed,
    "holes": holes_filled,
}
