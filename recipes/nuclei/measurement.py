"""The sets of images that the model card tells of, and how well a method does on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from dsb2018 import read_index
from numpy.typing import NDArray
from reliability import Cells
from training_images import Parts, Picture

from napari_unet import TrainingPair, evaluate
from napari_unet.engine.labels.evaluation import Evaluation

Sets: TypeAlias = Mapping[str, Sequence[Picture]]
Segmenter: TypeAlias = Callable[[TrainingPair, str], NDArray[Any]]
"""An image and its kind -> labels."""

STARDIST_TEST = "StarDist's 50 test images"
HELD_OUT, TEST = "held out", "test"
MODALITIES = ("fluorescence", "histology", "brightfield")
OURS = "ours"

GREY_ALONE = (STARDIST_TEST, f"{HELD_OUT}, U2OS", f"{HELD_OUT}, tissue DAPI")
"""Sets without colours that StarDist has not learned from."""

DRAWS = 2000

TABLE_HEAD = (
    "| images | method | AP 0.5 | AP 0.7 | AP 0.9 | mean over images | F1 at 0.5 | merged cells |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def test_sets(data: Path, parts: Parts) -> dict[str, list[Picture]]:
    """Test images, and what was held out of the kinds that have none."""
    nuclei = [item for item in read_index(data / "dsb2018") if item.split == "test"]
    pictures = {
        item.name: Picture(item.modality, item.name, "", item.image, item.labels) for item in nuclei
    }
    sets = {STARDIST_TEST: [pictures[item.name] for item in nuclei if item.in_stardist_test]}
    for modality in MODALITIES:
        sets[f"{TEST}, {modality}"] = [p for p in pictures.values() if p.kind == modality]
    sets[f"{TEST}, all"] = list(pictures.values())
    return sets | held_out_sets(parts, ("U2OS", "tissue DAPI", "other stain"))


def held_out_sets(parts: Parts, kinds: Sequence[str]) -> dict[str, list[Picture]]:
    """Images that were not learned from, but on which thresholds are tuned."""
    return {f"{HELD_OUT}, {kind}": list(parts.held[kind]) for kind in kinds}


def few_of(sets: Sets, count: int) -> dict[str, list[Picture]]:
    """At most so many images of each set, to see whether all of it works."""
    return {name: list(items[:count]) for name, items in sets.items()}


def found_in(sets: Sets, segmenter: Segmenter) -> dict[str, NDArray[Any]]:
    """Segment each image once, whichever sets it belongs to; labels by its name."""
    found: dict[str, NDArray[Any]] = {}
    for item in [item for items in sets.values() for item in items]:
        if item.name not in found:
            found[item.name] = segmenter(item.pair(), item.kind)
    return found


def evaluated(sets: Sets, found: Mapping[str, NDArray[Any]]) -> dict[str, Evaluation]:
    """Evaluate each set."""
    names = {item.name: item for items in sets.values() for item in items}
    each = {name: evaluate(item.pair().labels, found[name]) for name, item in names.items()}
    return {
        name: Evaluation(tuple(each[item.name].images[0] for item in items))
        for name, items in sets.items()
    }


def bootstrap_interval(
    evaluation: Evaluation, threshold: float, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Interval of 95 % of the pooled average precision, by drawing images with replacement.

    Of fewer than about five images it is too narrow: they do not show how
    different images are.

    Returns
    -------
    low, high : float
        The 2.5th and 97.5th percentile over the draws.
    """
    scores = [image.at(threshold) for image in evaluation.images]
    right = np.array([score.true_positives for score in scores])
    total = right + [score.false_positives + score.false_negatives for score in scores]
    chosen = np.random.default_rng(seed).integers(0, right.size, (draws, right.size))
    counted = total[chosen].sum(axis=1)
    # A draw of images without any cell, true or found, has nothing wrong.
    precision = np.where(counted > 0, right[chosen].sum(axis=1) / np.maximum(counted, 1), 1.0)
    low, high = np.quantile(precision, (0.025, 0.975))
    return float(low), float(high)


def row(name: str, method: str, evaluation: Evaluation) -> str:
    """One line of the card's table."""
    pooled = []
    for t in evaluation.thresholds:
        low, high = bootstrap_interval(evaluation, t)
        precision = evaluation.pooled(t).average_precision
        pooled.append(f"{precision:.3f} ({low:.2f} to {high:.2f})")
    mean = " / ".join(f"{evaluation.mean_ap(t):.3f}" for t in evaluation.thresholds)
    return (
        f"| {name} ({len(evaluation.images)}) | {method} | {' | '.join(pooled)} | {mean} "
        f"| {evaluation.pooled(0.5).f1:.3f} | {evaluation.merged_cells} |"
    )


@dataclass(slots=True)
class Look:
    """What was found in all sets.

    Parameters
    ----------
    sets : Sets
    cells : list of Cells
        Of our own cells in test images, how sure the network was and whether they are right.
    found : dict of str to array
        Our own labels by the name of the image.
    methods : dict of str to Evaluations
        By the name of the method and of the set.
    """

    sets: Sets
    cells: list[Cells] = field(default_factory=list)
    found: dict[str, NDArray[Any]] = field(default_factory=dict)
    methods: dict[str, dict[str, Evaluation]] = field(default_factory=dict)

    def measure(self, method: str, segmenter: Segmenter, names: Sequence[str] = ()) -> None:
        """Segment and evaluate, all sets if none is named, and say so."""
        started = time.perf_counter()
        sets = {name: self.sets[name] for name in names or self.sets if name in self.sets}
        found = found_in(sets, segmenter)
        self.methods[method] = evaluated(sets, found)
        if method == OURS:
            self.found = found
        spent = time.perf_counter() - started
        print(f"{method}: {len(found)} images in {spent:.0f} s", flush=True)

    def rows(self) -> list[str]:
        """Lines of the table, set by set."""
        return [
            row(name, method, evaluations[name])
            for name in self.sets
            for method, evaluations in self.methods.items()
            if name in evaluations
        ]
