"""What each convolution of a U-Net may be, and how far it is from one to the next."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from napari_unet.engine.foreign.recognition.weights import Unit, is_number, natural_key, words

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


_FROM_THE_END = 0.1
_BACKWARDS = 0.1
_LIST_BACKWARDS = 0.75
"""Lists are mostly computed as they are counted, unlike layers whose names end in a number."""
_LEAP = 1.0
_START = 0.5
_UNFINISHED = 0.25
_AGAIN = 0.35
_ANOTHER_WORD = 0.05
"""Words have no order of their own, unless the author's is known."""


@dataclass(slots=True)
class _Node:
    """A common beginning of names, with the units below each of its continuations."""

    below: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    sums: list[int] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def is_number(self, child: int) -> bool:
        """Whether a continuation is a number."""
        return is_number(self.order[child])

    def number_children(self, *, by_name: bool) -> None:
        """Bring the continuations into their order."""
        order = sorted(self.below, key=_in_order) if by_name else list(self.below)
        self.order = order
        total = 0
        for number, word in enumerate(order):
            self.numbers[word] = number
            self.sums.append(total)
            total |= self.below[word]
        self.sums.append(total)


def _in_order(word: str) -> tuple[bool, int, str]:
    return is_number(word), int(word.lstrip(".")) if is_number(word) else 0, word


class NameTree:
    """Units in the order of their names, or of the file where that is the author's.

    Parameters
    ----------
    units : sequence of Unit
        Numbered from 0.
    by_name : bool
        Whether to go by the names rather than by the order of the file.
    """

    def __init__(self, units: Sequence[Unit], *, by_name: bool) -> None:
        root = _Node()
        nodes: dict[tuple[str, ...], _Node] = {(): root}
        self._by_name = by_name
        self._paths: list[list[tuple[_Node, str]]] = []
        for unit in units:
            steps = []
            for depth, word in enumerate(unit.words):
                node = nodes.setdefault(unit.words[:depth], _Node())
                node.below[word] = node.below.get(word, 0) | (1 << unit.number)
                steps.append((node, word))
            self._paths.append(steps)
        for node in nodes.values():
            node.number_children(by_name=by_name)
        # Only where names part something is to be told.
        self._forks = [
            [(node, node.numbers[word]) for node, word in path if len(node.below) > 1]
            for path in self._paths
        ]

    def leap(self, before: int | None, after: int, unused: int) -> float:
        """Penalty for computing `after` right behind `before`.

        Parameters
        ----------
        before : int, optional
            Number of a unit; None at the start.
        after : int
            Number of a unit.
        unused : int
            Units that are not computed yet, one bit each.
        """
        ours = self._forks[after]
        theirs = self._forks[before] if before is not None else []
        penalty, parted = 0.0, False
        for depth, (node, number) in enumerate(ours):
            sums = node.sums
            is_first = not sums[number] & unused
            is_last = not (sums[-1] & ~sums[number + 1]) & unused
            if not parted and depth < len(theirs) and theirs[depth][0] is node:
                other = theirs[depth][1]
                if other == number:
                    continue
                parted = True
                low, high = min(number, other), max(number, other)
                if node.is_number(other) and node.is_number(number):
                    left = sums[other + 1] & ~sums[other] & unused
                    penalty += _UNFINISHED if left else 0.0
                is_word = self._by_name and not node.is_number(number)
                if not is_word and not (sums[high] & ~sums[low + 1]) & unused:
                    penalty += _BACKWARDS if number < other else 0.0
                    continue
                if not is_word and node.is_number(other) and node.is_number(number):
                    penalty += _AGAIN if is_first else _LEAP
                    continue
            if self._by_name and not node.is_number(number):
                penalty += _ANOTHER_WORD
            elif not is_first:
                leap = _LEAP if before is not None else _START
                penalty += self._from_end(node, number, unused) if is_last else leap
            parted = True
        return penalty

    def _from_end(self, node: _Node, number: int, unused: int) -> float:
        """Penalty for the last that is left: to begin there is odd, to go on from there is not."""
        if not node.order[number].startswith("."):  # no entry of a list
            return _FROM_THE_END
        is_begun = bool(node.sums[-1] & ~unused)
        return _BACKWARDS if is_begun else _LIST_BACKWARDS
