"""Numbers, names and failures as people write them."""

from __future__ import annotations

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.cell_types import CellTypes


def count(number: int, noun: str) -> str:
    """Write "1 cell" or "12 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(names: list[str]) -> str:
    """Write at most three names, and how many more there are."""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def failure(error: Exception) -> str:
    """Say in one sentence what went wrong."""
    if isinstance(error, UNetError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory; close other programs, or use smaller images or tiles."
    return f"Something went wrong that should not ({type(error).__name__}: {error})."


def cells_in_words(number: int, types: CellTypes | None) -> str:
    """So many cells, and how many of them are of each type if that is known."""
    found = count(number, "cell")
    if types is None or not number:
        return found
    return f"{found} ({', '.join(f'{n} {name}' for name, n in types.counts.items())})"
