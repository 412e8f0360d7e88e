"""When a training ends, and how fast it learns until then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from napari_unet.engine.training.length.learning_curve import LearningCurve
from napari_unet.engine.training.settings import TrainingSettings

Ending: TypeAlias = Literal["levelled off", "steps", "seconds", "stopped"]
"""What ended a training; "stopped" also while it goes on."""

_PATIENCE = 40
"""By which a loss is judged where the settings have none."""


class Schedule:
    """Counts steps and seconds against what a training may take of them.

    Only seconds, where the settings give any, come from the clock.

    Attributes
    ----------
    step : int
        Steps that are done in all.
    elapsed_s : float
        What this budget has taken, validations included.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self.step = self._warm_from = 0
        self.renew()

    def renew(self) -> None:
        """Begin a budget at this step; a learning rate that had fallen rises over the warm-up."""
        if self._settings.decay:
            self._warm_from = self.step
        self._first = self.step
        self.elapsed_s = 0.0
        self._levelled_at: int | None = None
        self._curve = LearningCurve()

    @property
    def end(self) -> int:
        """Step after which it ends at the latest, as far as is known."""
        end = self._first + self._settings.steps
        decay = self._settings.decay
        if self._levelled_at is None or decay == 1:
            return end
        # So much more that the learning rate, which was held until now, falls over its share.
        return min(end, self._first + math.ceil((self._levelled_at - self._first) / (1 - decay)))

    @property
    def may_end_earlier(self) -> bool:
        """Whether the loss may level off before the end that is known so far."""
        return self._settings.patience > 0 and self._levelled_at is None

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        by_steps = (self.step - self._first) / (self.end - self._first)
        seconds = self._settings.seconds
        by_time = self.elapsed_s / seconds if seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def seconds_left(self, step_s: float | None) -> float | None:
        """Seconds to the end at the latest, if a step takes so many; None if nobody knows."""
        if self._settings.seconds is not None:
            return max(0.0, self._settings.seconds - self.elapsed_s)
        return None if step_s is None else (self.end - self.step) * step_s

    @property
    def is_over(self) -> bool:
        """Whether it ends here; however slow the machine, it took a step."""
        return self.share >= 1 and self.step > self._first

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self._settings.learning_rate_at(self.step - self._warm_from, self.share)

    @property
    def asks_for_validation(self) -> bool:
        """Whether the held-out images are looked at after this step."""
        interval = self._settings.validation_interval
        return self.is_over or (interval > 0 and self.step % interval == 0)

    @property
    def ending(self) -> Ending:
        """What ended it."""
        if not self.is_over:
            return "stopped"
        if self.step < self.end:
            return "seconds"
        return "steps" if self._levelled_at is None else "levelled off"

    @property
    def shortfall(self) -> str | None:
        """Say that more steps would teach it more; None if they would not, or nobody can tell."""
        least = self._settings.fewest_steps
        if self.step < least:
            return (
                f"The network has hardly learned: at least {least} steps are needed, and it took "
                f"{self.step}; train further."
            )
        patience = self._settings.patience or _PATIENCE
        if self.ending != "levelled off" and self._curve.is_falling(patience):
            return "The loss was still falling when it ended; train further."
        return None

    def count_step(self, loss: float, seconds: float) -> None:
        """Count a step that was done."""
        self.step += 1
        self.elapsed_s += seconds
        self._curve.add_step(loss)
        self._look()

    def count_validation(self, loss: float, seconds: float) -> None:
        """Count a validation after the last step."""
        self.elapsed_s += seconds
        self._curve.add_validation(loss)
        self._look()

    def _look(self) -> None:
        patience = self._settings.patience
        if patience and self._levelled_at is None and self._curve.has_levelled_off(patience):
            self._levelled_at = self.step

    def go_on_at(self, step: int) -> None:
        """Count from this step, with an optimiser that knows nothing."""
        self.step = self._warm_from = step

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on exactly."""
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "warm_from": self._warm_from,
            "first": self._first,
            "levelled_at": self._levelled_at,
            "curve": self._curve.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, also from one of a version that knew no levelling off."""
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self._warm_from = state.get("warm_from", 0)
        self._first = state.get("first", 0)
        self._levelled_at = state.get("levelled_at")
        if "curve" in state:
            self._curve.load_state(state["curve"])
