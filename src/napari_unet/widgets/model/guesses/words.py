"""Values of guesses in words, and the roles of output channels as text and as names."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.engine.images.normalization import OFFERED

ROLES = "roles"
"""What the guess is about."""

_WORDS = {
    **{("normalization", each.label): each.choice for each in OFFERED},
    ("final", "softmax"): "softmax over all",
    ("final", "sigmoid"): "sigmoid of each",
    ("final", "probability"): "nothing, they are scores",
    ("final", "none"): "nothing, they are no classes",
}


def sentence(reason: str) -> str:
    """Begin with a capital letter and end with a full stop."""
    text = reason[:1].upper() + reason[1:]
    return text if not text or text.endswith(".") else f"{text}."


def option_text(option: str, about: str = "") -> str:
    """Words for a value: "leaky_relu" is "leaky relu"."""
    return _WORDS.get((about, option), option.replace("_", " "))


def roles_of(value: str) -> tuple[str, ...]:
    """Names of the channels."""
    return tuple(part.strip() for part in value.split(","))


def roles_with(roles: Sequence[str], role: str, channel: int | None) -> tuple[str, ...]:
    """Names of the channels when one role is given to another channel, or to none.

    Whoever had the role gets what that channel was before.
    """
    found = list(roles)
    before = found.index(role) if role in found else None
    if channel == before:
        return tuple(found)
    freed = None if channel is None else found[channel]
    if before is not None:
        found[before] = freed if freed is not None else _own_name(before, found)
    if channel is not None:
        found[channel] = role
    return tuple(found)


def _own_name(channel: int, roles: Sequence[str]) -> str:
    """Name a channel that plays no part in telling cells."""
    if "unused" in roles:
        return "unused"
    name = f"class {channel + 1}"
    return name if name not in roles else f"{name} too"


def roles_text(value: str) -> str:
    """Short words for what the channels mean."""
    roles = roles_of(value)
    return f"cells: {roles.index('cell') + 1}" if "cell" in roles else "no cells"
