"""The levels of a network, from full resolution to the lowest: what a picture of the U shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_unet.engine.networks.layers import Axes, Join

if TYPE_CHECKING:
    from napari_unet.engine.networks.layer_sizes import LayerSizes

Skip: TypeAlias = Literal["", "concatenate", "add", "multiply"]


@dataclass(frozen=True, slots=True)
class Block:
    """What one level computes on one side of the U.

    Parameters
    ----------
    features : int
        The most that a layer gives out.
    convolutions : int
        How many there are.
    kernel : tuple of int
        Of most of them, in pixels of the level along each axis.
    """

    features: int
    convolutions: int
    kernel: Axes


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the U.

    Parameters
    ----------
    scale : tuple of int
        Pixels of the image in one pixel of this level, along each axis.
    down : Block, optional
        On the way down, or at the bottom; None where only the image itself
        has this resolution.
    up : Block, optional
        On the way up; None at the bottom.
    skip : {"", "concatenate", "add", "multiply"}
        How the way up reads the way down of its own level.
    """

    scale: Axes
    down: Block | None
    up: Block | None = None
    skip: Skip = ""


@dataclass(frozen=True, slots=True)
class LevelSizes:
    """Pixels along each axis of what a level computes for one image.

    Parameters
    ----------
    down, up : tuple of int
        On the two sides; () where the side has no block.
    """

    down: tuple[int, ...] = ()
    up: tuple[int, ...] = ()


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


def levels_of_graph(config: LayerSizes) -> tuple[Level, ...]:
    """Find the levels of a graph of layers, full resolution first."""
    levels = []
    for scale, found in _sides(config):
        skip: Skip = next((s for s in ("concatenate", "add", "multiply") if s in found.skips), "")
        levels.append(Level(scale, _block(config, found.down), _block(config, found.up), skip))
    return tuple(levels)


def sizes_of_graph(config: LayerSizes, along: Sequence[Sequence[int]]) -> tuple[LevelSizes, ...]:
    """How large each level is.

    Parameters
    ----------
    config : LayerSizes
    along : sequence of sequence of int
        For each axis, the size of each layer's output.
    """

    def sizes(side: _Side) -> tuple[int, ...]:
        numbers = side.convolutions or side.others
        return tuple(axis[numbers[-1]] for axis in along) if numbers else ()

    return tuple(LevelSizes(sizes(found.down), sizes(found.up)) for _, found in _sides(config))


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
