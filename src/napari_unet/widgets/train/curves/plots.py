"""The two plots of a training; import it only where pyqtgraph is imported already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QFont

from napari_unet.widgets.train.curves.points import CurvePoints

# Okabe and Ito's colours, which everyone can tell apart: bright ones on dark, deep ones on light.
_BRIGHT = {"training": "#56b4e9", "validation_loss": "#e69f00", "ap": "#2fc79a", "iou": "#e58fc0"}
_DEEP = {"training": "#0072b2", "validation_loss": "#c25400", "ap": "#00805e", "iou": "#b0487f"}
_SEEN_THROUGH = 110
_AXIS_PX = 38
_TICK_PX = 6
_GRID = 0.15
_LOWEST_PX = 60
_FEWEST_STEPS = 10


class CurvePlots:
    """Loss, and quality of the validation, over the same steps.

    Parameters
    ----------
    tooltip : str
        Of both; a plot does not show that of the widget that it is in.

    Attributes
    ----------
    loss, quality : PlotWidget
    is_log : bool
        Whether the loss has a logarithmic axis.
    loss_legend, quality_legend : str
        Rich text that says which colour is what.
    """

    def __init__(self, tooltip: str) -> None:
        self.loss, self.quality = _plot(tooltip), _plot(tooltip)
        self.quality.setXLink(self.loss)
        # Numbers at the ends would be left out if half of one did not fit.
        self.quality.setYRange(0, 1, padding=0.2)
        self.quality.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self.is_log = False
        self.loss_legend = self.quality_legend = ""
        self._each = _curve(self.loss)
        self._curves = {
            "training": _curve(self.loss),
            "validation_loss": _curve(self.loss, dots="o"),
            "ap": _curve(self.quality, dots="o"),
            "iou": _curve(self.quality, dots="s"),
        }

    def draw(self, points: CurvePoints) -> None:
        """Show all points."""
        self.loss.setLogMode(y=self.is_log)
        self._show(self._each, points.training())
        self._show(self._curves["training"], points.training(smoothed=True))
        for name in ("validation_loss", "ap", "iou"):
            self._show(self._curves[name], points.validation(name))
        self.loss.setXRange(0, max(_FEWEST_STEPS, points.last_step), padding=0.03)

    def _show(self, curve: Any, points: NDArray[np.float64]) -> None:
        if self.is_log:
            points = points[points[:, 1] > 0]
        curve.setData(points[:, 0], points[:, 1])
        if curve is self._curves["training"]:
            # A line needs two points to be seen.
            curve.setSymbol("o" if len(points) == 1 else None)

    def show_steps(self, *, below_loss: bool) -> None:
        """Number the steps below the upper plot, or only below the lower one."""
        axis = self.loss.getAxis("bottom")
        axis.setStyle(showValues=below_loss)
        axis.showLabel(below_loss)
        axis.setHeight(None if below_loss else _TICK_PX)

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw in the colours of a theme, whose text has this colour and font."""
        colours = _BRIGHT if foreground.lightness() > 127 else _DEEP
        for plot in (self.loss, self.quality):
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(pg.mkPen(foreground))
                axis.setTextPen(pg.mkPen(foreground))
                axis.setTickFont(font)
                axis.label.setFont(font)
        thin = QColor(colours["training"])
        thin.setAlpha(_SEEN_THROUGH)
        self._each.setPen(pg.mkPen(thin))
        for name, curve in self._curves.items():
            curve.setPen(pg.mkPen(colours[name], width=2 if name == "training" else 1))
            curve.setSymbolBrush(pg.mkBrush(colours[name]))
        self.loss_legend = "Loss &nbsp; " + _legend(
            ("<b>—</b>", colours["training"], "training"),
            ("●", colours["validation_loss"], "validation"),
        )
        self.quality_legend = "Validation &nbsp; " + _legend(
            ("●", colours["ap"], "AP 0.5"), ("■", colours["iou"], "mean IoU")
        )


def _plot(tooltip: str) -> Any:
    plot = pg.PlotWidget(background=None)
    plot.getPlotItem().setToolTip(tooltip)
    plot.setMinimumHeight(_LOWEST_PX)
    # The wheel scrolls the form, and the menu is that of the curves.
    plot.setMouseEnabled(x=False, y=False)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
    plot.setFrameStyle(0)
    plot.setStyleSheet("background: transparent")
    plot.setLabel("bottom", "step")
    plot.showGrid(x=True, y=True, alpha=_GRID)
    plot.setDownsampling(auto=True, mode="peak")
    plot.setClipToView(True)
    # Its label reaches below the axis.
    plot.getPlotItem().layout.setContentsMargins(1, 1, 1, 6)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)
        plot.getAxis(side).setStyle(maxTickLevel=0, tickTextOffset=3)
    plot.getAxis("left").setWidth(_AXIS_PX)
    return plot


def _curve(plot: Any, *, dots: str | None = None) -> Any:
    return plot.plot(symbol=dots, symbolSize=6, symbolPen=None)


def _legend(*entries: tuple[str, str, str]) -> str:
    return " &nbsp; ".join(
        f"<span style='color: {colour}'>{sign}</span> {text}" for sign, colour, text in entries
    )
