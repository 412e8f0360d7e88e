"""An order in which a U-Net computes its layers, and where in it the image changes its size."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from napari_unet.engine.foreign.recognition.weights import Unit, places_apart, shared_beginning


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A convolution beside others, added to what they give."""

    unit: Unit
    first: int
    last: int
    """`first`, `last`: steps that it leads around."""


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution of the main path."""

    unit: Unit
    role: Literal["plain", "transposed", "join"]
    """"join" reads what was computed last together with a skip."""
    in_channels: int
    out_channels: int
    groups: int = 1
    skip: int = 0
    """Channels of the skip of a "join"."""
    bridge: Unit | None = None
    """What the skip goes through."""


def plain_step(unit: Unit) -> Step:
    """Step of a unit that reads nothing but what was computed last."""
    return Step(unit, "plain", unit.shape[1], unit.shape[0])


@dataclass(frozen=True, slots=True)
class Walk:
    """Every layer exactly once."""

    steps: tuple[Step, ...]
    """The first reads the image."""
    shortcuts: tuple[Shortcut, ...]
    heads: tuple[tuple[Step, ...], ...]
    """What follows side by side; empty if the last step is the output."""
    penalty: float
    """For leaps and oddities; compares walks through the same layers."""


_UNEVEN = 0.6
"""Penalty for each convolution that a level has more than the one above."""
_UNEVEN_BOTTOM = 0.1
_UNLIKE = 0.75
"""Penalty for joins that are read by unlike layers."""
_WIDENED_BEFORE, _SAME_WIDTH = 0.1, 0.5
"""The first unit of a level mostly widens; some authors widen in the last of the one above."""
_SAME_CONTAINER = 1.0
_LIKE_NAMES = 0.5
"""Units of one level mostly lie together, and their names begin alike."""
_NOT_STRIDED = 5.0
"""Where other kernels without a centre shrink the image, no pooling does."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Steps of a walk at which the size changes."""

    ends: tuple[int, ...]
    """Last step of each level on the way down, full resolution first; what it gives is the skip."""
    joins: tuple[int, ...]
    """Steps that read the skips, in the order of computing."""
    enlarging: tuple[int, ...]
    """Step before which the image is enlarged by interpolation, for each join; -1 where a
    transposed convolution does it."""
    penalty: float
    """For unevenness; compares ways of reading the same layers."""


@dataclass(frozen=True, slots=True)
class JudgedWalk:
    """A walk with its levels and the penalty of both."""

    walk: Walk
    levels: Levels
    penalty: float


def find_levels(walk: Walk) -> Levels | None:
    """Tell where the levels of a U-Net end; None if the skips do not fit."""
    joins = tuple(i for i, step in enumerate(walk.steps) if step.role == "join")
    # Steps of the way down: those before the first that enlarges or joins.
    down = next(i for i, step in enumerate(walk.steps) if step.role != "plain")
    readers = [walk.steps[index] for index in reversed(joins)]
    wanted = [step.skip if step.bridge is None else step.bridge.shape[1] for step in readers]
    widens = any(_widens(step) for step in walk.steps[1:down])
    costs = [_cut_penalty(walk, index, widens=widens) for index in range(down)]
    found = _cuts(walk.steps[:down], tuple(wanted), costs)
    if found is None:
        return None
    penalty, ends = found
    enlarging = _enlarging(walk, joins, ends)
    penalty += _unevenness(walk, joins, enlarging, _usual(ends))
    return Levels(ends, joins, enlarging, penalty)


def _cut_penalty(walk: Walk, index: int, *, widens: bool) -> float:
    """Penalty for shrinking the image right behind a step.

    Where other levels are wider than those above (`widens`), this one had better be, too.
    """
    steps = walk.steps
    if index + 1 >= len(steps) or any(s.first <= index < s.last for s in walk.shortcuts):
        return math.inf
    one, other = steps[index], steps[index + 1]
    penalty = 0.0 if _widens(other) else _WIDENED_BEFORE if _widens(one) else _SAME_WIDTH * widens
    names = one.unit.words, other.unit.words
    penalty += _LIKE_NAMES * shared_beginning(*names) / max(map(len, names))
    if one.unit.container == other.unit.container and one.unit.container:
        penalty += _SAME_CONTAINER * (not _has_room(one.unit, other.unit))
    return penalty


def _widens(step: Step) -> bool:
    return step.out_channels > step.in_channels


def _has_room(one: Unit, other: Unit) -> bool:
    """Whether numbers in a sequence leave room for an activation and a pooling."""
    own = (one.norm_after is not None) + (one.prelu is not None)
    return (places_apart(one.name, other.name) or 0) - 1 - own >= 2


def _cuts(
    steps: Sequence[Step], wanted: tuple[int, ...], costs: Sequence[float]
) -> tuple[float, tuple[int, ...]] | None:
    """Choose the last step of each level: the least penalty, and these steps."""
    # The last may follow an interpolation; others without a centre shrink the image.
    strided = [i for i, step in enumerate(steps[:-1]) if i and step.unit.is_even]

    @cache
    def best(level: int, start: int, size: int) -> tuple[float, tuple[int, ...]]:
        if level == len(wanted):
            left = len(steps) - start
            return (_UNEVEN_BOTTOM * abs(left - size) if left > 0 else math.inf), ()
        found: tuple[float, tuple[int, ...]] = (math.inf, ())
        for end in range(start, len(steps) - (len(wanted) - level)):
            if steps[end].out_channels != wanted[level]:
                continue
            own = costs[end] + _UNEVEN * (abs(end - start + 1 - size) if level else 0)
            own += _NOT_STRIDED * (bool(strided) and end + 1 not in strided)
            if own >= found[0]:
                continue
            rest, ends = best(level + 1, end + 1, end - start + 1)
            if own + rest < found[0]:
                found = own + rest, (end, *ends)
        return found

    penalty, ends = best(0, 0, 0)
    return (penalty, ends) if math.isfinite(penalty) else None


def _usual(ends: Sequence[int]) -> int:
    """Convolutions of most levels on the way down."""
    starts = [0, *(end + 1 for end in ends)]
    return statistics.mode(b - a for a, b in itertools.pairwise(starts))


def _unevenness(walk: Walk, joins: Sequence[int], enlarging: Sequence[int], usual: int) -> float:
    """Penalty for levels on the way up with unlike numbers of convolutions."""
    ends = [*joins[1:], len(walk.steps) - (not walk.heads)]
    counts = []
    for level, (begin, end) in enumerate(zip(joins, ends, strict=True)):
        roles = [step.role for step in walk.steps[begin:end]]
        separate = level + 1 < len(joins) and enlarging[level + 1] == end - 1
        counts.append(len(roles) - roles.count("transposed") - separate)
    # What reads no neighbours goes with the enlargement, and each level has as many.
    begins = [0, *joins]
    lone = [
        sum(step.unit.is_pointwise for step in walk.steps[begin:join])
        for begin, join in itertools.pairwise(begins)
    ]
    unlike = _UNEVEN_BOTTOM * abs(counts[-1] - usual)
    unlike += _UNEVEN * sum(abs(a - b) for a, b in itertools.pairwise(lone))
    unlike += _UNLIKE * (len({_kind(walk.steps[join]) for join in joins}) > 1)
    return unlike + _UNEVEN * sum(abs(a - b) for a, b in itertools.pairwise(counts))


def _kind(step: Step) -> tuple[object, ...]:
    """What steps that do the same at different levels have in common."""
    unit = step.unit
    return unit.pattern, unit.kernel, unit.bias > 0, unit.norm_after is None


def _enlarging(walk: Walk, joins: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """Where interpolation takes place, for each join."""
    usual = _usual(ends)
    found = []
    begin = ends[-1] + 1
    for join in joins:
        between = walk.steps[begin:join]
        if any(step.role == "transposed" for step in between):
            found.append(-1)
        else:
            found.append(join - _follows_interpolation(between, usual))
        begin = join
    return tuple(found)


def _follows_interpolation(steps: Sequence[Step], usual: int) -> bool:
    """Whether the last step belongs to the enlargement rather than to the block before it."""
    if len(steps) < 2:
        return False
    before, last = steps[-2].unit, steps[-1].unit
    if last.is_even or (last.is_pointwise and not before.is_pointwise):
        return True
    return len(steps) > usual and (last.container != before.container or not last.container)
