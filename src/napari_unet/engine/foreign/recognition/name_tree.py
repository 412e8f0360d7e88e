"""How far it is from one layer to the next, going by their names and their place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_unet.engine.foreign.recognition.weight_layers import Unit, is_number

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

    def is_of_list(self, child: int) -> bool:
        """Whether a continuation is the number of an entry in a list."""
        return self.order[child].startswith(".")

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
        if not node.is_of_list(number):
            return _FROM_THE_END
        is_begun = bool(node.sums[-1] & ~unused)
        return _BACKWARDS if is_begun else _LIST_BACKWARDS
