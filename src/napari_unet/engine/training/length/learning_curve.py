"""The losses of a training so far, and whether they have levelled off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_LEAST_FALL = 0.15
"""Share of the loss: less than this is chance.

With `fine_tuning()`'s patience of 40 steps this was found on curves that were recorded at a
learning rate that was held, from `nuclei`, validated every 10 steps. On one and on ten DIC images
(BBBC030) the loss on held-out images was level after 30 steps, and the AP too; from then on it went
up and down by 5 to 8 %, and the means over 40 steps by about 10 %. Both trainings end being looked
at after 80 steps, one on phase contrast (Usiigaci) after 100, and one on a bundled sample, which
there was nothing to learn from, after 80. Shorter windows took chance for a level in the first 40.
"""

_LOWEST = 1e-6
"""A batch in which nothing counts has a loss of 0, which has no logarithm."""


class LearningCurve:
    """Losses of steps and of validations since a training, or a new budget of it, began."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._validations: list[tuple[int, float]] = []

    def add_step(self, loss: float) -> None:
        """Add the loss of the next step."""
        self._losses.append(loss)

    def add_validation(self, loss: float) -> None:
        """Add the loss on the held-out images after the last step."""
        self._validations.append((len(self._losses), loss))

    def has_levelled_off(self, patience: int) -> bool:
        """Whether no loss has fallen by a seventh over so many steps.

        The losses of single steps are of different patches each, and some
        patches are ten times as hard as others: the geometric mean over these
        steps is compared with that over as many before. On held-out images,
        where there are any, the best of these steps is compared with the best
        before, right after a validation.

        Both count. With phase contrast the loss on held-out images was level
        after 20 steps, while that of the steps fell on and the AP rose.
        """
        falls = self._falls(patience)
        return all(fall is not None and fall < _LEAST_FALL for fall in falls)

    def is_falling(self, patience: int) -> bool:
        """Whether one has; neither is true where there is too little to tell."""
        return any(fall is not None and fall >= _LEAST_FALL for fall in self._falls(patience))

    def _falls(self, patience: int) -> list[float | None]:
        """Share of each kind of loss that it has lost; None for what is not known here."""
        falls = [self._training_fall(patience)]
        return [*falls, self._validation_fall(patience)] if self._validations else falls

    def _training_fall(self, patience: int) -> float | None:
        if len(self._losses) < 2 * patience:
            return None
        logs = np.log(np.maximum(self._losses[-2 * patience :], _LOWEST))
        return 1 - float(np.exp(logs[patience:].mean() - logs[:patience].mean()))

    def _validation_fall(self, patience: int) -> float | None:
        now = len(self._losses)
        before = [loss for step, loss in self._validations if step <= now - patience]
        lately = [loss for step, loss in self._validations if step > now - patience]
        if not before or self._validations[-1][0] != now:
            return None
        return 1 - min(lately) / max(min(before), _LOWEST)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs."""
        return {"losses": self._losses, "validations": self._validations}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._losses = [float(loss) for loss in state["losses"]]
        self._validations = [(int(step), float(loss)) for step, loss in state["validations"]]
