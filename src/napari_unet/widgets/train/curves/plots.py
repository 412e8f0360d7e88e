"""The two plots of a training; import it only where pyqtgraph is imported already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtGui import QColor, QFont

from napari_unet.widgets.shared.plots.themed import (
    is_on_dark,
    legend,
    recolour_axes,
    show_shares,
    themed_plot,
)
from napari_unet.widgets.train.curves.points import CurvePoints

# Okabe and Ito's colours, which everyone can tell apart: bright ones on dark, deep ones on light.
_BRIGHT = {"training": "#56b4e9", "validation_loss": "#e69f00", "ap": "#2fc79a", "iou": "#e58fc0"}
_DEEP = {"training": "#0072b2", "validation_loss": "#c25400", "ap": "#00805e", "iou": "#b0487f"}
_SEEN_THROUGH = 110
_TICK_PX = 6
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
        show_shares(self.quality)
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
        colours = _BRIGHT if is_on_dark(foreground) else _DEEP
        for plot in (self.loss, self.quality):
            recolour_axes(plot, foreground, font)
        thin = QColor(colours["training"])
        thin.setAlpha(_SEEN_THROUGH)
        self._each.setPen(pg.mkPen(thin))
        for name, curve in self._curves.items():
            curve.setPen(pg.mkPen(colours[name], width=2 if name == "training" else 1))
            curve.setSymbolBrush(pg.mkBrush(colours[name]))
        self.loss_legend = "Loss &nbsp; " + legend(
            ("<b>—</b>", colours["training"], "training"),
            ("●", colours["validation_loss"], "validation"),
        )
        self.quality_legend = "Validation &nbsp; " + legend(
            ("●", colours["ap"], "AP 0.5"), ("■", colours["iou"], "mean IoU")
        )


def _plot(tooltip: str) -> Any:
    plot = themed_plot(tooltip, "step")
    plot.setDownsampling(auto=True, mode="peak")
    plot.setClipToView(True)
    return plot


def _curve(plot: Any, *, dots: str | None = None) -> Any:
    return plot.plot(symbol=dots, symbolSize=6, symbolPen=None)
