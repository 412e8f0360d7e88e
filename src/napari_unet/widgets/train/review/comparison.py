"""What a trained network finds otherwise than the one that its training started from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.words import count
from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.train.plan import Plan
from napari_unet.widgets.train.review.view_changes import ViewChanges, compared_view

if TYPE_CHECKING:
    from napari_unet.engine.labels.comparison import Comparison
    from napari_unet.engine.labels.evaluation import Evaluation
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.knowledge.verdict import Verdict
    from napari_unet.engine.training.pairs import TrainingPair

AP_BEFORE, AP_AFTER = "ap_before", "ap_after"
"""In a version's metrics: AP at 0.5 on the same labels before and after its training."""

CELLS, FOUND_BEFORE, FOUND_AFTER = "held_out_cells", "found_before", "found_after"
"""In a version's metrics: how many cells these labels have, and how many of them were found."""

_AP_AT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Both networks side by side."""

    held_out: tuple[Comparison, ...]
    """In the images of the held-out part, beside their labels."""
    view: ViewChanges | None
    """In the field of view."""
    verdict: Verdict | None = None
    """Whether what was learned is better, and which part of it; None if nobody has judged it."""

    @property
    def before(self) -> Evaluation | None:
        """How good the network was that it started from; None without held-out cells."""
        return _pooled([part.before_score for part in self.held_out])

    @property
    def after(self) -> Evaluation | None:
        """How good the trained network is; None without held-out cells."""
        return _pooled([part.after_score for part in self.held_out])

    @property
    def sentence(self) -> str:
        """What is proposed, and how good it is on the held-out part if that has cells."""
        told = [self._held_out_sentence]
        if self.verdict is not None:
            told = [self.verdict.sentence, self._held_out_sentence, self.verdict.advice]
        return " ".join(each for each in told if each)

    @property
    def _held_out_sentence(self) -> str:
        if self.before is None or self.after is None:
            return ""
        counts = Counter(change.kind for part in self.held_out for change in part.changes)
        changes = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"{_told(self.before, self.after)}{f' ({changes})' if changes else ''}."

    @property
    def metrics(self) -> dict[str, Any]:
        """The same for the version that is kept, at every overlap; of few cells the counts."""
        before, after = self.before, self.after
        if before is None or after is None:
            return {}
        found = (each.pooled(_AP_AT).true_positives for each in (before, after))
        metrics = dict(zip((FOUND_BEFORE, FOUND_AFTER), found, strict=True))
        metrics[CELLS] = after.true_cells
        return metrics | (_figures(before, after) if after.has_figures else {})


def _told(before: Evaluation, after: Evaluation) -> str:
    """How both did on the same cells, without the full stop."""
    cells = count(after.true_cells, "held-out cell")
    if after.has_figures:
        return (
            f"On {cells} AP {_AP_AT:g} was {before.figure(_AP_AT)} before and is "
            f"{after.figure(_AP_AT)} now; in brackets where it lies with 95 % confidence"
        )
    counts = (each.counts(_AP_AT) for each in (before, after))
    return f"On {cells}: {next(counts)} before, {next(counts)} now; too few for a figure"


def _figures(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, evaluation in ((AP_BEFORE, before), (AP_AFTER, after)):
        scores = {
            threshold: round(evaluation.pooled(threshold).average_precision, 4)
            for threshold in evaluation.thresholds
        }
        figures[name] = scores[_AP_AT]
        figures[f"{name} at all"] = {f"{t:g}": score for t, score in scores.items()}
        figures[f"{name} interval"] = evaluation.interval(_AP_AT)
    return figures


def compare(
    plan: Plan,
    before: Network,
    after: Network,
    held_out: Sequence[TrainingPair],
    view: LayerImage | None,
    verdict: Verdict | None = None,
) -> Compared:
    """Let two networks segment the held-out images and the field of view, in the thread.

    Nothing is compared of networks that find classes and no cells.
    """
    if plan.label_kind == "classes":
        return Compared((), None, verdict)
    parts = tuple(_compared(pair, before, after, plan.recipe.device) for pair in held_out)
    changes = None if view is None else compared_view(plan, view, before, after)
    return Compared(parts, changes, verdict)


def _compared(pair: TrainingPair, before: Network, after: Network, device: str) -> Comparison:
    from napari_unet.engine.labels.comparison import compare_cells
    from napari_unet.engine.models.one_call import segment
    from napari_unet.engine.training.validation import reviewed_part

    found = [
        segment(
            np.asarray(pair.image),
            network,
            channel_axis=pair.channel_axis,
            device=device,
            intensity_reference=pair.intensity_reference,
            keep_scores=False,
        ).labels
        for network in (before, after)
    ]
    labels = np.asarray(pair.labels)
    truth, first = reviewed_part(labels, found[0], pair.reviewed)
    _, second = reviewed_part(labels, found[1], pair.reviewed)
    return compare_cells(first, second, truth)


def _pooled(scores: Sequence[Evaluation | None]) -> Evaluation | None:
    from napari_unet.engine.labels.evaluation import Evaluation

    images = tuple(image for score in scores if score is not None for image in score.images)
    return Evaluation(images) if any(image.true_cells for image in images) else None
