"""The losses of a training so far, and whether they have levelled off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_LEAST_FALL = 0.1
_LOWEST = 1e-6
"""A batch in which nothing counts has a loss of 0, which has no logarithm."""


class LearningCurve:
    """Losses of steps and of validations since a training, or a new budget of it, began.

    Parameters
    ----------
    is_validated : bool
        Held-out images tell whether it has levelled off; without them the
        losses of the steps do.
    """

    def __init__(self, *, is_validated: bool) -> None:
        self._is_validated = is_validated
        self._losses: list[float] = []
        self._validations: list[tuple[int, float]] = []

    def add_step(self, loss: float) -> None:
        """Add the loss of the next step."""
        self._losses.append(loss)

    def add_validation(self, loss: float) -> None:
        """Add the loss on the held-out images after the last step."""
        self._validations.append((len(self._losses), loss))

    def has_levelled_off(self, patience: int) -> bool:
        """Whether the loss fell by less than a tenth over so many steps.

        On held-out images the best of these steps counts, beside the best
        before. The losses of single steps are of different patches each, and
        some patches are ten times as hard as others: their geometric means
        over these steps and over as many before are compared.
        """
        fall = self._fall(patience)
        return fall is not None and fall < _LEAST_FALL

    def is_falling(self, patience: int) -> bool:
        """Whether it fell by more; neither is true where there is too little to tell."""
        fall = self._fall(patience)
        return fall is not None and fall >= _LEAST_FALL

    def _fall(self, patience: int) -> float | None:
        return (self._validation_fall if self._is_validated else self._training_fall)(patience)

    def _validation_fall(self, patience: int) -> float | None:
        now = len(self._losses)
        before = [loss for step, loss in self._validations if step <= now - patience]
        lately = [loss for step, loss in self._validations if step > now - patience]
        if not before or not lately or self._validations[-1][0] != now:
            return None
        return 1 - min(lately) / max(min(before), _LOWEST)

    def _training_fall(self, patience: int) -> float | None:
        if len(self._losses) < 2 * patience:
            return None
        logs = np.log(np.maximum(self._losses[-2 * patience :], _LOWEST))
        return 1 - float(np.exp(logs[patience:].mean() - logs[:patience].mean()))

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs."""
        return {"losses": self._losses, "validations": self._validations}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._losses = [float(loss) for loss in state["losses"]]
        self._validations = [(int(step), float(loss)) for step, loss in state["validations"]]
