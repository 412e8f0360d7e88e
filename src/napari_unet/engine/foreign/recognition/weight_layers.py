"""Layers that have weights, convolutions with what belongs to them, and what names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias

from napari_unet.engine.base.errors import CheckpointError

Kind: TypeAlias = Literal["convolution", "norm", "prelu"]

_WORD = re.compile(r"\d+|[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")


@dataclass(frozen=True, slots=True)
class WeightLayer:
    """One layer that has weights."""

    name: str
    """Path of its tensors, without the last part."""
    kind: Kind
    shape: tuple[int, ...]
    """Of its weight; of the running mean, where there is no weight."""
    bias: int
    """Numbers in its bias; 0 without one."""
    affine: bool
    tracks: bool
    """`affine`, `tracks`: whether it has a weight, a running mean and variance."""
    place: int
    """Where it stands in the file."""

    @property
    def gives(self) -> tuple[int, ...]:
        """Channels that a convolution may give."""
        # Even kernels may belong to transposed convolutions, whose axes are the other way round.
        is_even = self.shape[2] > 1 and not self.shape[2] % 2
        return self.shape[:2] if is_even else self.shape[:1]


@dataclass(frozen=True, slots=True)
class Unit:
    """A convolution and what belongs to it."""

    number: int
    """Of the unit, counted in the order of the file."""
    name: str
    """Of the convolution."""
    words: tuple[str, ...]
    """Words and numbers in its name."""
    shape: tuple[int, ...]
    """Of the weight of the convolution."""
    bias: int
    """Numbers in its bias; 0 without one."""
    norm_before: WeightLayer | None = None
    norm_after: WeightLayer | None = None
    prelu: WeightLayer | None = None

    @property
    def pattern(self) -> tuple[str, ...]:
        """Words of its name without the numbers, which units of other levels share."""
        return tuple(word for word in self.words if not is_number(word))

    @property
    def kernel(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.shape[2:]

    @property
    def container(self) -> str:
        """Path of what it lies in."""
        return self.name.rpartition(".")[0]

    def can_give(self, channels: int) -> bool:
        """Whether its bias and its norm are for so many channels."""
        norm = self.norm_after
        return self.bias in (0, channels) and (norm is None or norm.shape[0] == channels)

    @property
    def is_even(self) -> bool:
        """Whether its kernel has no centre, as those that change the size often have."""
        return self.kernel[-1] % 2 == 0

    @property
    def is_pointwise(self) -> bool:
        """Whether it reads no neighbours."""
        return all(length == 1 for length in self.kernel)


def words(name: str) -> tuple[str, ...]:
    """Words and numbers that a name is made of; a dot marks the numbers of a list."""
    found: list[str] = []
    for piece in name.split("."):
        found += [f".{piece}"] if piece.isdigit() else _WORD.findall(piece) or [piece]
    return tuple(found)


def is_number(word: str) -> bool:
    """Whether a part of a name is a number."""
    return word.lstrip(".").isdigit()


def natural_key(unit: Unit) -> tuple[tuple[int, str], ...]:
    """Sort key by which numbers in names are numbers."""
    return tuple(
        (int(word.lstrip(".")), "") if is_number(word) else (-1, word) for word in unit.words
    )


def places_apart(before: str, after: str) -> int | None:
    """How many places apart two names stand in one sequence; None if they are in none."""
    one, _, first = before.rpartition(".")
    other, _, second = after.rpartition(".")
    if one != other or not (first.isdigit() and second.isdigit()):
        return None
    return int(second) - int(first)


def shared_beginning(one: Sequence[object], other: Sequence[object]) -> int:
    """How many entries, such as words of names, two sequences begin with in common."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def no_unet(why: str, layers: Sequence[WeightLayer]) -> CheckpointError:
    """Say what was found instead of a U-Net."""
    convolutions = [layer.shape for layer in layers if layer.kind == "convolution"]
    found = ""
    if convolutions:
        most = max(max(shape[:2]) for shape in convolutions)
        found = f"; found were {len(convolutions)} convolutions of up to {most} channels"
    return CheckpointError(
        f"The architecture of this network is unknown: {why}{found}. Expected a U-Net, whose "
        "convolutions shrink the image and enlarge it again, with skips between; open the file "
        "with the program that made it, and export the network from there as ONNX."
    )
