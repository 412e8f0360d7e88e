"""Whether what a network has learned is kept: how it was judged beside the one it began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.cell_types import TypeEvaluation
from napari_unet.engine.labels.evaluation import Evaluation
from napari_unet.engine.networks.network import Network

Choice: TypeAlias = Literal["after", "halfway", "before"]

AT = 0.5
"""Overlap (IoU) from which a cell is found."""

_WORSE, _WORSE_OF_OTHERS = 0.005, 0.05
"""Of average precision: by so much a network may fall on what is known before it counts; the second
where the new images are of no kind that it knew, so that the reference images are all of others.
The first is half of what was tried first: in crowded fluorescence a network that had fallen by
0.007 on the reference images had lost 0.02 on others of that kind."""

_MENDED = 0.2
"""Of the labelled cells that were wrong: who mends fewer on images of a kind that was known risks
more on others than it gains, and the reference images are too few to show that."""

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
    types : TypeEvaluation, optional
        Of the labelled and held-out cells that it finds, where it tells types apart.
    """

    network: Network
    corrected: tuple[int, int]
    learned: Evaluation
    known: NDArray[np.float64]
    held_out: Evaluation | None
    types: TypeEvaluation | None = None

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
        """The best of those that mend something and are not worse on what is known or held out."""
        fit = [
            choice
            for choice in self.judged
            if choice == "before" or (self.mends(choice) and not self.is_worse(choice))
        ]
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
        """Average precision gained on what was labelled, what is known, and what is held out.

        And what was gained of types of cells. Where the new images are of no kind that was known,
        what is known does not count as long as it is not worse: half of what was learned would
        otherwise be kept of DIC cells (0.82 on other images instead of 0.89) for 0.02 on nuclei.
        """
        now, before = self.judged[choice], self.judged["before"]
        gained = now.learned.pooled(AT).average_precision
        gained -= before.learned.pooled(AT).average_precision
        if self.knew:
            gained += now.known_precision - before.known_precision
        if now.held_out is not None and before.held_out is not None:
            gained += now.held_out.pooled(AT).average_precision
            gained -= before.held_out.pooled(AT).average_precision
        return gained + self.type_gain(choice)

    def type_gain(self, choice: Choice) -> float:
        """How much larger the share of cells of the right type is, each type counting as much."""
        now, before = self.judged[choice].types, self.judged["before"].types
        if now is None or before is None:
            return 0.0
        return now.mean_share_right - before.mean_share_right

    def mends(self, choice: Choice) -> bool:
        """Whether it finds enough of the labelled cells that were wrong before, if any were.

        Or names enough of those whose type was wrong.
        """
        types = self.judged["before"].types
        wrong = 0.0 if types is None else 1 - types.mean_share_right
        if wrong and self.type_gain(choice) >= _MENDED * wrong:
            return True
        before, count = self.judged["before"].corrected
        mended = self.judged[choice].corrected[0] - before
        return not self.knew or mended >= _MENDED * (count - before)

    def is_worse(self, choice: Choice) -> bool:
        """Whether it has forgotten what it knew, or finds less of what was held out."""
        now, before = self.judged[choice], self.judged["before"]
        tolerated = _WORSE if self.knew else _WORSE_OF_OTHERS
        fell = now.known_precision < before.known_precision - tolerated
        if now.held_out is None or before.held_out is None or not now.held_out.has_figures:
            return fell
        held_out = now.held_out.pooled(AT).average_precision
        return fell or held_out < before.held_out.pooled(AT).average_precision - _WORSE

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
        text = f"on your images {right} of {count} labelled {cells} right, {before} before"
        if now.types is None or not now.types.matched:
            return text
        return f"{text}, {now.types.right} of {now.types.matched} of the right type"

    def _on_known(self, choice: Choice) -> str:
        now, before = self.judged[choice], self.judged["before"]
        if not len(now.known):
            return ""
        low, high = self.known_change(choice)
        change = "unchanged" if low <= 0 <= high else "better" if low > 0 else "worse"
        which = "reference images" if self.knew else "reference images of other kinds"
        return (
            f", {change} on {len(now.known)} {which} (AP {AT:g} "
            f"{now.known_precision:.2f}, {before.known_precision:.2f} before; the change is "
            f"{low:+.2f} to {high:+.2f} with 95 % confidence)"
        )
