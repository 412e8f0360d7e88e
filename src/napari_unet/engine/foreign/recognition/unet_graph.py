"""The graph of a U-Net, built from the order of its layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_unet.engine.foreign.recognition.unet_levels import Levels, Step, Walk, plain_step
from napari_unet.engine.foreign.recognition.weight_layers import Unit, WeightLayer, places_apart
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
    skips_from_first: bool = False
    """The skip is what the first convolution of a level gives, not the last."""
    dense_activation: bool = True
    """An activation behind each convolution rather than each sequence of them."""
    silent: tuple[str, ...] = ()
    """Patterns of names of convolutions without an activation."""
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
                if number == (first if self.skips_from_first else levels.ends[level]):
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
        if any(re.fullmatch(pattern, unit.name) for pattern in self.silent):
            return False
        if step.groups > 1:
            # Depthwise and pointwise are the two halves of one convolution.
            return False
        if step.role == "transposed" or (unit.is_pointwise and number in levels.enlarging):
            return False
        if self.dense_activation or number + 1 == len(walk.steps):
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
