"""How many cells there are in each frame, as a curve that leads to the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QSizePolicy

from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.plots.late import LatePlots

_HEIGHT_PX = 140
_BRIGHT, _DEEP = "#56b4e9", "#0072b2"
_TOOLTIP = (
    "<qt>Number of cells in each frame. The line is the frame that is shown; a click goes to "
    "another one.</qt>"
)


class CountsPlot(LatePlots):
    """Cells over time; hidden while there is nothing to draw."""

    frame_clicked = Signal(int)
    """Somebody wants to see this frame, counted from 0."""

    def __init__(self) -> None:
        super().__init__(works_without="tracks are shown and saved")
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._frame = 0
        self.plot: Any = None
        self.setToolTip(_TOOLTIP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._layout = in_column(self.sentence, within=self, spacing=0)
        self.hide()

    def show_counts(self, counts: NDArray[np.int64]) -> None:
        """Draw the number of cells in each frame; nothing for none."""
        self._counts = counts
        self.setVisible(counts.size > 0)
        self.redraw()

    def show_frame(self, frame: int) -> None:
        """Say which frame is looked at."""
        self._frame = frame
        if self.has_plots:
            self._line.setValue(frame)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Low: a table is below."""
        return QSize(_HEIGHT_PX, _HEIGHT_PX)

    def make_plots(self) -> None:
        """Put the plot into the widget."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.themed import themed_plot

        self.plot = themed_plot(_TOOLTIP, "frame")
        self.plot.setLabel("left", "cells")
        self._curve = self.plot.plot()
        self._line = pg.InfiniteLine(angle=90)
        self.plot.addItem(self._line)
        self.plot.scene().sigMouseClicked.connect(self._on_clicked)
        self._layout.insertWidget(0, self.plot, 1)

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw in the colours of a theme."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.themed import is_on_dark, recolour_axes

        recolour_axes(self.plot, foreground, font)
        colour = _BRIGHT if is_on_dark(foreground) else _DEEP
        self._curve.setPen(pg.mkPen(colour, width=2))
        self._curve.setSymbolBrush(pg.mkBrush(colour))
        self._line.setPen(pg.mkPen(foreground, style=Qt.PenStyle.DashLine))

    def redraw(self) -> None:
        """Draw what there is, if there is something to draw on."""
        if not self.has_plots or not self._counts.size:
            return
        self._curve.setData(np.arange(self._counts.size), self._counts)
        # A line needs two points to be seen.
        self._curve.setSymbol("o" if self._counts.size == 1 else None)
        self.plot.setXRange(0, max(1, self._counts.size - 1), padding=0.03)
        self.plot.setYRange(0, max(1, int(self._counts.max())), padding=0.08)
        self._line.setValue(self._frame)

    def _on_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not self._counts.size:
            return
        place = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        self.frame_clicked.emit(int(np.clip(round(place.x()), 0, self._counts.size - 1)))
