"""The search for the order in which a U-Net computes its layers, by the shapes of their weights."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from napari_unet.engine.foreign.recognition.unet_levels import (
    JudgedWalk,
    Shortcut,
    Step,
    Walk,
    find_levels,
    plain_step,
)
from napari_unet.engine.foreign.recognition.unit_roles import (
    NameTree,
    UnitRoles,
    before_its_role,
    bits,
)
from napari_unet.engine.foreign.recognition.weights import Unit

_STEPS_FOR_A_PENALTY = 1000
_NATURAL = 0.4
"""Penalty of a walk that is hardly to be doubted."""
_LONGEST_SHORTCUT = 4
_MOST_IN_HEADS = 12
_MOST_COLOURS = 4
_PROGRESS = 0.2
"""Penalty that a step may cost before another walk is tried."""

# Penalties, beside that of a leap from one part of the names to another, which is 1: what decides
# between walks that are equal otherwise costs a tenth, what some authors do costs less than a leap,
# and what hardly any author does a leap or more.
_DEPTHWISE = 0.1
"""A unit that reads one channel may also be a plain one behind a single channel."""
_NOT_NEXT = 0.1
"""In the order of the author's code, the unit behind the last one mostly follows it."""
_WIDE_IMAGE = 0.5
"""The first unit reads more channels than colours."""
_INNER_COLOURS, _INNER_FEATURES = 0.25, 2.0
"""The first unit reads as many channels as another gives: a few by chance, many hardly ever."""
_LEAVES_CONTAINER = 0.5
"""Another unit of the same container could go on."""
_WAITS_FOR_SKIP = 0.25
"""Behind a transposed convolution the skip mostly comes at once."""
_EVEN_NARROWS, _EVEN_DOWN, _EVEN_UP = 0.25, 0.75, 1.5
"""A kernel without a centre: behind an interpolation, as a stride, on the way up for nothing."""
_POINTWISE_DOWN = 0.5
"""A unit that reads no neighbours is mostly the last before the way up."""
_BESIDE = 1.5
"""A unit is on the main path, but its name says that it is beside it."""
_WIDENS_UP, _ODD_KEEPS_WIDTH, _ODD_UP = 1.5, 1.5, 0.5
"""A transposed convolution narrows, or keeps the width, and has no centre: others may be plain."""
_NO_TRANSPOSED = 1.0
"""A skip is joined by interpolation though there are transposed convolutions."""
_JOIN_WITHOUT_CENTRE, _JOIN_CALLED_UP = 0.75, 0.5
"""What reads a skip mostly has a centre and neighbours; it is not called as if it enlarged."""
_UNNAMED_BRIDGE, _UNNAMED_SHORTCUT = 1.5, 1.0
"""A unit goes beside the main path, but its name does not say so."""
_SHORTCUT_OF_ONE = 0.5
"""A shortcut mostly leads around two units or more."""
_SHORTCUT_OF_OTHERS = 1.0
"""A shortcut leads around units of another block than its own."""
_MORE_HEADS, _OUTPUT_NORM, _OUTPUT_NEIGHBOURS = 0.5, 1.0, 0.5
"""Most networks have one output; it has no norm, and mostly reads no neighbours."""


@dataclass(slots=True)
class _State:
    """A walk under way."""

    shortcuts: tuple[Shortcut, ...]
    unused: int
    channels: int
    outs: tuple[int, ...]
    """Channels after each step of the way down."""
    free: int
    """Skips of steps from here on are used; -1 on the way down."""
    pending: bool
    """Whether a transposed convolution waits for its skip."""
    last: int
    penalty: float
    path: tuple[Step, ...]
    joins: int = 0
    """Units that read a skip, one bit for each."""


class WalkSearch:
    """Searches for walks through all units.

    Parameters
    ----------
    by_name : bool
        Whether to go by the names rather than by the order of the file.
    is_usual : bool
        Whether what stands in one container and fits together is taken as
        one, and what its name does not say to be beside the main path is not.
    steps : int
        After how many the search is given up.
    """

    def __init__(
        self, units: Sequence[Unit], *, by_name: bool, is_usual: bool = True, steps: int = 3000
    ) -> None:
        # Numbers are bits, so they are counted from 0 within what is searched.
        self._units = units
        self._is_usual, self._is_registered = is_usual, not by_name
        self._steps = steps
        self._tree = NameTree(units, by_name=by_name)
        self._roles = UnitRoles(units, by_name=by_name, is_usual=is_usual)
        self._has_transposed = any(
            unit.is_even and unit.shape[0] >= unit.shape[1] for unit in units
        )

    def best(self) -> JudgedWalk | None:
        """Walk through all units that reads most naturally; None if there is none."""
        order = count()
        queue: list[tuple[float, int, _State]] = []
        seen: dict[tuple[object, ...], float] = {}
        chosen: JudgedWalk | None = None
        least, most = math.inf, self._steps

        def push(states: Iterator[_State]) -> None:
            for state in states:
                # Going on is hoped to cost a little, so that what is nearly done comes first.
                hope = state.penalty + _PROGRESS * state.unused.bit_count()
                heapq.heappush(queue, (hope, next(order), state))

        push(self._starts())
        for step in range(self._steps):
            if not queue or step > most:
                break
            state = heapq.heappop(queue)[2]
            key = (state.unused, state.last, state.free, state.pending, state.joins, state.outs)
            if state.penalty >= least or seen.get(key, math.inf) < state.penalty:
                continue
            seen[key] = state.penalty
            walk = self._finished(state)
            if walk is None:
                push(self._next(state))
                continue
            levels = find_levels(walk)
            if levels is not None and walk.penalty + levels.penalty < least:
                least = walk.penalty + levels.penalty
                chosen = JudgedWalk(walk, levels, least)
                # The more doubtful the walk is, the longer it pays to look for a better one.
                most = min(most, step + int(_STEPS_FOR_A_PENALTY * max(0.0, least - _NATURAL)))
        return chosen

    # -- steps ----------------------------------------------------------------------------------

    def _starts(self) -> Iterator[_State]:
        everything = (1 << len(self._units)) - 1
        for number in itertools.chain.from_iterable(self._roles.reads.values()):
            first = self._first_step(number)
            steps, last = self._block_steps(first, number)
            yield _State(
                shortcuts=(),
                unused=everything & ~bits(s.unit.number for s in steps),
                channels=steps[-1].out_channels,
                outs=tuple(s.out_channels for s in steps),
                free=-1,
                pending=False,
                last=last,
                penalty=self._start_penalty(number, first.in_channels, everything),
                path=steps,
            )

    def _first_step(self, number: int) -> Step:
        unit = self._units[number]
        out, given = unit.shape[:2]
        depthwise = itertools.chain.from_iterable(self._roles.depthwise.values())
        alike = {n for n in depthwise if self._units[n].pattern == unit.pattern}
        # It reads one grey channel, or is depthwise as others are that are called like it.
        if number in alike and len(alike) > 1 and unit.pattern and out <= _MOST_COLOURS:
            return Step(unit, "plain", out, out, groups=out)
        return Step(unit, "plain", given, out)

    def _start_penalty(self, number: int, given: int, everything: int) -> float:
        inner = {unit.shape[0] for unit in self._units if not unit.is_pointwise}
        penalty = self._tree.leap(None, number, everything & ~self._roles.sideways)
        # An image has few channels, which no layer gives but perhaps the last.
        is_image = given <= _MOST_COLOURS
        penalty += 0.0 if is_image else _WIDE_IMAGE
        if given in inner:
            penalty += _INNER_COLOURS if is_image else _INNER_FEATURES
        return penalty + self._oddness(number)

    def _unused(self, state: _State, index: Mapping[int, list[int]], channels: int) -> list[int]:
        """Units of an index that read so many channels and are not computed yet."""
        return [number for number in index.get(channels, ()) if state.unused >> number & 1]

    def _next(self, state: _State) -> Iterator[_State]:
        shortcuts = list(self._shortcuts(state))
        due = [s for s in shortcuts if self._is_due(s)]
        if due:
            yield due[0]
            return
        yield from self._plain_steps(state)
        for number in self._unused(state, self._roles.depthwise, state.channels):
            if (given := state.channels) > 1:
                step = Step(self._units[number], "plain", given, given, groups=given)
                yield self._after(state, number, step, _DEPTHWISE)
        if not state.pending and len(state.outs) > 1:
            yield from self._transposed_steps(state)
        yield from self._joins(state)
        yield from shortcuts

    def _plain_steps(self, state: _State) -> Iterator[_State]:
        units = self._units
        numbers = self._unused(state, self._roles.reads, state.channels)
        container = units[state.last].container
        stays = [n for n in numbers if container and units[n].container == container]
        for number in numbers:
            unit = units[number]
            penalty = _LEAVES_CONTAINER if stays and number not in stays else 0.0
            penalty += _WAITS_FOR_SKIP * state.pending
            if unit.is_even:
                # Either it shrinks the image on the way down, or it follows an interpolation.
                widens = unit.shape[0] >= unit.shape[1]
                way = _EVEN_DOWN if state.free < 0 else _EVEN_UP
                penalty += way if widens else _EVEN_NARROWS
            # On the way down one that reads no neighbours is the last: it follows interpolation.
            penalty += _POINTWISE_DOWN * (state.free < 0 and state.path[-1].unit.is_pointwise)
            step = Step(unit, "plain", state.channels, unit.shape[0])
            yield self._after(state, number, step, penalty + self._oddness(number))

    def _oddness(self, number: int) -> float:
        """Penalty for a unit on the main path whose name says that it is beside it."""
        return _BESIDE * bool(self._roles.sideways >> number & 1)

    def _transposed_steps(self, state: _State) -> Iterator[_State]:
        for number in self._unused(state, self._roles.enlarges, state.channels):
            unit = self._units[number]
            if unit.is_even:
                penalty = 0.0 if unit.shape[0] >= unit.shape[1] else _WIDENS_UP
            else:
                penalty = _ODD_KEEPS_WIDTH if unit.shape[0] == unit.shape[1] else _ODD_UP
            step = Step(unit, "transposed", state.channels, unit.shape[1])
            yield self._after(state, number, step, penalty)

    def _joins(self, state: _State) -> Iterator[_State]:
        # One unit at least lies below the lowest skip.
        end = len(state.outs) - 1 if state.free < 0 else state.free
        # Where there are transposed convolutions, a skip waits for one.
        penalty = _NO_TRANSPOSED if self._has_transposed and not state.pending else 0.0
        # Of several skips that fit, the lowest is taken.
        skips = {state.outs[place]: place for place in range(end)}
        for skip, place in skips.items():
            given = state.channels + skip
            for number in self._unused(state, self._roles.depthwise, given):
                step = Step(self._units[number], "join", given, given, given, skip)
                yield self._after(state, number, step, penalty + _DEPTHWISE, free=place)
            for number in self._unused(state, self._roles.reads, given):
                unit = self._units[number]
                step = Step(unit, "join", given, unit.shape[0], skip=skip)
                extra = penalty + self._oddness(number)
                extra += _JOIN_WITHOUT_CENTRE * (unit.is_pointwise or unit.is_even)
                extra += _JOIN_CALLED_UP * bool(self._roles.ups >> number & 1)
                yield self._after(state, number, step, extra, free=place)
                yield from self._bridged(state, number, skips, penalty)

    def _bridged(
        self, state: _State, number: int, skips: dict[int, int], penalty: float
    ) -> Iterator[_State]:
        """Joins with a skip that goes through a convolution."""
        unit = self._units[number]
        wanted = unit.shape[1] - state.channels
        for given, place in skips.items():
            for other in self._unused(state, self._roles.reads, given):
                bridge = self._units[other]
                is_named = bool(self._roles.bridges >> other & 1)
                if other == number or bridge.shape[0] != wanted:
                    continue
                if self._is_usual and not is_named:
                    continue
                extra = penalty + (0.0 if is_named else _UNNAMED_BRIDGE)
                step = Step(unit, "join", unit.shape[1], unit.shape[0], 1, wanted, bridge)
                yield self._after(state, number, step, extra, free=place, also=1 << other)

    def _is_due(self, state: _State) -> bool:
        """Whether the last shortcut of a walk belongs by name to a block that is complete."""
        unit = state.shortcuts[-1].unit
        block = self._roles.blocks.get(unit.number, 0)
        inside = {step.unit.number for step in state.path[state.shortcuts[-1].first :]}
        return bool(block) and not block & state.unused and bits(inside) == block

    def _shortcuts(self, state: _State) -> Iterator[_State]:
        """Ways around the last steps, back to where a skip was joined or four steps at most."""
        last = len(state.path) - 1
        for first in range(last, max(-1, last - _LONGEST_SHORTCUT), -1):
            if state.path[first].role == "transposed":
                return
            given = state.path[first].in_channels
            for number in self._unused(state, self._roles.reads, given):
                unit, is_named = self._units[number], number in self._roles.blocks
                if not unit.is_pointwise or unit.shape[0] != state.channels:
                    continue
                if self._is_usual and not is_named:
                    continue
                penalty = 0.0 if is_named else _UNNAMED_SHORTCUT
                penalty += _SHORTCUT_OF_ONE * (first == last)
                path = before_its_role(unit.name)
                inside = [step.unit.name.startswith(path) for step in state.path[first:]]
                penalty += 0.0 if all(inside) else _SHORTCUT_OF_OTHERS
                yield replace(
                    state,
                    shortcuts=(*state.shortcuts, Shortcut(unit, first, last)),
                    unused=state.unused & ~(1 << number),
                    penalty=state.penalty + penalty,
                )
            if state.path[first].role == "join":
                return

    def _after(
        self,
        state: _State,
        number: int,
        step: Step,
        penalty: float,
        *,
        free: int | None = None,
        also: int = 0,
    ) -> _State:
        leap = self._tree.leap(state.last, number, state.unused & ~self._roles.sideways)
        if self._is_registered and not self._is_next(state, number):
            penalty += _NOT_NEXT
        steps, last = self._block_steps(step, number)
        is_down = state.free < 0 and step.role == "plain" and not state.pending
        return _State(
            shortcuts=state.shortcuts,
            unused=state.unused & ~also & ~bits(s.unit.number for s in steps),
            channels=steps[-1].out_channels,
            outs=(*state.outs, *(s.out_channels for s in steps)) if is_down else state.outs,
            free=state.free if free is None else free,
            pending=step.role == "transposed" or (state.pending and step.role == "plain"),
            last=last,
            penalty=state.penalty + penalty + leap,
            path=(*state.path, *steps),
            joins=state.joins | (1 << number if step.role == "join" else 0),
        )

    def _is_next(self, state: _State, number: int) -> bool:
        """Whether a unit stands in the file right behind the last, but for what was computed."""
        between = ((1 << number) - 1) & ~((2 << state.last) - 1)
        return number > state.last and not between & state.unused & ~self._roles.sideways

    def _block_steps(self, step: Step, number: int) -> tuple[tuple[Step, ...], int]:
        """A step and all that follow in its block, and the number of the last unit."""
        steps = [step]
        while number in self._roles.following:
            number = self._roles.following[number]
            steps.append(plain_step(self._units[number]))
        return tuple(steps), number

    # -- the end --------------------------------------------------------------------------------

    def _finished(self, state: _State) -> Walk | None:
        if state.free < 0 or state.pending:
            return None
        if not state.unused:
            last = state.path[-1].unit
            odd = _OUTPUT_NORM * (last.norm_after is not None)
            odd += _OUTPUT_NEIGHBOURS * (not last.is_pointwise)
            return Walk(state.path, state.shortcuts, (), state.penalty + odd)
        heads = self._heads(state)
        if not heads:
            return None
        leaps = sum(
            self._tree.leap(state.last, head[0].unit.number, state.unused) for head in heads
        )
        penalty = state.penalty + leaps + _MORE_HEADS * (len(heads) - 1)
        return Walk(state.path, state.shortcuts, heads, penalty)

    def _heads(self, state: _State) -> tuple[tuple[Step, ...], ...]:
        """What is left as branches, all alike, that read what was computed last."""
        if state.unused & self._roles.sideways or state.unused.bit_count() > _MOST_IN_HEADS:
            return ()
        left = [unit for n, unit in enumerate(self._units) if state.unused >> n & 1]
        # Heads of one layer may be called anything, those of several by their first word.
        is_flat = all(unit.shape[1] == state.channels for unit in left)
        branches: dict[str, list[Unit]] = {}
        for unit in left:
            branches.setdefault(unit.name if is_flat else unit.name.split(".")[0], []).append(unit)
        kinds = set()
        for branch in branches.values():
            gives = [state.channels, *(unit.shape[0] for unit in branch[:-1])]
            if [unit.shape[1] for unit in branch] != gives:
                return ()
            kinds.add(tuple((unit.kernel, unit.norm_after is None) for unit in branch))
        if len(branches) < 2 or len(kinds) > 1:
            return ()
        return tuple(tuple(map(plain_step, branch)) for branch in branches.values())
