"""What channels mean, told from their names or guessed from their number."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.engine.networks.annotation import BACKGROUND, BORDER, CELL
from napari_unet.engine.networks.output_meaning import OutputMeaning

_WORDS = (
    (BACKGROUND, ("background", "bg")),
    (BORDER, ("border", "bound", "edge", "contour", "membrane", "outline")),
    (CELL, ("cell", "foreground", "fg", "nucle", "interior", "inside", "instance", "mask")),
)


def likely_roles(channels: int) -> tuple[str, ...]:
    """What so many output channels mean most often."""
    if channels == 1:
        return (CELL,)
    if channels <= 3:
        return (BACKGROUND, CELL, BORDER)[:channels]
    return (BACKGROUND, *(f"class {number}" for number in range(2, channels + 1)))


def guessed_meaning(channels: int) -> OutputMeaning:
    """Read unnamed channels as most programs write them: one is a mask, several are classes."""
    return OutputMeaning("sigmoid" if channels == 1 else "softmax", likely_roles(channels))


def roles_of_names(names: Sequence[str]) -> tuple[str, ...]:
    """Role of each channel from what its author called it; an unknown word stays as it is.

    Each role is given once; where no channel is a cell but only one is neither
    background nor border, that one is.
    """
    roles: list[str] = []
    for name in names:
        lower = name.strip().lower()
        found = next((role for role, words in _WORDS if any(w in lower for w in words)), lower)
        roles.append(name.strip() if found in roles or not found else found)
    others = [index for index, role in enumerate(roles) if role not in (BACKGROUND, BORDER)]
    if len(others) == 1:
        roles[others[0]] = CELL
    return tuple(
        role if role and roles.index(role) == index else f"{role or 'channel'} {index}"
        for index, role in enumerate(roles)
    )
