"""Tables of what was measured beside its goals, contenders that take turns, and peak memory."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, and whether it reached its goal."""

    name: str
    found: str
    goal: str = ""
    reached: bool | None = None
    causes: tuple[str, ...] = ()
    """What was seen meanwhile, each on a line of its own."""


def at_most(name: str, value: float, limit: float, unit: str = "x", form: str = ".2f") -> Row:
    """A row whose value must not be above `limit`."""
    return Row(name, _told(value, form, unit), f"<= {_told(limit, ',g', unit)}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "x", form: str = ".2f") -> Row:
    """A row whose value must not be below `limit`."""
    return Row(name, _told(value, form, unit), f">= {_told(limit, ',g', unit)}", value >= limit)


def _told(value: float, form: str, unit: str) -> str:
    return f"{value:{form}} {unit}".strip()


def print_table(rows: Iterator[Row], *, name_width: int = 64, found_width: int = 26) -> bool:
    """Print each row as soon as it is measured; return whether all goals were reached."""
    missed = False
    for row in rows:
        verdict = {None: "", True: "reached", False: "MISSED"}[row.reached]
        line = f"{row.name:<{name_width}} {row.found:>{found_width}}  {row.goal:>12}  {verdict}"
        print(line, *(f"    {cause}" for cause in row.causes), sep="\n", flush=True)
        missed |= row.reached is False
    return not missed


def take_turns(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, compute in contenders.items():
            started = clock()
            compute()
            if number > 0:
                seconds[name].append(clock() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], first: str, second: str) -> float:
    """How much longer the first takes than the second, in the median round."""
    pairs = zip(seconds[first], seconds[second], strict=True)
    return statistics.median(a / b for a, b in pairs)


def peak_bytes() -> int:
    """Most memory that this process has had."""
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
