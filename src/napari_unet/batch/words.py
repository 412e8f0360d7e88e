"""Numbers and names as people write them."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Write "1 cell" or "12 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(names: list[str], shown: int = 3) -> str:
    """Write at most `shown` names, and how many more there are."""
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
