"""How well some methods do on the sets of images that a model card tells of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from picture_sets import Picture

from napari_unet import TrainingPair, evaluate, segment
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network

Sets: TypeAlias = Mapping[str, Sequence[Picture]]
Segmenter: TypeAlias = Callable[[TrainingPair], NDArray[Any]]

DRAWS = 2000

_TABLE_HEAD = (
    "| images | method | AP 0.5 | AP 0.7 | AP 0.9 | mean over images | F1 at 0.5 | merged cells |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True)
class Method:
    """One line for each set.

    Parameters
    ----------
    name : str
    labels_of : Segmenter
    names : sequence of str
        Of the sets that it is measured on; all, if none is named.
    """

    name: str
    labels_of: Segmenter
    names: Sequence[str] = ()


def ours(name: str, network: Network, *, device: str, **options: Any) -> Method:
    """Segment as the product does; `options` are those of `segment`."""

    def labels_of(pair: TrainingPair) -> NDArray[Any]:
        return segment(
            pair.image,
            network,
            channel_axis=pair.channel_axis,
            device=device,
            keep_scores=False,
            **options,
        ).labels

    return Method(name, labels_of)


@dataclass(slots=True)
class Look:
    """What was found in all sets.

    Parameters
    ----------
    sets : Sets
    found : dict of str to array
        Labels that the first method found, by the name of the image.
    methods : dict of str to Evaluations
        By the name of the method and of the set.
    """

    sets: Sets
    found: dict[str, NDArray[Any]] = field(default_factory=dict)
    methods: dict[str, dict[str, Evaluation]] = field(default_factory=dict)

    def measure(self, method: Method) -> None:
        """Segment and evaluate, and say so."""
        started = time.perf_counter()
        names = method.names or self.sets
        sets = {name: self.sets[name] for name in names if name in self.sets}
        found = _found_in(sets, method.labels_of)
        self.found = self.found or found
        self.methods[method.name] = _evaluated(sets, found)
        spent = time.perf_counter() - started
        print(f"{method.name}: {len(found)} images in {spent:.0f} s", flush=True)

    def table(self) -> str:
        """All of it, set by set, as Markdown."""
        rows = [
            _row(name, method, evaluations[name])
            for name in self.sets
            for method, evaluations in self.methods.items()
            if name in evaluations
        ]
        return "\n".join([_TABLE_HEAD, *rows])


def _found_in(sets: Sets, labels_of: Segmenter) -> dict[str, NDArray[Any]]:
    """Segment each image once, whichever sets it belongs to; labels by its name."""
    items = {item.name: item for items in sets.values() for item in items}
    return {name: labels_of(item.pair()) for name, item in items.items()}


def _evaluated(sets: Sets, found: Mapping[str, NDArray[Any]]) -> dict[str, Evaluation]:
    """Evaluate each set."""
    names = {item.name: item for items in sets.values() for item in items}
    each = {name: evaluate(item.pair().labels, found[name]) for name, item in names.items()}
    return {
        name: Evaluation(tuple(each[item.name].images[0] for item in items))
        for name, items in sets.items()
    }


def _row(name: str, method: str, evaluation: Evaluation) -> str:
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
