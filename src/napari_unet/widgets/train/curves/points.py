"""The numbers of a training as they come in: losses of its steps, and its validations."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LEAST_SMOOTHED = 9
_SMOOTHED_SHARE = 1 / 30
"""Share of the steps so far that the smoothed loss is a mean of, around each of them."""


@dataclass(frozen=True, slots=True)
class CurveRow:
    """What is known of one step; None for what was not measured there."""

    step: int
    loss: float | None = None
    """Of the training at this step."""
    validation_loss: float | None = None
    ap: float | None = None
    """Average precision of the validation at IoU 0.5, from 0 to 1."""
    iou: float | None = None
    """Mean IoU of the validation, from 0 to 1."""


class CurvePoints:
    """Grows with the training; what is not finite is kept, but drawn by nobody."""

    def __init__(self) -> None:
        self._steps = array("d")
        self._losses = array("d")
        self._validations: dict[int, CurveRow] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._steps and not self._validations

    @property
    def has_validation(self) -> bool:
        """Whether there is an average precision or an IoU to show."""
        return any(
            value is not None for row in self._validations.values() for value in (row.ap, row.iou)
        )

    @property
    def last_step(self) -> int:
        """The highest step of which anything is known; 0 before."""
        return int(max([*self._steps[-1:], *self._validations, 0]))

    def add_steps(self, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Add the losses of steps, the newest last."""
        self._steps.extend(steps)
        self._losses.extend(losses)

    def add_validation(
        self, step: int, loss: float | None, ap: float | None, iou: float | None
    ) -> None:
        """Add a validation; another one at the same step takes its place."""
        self._validations[step] = CurveRow(step, None, loss, ap, iou)

    def training(self, *, smoothed: bool = False) -> NDArray[np.float64]:
        """Return step and loss as a (points, 2) array, finite ones only."""
        points = _finite(np.array([self._steps, self._losses]).T)
        return _smoothed(points) if smoothed else points

    def validation(self, name: str) -> NDArray[np.float64]:
        """Return step and a value of the validations as a (points, 2) array, finite ones only.

        Parameters
        ----------
        name : {"validation_loss", "ap", "iou"}
        """
        rows = self._validations.values()
        points = [(row.step, getattr(row, name)) for row in rows if getattr(row, name) is not None]
        return _finite(np.array(sorted(points), float).reshape(-1, 2))

    def rows(self) -> list[CurveRow]:
        """Every step at which something was measured, in order."""
        rows = dict(self._validations)
        for step, loss in zip(map(int, self._steps), self._losses, strict=True):
            known = self._validations.get(step)
            if known is None:
                rows[step] = CurveRow(step, loss)
            else:
                rows[step] = CurveRow(step, loss, known.validation_loss, known.ap, known.iou)
        return [rows[step] for step in sorted(rows)]


def write_rows(rows: Sequence[CurveRow], file: str | Path) -> None:
    """Write rows as comma-separated values below their names; what is unknown stays empty."""
    with Path(file).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([field.name for field in fields(CurveRow)])
        writer.writerows(astuple(row) for row in rows)


def _finite(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[np.isfinite(points).all(axis=1)]


def _smoothed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the mean of the points around it in the place of each loss; near the ends of fewer."""
    count = len(points)
    reach = max(_LEAST_SMOOTHED, int(_SMOOTHED_SHARE * count)) // 2
    sums = np.append(0, np.cumsum(points[:, 1]))
    places = np.arange(count)
    reaches = np.minimum(reach, np.minimum(places, count - 1 - places))
    first, behind = places - reaches, places + reaches + 1
    means = (sums[behind] - sums[first]) / (behind - first)
    return np.column_stack([points[:, 0], means])
