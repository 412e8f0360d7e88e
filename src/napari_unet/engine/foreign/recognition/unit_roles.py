"""What each convolution of a U-Net may be, by its shape and by what it is called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from napari_unet.engine.foreign.recognition.weight_layers import (
    Unit,
    is_number,
    natural_key,
    words,
)

_AROUND = re.compile(r"short_?cut|skip|res(idual)?|identity|downsample|proj(ection)?|match(ing)?")
_BRIDGE = re.compile(r"bridge|lateral|skip")
_UP = re.compile(r"up|up_?(conv|sampl\w*)|de_?conv|trans(posed?)?")
"""What a layer that stands between interpolation and skip calls itself, not only its block."""


class UnitRoles:
    """Looks up units by what they could do next; sets of units have one bit for each.

    Parameters
    ----------
    units : sequence of Unit
        Numbered from 0.
    by_name : bool
        Whether to go by the names rather than by the order of the file.
    is_usual : bool
        Whether what stands in one container and fits together is taken as one.

    Attributes
    ----------
    reads, enlarges, depthwise : dict of int to list of int
        Numbers of the units that read so many channels: as they are,
        enlarging, or each on its own.
    following : dict of int to int
        What is computed right behind a unit.
    bridges, ups, sideways : int
        Units whose name says that a skip goes through them, that they enlarge,
        or that they are beside the main path.
    blocks : dict of int to int
        Units beside each of those whose name says that they lead around
        others; 0 if no name tells which.
    """

    def __init__(self, units: Sequence[Unit], *, by_name: bool, is_usual: bool) -> None:
        self.following = _runs(units, by_name=by_name) if is_usual else {}
        self.reads: dict[int, list[int]] = {}
        self.enlarges: dict[int, list[int]] = {}
        self.depthwise: dict[int, list[int]] = {}
        inner = set(self.following.values())
        for number, unit in enumerate(units):
            if number not in inner:
                self._index(number, unit)
        named = [{word.lower() for word in unit.words} for unit in units]
        self.bridges = bits(n for n, found in enumerate(named) if _has(_BRIDGE, found))
        around = [
            n for n, found in enumerate(named) if units[n].is_pointwise and _has(_AROUND, found)
        ]
        self.sideways = bits(around) | self.bridges
        self.ups = bits(n for n, unit in enumerate(units) if _has(_UP, _own_word(unit)))
        self.blocks = {n: self._block(units, units[n]) for n in around}

    def _index(self, number: int, unit: Unit) -> None:
        out, given = unit.shape[:2]
        if unit.can_give(out):
            self.reads.setdefault(given, []).append(number)
        if not unit.is_pointwise and unit.can_give(given):
            self.enlarges.setdefault(out, []).append(number)
        if given == 1 and out > 1 and not unit.is_pointwise:
            self.depthwise.setdefault(out, []).append(number)

    def _block(self, units: Sequence[Unit], shortcut: Unit) -> int:
        path = before_its_role(shortcut.name)
        inside = (n for n, unit in enumerate(units) if unit.name.startswith(f"{path}."))
        return bits(inside) & ~self.sideways if path else 0


def _runs(units: Sequence[Unit], *, by_name: bool) -> dict[int, int]:
    """What follows each unit within its container, where they fit one after the other."""
    containers: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.container:
            containers.setdefault(unit.container, []).append(unit)
    following = {}
    for inside in containers.values():
        ordered = sorted(inside, key=natural_key) if by_name else inside
        for one, other in itertools.pairwise(ordered):
            simple = not any(unit.is_pointwise or unit.is_even for unit in (one, other))
            if simple and one.shape[0] == other.shape[1] and other.can_give(other.shape[0]):
                following[one.number] = other.number
    return following


def _own_word(unit: Unit) -> list[str]:
    """Last word of a name, without the numbers behind it."""
    return [word.lower() for word in unit.words if not is_number(word)][-1:]


def bits(numbers: Iterable[int]) -> int:
    """One bit for each number."""
    return sum(1 << number for number in numbers)


def _has(pattern: re.Pattern[str], found: Iterable[str]) -> bool:
    return any(map(pattern.fullmatch, found))


def before_its_role(name: str) -> str:
    """Path of the block that a shortcut belongs to, as far as its name tells."""
    pieces = name.split(".")
    for place, piece in enumerate(pieces):
        if _has(_AROUND, (word.lower() for word in words(piece))):
            return ".".join(pieces[:place])
    return ""
