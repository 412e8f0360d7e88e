"""The levels of a network and what the sizes of images become in it, from its layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self, TypeAlias

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.axis_sizes import AxisSizes
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Axes, Join

Skip: TypeAlias = Literal["", "concatenate", "add", "multiply"]


@dataclass(frozen=True, slots=True)
class Block:
    """What one level computes on one side of the U."""

    features: int
    """The most that a layer gives out."""
    convolutions: int
    """How many there are."""
    kernel: Axes
    """Of most of them, in pixels of the level along each axis."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the U."""

    scale: Axes
    """Pixels of the image in one pixel of this level, along each axis."""
    down: Block | None
    """On the way down, or at the bottom; None where only the image itself has this resolution."""
    up: Block | None = None
    """On the way up; None at the bottom."""
    skip: Skip = ""
    """How the way up reads the way down of its own level."""


@dataclass(frozen=True, slots=True)
class LevelSizes:
    """Pixels along each axis of what a level computes for one image."""

    down: tuple[int, ...] = ()
    up: tuple[int, ...] = ()
    """`down`, `up`: on the two sides; () where the side has no block."""


@dataclass(slots=True)
class _Side:
    """Numbers of the layers that are on one side of one level."""

    convolutions: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    down: _Side = field(default_factory=_Side)
    up: _Side = field(default_factory=_Side)
    skips: set[Skip] = field(default_factory=set)


def _sides(config: LayerSizes) -> list[tuple[Axes, _Found]]:
    """Sort the layers by level, and by whether they come before or after any enlarging."""
    scales, heads = config.scales, _heads(config)
    rises: list[bool] = []
    found: dict[Axes, _Found] = {(1,) * config.ndim: _Found()}
    for number, (layer, scale) in enumerate(zip(config.graph.layers, scales, strict=True)):
        is_enlarging = layer.enlarges is not None and scale != scales[layer.inputs[0]]
        rises.append(is_enlarging or any(rises[index] for index in layer.inputs))
        if not layer.is_drawn or number in heads:
            continue
        of_level = found.setdefault(scale, _Found())
        side = of_level.up if rises[-1] else of_level.down
        (side.convolutions if layer.kernel_px else side.others).append(number)
    for number, join in config.graph.each(Join):
        down = [i for i in join.inputs if not rises[i] and scales[i] == scales[number]]
        if rises[number] and down and number not in heads:
            found[scales[number]].skips.add(join.kind)
    return sorted(found.items(), key=lambda entry: math.prod(entry[0]))


def _heads(config: LayerSizes) -> set[int]:
    """Layers that make the output of the last features: no part of any level."""
    heads: set[int] = set()
    for index in config.graph.outputs:
        while not (layer := config.graph.layers[index]).is_drawn and layer.inputs:
            index = layer.inputs[0]
        if set(layer.kernel_px) == {1}:
            heads.add(index)
    return heads


def _block(config: LayerSizes, side: _Side) -> Block | None:
    kernels = Counter(config.graph.layers[number].kernel_px for number in side.convolutions)
    numbers = side.convolutions or side.others
    if not numbers:
        return None
    features = max(config.channels[number] for number in numbers)
    # Of equally frequent ones the largest: 1x1 convolutions only mix channels.
    most = max(kernels, key=lambda each: (kernels[each], each), default=(1,) * config.ndim)
    return Block(features, len(side.convolutions), most)


class LayerSizes:
    """Part of an architecture whose layers are known: all that tiling and pictures ask of it.

    What was worked out is kept, so a subclass may be frozen but has no slots.
    """

    ndim: int
    """Spatial axes."""
    in_channels: int

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Stand for the copy, as what never changes may.

        Copied field by field, it would fail while another thread works a size out.
        """
        return self

    @property
    def graph(self) -> LayerList:
        """The layers and which of them are the output."""
        raise NotImplementedError

    @property
    def is_trainable(self) -> bool:
        return True

    @property
    def inexact_because(self) -> str:
        return next(filter(None, (layer.inexact_because for layer in self.graph.layers)), "")

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Channels of each layer's output."""
        return self.graph.channels(self.in_channels)

    @cached_property
    def scales(self) -> tuple[Axes, ...]:
        """Pixels of the image in one pixel of each layer, for each axis."""
        found: list[Axes] = []
        for layer in self.graph.layers:
            scale = found[layer.inputs[0]] if layer.inputs else (1,) * self.ndim
            shrinks, enlarges = layer.shrinks, layer.enlarges
            if shrinks is not None:
                scale = tuple(a * b for a, b in zip(scale, shrinks, strict=True))
            if enlarges is not None:
                scale = tuple(max(1, a // b) for a, b in zip(scale, enlarges, strict=True))
            found.append(scale)
        return tuple(found)

    @property
    def levels(self) -> tuple[Level, ...]:
        levels = []
        for scale, found in _sides(self):
            skip: Skip = next(
                (kind for kind in ("concatenate", "add", "multiply") if kind in found.skips), ""
            )
            levels.append(Level(scale, _block(self, found.down), _block(self, found.up), skip))
        return tuple(levels)

    def level_sizes(self, shape: Sequence[int]) -> tuple[LevelSizes, ...]:
        """How large an image of a shape is at each level."""
        axes = zip(self._axes, shape, strict=True)
        along = [each.sizes(each.valid_input_size(n)) or () for each, n in axes]

        def sizes(side: _Side) -> tuple[int, ...]:
            numbers = side.convolutions or side.others
            return tuple(axis[numbers[-1]] for axis in along) if numbers else ()

        return tuple(LevelSizes(sizes(found.down), sizes(found.up)) for _, found in _sides(self))

    @cached_property
    def _axes(self) -> tuple[AxisSizes, ...]:
        return tuple(
            AxisSizes(self.graph, axis, math.lcm(*(scale[axis] for scale in self.scales)))
            for axis in range(self.ndim)
        )

    def along(self, axis: int) -> AxisSizes:
        """Size arithmetic of one spatial axis; what follows is that of all axes together."""
        return self._axes[axis]

    @property
    def size_multiple(self) -> int:
        return math.lcm(*(each.size_multiple for each in self._axes))

    @property
    def size_loss_px(self) -> int:
        return max(each.size_loss_px for each in self._axes)

    def output_size(self, input_size: int) -> int:
        """Output pixels along every axis, at least, of an input with axes of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If no output is left or a pooled size would not be whole.
        """
        return min(each.output_size(input_size) for each in self._axes)

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels that fits all axes and whose output is large enough."""
        least = max(each.valid_input_size(output_at_least) for each in self._axes)
        for size in range(least, least + self.size_multiple):
            if all(each.sizes(size) for each in self._axes):
                return size
        raise SettingsError(f"No input of {least} pixels or more fits all axes of the layers.")

    @property
    def margin_px(self) -> int:
        return max(each.margin_px for each in self._axes)

    @property
    def halo_px(self) -> int:
        """Context that makes an aligned tile exact, in pixels on each side."""
        return max(each.halo_px for each in self._axes)

    @property
    def tile_overlap_px(self) -> int:
        return max(each.tile_overlap_px for each in self._axes)
