"""How sure a network is of its cells, how often they are right, and the map between the two."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from napari_unet import InstanceSettings
from napari_unet.engine.base.score_calibration import ScoreCalibration, score_logit
from napari_unet.engine.labels.runs import CommonRuns, ious_of
from napari_unet.engine.segmentation.instances import instances_from_scores, mean_scores

RIGHT_IOU = 0.5
BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Found cells, whichever image they are in.

    Parameters
    ----------
    kinds : (N,) str array
    scores : (N,) float64 array
        What `min_score` is compared with.
    is_right : (N,) bool array
        Whether a true cell overlaps with an IoU of at least 0.5.
    """

    kinds: NDArray[np.str_]
    scores: NDArray[np.float64]
    is_right: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """All cells of several."""
        return cls(
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.is_right for part in parts]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> Cells:
        """Some of them."""
        return Cells(self.kinds[chosen], self.scores[chosen], self.is_right[chosen])

    @property
    def by_kind(self) -> dict[str, Cells]:
        """Those of each kind."""
        return {kind: self.where(self.kinds == kind) for kind in dict.fromkeys(self.kinds.tolist())}

    def write(self, path: Path) -> None:
        """Write a table with a line for each cell."""
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["kind", "score", "right"])
            for kind, score, right in zip(self.kinds, self.scores, self.is_right, strict=True):
                table.writerow([kind, f"{score:.6f}", int(right)])

    @classmethod
    def read(cls, path: Path) -> Cells:
        """Read what `write` wrote."""
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return cls(
            np.array([row["kind"] for row in rows]),
            np.array([float(row["score"]) for row in rows]),
            np.array([row["right"] == "1" for row in rows]),
        )


def found_cells(
    kind: str,
    scores: NDArray[Any],
    class_roles: Sequence[str],
    truth: NDArray[Any],
    labels: NDArray[np.int32],
) -> Cells:
    """Score of each cell of an image, and whether it is right."""
    runs = CommonRuns.of(truth, labels)
    true, found = runs.cells(0), runs.cells(1)
    overlap = runs.shared(true, found)
    is_right = np.zeros(found.ids.size, bool)
    is_right[overlap.coords[1][ious_of(true, found, overlap) >= RIGHT_IOU]] = True
    means = mean_scores(scores, class_roles, labels)
    return Cells(np.full(means.size, kind), means, is_right[1:])


def doubtful_too(
    scores: NDArray[Any], class_roles: Sequence[str], instances: InstanceSettings
) -> NDArray[np.int32]:
    """Cells of an image with those that `min_score` would drop."""
    return instances_from_scores(scores, class_roles, replace(instances, min_score=0.0))


def fitted(cells: Cells) -> ScoreCalibration:
    """Fit a calibration in which each kind counts alike, however many cells it has."""
    _, number, counts = np.unique(cells.kinds, return_inverse=True, return_counts=True)
    share = 1 / (counts.size * counts[number])
    x, sign = score_logit(cells.scores), np.where(cells.is_right, 1.0, -1.0)

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (line[0] * x + line[1])
        slope = -share * sign * expit(-margin)
        return -float(share @ log_expit(margin)), np.array([slope @ x, slope.sum()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return ScoreCalibration(round(float(slope), 3), round(float(offset), 3))


def binned(claimed: NDArray[np.float64], is_right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of what is claimed, share that is right and cells, in bins of as many cells each.

    Returns
    -------
    (bins, 3) float64 array
        Fewer bins than 10 where there are fewer cells.
    """
    parts = np.array_split(np.argsort(claimed, kind="stable"), min(BINS, claimed.size))
    return np.array([(claimed[p].mean(), is_right[p].mean(), p.size) for p in parts])


def calibration_error(claimed: NDArray[np.float64], is_right: NDArray[np.bool_]) -> float:
    """Expected calibration error: the mean distance of claim and truth over those bins."""
    means, shares, counts = binned(claimed, is_right).T
    return float(np.average(np.abs(means - shares), weights=counts))


def reliability_rows(
    cells: Cells, calibration: ScoreCalibration, *, leave_out: bool
) -> list[tuple[Any, ...]]:
    """Kind, cells, share that is right, and the calibration error of the score, of the probability.

    Parameters
    ----------
    cells : Cells
    calibration : ScoreCalibration
    leave_out : bool
        Also that of a map that was fitted to the other kinds.
    """
    rows: list[tuple[Any, ...]] = []
    for kind, own in [*cells.by_kind.items(), ("all", cells)]:
        errors = [
            calibration_error(own.scores, own.is_right),
            calibration_error(calibration.probability(own.scores), own.is_right),
        ]
        if leave_out and kind != "all":
            others = fitted(cells.where(cells.kinds != kind))
            errors.append(calibration_error(others.probability(own.scores), own.is_right))
        rows.append((kind, own.scores.size, float(own.is_right.mean()), *errors))
    return rows


def reliability_table(rows: Sequence[tuple[Any, ...]]) -> str:
    """The same as Markdown."""
    lines = [
        "| cells in | number | right | error of score | of probability | fitted without them |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, count, share, *errors in rows:
        shown = [f"{error:.3f}" for error in errors] + ["-"] * (3 - len(errors))
        lines.append(f"| {kind} | {count} | {100 * share:.0f} % | {' | '.join(shown)} |")
    return "\n".join(lines)
