"""How well predicted cells match true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.labels.runs import Cells, CommonRuns, ious_of
from napari_unet.engine.labels.truth.intervals import CONFIDENCE, mean_interval, share_interval

THRESHOLDS = (0.5, 0.7, 0.9)

Metric: TypeAlias = Literal["average_precision", "precision", "recall", "f1"]
"""A share of cells that are right, as a property of `ThresholdScore`."""

FEWEST_CELLS = 20
"""True cells below which counts say more than a figure: its interval would span half the scale."""

_DIGITS = 9
"""Of a threshold: 0.7 and the 0.7000000000000001 that adding up tenths gives are the same."""


def _least_iou(threshold: float) -> float:
    """From where on an IoU reaches a threshold: 2/3 reaches 0.666666667, to which it is rounded."""
    return threshold - 0.1**_DIGITS


def checked_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Return each of the thresholds once, rounded to nine digits.

    Raises
    ------
    SettingsError
        If one is not above 0 and at most 1.
    """
    for threshold in thresholds:
        if not 0 < threshold <= 1:
            raise SettingsError(f"A threshold is {threshold:g}; use overlaps above 0, at most 1.")
    return tuple(dict.fromkeys(round(float(threshold), _DIGITS) for threshold in thresholds))


@dataclass(frozen=True, slots=True)
class ThresholdScore:
    """Matches at one IoU threshold; a pair counts where its IoU is at least the threshold."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 where there is nothing to find and nothing was found."""
        total = self.true_positives + self.false_positives + self.false_negatives
        return self.true_positives / total if total else 1.0

    @property
    def precision(self) -> float:
        """Share of the predicted cells that are right."""
        predicted = self.true_positives + self.false_positives
        return self.true_positives / predicted if predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of the true cells that were found."""
        true = self.true_positives + self.false_negatives
        return self.true_positives / true if true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 1.0


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Matches in one image.

    Parameters
    ----------
    true_cells, predicted_cells : int
    scores : tuple of ThresholdScore
    matched_ious : tuple of float
        IoU of each pair matched at 0.5.
    merged_cells : int
        True cells beyond the first that one prediction swallows (covers more
        than half of each).
    """

    true_cells: int
    predicted_cells: int
    scores: tuple[ThresholdScore, ...]
    matched_ious: tuple[float, ...]
    merged_cells: int

    @property
    def cells(self) -> float:
        """Mean of the true and the predicted cells, of which F1 is the share that is right."""
        return (self.true_cells + self.predicted_cells) / 2

    def at(self, threshold: float) -> ThresholdScore:
        """Matches at a threshold that was asked for, or at any above 0.5.

        Raises
        ------
        SettingsError
            If it is neither.
        """
        (threshold,) = checked_thresholds([threshold])
        for score in self.scores:
            if score.threshold == threshold:
                return score
        least = _least_iou(threshold)
        if least <= 0.5:  # there two cells may claim one, and the pairs are not kept
            known = ", ".join(f"{score.threshold:g}" for score in self.scores)
            raise SettingsError(
                f"Matches were counted at the IoU {known} and can be told above 0.5, not at "
                f"{threshold:g}; evaluate again with {threshold:g} among the thresholds."
            )
        matched = sum(iou >= least for iou in self.matched_ious)
        return ThresholdScore(
            threshold, matched, self.predicted_cells - matched, self.true_cells - matched
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one or more images.

    `pooled`, `mean_ap` and `interval` take the thresholds that were asked for,
    and any other above 0.5; for the rest they raise SettingsError.
    """

    images: tuple[ImageScore, ...]

    @property
    def thresholds(self) -> tuple[float, ...]:
        """IoU thresholds, in the order they were asked for."""
        return tuple(score.threshold for score in self.images[0].scores)

    def pooled(self, threshold: float) -> ThresholdScore:
        """Add up the matches of all images."""
        rows = [image.at(threshold) for image in self.images]
        return ThresholdScore(
            rows[0].threshold,
            sum(score.true_positives for score in rows),
            sum(score.false_positives for score in rows),
            sum(score.false_negatives for score in rows),
        )

    def mean_ap(self, threshold: float) -> float:
        """Average precision, averaged over images."""
        return float(np.mean([image.at(threshold).average_precision for image in self.images]))

    def interval(
        self,
        threshold: float,
        of: Metric = "average_precision",
        *,
        confidence: float = CONFIDENCE,
    ) -> tuple[float, float]:
        """Interval in which a pooled score lies with some confidence.

        That of `share_interval`, of the predicted cells for precision, the true
        ones for recall. A cell with a wrong outline is one mistake that average
        precision counts twice, as missed and as extra; so it is not average
        precision that is a share of independent things, but F1, of
        (true + predicted) / 2 cells. The interval of F1 is therefore brought
        over by AP = F1 / (2 - F1). `benchmarks/score_intervals.py` shows how
        often it holds what it promises, beside a bootstrap and Wilson's
        interval of AP itself.

        Parameters
        ----------
        threshold : float
            As for `pooled`.
        of : {"average_precision", "precision", "recall", "f1"}
        confidence : float
            Above 0 and below 1.

        Returns
        -------
        low, high : float
            0 and 1 where there are no cells at all.

        Raises
        ------
        SettingsError
            If `threshold` was not counted, or `confidence` makes no sense.

        References
        ----------
        Hand, Christen and Kirielle (2021), Machine Learning 110, 451 (AP as F*).
        """
        right = [image.at(threshold).true_positives for image in self.images]
        cells = {
            "precision": [image.predicted_cells for image in self.images],
            "recall": [image.true_cells for image in self.images],
        }.get(of, [image.cells for image in self.images])
        low, high = share_interval(right, cells, confidence=confidence)
        if of == "average_precision":
            return low / (2 - low), high / (2 - high)
        return low, high

    @property
    def true_cells(self) -> int:
        """True cells of all images."""
        return sum(image.true_cells for image in self.images)

    @property
    def predicted_cells(self) -> int:
        """Predicted cells of all images."""
        return sum(image.predicted_cells for image in self.images)

    @property
    def has_figures(self) -> bool:
        """Whether there are enough true cells for a score to mean anything."""
        return self.true_cells >= FEWEST_CELLS

    def counts(self, threshold: float) -> str:
        """Say "2 of 3 found, 1 extra", for which few cells are enough."""
        score = self.pooled(threshold)
        extra = f", {score.false_positives:,} extra" if score.false_positives else ""
        return f"{score.true_positives:,} of {self.true_cells:,} found{extra}"

    def figure(self, threshold: float) -> str:
        """Say "0.86 (0.79 to 0.91)": the pooled average precision, and its interval of 95 %."""
        low, high = self.interval(threshold)
        score = self.pooled(threshold).average_precision
        return f"{score:.2f} ({low:.2f} to {high:.2f})"

    @property
    def mean_matched_iou(self) -> float:
        """Mean IoU of all pairs matched at 0.5; 0 if there are none."""
        ious = [iou for image in self.images for iou in image.matched_ious]
        return float(np.mean(ious)) if ious else 0.0

    def matched_iou_interval(self, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Interval of `mean_matched_iou`, as `mean_interval` gives it."""
        each = [np.array(image.matched_ious, float) for image in self.images]
        return mean_interval(
            [ious.sum() for ious in each],
            [(ious**2).sum() for ious in each],
            [ious.size for ious in each],
            confidence=confidence,
        )

    @property
    def merged_cells(self) -> int:
        """True cells that share one prediction with another, beyond the first of each."""
        return sum(image.merged_cells for image in self.images)


def evaluate(
    truth: LabelImage | Sequence[LabelImage],
    prediction: LabelImage | Sequence[LabelImage],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Compare predicted with true cells.

    Parameters
    ----------
    truth, prediction : integer array, or equally long sequences of them
        Each positive value is one cell; 0 and what is negative is none. Floats
        will do if they are whole. Each pair has the same shape.
    thresholds : sequence of float
        IoU, above 0 and at most 1, from which two cells count as the same.

    Returns
    -------
    Evaluation
        Average precision here is TP / (TP + FP + FN), as in StarDist and the
        2018 Data Science Bowl.

    Raises
    ------
    ImageShapeError
        If shapes or numbers of images differ.
    LabelsError
        If the arrays hold numbers that are not whole.
    SettingsError
        If a threshold makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import evaluate
    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> evaluate(truth, np.array([[5, 5, 0, 0, 0]])).pooled(0.5).average_precision
    0.5
    """
    truths = [truth] if isinstance(truth, np.ndarray) else list(truth)
    predictions = [prediction] if isinstance(prediction, np.ndarray) else list(prediction)
    if len(truths) != len(predictions) or not truths:
        raise ImageShapeError(
            f"There are {len(truths)} true and {len(predictions)} predicted label images; "
            "give at least one, and as many of each."
        )
    thresholds = checked_thresholds(thresholds)
    return Evaluation(
        tuple(
            _evaluate_image(np.asarray(true), np.asarray(predicted), thresholds)
            for true, predicted in zip(truths, predictions, strict=True)
        )
    )


def _evaluate_image(
    truth: LabelImage, prediction: LabelImage, thresholds: tuple[float, ...]
) -> ImageScore:
    check_same_shape(truth, prediction)
    runs = CommonRuns.of(truth, prediction)
    return score_runs(runs, runs.cells(0), runs.cells(1), thresholds)


def check_same_shape(truth: LabelImage, prediction: LabelImage) -> None:
    """Raise an `ImageShapeError` if labels cannot be those of one image."""
    if truth.shape != prediction.shape:
        raise ImageShapeError(
            f"The true labels have shape {truth.shape}, the predicted ones {prediction.shape}; "
            "they must be labels of the same image."
        )


def score_runs(
    runs: CommonRuns, true: Cells, predicted: Cells, thresholds: Sequence[float]
) -> ImageScore:
    """Match as `evaluate` the cells of two images cut into common runs."""
    true_cells, predicted_cells = true.ids.size - 1, predicted.ids.size - 1
    overlap = runs.shared(true, predicted)
    ious = ious_of(true, predicted, overlap)
    rows, columns = overlap.coords
    scores = []
    for threshold in thresholds:
        matched = _count_matches(rows, columns, ious, threshold, overlap.shape)
        scores.append(
            ThresholdScore(threshold, matched, predicted_cells - matched, true_cells - matched)
        )
    swallowed = columns[overlap.data > 0.5 * true.areas[rows]]
    merged = int(np.maximum(np.bincount(swallowed) - 1, 0).sum()) if swallowed.size else 0
    return ImageScore(
        true_cells, predicted_cells, tuple(scores), tuple(ious[ious > 0.5].tolist()), merged
    )


def _count_matches(
    rows: NDArray[Any],
    columns: NDArray[Any],
    ious: NDArray[np.float64],
    threshold: float,
    shape: tuple[int, ...],
) -> int:
    least = _least_iou(threshold)
    candidates = ious >= least
    if least > 0.5:
        return int(np.count_nonzero(candidates))  # no cell can have two such partners
    graph = coo_array((np.ones(candidates.sum()), (rows[candidates], columns[candidates])), shape)
    return int(np.count_nonzero(maximum_bipartite_matching(graph.tocsr()) >= 0))
