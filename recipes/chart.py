"""Line charts as SVG: crisp at any size, a few kilobytes, and no library to draw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9", "#7a5195")
"""Told apart by the colour-blind (Okabe and Ito), one for each kind in its order."""

_WIDTH, _HEIGHT = 300, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 30, 14, 44
_LEGEND_PX = 190
_LINE_PX = 18


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) that are joined."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    width: float = 1.5
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Axes with lines; `ticks` are the numbers at the axes, the first and last their ends."""

    title: str
    x_title: str
    y_title: str
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    lines: Sequence[Line]
    has_diagonal: bool = False


def chart(panels: Sequence[Panel]) -> str:
    """Panels in a row, and beside them the names of all lines."""
    height = _TOP + _HEIGHT + _BOTTOM
    each = _LEFT + _WIDTH + _RIGHT
    named = {line.name: line for panel in panels for line in panel.lines}
    height = max(height, _TOP + _LINE_PX * len(named))
    width = each * len(panels) + _LEGEND_PX
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    parts = [opening, f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * each + _LEFT},{_TOP})">']
        parts += [*_axes(panel), *(_drawn(panel, line) for line in panel.lines), "</g>"]
    for number, line in enumerate(named.values()):
        x, y = each * len(panels) + 8, _TOP + 8 + _LINE_PX * number
        parts.append(_stroke(line, f"{x},{y} {x + 24},{y}"))
        parts.append(_text(x + 32, y + 4, line.name, "start"))
    return "\n".join([*parts, "</svg>", ""])


def _axes(panel: Panel) -> Iterator[str]:
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#888"/>'
    yield _text(_WIDTH / 2, -10, panel.title, "middle", 'font-weight="bold"')
    for tick in panel.x_ticks:
        x, _ = _place(panel, tick, panel.y_ticks[0])
        yield f'<path d="M{x:.1f} 0V{_HEIGHT + 4}" stroke="#ddd"/>'
        yield _text(x, _HEIGHT + 18, f"{tick:g}", "middle")
    for tick in panel.y_ticks:
        _, y = _place(panel, panel.x_ticks[0], tick)
        yield f'<path d="M-4 {y:.1f}H{_WIDTH}" stroke="#ddd"/>'
        yield _text(-8, y + 4, f"{tick:g}", "end")
    yield _text(_WIDTH / 2, _HEIGHT + 36, panel.x_title, "middle")
    middle = _HEIGHT / 2
    turned = f'transform="rotate(-90 -38 {middle})"'
    yield _text(-38, middle, panel.y_title, "middle", turned)
    if panel.has_diagonal:
        yield f'<path d="M0 {_HEIGHT}L{_WIDTH} 0" stroke="#888" stroke-dasharray="2 4"/>'


def _drawn(panel: Panel, line: Line) -> str:
    places = [_place(panel, x, y) for x, y in line.points]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{line.width + 0.5}" fill="{line.colour}"/>'
        for x, y in places
    )
    return _stroke(line, " ".join(f"{x:.1f},{y:.1f}" for x, y in places)) + dots


def _stroke(line: Line, points: str) -> str:
    dashes = ' stroke-dasharray="5 3"' if line.is_dashed else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{line.colour}" '
        f'stroke-width="{line.width}"{dashes}/>'
    )


def _place(panel: Panel, x: float, y: float) -> tuple[float, float]:
    (left, right), (low, high) = ((t[0], t[-1]) for t in (panel.x_ticks, panel.y_ticks))
    return _WIDTH * (x - left) / (right - left), _HEIGHT * (high - y) / (high - low)


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'
