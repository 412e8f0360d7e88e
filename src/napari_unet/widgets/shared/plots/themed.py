"""Plots without a ground of their own; import this only where pyqtgraph is imported already."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QFont

_AXIS_PX = 38
_GRID = 0.15
_LOWEST_PX = 60


def themed_plot(tooltip: str, x_title: str, view_box: Any = None) -> Any:
    """Make an empty plot that leaves the wheel and the menu to the form that it is in.

    Parameters
    ----------
    view_box : pyqtgraph.ViewBox, optional
        That takes the mouse.
    """
    plot = pg.PlotWidget(background=None, viewBox=view_box)
    plot.getPlotItem().setToolTip(tooltip)
    plot.setMinimumHeight(_LOWEST_PX)
    # The wheel scrolls the form, and the menu is that of the curves.
    plot.setMouseEnabled(x=False, y=False)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
    plot.setFrameStyle(0)
    plot.setStyleSheet("background: transparent")
    plot.setLabel("bottom", x_title)
    plot.showGrid(x=True, y=True, alpha=_GRID)
    # Its label reaches below the axis.
    plot.getPlotItem().layout.setContentsMargins(1, 1, 1, 6)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)
        plot.getAxis(side).setStyle(maxTickLevel=0, tickTextOffset=3)
    plot.getAxis("left").setWidth(_AXIS_PX)
    return plot


def show_shares(plot: Any) -> None:
    """Let the vertical axis go from 0 to 1."""
    # Numbers at the ends would be left out if half of one did not fit.
    plot.setYRange(0, 1, padding=0.2)
    plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])


def recolour_axes(plot: Any, foreground: QColor, font: QFont) -> None:
    """Draw the axes in the colour and font of the theme's text."""
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(foreground))
        axis.setTextPen(pg.mkPen(foreground))
        axis.setTickFont(font)
        axis.label.setFont(font)


def is_on_dark(foreground: QColor) -> bool:
    """Whether text of this colour stands on a dark ground."""
    return bool(foreground.lightness() > 127)


def legend(*entries: tuple[str, str, str]) -> str:
    """Rich text from signs, their colours and what they mean."""
    return " &nbsp; ".join(
        f"<span style='color: {colour}'>{sign}</span> {text}" for sign, colour, text in entries
    )
