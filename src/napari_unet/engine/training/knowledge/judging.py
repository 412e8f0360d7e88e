"""Three networks look at images, and are judged by what they find.

The one from before, the one after, and the one half-way, whose weights are the mean of both
(WiSE-FT). Each segments the images that were labelled, images of the bank, and what was held out.

References
----------
Wortsman et al. (2022), Robust fine-tuning of zero-shot models. https://arxiv.org/abs/2109.01903
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.cell_types import CellTypes, TypeEvaluation, evaluate_types
from napari_unet.engine.labels.evaluation import Evaluation, evaluate
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import mean_scores
from napari_unet.engine.training.hold_out import labelled_part
from napari_unet.engine.training.knowledge.before import KNOWN, familiarity
from napari_unet.engine.training.knowledge.resemblance import resembling
from napari_unet.engine.training.knowledge.verdict import AT, Choice, Judged, Verdict
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.scoring import score_pair
from napari_unet.engine.training.validation import compared_parts, evaluated

_MOST_PX = 16_000_000
"""Of the labelled images that are judged: three networks look at each."""

_MOST_KNOWN = 40
"""Images of the bank that are judged: those that look most like the new ones."""

_MOST_SURE = 0.999
"""`min_score` is below 1."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Cells that a network finds in an image, also those that it doubts."""

    pair: TrainingPair
    labels: NDArray[np.int32]
    sureness: NDArray[np.float64]
    """Mean score of each cell, from 1."""
    familiarity: float
    """How well the network knows such images, 0 to 1."""
    types: CellTypes | None
    """Of these cells, where types are told apart."""

    def at(self, least: float) -> NDArray[np.int32]:
        """Those that are sure enough."""
        kept = np.concatenate([[False], self.sureness >= least])
        return np.where(kept[self.labels], self.labels, 0)


def judge(
    before: Network,
    after: Network,
    pairs: Sequence[TrainingPair],
    bank: Sequence[TrainingPair],
    held_out: Sequence[TrainingPair],
    *,
    device: str,
    should_stop: Callable[[], bool],
) -> Verdict | None:
    """Judge a network beside the one that it began with; None if stopped.

    Parameters
    ----------
    before, after : Network
        The one from before as it was.
    pairs : sequence of TrainingPair
        What was learned from.
    bank : sequence of TrainingPair
        Labelled images of what was known, from which neither has learned.
    held_out : sequence of TrainingPair
    """
    alike = resembling(bank, pairs, before.description)
    bank = sorted(alike, key=lambda pair: pair.weight, reverse=True)[:_MOST_KNOWN]
    labelled = _few_enough(pairs)
    judged: dict[Choice, Judged] = {}
    share, knew = None, True
    networks: dict[Choice, Network] = {
        "before": before,
        "after": after,
        "halfway": halfway(before, after),
    }
    for choice, network in networks.items():
        thresholds = network.description.instances
        # What is smaller than the new cells are is dropped there, and not forgotten.
        known = _look(bank, network, _sized_as(thresholds, before), device, should_stop)
        new = _look([*labelled, *held_out], network, thresholds, device, should_stop)
        if known is None or new is None:
            return None
        least = thresholds.least_mean_score
        if share is None:
            share = _share_kept(known, least)
            knew = bool(np.mean([each.familiarity for each in new[: len(labelled)]]) >= KNOWN)
        elif any(each.sureness.size for each in known):
            least = round(_least_for(known, share, least), 4)
            network = _with_least(network, least)
        judged[choice] = Judged(
            network,
            _corrected(new[: len(labelled)], least),
            _evaluation(new[: len(labelled)], least),
            _counts(known, least),
            _evaluation(new[len(labelled) :], least) if held_out else None,
            _type_evaluation(new, least),
        )
    return Verdict(judged, before.description.name, knew)


def _few_enough(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """Labelled parts of images, those with corrections first, as far as there is time for them."""
    chosen: list[TrainingPair] = []
    left = _MOST_PX
    for pair in sorted(pairs, key=lambda pair: pair.corrected is None or not pair.corrected.any()):
        part = labelled_part(pair)
        left -= np.size(part.labels)
        if chosen and left < 0:
            break
        chosen.append(part)
    return chosen


def halfway(before: Network, after: Network) -> Network:
    """Network whose weights are the mean of both; it finds cells as the second does."""
    unet = copy.deepcopy(after.unet)
    old = before.unet.state_dict()
    new = {
        key: (value + old[key].to(value)) / 2 if value.is_floating_point() else value
        for key, value in unet.state_dict().items()
    }
    unet.load_state_dict(new)
    # What was measured of `after` holds for its weights alone.
    *earlier, last = after.description.history
    history = (*earlier, {**last, "kept": "half of the change"})
    return Network(unet, replace(after.description, metrics={}, history=history))


def _sized_as(instances: InstanceSettings, network: Network) -> InstanceSettings:
    own = network.description.instances
    return replace(instances, min_size_px=own.min_size_px, min_seed_px=own.min_seed_px)


def _with_least(network: Network, least: float) -> Network:
    instances = replace(network.description.instances, min_score=least, score_calibration=None)
    return Network(network.unet, replace(network.description, instances=instances))


def _look(
    images: Sequence[TrainingPair],
    network: Network,
    thresholds: InstanceSettings,
    device: str,
    should_stop: Callable[[], bool],
) -> list[_Seen] | None:
    """What a network finds in each image; None if stopped, which is asked after each tile."""
    description = network.description
    everything = replace(thresholds, min_score=0.0)
    seen = []
    for pair in images:
        plane = score_pair(pair, network, device=device, should_stop=should_stop)
        if plane is None:
            return None
        labels = np.asarray(plane.labels(everything))
        sureness = mean_scores(plane.nearest_scores(), description.class_roles, labels)
        familiar = familiarity(plane.scores, description)
        seen.append(_Seen(pair, labels, sureness, familiar, plane.types(labels)))
    return seen


def _share_kept(seen: Sequence[_Seen], least: float) -> float:
    """Which share of what it sees a network keeps, images counting by their weight."""
    sureness, weight = _weighted(seen)
    return float(np.average(sureness >= least, weights=weight)) if sureness.size else 1.0


def _least_for(seen: Sequence[_Seen], share: float, least: float) -> float:
    """Least mean score that keeps such a share; `least` if it does."""
    sureness, weight = _weighted(seen)
    order = np.argsort(-sureness, kind="stable")
    kept = np.cumsum(weight[order]) / weight.sum() <= share + 1e-9
    lowest_kept = float(sureness[order][kept].min(initial=1.0))
    highest_dropped = float(sureness[order][~kept].max(initial=0.0))
    if highest_dropped < least <= lowest_kept:
        return least
    return min((lowest_kept + highest_dropped) / 2, _MOST_SURE)


def _weighted(seen: Sequence[_Seen]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    empty = np.empty(0)
    sureness = [each.sureness for each in seen]
    weight = [np.full(each.sureness.size, each.pair.weight) for each in seen]
    return np.concatenate([empty, *sureness]), np.concatenate([empty, *weight])


def _evaluation(seen: Sequence[_Seen], least: float) -> Evaluation:
    pairs = [each.pair for each in seen]
    truths = [pair.checked_labels() for pair in pairs]
    return evaluated(pairs, truths, [each.at(least) for each in seen])


def _type_evaluation(seen: Sequence[_Seen], least: float) -> TypeEvaluation | None:
    parts = [
        (truth, each.pair.checked_types(), found, each.types.by_label)
        for each in seen
        if each.types is not None
        for truth, found in _compared(each, least)
    ]
    return evaluate_types(*zip(*parts, strict=True)) if parts else None


def _compared(seen: _Seen, least: float) -> list[tuple[LabelImage, LabelImage]]:
    truth = seen.pair.checked_labels()
    return compared_parts(truth, seen.at(least), in_slices=seen.pair.in_slices)


def _counts(seen: Sequence[_Seen], least: float) -> NDArray[np.float64]:
    rows = []
    for each in seen:
        score = evaluate([each.pair.labels], [each.at(least)]).pooled(AT)
        errors = score.false_positives + score.false_negatives
        rows.append((each.pair.weight, score.true_positives, score.true_positives + errors))
    return np.array(rows, float).reshape(-1, 3)


def _corrected(seen: Sequence[_Seen], least: float) -> tuple[int, int]:
    """Corrected cells that are right, and all; labelled ones where nobody knows."""
    right = count = 0
    for each in seen:
        corrected = each.pair.corrected
        truths, found = zip(*_compared(each, least), strict=True)
        if corrected is not None and corrected.any():
            wanted = np.unique(each.pair.checked_labels()[corrected])
            truths = tuple(np.where(np.isin(truth, wanted), truth, 0) for truth in truths)
        score = evaluate(truths, found).pooled(AT)
        right += score.true_positives
        count += score.true_positives + score.false_negatives
    return right, count
