"""What is worked out of a network; where its blocks stand in its picture; what is told of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF
from qtpy.QtGui import QFontMetricsF

if TYPE_CHECKING:
    from napari_unet.engine.networks.layer_sizes import Block, Level, LevelSizes
    from napari_unet.engine.networks.network import NetworkDescription

PAD_PX = 5.0
"""Around everything."""

TOP_LINES = 3.2
"""Height of a full-resolution bar in lines of text."""

_LEAST_BAR_PX = 3.0
_GAP_PX = 9.0
_INSET_PX = 7.0
_LEAST_ARM_PX = 22.0
_MOST_BOTTOM = 0.42
"""Width of the lowest bar as a share of the drawing."""


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A network as it is drawn."""

    in_channels: int
    class_roles: tuple[str, ...]
    levels: tuple[Level, ...] = ()
    """() if the layers are not known."""
    sizes: tuple[LevelSizes, ...] = ()
    """For the image; () without one."""
    receptive_field_px: tuple[int, ...] = ()
    """Part of the image on which a pixel's scores depend, along each axis."""


def network_facts(
    description: NetworkDescription, shape: tuple[int, ...] | None
) -> Iterator[NetworkFacts]:
    """Report the facts of a network, for an image of so many pixels along the axes it reads."""
    config = description.architecture
    yield NetworkFacts(
        config.in_channels,
        description.class_roles,
        config.levels,
        config.level_sizes(shape) if shape else (),
        tuple(2 * config.along(axis).margin_px + 1 for axis in range(config.ndim)),
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """One block as it is drawn.

    Parameters
    ----------
    side : {"down", "up", "bottom"}
    features, size : str
        What is written beside it; nothing if empty.
    """

    side: str
    box: QRectF
    features: str
    size: str
    tooltip: str


def network_rows(facts: NetworkFacts, line: float) -> list[tuple[float, float, float]]:
    """Top and bottom of each level's row, and height of its bars, below the first line of text.

    Parameters
    ----------
    line : float
        Height of a line of text.
    """
    rows, top = [], 0.0
    for level in facts.levels:
        bar = max(_LEAST_BAR_PX, TOP_LINES * line / max(level.scale))
        height = max(bar, line)
        rows.append((top, top + height, bar))
        top += height + _GAP_PX
    return rows


def network_bars(facts: NetworkFacts, width: float, metrics: QFontMetricsF) -> Iterator[Bar]:
    """Place every block in a picture of a width, the levels one below the other.

    Parameters
    ----------
    width : float
        Of the picture, in pixels.
    metrics : QFontMetricsF
        Of what is written in it.
    """
    rows = network_rows(facts, metrics.height())
    sizes = [_size_text(facts, number) for number in range(len(facts.levels))]
    number_px = max(
        (
            metrics.horizontalAdvance(str(block.features))
            for level in facts.levels
            for block in (level.down, level.up)
            if block is not None
        ),
        default=0.0,
    )
    size_px = max(map(metrics.horizontalAdvance, sizes), default=0.0)
    inner = width - 2 * PAD_PX
    arm = (inner - 2 * number_px - size_px - 6 * PAD_PX) / 2
    if arm < _LEAST_ARM_PX:
        # In large type the tooltips alone have the sizes.
        sizes = [""] * len(sizes)
        arm = (inner - 2 * number_px - 4 * PAD_PX) / 2
    px_per_feature = _px_per_feature(facts.levels, arm, _MOST_BOTTOM * inner)
    top = PAD_PX + metrics.height()
    for number, (level, row) in enumerate(zip(facts.levels, rows, strict=True)):
        middle = top + (row[0] + row[1]) / 2
        is_bottom = number == len(facts.levels) - 1 and level.up is None
        inset = min(_INSET_PX * number, max(0.0, arm / 4))
        for side, block in (("down", level.down), ("up", level.up)):
            if block is None:
                continue
            bar_px = max(_LEAST_BAR_PX, px_per_feature * block.features)
            left = PAD_PX + inset
            if is_bottom:
                left = (width - bar_px) / 2
            elif side == "up":
                left = width - left - bar_px
            yield Bar(
                "bottom" if is_bottom else side,
                QRectF(left, middle - row[2] / 2, bar_px, row[2]),
                str(block.features),
                sizes[number] if side == "down" or level.down is None else "",
                _tooltip(facts, number, side, block),
            )


def _px_per_feature(levels: Sequence[Level], arm: float, bottom: float) -> float:
    """Width of one feature, so that the arms and the bottom have room."""
    factors = []
    for number, level in enumerate(levels):
        room = bottom if number == len(levels) - 1 and level.up is None else arm * 0.75
        factors += [room / block.features for block in (level.down, level.up) if block is not None]
    return min(factors, default=1.0)


def _size_text(facts: NetworkFacts, number: int) -> str:
    if number >= len(facts.sizes):
        return ""
    sizes = facts.sizes[number]
    return " x ".join(map(str, sizes.down or sizes.up))


def _tooltip(facts: NetworkFacts, number: int, side: str, block: Block) -> str:
    level, count = facts.levels[number], len(facts.levels)
    way = {"down": "on the way down", "up": "on the way up"}[side]
    if number == count - 1 and level.up is None:
        way = "the bottom of the U"
    kernel = " x ".join(map(str, block.kernel))
    how = {
        0: "No convolutions of its own",
        1: f"1 convolution of {kernel} pixels",
    }.get(block.convolutions, f"{block.convolutions} convolutions of {kernel} pixels")
    text = f"Level {number + 1} of {count}, {way}. {how}, up to {block.features} features."
    if number < len(facts.sizes):
        sizes = facts.sizes[number]
        pixels = sizes.up if side == "up" else sizes.down
        text += f" Your image has {' x '.join(map(str, pixels))} pixels here"
        if max(level.scale) > 1:
            text += f", each as wide as {max(level.scale)} of its own"
        text += "."
    return text
