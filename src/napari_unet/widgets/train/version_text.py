"""What is said of a version of a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.versions import Version

AP_BEFORE, AP_AFTER = "ap_before", "ap_after"
"""In a version's metrics: AP at 0.5 on the same labels before and after its training."""


def average_precision(version: Version) -> str:
    """Return AP before and after, or the one that is known."""
    values = [version.metrics.get(name) for name in (AP_BEFORE, AP_AFTER)]
    return " → ".join(f"{value:.2f}" for value in values if isinstance(value, int | float))


def local_date(version: Version) -> str:
    """Return the day and the time here; the text itself if it is no date."""
    try:
        return f"{datetime.fromisoformat(version.date).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return version.date


def details(version: Version, versions: Sequence[Version]) -> str:
    """Return its name, which of the others it was trained from, and what is new in it."""
    names = {each.id: each.name for each in versions}
    origin = ""
    if version.parent is not None:
        parent = names.get(version.parent)
        origin = f"from '{parent}'" if parent else "from a model that is not here"
    words = [f"'{version.name}'", f" {origin}" if origin else "", "."]
    return "".join(words) + (f" {version.sentence}" if version.sentence else "")
