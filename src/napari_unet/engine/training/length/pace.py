"""How long the steps of a training take on this machine now, and the rest of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_STEPS = 20
"""As many as from one validation to the next, so that each has its share of one."""


class Pace:
    """Time between the last steps, with all that is done between them.

    Parameters
    ----------
    clock : callable
        Seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_STEPS + 1)

    def count_step(self) -> None:
        """Take the time at the end of a step."""
        self._ends.append(self._clock())

    @property
    def step_s(self) -> float | None:
        """Seconds of a step; None before two are done, as the first one also loads and compiles."""
        if len(self._ends) < 2:
            return None
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)


def duration_in_words(seconds: float) -> str:
    """Write "about 3 minutes", no finer than it can be known."""
    if seconds < 50:
        rounded = max(10, 10 * round(seconds / 10))
        return f"about {rounded} seconds"
    minutes = round(seconds / 60)
    if minutes < 60:
        return "about a minute" if minutes == 1 else f"about {minutes} minutes"
    hours = round(seconds / 3600)
    return "about an hour" if hours == 1 else f"about {hours} hours"
