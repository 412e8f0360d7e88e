"""An order in which the layers of a U-Net can be computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_unet.engine.foreign.recognition.weight_layers import Unit


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A convolution beside others, added to what they give.

    Parameters
    ----------
    unit : Unit
    first, last : int
        Steps that it leads around.
    """

    unit: Unit
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution of the main path.

    Parameters
    ----------
    unit : Unit
    role : {"plain", "transposed", "join"}
        "join" reads what was computed last together with a skip.
    in_channels, out_channels : int
    groups : int
    skip : int
        Channels of the skip of a "join".
    bridge : Unit, optional
        What the skip goes through.
    """

    unit: Unit
    role: Literal["plain", "transposed", "join"]
    in_channels: int
    out_channels: int
    groups: int = 1
    skip: int = 0
    bridge: Unit | None = None


def plain_step(unit: Unit) -> Step:
    """Step of a unit that reads nothing but what was computed last."""
    return Step(unit, "plain", unit.shape[1], unit.shape[0])


@dataclass(frozen=True, slots=True)
class Walk:
    """Every layer exactly once.

    Parameters
    ----------
    steps : tuple of Step
        The first reads the image.
    shortcuts : tuple of Shortcut
    heads : tuple of tuple of Step
        What follows side by side; empty if the last step is the output.
    penalty : float
        For leaps and oddities; compares walks through the same layers.
    """

    steps: tuple[Step, ...]
    shortcuts: tuple[Shortcut, ...]
    heads: tuple[tuple[Step, ...], ...]
    penalty: float
