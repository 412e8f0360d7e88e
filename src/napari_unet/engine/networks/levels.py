"""The levels of a network, from full resolution to the lowest: what a picture of the U shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.layer_graph import (
    Activation,
    Axes,
    Convolution,
    GraphConfig,
    Join,
    Layer,
    Norm,
    Pool,
    Standardize,
    TransposedConvolution,
    Upsample,
)
from napari_unet.engine.networks.unet import UNetConfig

Skip: TypeAlias = Literal["", "concatenate", "add", "multiply"]

_PAPER_CONVOLUTIONS = 2
_PAPER_KERNEL = 3


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


def network_levels(config: Architecture) -> tuple[Level, ...]:
    """Find the levels of a network, full resolution first.

    Parameters
    ----------
    config : Architecture

    Returns
    -------
    tuple of Level
        () for a network whose layers are not known.
    """
    if isinstance(config, UNetConfig):
        return _levels_of_paper(config)
    return _levels_of_graph(config) if isinstance(config, GraphConfig) else ()


def level_sizes(config: Architecture, shape: Sequence[int]) -> tuple[LevelSizes, ...]:
    """Find how large an image is at each level of a network.

    Parameters
    ----------
    config : Architecture
    shape : sequence of int
        Of the image, or of the tile, in pixels along each axis that the
        network reads. It is continued by mirroring to the next size that the
        network can read, as `segment` does.

    Returns
    -------
    tuple of LevelSizes
        One for each level; () for a network whose layers are not known.
    """
    if not isinstance(config, UNetConfig | GraphConfig):
        return ()
    inputs = [config.valid_input_size(size) for size in shape]
    if isinstance(config, UNetConfig):
        return _sizes_of_paper(config, inputs)
    return _sizes_of_graph(config, inputs)


def _levels_of_paper(config: UNetConfig) -> tuple[Level, ...]:
    kernel = (_PAPER_KERNEL,) * config.ndim
    levels = []
    for depth, width in enumerate(config.widths):
        block = Block(width, _PAPER_CONVOLUTIONS, kernel)
        is_bottom = depth == config.depth
        levels.append(
            Level(
                (1 << depth,) * config.ndim,
                block,
                None if is_bottom else block,
                "" if is_bottom else "concatenate",
            )
        )
    return tuple(levels)


def _sizes_of_paper(config: UNetConfig, inputs: Sequence[int]) -> tuple[LevelSizes, ...]:
    lost = 0 if config.padding == "same" else _PAPER_CONVOLUTIONS * (_PAPER_KERNEL - 1)
    down = [tuple(size - lost for size in inputs)]
    for _ in range(config.depth):
        down.append(tuple(size // 2 - lost for size in down[-1]))
    up: list[tuple[int, ...]] = [()] * (config.depth + 1)
    below = down[-1]
    for depth in reversed(range(config.depth)):
        up[depth] = below = tuple(2 * size - lost for size in below)
    return tuple(LevelSizes(*sizes) for sizes in zip(down, up, strict=True))


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


def _levels_of_graph(config: GraphConfig) -> tuple[Level, ...]:
    levels = []
    for scale, found in _sides(config):
        skip: Skip = next((s for s in ("concatenate", "add", "multiply") if s in found.skips), "")
        levels.append(Level(scale, _block(config, found.down), _block(config, found.up), skip))
    return tuple(levels)


def _sizes_of_graph(config: GraphConfig, inputs: Sequence[int]) -> tuple[LevelSizes, ...]:
    along = [_sizes_along(config, size, axis) for axis, size in enumerate(inputs)]

    def sizes(side: _Side) -> tuple[int, ...]:
        numbers = side.convolutions or side.others
        return tuple(axis[numbers[-1]] for axis in along) if numbers else ()

    return tuple(LevelSizes(sizes(found.down), sizes(found.up)) for _, found in _sides(config))


def _sizes_along(config: GraphConfig, input_size: int, axis: int) -> list[int]:
    """Size of each layer's output along an axis, for an input that fits."""
    found: list[int] = []
    for layer in config.layers:
        given = [found[index] for index in layer.inputs] or [input_size]
        found.append(layer.output_size(given, axis))
    return found


def _sides(config: GraphConfig) -> list[tuple[Axes, _Found]]:
    """Sort the layers by level, and by whether they come before or after any enlarging."""
    scales, heads = config.scales, _heads(config)
    rises: list[bool] = []
    found: dict[Axes, _Found] = {}
    for number, (layer, scale) in enumerate(zip(config.layers, scales, strict=True)):
        is_enlarging = isinstance(layer, TransposedConvolution | Upsample) and (
            scale != scales[layer.inputs[0]]
        )
        rises.append(is_enlarging or any(rises[index] for index in layer.inputs))
        if isinstance(layer, Join) and rises[-1] and number not in heads:
            for index in layer.inputs:
                if not rises[index] and scales[index] == scale:
                    found.setdefault(scale, _Found()).skips.add(layer.kind)
        if number in heads or not isinstance(
            layer, Convolution | TransposedConvolution | Upsample | Join
        ):
            continue
        of_level = found.setdefault(scale, _Found())
        side = of_level.up if rises[-1] else of_level.down
        (side.convolutions if isinstance(layer, Convolution) else side.others).append(number)
    found.setdefault((1,) * config.ndim, _Found())
    return sorted(found.items(), key=lambda entry: math.prod(entry[0]))


def _heads(config: GraphConfig) -> set[int]:
    """Layers that make the output of the last features: no part of any level."""
    heads: set[int] = set()
    for index in config.outputs:
        while isinstance(config.layers[index], Activation | Norm | Standardize | Pool):
            index = config.layers[index].inputs[0]
        layer = config.layers[index]
        if isinstance(layer, Convolution) and set(layer.kernel) == {1}:
            heads.add(index)
    return heads


def _block(config: GraphConfig, side: _Side) -> Block | None:
    layers: list[Layer] = [config.layers[number] for number in side.convolutions]
    kernels = Counter(layer.kernel for layer in layers if isinstance(layer, Convolution))
    if kernels:
        # Of equally frequent ones the largest: 1x1 convolutions only mix channels.
        kernel = max(kernels, key=lambda each: (kernels[each], each))
        widths = [layer.out_channels for layer in layers if isinstance(layer, Convolution)]
        return Block(max(widths), len(layers), kernel)
    if not side.others:
        return None
    features = max(config.channels[number] for number in side.others)
    return Block(features, 0, (1,) * config.ndim)
