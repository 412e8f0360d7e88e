"""The layers of a U-Net put together from its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from napari_unet.engine.foreign.recognition.conventions import Convention, patterns
from napari_unet.engine.foreign.recognition.unet_levels import (
    JudgedWalk,
    Levels,
    Step,
    Walk,
    plain_step,
)
from napari_unet.engine.foreign.recognition.walk_search import WalkSearch
from napari_unet.engine.foreign.recognition.weights import (
    Unit,
    WeightLayer,
    Weights,
    natural_key,
    no_unet,
    places_apart,
)
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import (
    Activation,
    Axes,
    Convolution,
    Input,
    Join,
    Layer,
    Norm,
    Pad,
    Pool,
    TransposedConvolution,
    Upsample,
)


@dataclass(slots=True)
class UNetGraph:
    """Layers under construction.

    What weights do not tell is as in most networks: ReLU, zero padding, the
    largest of each block, linear interpolation, the skip before what was
    enlarged, and instance norm where there are no running statistics.
    """

    ndim: int
    convention: Convention
    layers: list[Layer] = field(default_factory=lambda: [Input()])

    def add(self, layer: Layer) -> int:
        """Number of a new layer."""
        self.layers.append(layer)
        return len(self.layers) - 1

    def add_unet(self, walk: Walk, levels: Levels, x: int = 0) -> tuple[int, ...]:
        """Add a whole U-Net that reads layer `x`; the numbers of its outputs."""
        steps = walk.steps
        shortcuts = _all_shortcuts(walk, levels)
        factors = self._factors(steps, levels)
        skips: list[int] = []
        level = 0
        begun: dict[int, int] = {}
        first = 0
        for number, step in enumerate(steps):
            stride = None
            if level and number == levels.ends[level - 1] + 1:
                # An even kernel here stands for a pooling.
                stride = factors[level - 1] if step.unit.is_even else None
                if stride is None:
                    x = self.add(Pool((x,), factors[level - 1]))
                first = number
            if number in levels.enlarging:
                factor = factors[len(levels.joins) - 1 - levels.enlarging.index(number)]
                x = self.add(Upsample((x,), factor))
            if step.role == "join":
                x = self.add(Join((x, skips.pop())))
            begun[number] = x
            around = [s for s in shortcuts if s.last == number]
            is_output = number == len(steps) - 1 and not walk.heads
            activates = not is_output and self._activates(walk, levels, number)
            x = self._add_step(
                x, step, stride=stride, activates=activates, around=around, begun=begun
            )
            if level < len(levels.ends):
                if number == (first if self.convention.skips_from_first else levels.ends[level]):
                    join = steps[levels.joins[len(levels.joins) - 1 - level]]
                    skips.append(self._bridged(join, x))
                level += number == levels.ends[level]
        return self._add_heads(walk, x)

    def _add_heads(self, walk: Walk, x: int) -> tuple[int, ...]:
        outputs = []
        for head in walk.heads:
            y = x
            for step in head:
                y = self._add_step(y, step, activates=step is not head[-1])
            outputs.append(y)
        return tuple(outputs) or (x,)

    # -- sizes ----------------------------------------------------------------------------------

    def _factors(self, steps: Sequence[Step], levels: Levels) -> list[Axes]:
        """How much the image shrinks below each level, full resolution first."""
        factors: list[Axes] = []
        begin = 0
        for join in levels.joins:
            kernels = [s.unit.kernel for s in steps[begin:join] if s.role == "transposed"]
            kernel = kernels[0] if kernels else (2,) * self.ndim
            factors.append(tuple(1 if length == 1 else 2 for length in kernel))
            begin = join
        return factors[::-1]

    def _bridged(self, join: Step, skip: int) -> int:
        """The skip, or what the convolution on its way makes of it."""
        return skip if join.bridge is None else self._add_step(skip, plain_step(join.bridge))

    # -- one convolution ------------------------------------------------------------------------

    def _activates(self, walk: Walk, levels: Levels, number: int) -> bool:
        """Whether a step is followed by an activation."""
        step = walk.steps[number]
        unit = step.unit
        if unit.norm_after is not None or unit.prelu is not None:
            return True
        if any(re.fullmatch(name, unit.name) for name in patterns(self.convention.silent)):
            return False
        if step.groups > 1:
            # Depthwise and pointwise are the two halves of one convolution.
            return False
        if step.role == "transposed" or (unit.is_pointwise and number in levels.enlarging):
            return False
        if self.convention.dense_activation or number + 1 == len(walk.steps):
            return True
        return walk.steps[number + 1].unit.container != unit.container

    def _add_step(
        self,
        x: int,
        step: Step,
        *,
        stride: Axes | None = None,
        activates: bool = True,
        around: Sequence[_Way] = (),
        begun: dict[int, int] | None = None,
    ) -> int:
        unit = step.unit
        if unit.norm_before is not None:
            x = self._add_norm(x, unit.norm_before)
            if (places_apart(unit.norm_before.name, unit.name) or 1) > 1:
                x, activates = self._activate(x, unit), False
        x = self._add_convolution(x, step, stride)
        after = unit.norm_after
        if after is not None and activates and (places_apart(unit.name, after.name) or 1) > 1:
            x = self._add_norm(self._activate(x, unit), after)
            activates = False
        elif after is not None:
            x = self._add_norm(x, after)
        for way in around:
            x = self.add(Join((x, self._add_way(way, (begun or {})[way.first])), "add"))
        return self._activate(x, unit) if activates else x

    def _add_way(self, way: _Way, x: int) -> int:
        return x if way.unit is None else self._add_step(x, plain_step(way.unit), activates=False)

    def _activate(self, x: int, unit: Unit) -> int:
        if unit.prelu is not None:
            return self.add(
                Activation((x,), "prelu", name=unit.prelu.name, channels=unit.prelu.shape[0])
            )
        return self.add(Activation((x,), "relu"))

    def _add_norm(self, x: int, norm: WeightLayer) -> int:
        kind = "batch" if norm.tracks else "instance"
        return self.add(
            Norm((x,), norm.name, norm.shape[0], kind, affine=norm.affine, tracks=norm.tracks)  # type: ignore[arg-type]
        )

    def _add_convolution(self, x: int, step: Step, stride: Axes | None) -> int:
        unit, kernel = step.unit, step.unit.kernel
        if step.role == "transposed":
            return self.add(
                TransposedConvolution(
                    (x,),
                    unit.name,
                    step.in_channels,
                    step.out_channels,
                    kernel,
                    stride=tuple(1 if k == 1 else 2 for k in kernel),
                    padding=tuple(max(0, (k - 1) // 2) for k in kernel),
                    output_padding=tuple(int(k > 1 and k % 2) for k in kernel),
                    bias=unit.bias > 0,
                )
            )
        padding = tuple((k - 1) // 2 for k in kernel)
        ones = (1,) * self.ndim
        if stride is None and any(k % 2 == 0 for k in kernel):
            # torch's padding="same" adds the odd pixel of an even kernel at the far end.
            x = self.add(Pad((x,), padding, tuple(k // 2 for k in kernel)))
            padding = (0,) * self.ndim
        return self.add(
            Convolution(
                (x,),
                unit.name,
                step.in_channels,
                step.out_channels,
                kernel,
                stride or ones,
                padding,
                ones,
                step.groups,
                unit.bias > 0,
            )
        )


@dataclass(frozen=True, slots=True)
class _Way:
    """A way around steps: a convolution, or nothing at all."""

    unit: Unit | None
    first: int
    last: int


def _all_shortcuts(walk: Walk, levels: Levels) -> list[_Way]:
    """Ways around blocks: those with weights, and those that need none beside them."""
    ways = [_Way(s.unit, s.first, s.last) for s in walk.shortcuts]
    if not ways:
        return []
    firsts = [0, *(end + 1 for end in levels.ends), *levels.joins]
    lengths = {way.last - way.first for way in ways}
    for first in firsts:
        for length in lengths:
            last = first + length
            if last >= len(walk.steps) or any(w.first <= last and first <= w.last for w in ways):
                continue
            if walk.steps[first].in_channels == walk.steps[last].out_channels:
                ways.append(_Way(None, first, last))
    return ways


_MOST_UNITS = 400
_FEWEST_UNITS = 4
_MOST_COLOURS = 4
_NATURAL = 3.0
"""Penalty of an order of computing that is hardly to be doubted."""
_FAR_FETCHED = 6.0
"""Penalty of one that is no U-Net's."""
_ATTEMPTS = ((True, 2500), (False, 1500))
"""Whether as usual, and steps to look for."""


def assembled(weights: Weights, convention: Convention) -> LayerList:
    """Layers in their order, as most networks have what weights do not tell.

    Raises
    ------
    CheckpointError
        If they do not fit together as a U-Net.
    """
    units = weights.units
    if convention.layers is not None:
        graph = convention.layers({unit.name: unit.shape for unit in units})
        return _ended(graph, convention.ends_with)
    dimensions = {len(unit.kernel) for unit in units}
    if len(dimensions) > 1:
        raise no_unet("it has convolutions in two and in three dimensions", weights.layers)
    if not _FEWEST_UNITS <= len(units) <= _MOST_UNITS:
        raise no_unet(f"a U-Net has {_FEWEST_UNITS} to {_MOST_UNITS} convolutions", weights.layers)
    _check_paths(units, weights)
    unet = UNetGraph(dimensions.pop(), convention)
    outputs: tuple[int, ...] = (0,)
    given: list[int] = []
    for part in _unets_in_a_row(units):
        judged = _best_walk(part, weights)
        walk = _in_order_of_outputs(judged.walk, convention.heads)
        wanted = walk.steps[0].in_channels
        given = given or [wanted]
        x = outputs[0]
        if x and wanted == sum(given):
            x = unet.add(Join((0, x)))
        elif wanted != given[-1] or len(outputs) > 1:
            raise no_unet("its second part does not read what its first gives", weights.layers)
        outputs = unet.add_unet(walk, judged.levels, x)
        given = [given[0], walk.steps[-1].out_channels]
    return _ended(LayerList(tuple(unet.layers), outputs), convention.ends_with)


def _check_paths(units: Sequence[Unit], weights: Weights) -> None:
    """Raise at once if there is no way up, or nothing that could read a skip."""
    # Depthwise convolutions leave the channels to those that read no neighbours.
    is_depthwise = sum(unit.shape[1] == 1 and not unit.is_pointwise for unit in units) > 1
    looked_at = [unit for unit in units if is_depthwise or not unit.is_pointwise]
    if all(unit.shape[1] <= unit.shape[0] for unit in looked_at):
        raise no_unet("no layer narrows what it reads, as the way up does", weights.layers)
    ordered = units if weights.is_registered else sorted(units, key=natural_key)
    first = ordered[0]
    reads_image = first.shape[1] <= _MOST_COLOURS and first.kernel[-1] % 2 == 1
    given = {first.shape[0]} if reads_image else set()
    for unit in ordered[1:]:
        ways = [(unit.shape[1], unit.shape[0])]
        ways += [(unit.shape[0], unit.shape[1])] if not unit.is_pointwise else []
        given = {out for read, out in ways if read in given and unit.can_give(out)}
    if given:
        raise no_unet("each layer reads what the one before gives, so no skips", weights.layers)


def _in_order_of_outputs(walk: Walk, heads: Sequence[str]) -> Walk:
    """The walk with its heads in the order in which the author's code gives them."""

    def place(head: tuple[Step, ...]) -> int:
        name = head[-1].unit.name
        return next((i for i, part in enumerate(heads) if part in name), len(heads))

    return replace(walk, heads=tuple(sorted(walk.heads, key=place)))


def _unets_in_a_row(units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
    """Units of each U-Net, where a few of them stand under names of their own."""
    pieces = [unit.name.split(".") for unit in units]
    depth = 0
    while all(len(piece) > depth + 1 for piece in pieces) and (
        len({piece[depth] for piece in pieces}) == 1
    ):
        depth += 1
    parts: dict[str, list[Unit]] = {}
    for unit, piece in zip(units, pieces, strict=True):
        parts.setdefault(piece[depth], []).append(unit)
    inner = [sorted(u.name.split(".")[depth + 1 :] for u in part) for part in parts.values()]
    if len(parts) < 2 or len(inner[0]) < _FEWEST_UNITS or any(names != inner[0] for names in inner):
        return [tuple(units)]
    return [
        tuple(replace(unit, number=number) for number, unit in enumerate(part))
        for part in parts.values()
    ]


def _best_walk(units: Sequence[Unit], weights: Weights) -> JudgedWalk:
    """The order of computing that reads most naturally."""
    best: JudgedWalk | None = None
    for is_usual, steps in _ATTEMPTS:
        by_name = not weights.is_registered
        found = WalkSearch(units, by_name=by_name, is_usual=is_usual, steps=steps).best()
        if found is not None and (best is None or found.penalty < best.penalty):
            best = found
        if best is not None and best.penalty < _NATURAL:
            break
    if best is not None and best.penalty < _FAR_FETCHED:
        return best
    raise no_unet("its layers do not fit together as two paths with skips", weights.layers)


def _ended(graph: LayerList, kinds: Sequence[str]) -> LayerList:
    """The graph with the activations that the author's code has behind the output."""
    if not kinds:
        return graph
    layers, outputs = list(graph.layers), []
    for place, index in enumerate(graph.outputs):
        layers.append(Activation((index,), kinds[min(place, len(kinds) - 1)]))
        outputs.append(len(layers) - 1)
    return LayerList(tuple(layers), tuple(outputs))
