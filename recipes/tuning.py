"""What is chosen once a model is trained: its border test, its thresholds, and its calibration.

The border test is fitted to the images that were learned from, the others to the held-out ones,
each of which is scored once. Thresholds are those with the highest quality: the mean, over the
kinds of images, of the average precisions at 0.5, 0.7 and 0.9 of all cells of a kind, in which a
kind weighs the root of the number of its images. (Alike, four images once decided against ninety.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from picture_sets import Parts, Picture
from reliability import Cells, doubtful_too, fitted, found_cells

from napari_unet import InstanceSettings, evaluate, segment
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import instances_from_scores, tune_instances
from napari_unet.engine.training.border_fitting import border_examples, fit_border_test

LIMITS = (0.2, 0.35, 0.5, 0.65)
"""Of the border test."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores (C, H, W) and true labels (H, W) of an image of some kind."""

    kind: str
    scores: NDArray[np.float32]
    truth: NDArray[Any]


def scored_images(items: Iterable[Picture], network: Network, *, device: str) -> Iterator[Scored]:
    """Score every image once, at the size that its picture has."""
    for item in items:
        pair = item.pair()
        scores = segment(pair.image, network, channel_axis=pair.channel_axis, device=device).scores
        assert scores is not None
        yield Scored(item.kind, scores, np.asarray(pair.labels))


def tuned(network: Network, parts: Parts, *, device: str) -> tuple[Network, Cells]:
    """Network with all that is chosen, whose `min_score` is a probability.

    Prints what each choice brought.

    Returns
    -------
    network : Network
    cells : Cells
        What it finds in held-out images, also what it doubts, from which its
        calibration was fitted.
    """
    roles, start = network.description.class_roles, network.description.instances
    if start.score_calibration is not None:
        raise SystemExit(
            "The model's scores are calibrated already; tune the one as it was trained."
        )
    held = [replace(item, kind=kind) for kind, items in parts.held.items() for item in items]
    images = list(scored_images(held, network, device=device))
    plain = tuned_thresholds(images, roles, start)
    learned = scored_images(parts.learn, network, device=device)
    judging = with_border_test(learned, images, roles, plain)
    chosen = tuned_thresholds(images, roles, judging)
    cells = cells_in(images, roles, chosen)
    result = calibrated(network, chosen, cells)
    print(f"before {start}\n\nafter {replace(chosen, border_test=None)}, ", end="")
    print(f"borders judged: {chosen.judges_borders}\n")
    steps = [evaluated(images, roles, settings) for settings in (start, plain, chosen)]
    print(comparison(*steps[:2]), "\n\nborders judged\n", comparison(*steps[1:]), sep="\n")
    return result, cells


def tuned_thresholds(
    images: Sequence[Scored], class_roles: Sequence[str], start: InstanceSettings
) -> InstanceSettings:
    """Thresholds that suit the images; `min_score` is a mean score."""
    return tune_instances(
        [(image.scores, image.truth) for image in images],
        class_roles,
        evaluate,
        start,
        together=quality_of([image.kind for image in images]),
    )


def with_border_test(
    learned: Iterable[Scored],
    held: Sequence[Scored],
    class_roles: Sequence[str],
    thresholds: InstanceSettings,
) -> InstanceSettings:
    """Thresholds with a border test from what was learned, as strict as suits what was not."""
    test = fit_border_test(
        [border_examples(each.scores, class_roles, thresholds, each.truth) for each in learned]
    )
    quality = quality_of([image.kind for image in held])

    def reached(instances: InstanceSettings) -> float:
        found = (instances_from_scores(each.scores, class_roles, instances) for each in held)
        return quality([evaluate(each.truth, own) for each, own in zip(held, found, strict=True)])

    choices = [replace(thresholds, border_test=replace(test, limit=limit)) for limit in LIMITS]
    return max(choices, key=reached)


def calibrated(network: Network, instances: InstanceSettings, cells: Cells) -> Network:
    """Network with these thresholds whose `min_score` is a probability."""
    calibration = fitted(cells)
    probability = calibration.probability(np.array([instances.min_score]))[0]
    least = round(float(probability), 2) if instances.min_score else 0.0
    # Names of its images are long digits that tell nobody anything.
    history = tuple(
        {key: value for key, value in entry.items() if key != "names"}
        for entry in network.description.history
    )
    description = replace(
        network.description,
        history=history,
        instances=replace(instances, min_score=least, score_calibration=calibration),
    )
    return Network(network.unet, description)


def cells_in(
    images: Iterable[Scored], class_roles: Sequence[str], instances: InstanceSettings
) -> Cells:
    """How sure the network is of each cell, and whether it is right."""
    return Cells.joined(
        [
            found_cells(
                image.kind,
                image.scores,
                class_roles,
                image.truth,
                doubtful_too(image.scores, class_roles, instances),
            )
            for image in images
        ]
    )


# -- quality -------------------------------------------------------------------------------------


def by_kind(kinds: Sequence[str], evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    """Join the evaluations of the images of each kind."""
    return {
        kind: Evaluation(
            tuple(
                image
                for own, evaluation in zip(kinds, evaluations, strict=True)
                if own == kind
                for image in evaluation.images
            )
        )
        for kind in dict.fromkeys(kinds)
    }


def quality_of(kinds: Sequence[str]) -> Callable[[list[Evaluation]], float]:
    """Return what makes one number of the evaluation of each image."""

    def quality(evaluations: list[Evaluation]) -> float:
        return mean_quality(by_kind(kinds, evaluations))

    return quality


def mean_quality(evaluations: dict[str, Evaluation]) -> float:
    """Quality of what was found in each kind of images."""
    values = [
        np.mean([each.pooled(t).average_precision for t in each.thresholds])
        for each in evaluations.values()
    ]
    counts = [len(each.images) for each in evaluations.values()]
    return float(np.average(values, weights=np.sqrt(counts)))


def evaluated(
    images: Sequence[Scored], class_roles: Sequence[str], instances: InstanceSettings
) -> dict[str, Evaluation]:
    """How well the cells of each kind are found with some thresholds."""
    evaluations = [
        evaluate(image.truth, instances_from_scores(image.scores, class_roles, instances))
        for image in images
    ]
    return by_kind([image.kind for image in images], evaluations)


def comparison(before: dict[str, Evaluation], after: dict[str, Evaluation]) -> str:
    """Average precision of each kind before and after, as Markdown."""
    lines = [
        "| images | AP 0.5 / 0.7 / 0.9 before | after | merged before, after |",
        "|---|---|---|---|",
    ]
    for kind, old in before.items():
        new = after[kind]
        shown = [
            " / ".join(f"{each.pooled(t).average_precision:.3f}" for t in each.thresholds)
            for each in (old, new)
        ]
        lines.append(
            f"| {kind} ({len(old.images)}) | {shown[0]} | {shown[1]} "
            f"| {old.merged_cells}, {new.merged_cells} |"
        )
    lines.append(f"| quality | {mean_quality(before):.4f} | {mean_quality(after):.4f} | |")
    return "\n".join(lines)
