"""Average precision over the IoU threshold, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.plots.late import LatePlots

if TYPE_CHECKING:
    from napari_unet.engine.labels.evaluation import Evaluation

_HEIGHT_PX = 150
_BRIGHT = {"ap": "#2fc79a", "f1": "#6db3ee"}
_DEEP = {"ap": "#00805e", "f1": "#2a6fb0"}
_BAND_ALPHA = 60
_TOOLTIP = (
    "<qt>How the scores fall when more overlap is asked of a cell to be right. <b>AP</b>: right / "
    "(right + missed + extra), with its interval of 95 %. <b>F1</b>: twice the right ones, divided "
    "by all true and all found cells.</qt>"
)


class ScoreCurve(LatePlots):
    """AP with its interval, and F1; hidden while there is nothing to draw."""

    def __init__(self) -> None:
        super().__init__(works_without="the figures are shown")
        self._evaluation: Evaluation | None = None
        self.plot: Any = None
        self.legend = QLabel()
        self.setToolTip(_TOOLTIP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._layout = in_column(self.legend, self.sentence, within=self, spacing=0)
        self.hide()

    def show_evaluation(self, evaluation: Evaluation | None) -> None:
        """Draw the scores; nothing for None, or where there are too few cells for figures."""
        self._evaluation = evaluation if evaluation is not None and evaluation.has_figures else None
        self.setVisible(self._evaluation is not None)
        self.redraw()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Low: a dock is narrow, and a table is below."""
        return QSize(_HEIGHT_PX, _HEIGHT_PX)

    def make_plots(self) -> None:
        """Put the plot below its legend."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.themed import show_shares, themed_plot

        self.plot = themed_plot(_TOOLTIP, "IoU from which a cell is right")
        show_shares(self.plot)
        self._edges = [self.plot.plot(), self.plot.plot()]
        self._band = pg.FillBetweenItem(*self._edges)
        self.plot.addItem(self._band)
        self._lines = {"f1": self.plot.plot(), "ap": self.plot.plot()}
        self._layout.insertWidget(1, self.plot, 1)

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw in the colours of a theme."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.themed import is_on_dark, legend, recolour_axes

        colours = _BRIGHT if is_on_dark(foreground) else _DEEP
        recolour_axes(self.plot, foreground, font)
        for name, line in self._lines.items():
            line.setPen(pg.mkPen(colours[name], width=2 if name == "ap" else 1))
        band = QColor(colours["ap"])
        band.setAlpha(_BAND_ALPHA)
        self._band.setBrush(pg.mkBrush(band))
        for edge in self._edges:
            edge.setPen(None)
        self.legend.setText(
            legend(("<b>—</b>", colours["ap"], "AP with its interval"), ("—", colours["f1"], "F1"))
        )

    def redraw(self) -> None:
        """Draw what there is, if there is something to draw on."""
        evaluation = self._evaluation
        if not self.has_plots or evaluation is None:
            return
        thresholds = list(evaluation.thresholds)
        scores = [evaluation.pooled(threshold) for threshold in thresholds]
        intervals = [evaluation.interval(threshold) for threshold in thresholds]
        self._lines["ap"].setData(thresholds, [score.average_precision for score in scores])
        self._lines["f1"].setData(thresholds, [score.f1 for score in scores])
        for side, edge in enumerate(self._edges):
            edge.setData(thresholds, [interval[side] for interval in intervals])
        self.plot.setXRange(thresholds[0], thresholds[-1], padding=0.03)
