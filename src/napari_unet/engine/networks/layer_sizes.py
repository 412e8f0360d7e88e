"""The levels of a network and what the sizes of images become in it, from its layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self, TypeAlias

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Axes, Join, NotWholeError
from napari_unet.engine.networks.layers.layer import Interval

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
        along = [self.sizes(self.valid_input_size(n), axis) or () for axis, n in enumerate(shape)]

        def sizes(side: _Side) -> tuple[int, ...]:
            numbers = side.convolutions or side.others
            return tuple(axis[numbers[-1]] for axis in along) if numbers else ()

        return tuple(LevelSizes(sizes(found.down), sizes(found.up)) for _, found in _sides(self))

    @cached_property
    def size_multiple(self) -> int:
        return math.lcm(*(length for scale in self.scales for length in scale))

    @cached_property
    def size_loss_px(self) -> int:
        return self._least_size - self.output_size(self._least_size)

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If no output is left or a pooled size would not be whole.
        """
        sizes = self.sizes(input_size)
        if sizes is None:
            least, multiple = self._least_size, self.size_multiple
            rest = f"{least} plus " if least != multiple else ""
            unpadded = "unpadded " if self.size_loss_px else ""
            raise ImageShapeError(
                f"An axis has {input_size} pixels; this {unpadded}network reads {rest}multiples of "
                f"{multiple}. Use segment(), which takes any size."
            )
        return sizes[self.graph.outputs[0]]

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels whose output covers `output_at_least` pixels."""
        # Sizes that fit are as far apart as the network shrinks the image, and so are outputs.
        more = output_at_least - (self._least_size - self.size_loss_px)
        return self._least_size + max(0, math.ceil(more / self.size_multiple)) * self.size_multiple

    @cached_property
    def _least_size(self) -> int:
        """Smallest input size that has an output."""
        # Unpadded layers lose at most so much; beyond it no size will do.
        lost = self.size_multiple * sum(layer.reach_px for layer in self.graph.layers)
        most = 1 + 2 * self.size_multiple + lost
        for size in range(1, most):
            if all(self.sizes(size, axis) for axis in range(self.ndim)):
                return size
        raise SettingsError(f"No input of up to {most} pixels fits the layers; this is no U-Net.")

    def sizes(self, input_size: int, axis: int = 0) -> tuple[int, ...] | None:
        """Size of each layer's output along an axis; None if the input does not fit."""
        found: list[int] = []
        try:
            for layer in self.graph.layers:
                given = [found[index] for index in layer.inputs] or [input_size]
                size = layer.output_size(given, axis)
                if size < 1:
                    return None
                found.append(size)
        except NotWholeError:
            return None
        return tuple(found)

    @cached_property
    def margin_px(self) -> int:
        # The interval depends on the pixel's place within a pooling cell: take the worst.
        return max(self._beyond(place, place) for place in range(self.size_multiple))

    @cached_property
    def halo_px(self) -> int:
        """Context that makes an aligned tile exact, in pixels on each side.

        For a tile that starts at a multiple of `size_multiple`, and itself a
        multiple of it; less than `margin_px` asks for, because only pixels
        within the tile's first pooling cell look furthest out.
        """
        multiple = self.size_multiple
        return math.ceil(self._beyond(0, multiple - 1) / multiple) * multiple

    @cached_property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own to be exact, in pixels."""
        if any(layer.pads for layer in self.graph.layers):
            return self.halo_px
        # True context is read anyway; only interpolation sees the tile's end, where it has no
        # neighbour to read.
        return self.size_multiple if any(x.reads_beyond for x in self.graph.layers) else 0

    def _beyond(self, low: int, high: int) -> int:
        """How far beyond the output pixels `low` to `high`, at most, the input is read."""
        shift, most = self.size_loss_px // 2, 0
        for axis in range(self.ndim):
            first, last = self._inputs_behind(low, high, axis)
            most = max(most, low + shift - first, last - high - shift)
        return most

    def _inputs_behind(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels, of an endless image, behind the output pixels `low` to `high`."""
        sizes = self.sizes(self._least_size, axis) or ()
        wanted: dict[int, Interval] = dict.fromkeys(self.graph.outputs, (low, high))
        for number in range(len(self.graph.layers) - 1, 0, -1):
            if number not in wanted:
                continue
            layer, (first, last) = self.graph.layers[number], wanted[number]
            for index in layer.inputs:
                # What several layers are joined to is cropped at their centre.
                is_joined = len(layer.inputs) > 1
                cropped = (sizes[index] - sizes[number]) // 2 if is_joined else 0
                one, other = layer.reads(first + cropped, last + cropped, axis)
                known = wanted.get(index, (one, other))
                wanted[index] = min(one, known[0]), max(other, known[1])
        return wanted.get(0, (low, high))
