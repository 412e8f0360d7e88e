"""Numbers, names and failures as people write them."""

from __future__ import annotations

from napari_unet.engine.base.errors import UNetError


def count(number: int, noun: str, *, grouped: bool = False) -> str:
    """Write "1 cell" or "12 cells"; "1,200 cells" where thousands are `grouped`."""
    written = f"{number:,}" if grouped else f"{number}"
    return f"{written} {noun}{'' if number == 1 else 's'}"


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
