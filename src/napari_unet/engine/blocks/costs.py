"""How many times pixels are read for the sake of the cut, and with which blocks that is less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from napari_unet.engine.blocks.grid import Grid
from napari_unet.engine.networks.architecture import TileableConfig
from napari_unet.engine.segmentation.tiling import split_axis

_MANY = 1.5
"""Reads of each pixel from which on that is told."""

_MOST_TILES = 4
"""Along an axis of the blocks that are proposed."""


def cost_note(
    grid: Grid, own_shape: Sequence[int], config: TileableConfig, tile_px: int
) -> str | None:
    """Say that blocks are small, and which ones would do; None where no others read much less.

    A block needs every tile that it reaches, whole and with its surroundings: so
    scores are those of the whole image to the last digit.

    Parameters
    ----------
    grid : Grid
        At the model's scale.
    own_shape : sequence of int
        Of a plane in its own pixels, in which blocks are told.
    config : TileableConfig
        Of the network.
    tile_px : int
    """
    times = _times_read(grid, config, tile_px)
    if times < _MANY:
        return None
    found = []
    for tiles in range(1, _MOST_TILES + 1):
        own = [
            math.ceil(tiles * step * m / n)
            for step, n, m in zip(_steps(grid, config, tile_px), grid.shape, own_shape, strict=True)
        ]
        pairs = zip(own, grid.shape, own_shape, strict=True)
        block = tuple(max(1, round(b * n / m)) for b, n, m in pairs)
        found.append((_times_read(replace(grid, block=block), config, tile_px), own))
        if found[-1][0] < _MANY:
            break
    least, better = min(found)
    if least > times / 2:
        return None
    pairs = zip(grid.block, grid.shape, own_shape, strict=True)
    now = [round(b * m / n) for b, n, m in pairs]
    return (
        f"With blocks of {_words(now)} pixels each pixel is read about {times:.3g} times, since "
        f"a block computes all tiles that it reaches; with {_words(better)} it would be "
        f"{least:.3g} times."
    )


def _times_read(grid: Grid, config: TileableConfig, tile_px: int) -> float:
    """How many times each pixel is read."""
    times = 1.0
    for axis, (n, block) in enumerate(zip(grid.shape, grid.block, strict=True)):
        along = config.along(axis)
        around = along.size_loss_px + 2 * along.tile_overlap_px
        tiles = _tiles(n, config, tile_px, axis)
        read = 0
        for start in range(0, n, block):
            stop = min(n, start + block)
            read += sum(high - low + around for low, high in tiles if low < stop and high > start)
        times *= read / n
    return times


def _steps(grid: Grid, config: TileableConfig, tile_px: int) -> list[int]:
    """Length of a tile along each axis."""
    return [_tiles(n, config, tile_px, axis)[0][1] for axis, n in enumerate(grid.shape)]


def _tiles(n: int, config: TileableConfig, tile_px: int, axis: int) -> list[tuple[int, int]]:
    # As `predict_tiles` cuts the whole image.
    whole_px = math.ceil(tile_px / config.size_multiple) * config.size_multiple
    return split_axis(n, whole_px, config.along(axis).size_multiple)


def _words(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
