"""What the output channels of a network mean, and how they become classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL

UNUSED = "unused"
"""Role of a channel that plays no part."""

_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True, slots=True)
class OutputMeaning:
    """How the numbers that a network gives out are read."""

    final: Literal["softmax", "sigmoid", "probability", "none"]
    """What makes probabilities of the channels: softmax over them, a sigmoid of each, or
    nothing, because they are probabilities ("probability") or no classes at all, such as the
    colours of a denoised image ("none")."""
    channels: tuple[str, ...]
    """Role of each channel: "background", "cell", "border", a free name, or "unused"."""

    def __post_init__(self) -> None:
        if self.final not in ("softmax", "sigmoid", "probability", "none"):
            raise SettingsError(
                f"The output is read by {self.final!r}; use 'softmax', 'sigmoid', "
                "'probability' or 'none'."
            )
        used = [role for role in self.channels if role != UNUSED]
        if not used:
            raise SettingsError("No output channel has a role; name at least one, such as 'cell'.")
        if len(set(used)) < len(used):
            raise SettingsError(
                f"The roles of the output channels are {', '.join(self.channels)}; "
                f"use each name once, and '{UNUSED}' for channels that play no part."
            )

    @property
    def class_roles(self) -> tuple[str, ...]:
        """Classes that the network scores; background is added where no channel means it."""
        used = tuple(role for role in self.channels if role != UNUSED)
        return used if self._is_complete else (BACKGROUND, *used)

    @property
    def _is_complete(self) -> bool:
        return self.final in ("softmax", "none") or BACKGROUND in self.channels

    def class_logits(self, output: Tensor) -> Tensor:
        """Numbers whose softmax is the score of each class role.

        Channels that are probabilities of their own, without one for the
        background, are read as a chain of questions, border first: it is
        border, or else the next one, or else background.

        Parameters
        ----------
        output : (N, len(channels), *S) tensor

        Returns
        -------
        (N, len(class_roles), *S) tensor
        """
        used = [index for index, role in enumerate(self.channels) if role != UNUSED]
        if len(used) < len(self.channels):
            output = output[:, used]
        if self.final in ("softmax", "none"):
            return output
        if self.final == "probability":
            output = output.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
            if self._is_complete:
                return output.log()
            output = torch.logit(output)
        if self._is_complete:
            return functional.logsigmoid(output)
        if len(used) == 1:
            return torch.cat((torch.zeros_like(output), output), dim=1)
        return self._chained(output)

    def _chained(self, output: Tensor) -> Tensor:
        roles = self.class_roles[1:]
        yes, no = functional.logsigmoid(output), functional.logsigmoid(-output)
        logits = [yes[:, :1]] * len(roles)
        rest = torch.zeros_like(yes[:, :1])
        for index in sorted(range(len(roles)), key=lambda index: roles[index] != BORDER):
            logits[index] = yes[:, index : index + 1] + rest
            rest = rest + no[:, index : index + 1]
        return torch.cat([rest, *logits], dim=1)


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
