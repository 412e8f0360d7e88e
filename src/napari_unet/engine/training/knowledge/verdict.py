"""Whether what a network has learned is kept: it is judged beside the one that it began with.

Three networks are judged: the one from before, the one after, and the one half-way, whose weights
are the mean of both (WiSE-FT). Each segments the images that were labelled, images of the bank, and
what was held out.

References
----------
Wortsman et al. (2022), Robust fine-tuning of zero-shot models. https://arxiv.org/abs/2109.01903
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.evaluation import Evaluation, evaluate
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import mean_scores
from napari_unet.engine.training.hold_out import labelled_part
from napari_unet.engine.training.knowledge.before import familiarity
from napari_unet.engine.training.knowledge.resemblance import resembling
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.scoring import score_pair
from napari_unet.engine.training.validation import reviewed_part
from napari_unet.engine.weight_map.weight_map import IGNORED

Choice: TypeAlias = Literal["after", "halfway", "before"]

_AT = 0.5
_WORSE, _WORSE_OF_OTHERS = 0.005, 0.05
"""Of average precision: by so much a network may fall on what is known before it counts; the second
where the new images are of no kind that it knew, so that the reference images are all of others.
The first is half of what was tried first: in crowded fluorescence a network that had fallen by
0.007 on the reference images had lost 0.02 on others of that kind."""

_MOST_PX = 16_000_000
"""Of the labelled images that are judged: three networks look at each."""

_MOST_KNOWN = 40
"""Images of the bank that are judged: those that look most like the new ones."""

_MOST_SURE = 0.999
"""`min_score` is below 1."""

_DRAWS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one of the networks finds.

    Parameters
    ----------
    network : Network
    corrected : (right, all) ints
        Of the cells that somebody has labelled or corrected, those that it finds.
    learned : Evaluation
        In the images that were labelled, as far as that.
    known : (N, 3) float array
        Of each image of the bank its weight, cells that are right, and right,
        missed and false ones together; N may be 0.
    held_out : Evaluation, optional
    """

    network: Network
    corrected: tuple[int, int]
    learned: Evaluation
    known: NDArray[np.float64]
    held_out: Evaluation | None

    @property
    def known_precision(self) -> float:
        """Average precision on images like the new ones; 1 without any."""
        return float(_precision(self.known))


def _precision(known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pooled over the last but one axis of (..., N, 3)."""
    weight, right, everything = np.moveaxis(known, -1, 0)
    counted = (weight * everything).sum(axis=-1)
    found = (weight * right).sum(axis=-1)
    precision: NDArray[np.float64] = np.where(counted > 0, found / np.maximum(counted, 1e-9), 1.0)
    return precision


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Which of the networks is proposed, and why.

    Parameters
    ----------
    judged : mapping of Choice to Judged
    name : str
        Of the model that the training began with.
    knew : bool
        Whether that model knew images like the new ones.
    """

    judged: Mapping[Choice, Judged]
    name: str
    knew: bool = True

    @property
    def chosen(self) -> Choice:
        """The best of those that are not worse on what is known or held out."""
        fit = [choice for choice in self.judged if not self.is_worse(choice)]
        return max(fit, key=self.gain)

    @property
    def is_better(self) -> bool:
        """Whether anything of what was learned is proposed."""
        return self.chosen != "before"

    @property
    def proposed(self) -> Network:
        """The one that is proposed; where none is, the one that has learned all the same."""
        return self.judged[self.chosen if self.is_better else "after"].network

    def gain(self, choice: Choice) -> float:
        """Average precision gained on what was labelled, what is known, and what is held out."""
        now, before = self.judged[choice], self.judged["before"]
        gained = now.learned.pooled(_AT).average_precision
        gained -= before.learned.pooled(_AT).average_precision
        gained += now.known_precision - before.known_precision
        if now.held_out is not None and before.held_out is not None:
            gained += now.held_out.pooled(_AT).average_precision
            gained -= before.held_out.pooled(_AT).average_precision
        return gained

    def is_worse(self, choice: Choice) -> bool:
        """Whether it has forgotten what it knew, or finds less of what was held out."""
        now, before = self.judged[choice], self.judged["before"]
        if choice == "before":
            return False
        tolerated = _WORSE if self.knew else _WORSE_OF_OTHERS
        fell = now.known_precision < before.known_precision - tolerated
        if now.held_out is None or before.held_out is None or not now.held_out.has_figures:
            return fell
        held_out = now.held_out.pooled(_AT).average_precision
        return fell or held_out < before.held_out.pooled(_AT).average_precision - _WORSE

    def known_change(self, choice: Choice) -> tuple[float, float]:
        """Interval of 95 % of what average precision has gained on the bank, by drawing images."""
        now, before = self.judged[choice].known, self.judged["before"].known
        count = len(now)
        drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
        low, high = np.quantile(_precision(now[drawn]) - _precision(before[drawn]), (0.025, 0.975))
        return float(low), float(high)

    @property
    def sentence(self) -> str:
        """What is proposed, with its figures."""
        if not self.is_better:
            after = self.judged["after"]
            return (
                f"What it learned is not better than '{self.name}', which stays: "
                f"{self._on_labels(after)}{self._on_known('after')}."
            )
        now = self.judged[self.chosen]
        part = "" if self.chosen == "after" else "Half of the change is kept, which is better: "
        sentence = f"{part}{self._on_labels(now)}{self._on_known(self.chosen)}; keep it."
        return sentence[:1].upper() + sentence[1:]

    @property
    def advice(self) -> str:
        """What would help where nothing is proposed; empty otherwise."""
        if self.is_better:
            return ""
        return "Correct more cells, in other places and images, and train again."

    def _on_labels(self, now: Judged) -> str:
        right, count = now.corrected
        before = self.judged["before"].corrected[0]
        cells = "cell is" if count == 1 else "cells are"
        return f"on your images {right} of {count} labelled {cells} right, {before} before"

    def _on_known(self, choice: Choice) -> str:
        now, before = self.judged[choice], self.judged["before"]
        if not len(now.known):
            return ""
        low, high = self.known_change(choice)
        change = "unchanged" if low <= 0 <= high else "better" if low > 0 else "worse"
        which = "reference images" if self.knew else "reference images of other kinds"
        return (
            f", {change} on {len(now.known)} {which} (AP {_AT:g} "
            f"{now.known_precision:.2f}, {before.known_precision:.2f} before; the change is "
            f"{low:+.2f} to {high:+.2f} with 95 % confidence)"
        )


# -- looking at images ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Cells that a network finds in an image, also those that it doubts."""

    pair: TrainingPair
    labels: NDArray[np.int32]
    sureness: NDArray[np.float64]
    """Mean score of each cell, from 1."""
    familiarity: float
    """How well the network knows such images, 0 to 1."""

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
            knew = any(each.familiarity > 0 for each in new[: len(labelled)])
        elif any(each.sureness.size for each in known):
            least = round(_least_for(known, share, least), 4)
            network = _with_least(network, least)
        judged[choice] = Judged(
            network,
            _corrected(new[: len(labelled)], least),
            _evaluation(new[: len(labelled)], least),
            _counts(known, least),
            _evaluation(new[len(labelled) :], least) if held_out else None,
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
        seen.append(_Seen(pair, labels, sureness, familiar))
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
    compared = [_compared(each, least) for each in seen]
    return evaluate([truth for truth, _ in compared], [found for _, found in compared])


def _compared(seen: _Seen, least: float) -> tuple[LabelImage, LabelImage]:
    truth = seen.pair.checked_labels()
    return reviewed_part(truth, seen.at(least), truth != IGNORED)


def _counts(seen: Sequence[_Seen], least: float) -> NDArray[np.float64]:
    rows = []
    for each in seen:
        score = evaluate([each.pair.labels], [each.at(least)]).pooled(_AT)
        errors = score.false_positives + score.false_negatives
        rows.append((each.pair.weight, score.true_positives, score.true_positives + errors))
    return np.array(rows, float).reshape(-1, 3)


def _corrected(seen: Sequence[_Seen], least: float) -> tuple[int, int]:
    """Corrected cells that are right, and all; labelled ones where nobody knows."""
    right = count = 0
    for each in seen:
        truth, found = _compared(each, least)
        corrected = each.pair.corrected
        if corrected is not None and corrected.any():
            truth = np.where(np.isin(truth, np.unique(truth[corrected])), truth, 0)
        score = evaluate([truth], [found]).pooled(_AT)
        right += score.true_positives
        count += score.true_positives + score.false_negatives
    return right, count
