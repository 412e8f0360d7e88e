"""Tune a trained `nuclei`: border test, thresholds, and how likely a cell of some score is right.

python recipes/nuclei/tune.py DATA MODEL OUT

The border test is fitted to the images that were learned from, the others on all held-out images
of `training_images.py`, each of which is scored once. OUT gets
`tuned.safetensors`, and `cells.csv` with the score of each cell and whether it is right, from which
`model_card.py` draws. Thresholds are chosen by what `train.py` calls quality: the mean, over the
kinds of images, of the average precisions at 0.5, 0.7 and 0.9 of all cells of a kind.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reliability import (
    Cells,
    doubtful_too,
    fitted,
    found_cells,
    reliability_rows,
    reliability_table,
)
from training_images import Picture, split

from napari_unet import (
    InstanceSettings,
    evaluate,
    load_checkpoint,
    save_checkpoint,
    segment,
)
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import instances_from_scores, tune_instances
from napari_unet.engine.training.border_fitting import border_examples, fit_border_test

LIMITS = (0.35, 0.5, 0.65)
"""Of the border test."""

TUNED, CELLS = "tuned.safetensors", "cells.csv"


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores (C, H, W) and true labels (H, W) of an image of some kind."""

    kind: str
    scores: NDArray[np.float32]
    truth: NDArray[Any]


def scored_images(items: Iterable[Picture], network: Network, *, device: str) -> Iterator[Scored]:
    """Score every image once."""
    for item in items:
        pair = item.pair()
        scores = segment(pair.image, network, channel_axis=pair.channel_axis, device=device).scores
        assert scores is not None
        yield Scored(item.kind, scores, np.asarray(pair.labels))


def held_out(held: dict[str, Sequence[Picture]]) -> list[Picture]:
    """Held-out images, kind by kind, under the name of their part."""
    return [replace(item, kind=kind) for kind, items in held.items() for item in items]


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


def mean_over_kinds(kinds: Sequence[str]) -> Callable[[list[Evaluation]], float]:
    """Return what makes one number of the evaluation of each image: that of `train.quality`."""

    def quality(evaluations: list[Evaluation]) -> float:
        return float(
            np.mean(
                [
                    evaluation.pooled(t).average_precision
                    for evaluation in by_kind(kinds, evaluations).values()
                    for t in evaluation.thresholds
                ]
            )
        )

    return quality


def tuned_thresholds(
    images: Sequence[Scored], class_roles: Sequence[str], start: InstanceSettings
) -> InstanceSettings:
    """Thresholds that suit the images; `min_score` is a mean score."""
    if start.score_calibration is not None:
        raise SystemExit(
            "The model's scores are calibrated already; tune the one as it was trained."
        )
    return tune_instances(
        [(image.scores, image.truth) for image in images],
        class_roles,
        evaluate,
        start,
        together=mean_over_kinds([image.kind for image in images]),
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
    quality = mean_over_kinds([image.kind for image in held])

    def reached(instances: InstanceSettings) -> float:
        found = (instances_from_scores(each.scores, class_roles, instances) for each in held)
        return quality([evaluate(each.truth, own) for each, own in zip(held, found, strict=True)])

    choices = [replace(thresholds, border_test=replace(test, limit=limit)) for limit in LIMITS]
    return max(choices, key=reached)


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
    means = [mean_over_kinds(list(each))(list(each.values())) for each in (before, after)]
    lines.append(f"| quality | {means[0]:.4f} | {means[1]:.4f} | |")
    return "\n".join(lines)


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


def tune(data: Path, model: Path, out: Path, *, device: str = "auto") -> None:
    """Tune, calibrate, say what it brought, and write both files."""
    network = load_checkpoint(model)
    roles, start = network.description.class_roles, network.description.instances
    began = time.perf_counter()
    parts = split(data)
    images = list(scored_images(held_out(parts.held), network, device=device))
    scored_s = time.perf_counter() - began
    plain = tuned_thresholds(images, roles, start)
    learned = scored_images(parts.learn, network, device=device)
    judging = with_border_test(learned, images, roles, plain)
    instances = tuned_thresholds(images, roles, judging)
    cells = Cells.joined(
        [
            found_cells(
                image.kind,
                image.scores,
                roles,
                image.truth,
                doubtful_too(image.scores, roles, instances),
            )
            for image in images
        ]
    )
    tuned = calibrated(network, instances, cells)
    spent = time.perf_counter() - began
    print(f"{scored_s:.0f} s to score {len(images)} images, {spent:.0f} s in all\n")
    shown = replace(instances, border_test=None)
    print(f"before {start}\n\nafter {shown}, borders judged: {instances.judges_borders}\n")
    seed_by_seed = evaluated(images, roles, plain)
    print(comparison(evaluated(images, roles, start), seed_by_seed), "\n\nborders judged\n")
    print(comparison(seed_by_seed, evaluated(images, roles, instances)))
    calibration = tuned.description.instances.score_calibration
    assert calibration is not None
    print(f"\n{calibration}; min_score {tuned.description.instances.min_score:g} of it\n")
    print(reliability_table(reliability_rows(cells, calibration, leave_out=True)))
    out.mkdir(parents=True, exist_ok=True)
    cells.write(out / CELLS)
    save_checkpoint(tuned, out / TUNED, overwrite=True, half=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("model", type=Path, metavar="MODEL", help="as train.py wrote it")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for model and cells")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    tune(arguments.data, arguments.model, arguments.out, device=arguments.device)


if __name__ == "__main__":
    main()
