"""How a network does on held-out images while it learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.cell_types import TypeEvaluation, evaluate_types
from napari_unet.engine.labels.evaluation import Evaluation, evaluate
from napari_unet.engine.networks.annotation import labels_are_classes
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import mean_scores, tune_instances
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.engine.training.learner import weighted_cross_entropy
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.patches import Patches
from napari_unet.engine.training.scoring import score_pair
from napari_unet.engine.training.volumes.slices import reviewed_slices
from napari_unet.engine.weight_map.weight_map import IGNORED

_ENOUGH_CELLS = 30
"""Held-out cells that can be counted on: with fewer, one more or less is chance."""

_MOST_OF_IT = 0.5
"""Share of a volume that was reviewed, from which thresholds are chosen by it."""

_ENOUGH_RIGHT, _KEPT, _HIGHEST_SCORE = 20, 0.9, 0.99
"""Right cells of volumes from which `min_score` is learned, and the share of them that it keeps."""

_LEAST_SCORE = 1e-7
"""What is given as less likely is as wrong as this."""

_TIE = 1e-6
"""Of two states that find the same cells the one with the lower loss is better."""


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Scores of one validation.

    Parameters
    ----------
    loss : float
        Weighted cross-entropy of the pixels that were reviewed.
    evaluation : Evaluation, optional
        None where there is no cell to be found, or labels are classes.
    types : TypeEvaluation, optional
        Of the cells that were found, where the network tells types apart.
    """

    loss: float
    evaluation: Evaluation | None
    types: TypeEvaluation | None = None

    @property
    def quality(self) -> float:
        """Mean of the average precisions, on few cells what the loss says; higher is better.

        Where types are told apart, times the share of cells that have the right one.
        """
        evaluation, share = self.evaluation, 1.0
        if evaluation is None or sum(i.true_cells for i in evaluation.images) < _ENOUGH_CELLS:
            return -self.loss
        if self.types is not None:
            if self.types.matched < _ENOUGH_CELLS:
                return -self.loss
            share = self.types.mean_share_right
        return mean_quality(evaluation) * share - _TIE * self.loss


def mean_quality(evaluation: Evaluation) -> float:
    """Mean of the average precisions at all thresholds."""
    return float(np.mean([evaluation.mean_ap(t) for t in evaluation.thresholds]))


def reviewed_part(
    truth: LabelImage, prediction: LabelImage, reviewed: LabelImage | None
) -> tuple[LabelImage, LabelImage]:
    """Leave out what nobody has looked at, so that it counts neither for nor against.

    Parameters
    ----------
    truth, prediction : integer arrays of the same shape
    reviewed : bool array of that shape, optional

    Returns
    -------
    truth, prediction : integer arrays
        0 outside of `reviewed`. A predicted cell with more than half of its
        pixels there is left out as a whole.
    """
    if reviewed is None:
        return truth, prediction
    all_px = np.bincount(prediction.reshape(-1))
    seen_px = np.bincount(prediction[reviewed], minlength=all_px.size)
    kept = 2 * seen_px >= all_px
    return np.where(reviewed, truth, 0), np.where(reviewed & kept[prediction], prediction, 0)


def compared_parts(
    truth: NDArray[np.int32], prediction: LabelImage, *, in_slices: bool
) -> list[tuple[LabelImage, LabelImage]]:
    """Truth and prediction where somebody has looked: one pair, or one for each labelled slice.

    Parameters
    ----------
    truth : int32 array
        `IGNORED` where nobody has.
    """
    if not in_slices:
        return [reviewed_part(truth, prediction, truth != IGNORED)]
    return [
        reviewed_part(truth[z], prediction[z], truth[z] != IGNORED)
        for z in reviewed_slices(truth, IGNORED)
    ]


def evaluated(
    pairs: Sequence[TrainingPair], truths: Sequence[NDArray[np.int32]], found: Sequence[LabelImage]
) -> Evaluation:
    """Hold what was found in images against their `checked_labels`, where these say anything."""
    parts = [
        part
        for pair, truth, labels in zip(pairs, truths, found, strict=True)
        for part in compared_parts(truth, labels, in_slices=pair.in_slices)
    ]
    return evaluate([truth for truth, _ in parts], [labels for _, labels in parts])


class Validation:
    """Held-out images with their truth.

    Parameters
    ----------
    patches : Patches
        It says which class and weight a pixel has.
    """

    def __init__(self, pairs: Sequence[TrainingPair], patches: Patches) -> None:
        self.pairs = tuple(pairs)
        self._patches = patches
        self._truths = [pair.checked_labels() for pair in pairs]
        self._supervised: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = []

    @property
    def cell_count(self) -> int:
        """Held-out cells that were reviewed."""
        return _count_cells(self.pairs)

    def note(self, network: Network) -> str | None:
        """Say why held-out cells cannot be counted; None if they can."""
        if not self.pairs or labels_are_classes(network.description.class_roles) or self.cell_count:
            return None
        return (
            "The held-out images show no cell, so the best state is chosen by the loss on them; "
            "label some cells there to see how many are found."
        )

    def run(
        self, network: Network, *, device: str, should_stop: Callable[[], bool]
    ) -> ValidationResult | None:
        """Score the held-out images; None if it was stopped, which takes a tile at most."""
        planes = _scores(self.pairs, network, device=device, should_stop=should_stop)
        if planes is None:
            return None
        if labels_are_classes(network.description.class_roles) or not self.cell_count:
            return ValidationResult(self._loss(planes), None)
        found = [plane.labels(network.description.instances) for plane in planes]
        return ValidationResult(
            self._loss(planes),
            evaluated(self.pairs, self._truths, found),
            self._type_evaluation(planes, found),
        )

    def tuned(
        self,
        network: Network,
        learned: Sequence[TrainingPair] = (),
        *,
        device: str,
        should_stop: Callable[[], bool],
    ) -> Network | None:
        """Network with the thresholds that suit the held-out images; None if stopped.

        Where these show few cells, those that it has learned from count, too,
        as far as they were reviewed everywhere, and little is changed. On few
        cells in all, the thresholds stay as they are. Of volumes `min_score` is
        then what keeps nearly all cells that are found right.
        """
        description = network.description
        if labels_are_classes(description.class_roles):
            return network
        pairs = list(self.pairs)
        a_little = self.cell_count < _ENOUGH_CELLS
        if a_little:
            pairs += [pair for pair in learned if _is_judged_by(pair)]
            if _count_cells(pairs) < _ENOUGH_CELLS:
                return network
        planes = _scores(pairs, network, device=device, should_stop=should_stop)
        if planes is None:
            return None
        truths = [pair.checked_labels() for pair in pairs]
        scored = [(plane.scores, truth) for plane, truth in zip(planes, truths, strict=True)]
        sources = {id(truth): pair for truth, pair in zip(truths, pairs, strict=True)}

        def quality(truth: LabelImage, prediction: LabelImage) -> float:
            if should_stop():
                return 0.0  # comes to its end at once; the result is thrown away
            return mean_quality(evaluated([sources[id(truth)]], [truth], [prediction]))

        tuned = tune_instances(
            scored, description.class_roles, quality, description.instances, a_little=a_little
        )
        if should_stop():
            return None
        if a_little and description.architecture.ndim == 3:
            tuned = _with_least_score(tuned, pairs, truths, planes)
        return Network(network.unet, replace(description, instances=tuned))

    def _loss(self, planes: Sequence[PlaneScores]) -> float:
        if not self._supervised:
            for truth, pair in zip(self._truths, self.pairs, strict=True):
                target, weights = self._patches.supervise(truth, pair.checked_types())
                self._supervised.append((target.numpy().astype(np.uint8), weights))
        total, weight = 0.0, 0.0
        type_weights = self._patches.type_weights
        for plane, (classes, weights) in zip(planes, self._supervised, strict=True):
            losses = weighted_cross_entropy(
                torch.from_numpy(np.log(np.maximum(plane.scores, _LEAST_SCORE))[np.newaxis]),
                torch.from_numpy(classes[np.newaxis].astype(np.int64)),
                torch.from_numpy(weights[np.newaxis]),
                plane.class_roles,
                type_weights,
            )
            total += float(losses)
            weight += float(weights.sum(dtype=np.float64))
        return total / max(weight, 1e-6)

    def _type_evaluation(
        self, planes: Sequence[PlaneScores], found: Sequence[LabelImage]
    ) -> TypeEvaluation | None:
        types = [plane.types(labels) for plane, labels in zip(planes, found, strict=True)]
        own = [each.by_label for each in types if each is not None]
        if len(own) < len(types):
            return None
        true_types = [pair.checked_types() for pair in self.pairs]
        return evaluate_types(self._truths, true_types, found, own)


def _is_judged_by(pair: TrainingPair) -> bool:
    """Whether thresholds can be chosen by an image that was learned from."""
    if pair.reviewed is None or pair.in_slices:
        return True
    # Of a volume, what was held out costs cells that a cut goes through, and few are left.
    return np.ndim(pair.labels) == 3 and bool(np.mean(pair.reviewed) > _MOST_OF_IT)


def _with_least_score(
    settings: InstanceSettings,
    pairs: Sequence[TrainingPair],
    truths: Sequence[NDArray[np.int32]],
    planes: Sequence[PlaneScores],
) -> InstanceSettings:
    """Drop what is fainter than nearly all cells of volumes that were found right.

    On volumes that were learned from there is hardly anything false by which
    this could be tuned, and in others there is.
    """
    sureness: list[float] = []
    for pair, truth, plane in zip(pairs, truths, planes, strict=True):
        labels = np.asarray(plane.labels(replace(settings, min_score=0.0)))
        parts = compared_parts(truth, labels, in_slices=pair.in_slices)
        right = np.unique(np.concatenate([_found_right(*part) for part in parts]))
        means = mean_scores(plane.scores, plane.class_roles, labels)
        sureness += means[right - 1].tolist()
    if len(sureness) < _ENOUGH_RIGHT:
        return settings
    least = math.floor(100 * np.quantile(sureness, 1 - _KEPT)) / 100
    return replace(settings, min_score=min(least, _HIGHEST_SCORE))


def _found_right(truth: LabelImage, prediction: LabelImage) -> NDArray[np.int64]:
    """Predicted cells that share more than half of what they and a true cell cover."""
    both = (truth > 0) & (prediction > 0)
    (of_truth, found), shared = np.unique(
        np.stack([truth[both], prediction[both]]).astype(np.int64), axis=1, return_counts=True
    )
    true_px, found_px = (np.bincount(each.reshape(-1)) for each in (truth, prediction))
    right: NDArray[np.int64] = found[2 * shared > true_px[of_truth] + found_px[found] - shared]
    return right


def _count_cells(pairs: Sequence[TrainingPair]) -> int:
    """Cells that were reviewed; of those in slices each slice counts."""
    count = 0
    for pair in pairs:
        truth = pair.checked_labels()
        for part in truth if pair.in_slices else (truth,):
            count += np.unique(part[part > 0]).size
    return count


def _scores(
    pairs: Sequence[TrainingPair],
    network: Network,
    *,
    device: str,
    should_stop: Callable[[], bool],
) -> list[PlaneScores] | None:
    """Scores of each image; None if it was stopped, which is asked after each tile."""
    planes = []
    for pair in pairs:
        plane = score_pair(pair, network, device=device, should_stop=should_stop)
        if plane is None:
            return None
        planes.append(plane)
    return planes
