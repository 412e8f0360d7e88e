"""The curve of scores over the IoU threshold, as SVG that takes the colours of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

_WIDTH, _HEIGHT = 460, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 12, 84, 44
_X_TITLE = "IoU from which a found cell is right"
_Y_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LABEL_PX = 14
"""Between the names of two lines at least."""


@dataclass(frozen=True, slots=True)
class CurveLine:
    """One score at each threshold.

    Parameters
    ----------
    name : str
    values : sequence of float
        From 0 to 1.
    style : str
        Class of the line in the page.
    intervals : sequence of (low, high)
        Drawn as a band; empty for none.
    """

    name: str
    values: Sequence[float]
    style: str
    intervals: Sequence[tuple[float, float]] = ()


def curve_svg(thresholds: Sequence[float], lines: Sequence[CurveLine]) -> str:
    """Draw lines over at least two thresholds, the names at their ends."""
    xs = [_x(threshold, thresholds) for threshold in thresholds]
    title = "Scores over the IoU threshold: " + ", ".join(line.name for line in lines)
    opening = f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    parts = [
        f'{opening} aria-label="{escape(title)}">',
        *(_y_tick(tick) for tick in _Y_TICKS),
        *(_x_tick(x, threshold) for x, threshold in zip(xs, thresholds, strict=True)),
        _text((xs[0] + xs[-1]) / 2, _HEIGHT - 6, _X_TITLE, anchor="middle"),
    ]
    for line in lines:
        if line.intervals:
            upper = [
                f"{x:.1f},{_y(high):.1f}" for x, (_, high) in zip(xs, line.intervals, strict=True)
            ]
            lower = [
                f"{x:.1f},{_y(low):.1f}" for x, (low, _) in zip(xs, line.intervals, strict=True)
            ]
            band = " ".join([*upper, *reversed(lower)])
            parts.append(f'<polygon class="band {line.style}" points="{band}"/>')
    heights = _apart(lines)
    for line, height in zip(lines, heights, strict=True):
        points = " ".join(
            f"{x:.1f},{_y(value):.1f}" for x, value in zip(xs, line.values, strict=True)
        )
        parts.append(f'<polyline class="line {line.style}" points="{points}"/>')
        parts.append(
            f'<text class="name {line.style}" x="{xs[-1] + 8:.1f}" y="{height + 4:.1f}">'
            f"{escape(line.name)}</text>"
        )
    return "\n".join([*parts, "</svg>"])


def _x(threshold: float, thresholds: Sequence[float]) -> float:
    first, last = thresholds[0], thresholds[-1]
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (threshold - first) / (last - first)


def _y(value: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)


def _y_tick(tick: float) -> str:
    y = _y(tick)
    return f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>' + _text(
        _LEFT - 8, y + 4, f"{tick:g}", anchor="end"
    )


def _x_tick(x: float, threshold: float) -> str:
    bottom = _HEIGHT - _BOTTOM
    tick = f'<path class="grid" d="M{x:.1f} {bottom}v4"/>'
    if round(100 * threshold) % 10:
        return tick
    return tick + _text(x, bottom + 18, f"{threshold:g}", anchor="middle")


def _text(x: float, y: float, words: str, *, anchor: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _apart(lines: Sequence[CurveLine]) -> list[float]:
    """Heights of the names, at the ends of the lines and so far apart that none covers another."""
    moved = [_y(line.values[-1]) for line in lines]
    # Of lines that end together that above first.
    order = sorted(range(len(lines)), key=lambda at: (moved[at], -sum(lines[at].values)))
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _LABEL_PX)
    over = max(moved) - (_HEIGHT - _BOTTOM)
    return [height - max(0.0, over) for height in moved]
