"""Histogram or scatter plot of the table, on which cells are selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.measure.colours import number_columns
from napari_unet.widgets.shared.choices import OfferBox, keep_narrow
from napari_unet.widgets.shared.parts import in_column, narrow_form, single_shot
from napari_unet.widgets.shared.plots.lasso import within_corners
from napari_unet.widgets.shared.plots.late import LatePlots

_COUNT = "Number of cells"
_HEIGHT_PX, _AXIS_PX = 190, 46
_DOT_PX, _RING_PX, _NEAR_PX = 5, 13, 9
_MOST_BINS = 60
_PAUSE_MS = 150
_BRIGHT, _DEEP, _CHOSEN = "#6db3ee", "#2a6fb0", "#ff9a00"
_TOOLTIP = (
    "<qt>Drag around cells to select them in the table and on the canvas, where all others fade; "
    "with <b>Shift</b> draw a loop. A click on a dot goes to its cell, one on a bar selects its "
    "cells, one beside selects none.</qt>"
)


class CellPlot(LatePlots):
    """Draws one column as a histogram, or two as dots."""

    selected = Signal(object)
    """Carries the (N,) labels of the cells that were drawn around."""
    cell_clicked = Signal(object)  # an int of Qt has 32 bits
    """Carries the label of the cell whose dot was clicked."""
    made = Signal()
    """There is something to draw on, which takes room."""

    def __init__(self) -> None:
        super().__init__(works_without="the table is shown")
        self._columns: Mapping[str, NDArray[Any]] = {}
        self._seen: NDArray[Any] = np.zeros(0, np.int64)
        self._edges: NDArray[np.float64] = np.zeros(0)
        self.plot: Any = None
        # Thousands of dots are not drawn at every stroke of somebody who paints.
        self._soon = single_shot(self, self.redraw, after_ms=_PAUSE_MS)
        self.x_box, self.y_box = OfferBox(), OfferBox()
        for box in (self.x_box, self.y_box):
            keep_narrow(box)
            box.currentIndexChanged.connect(self._on_chosen)
        self.x_box.setToolTip("The column along the horizontal axis.")
        self.y_box.setToolTip(f"<qt>{_COUNT}: a histogram; a column: a dot for each cell.</qt>")
        rows = narrow_form()
        rows.addRow("Across", self.x_box)
        rows.addRow("Up", self.y_box)
        head = QWidget()
        head.setLayout(rows)
        self._layout = in_column(head, self.sentence, within=self)

    def show_table(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Offer the columns of a table, and draw what is chosen of it."""
        self._columns = columns
        names = [name for name in number_columns(columns) if name != "label"]
        # Sizes first; what others know of the cells may stand before them.
        self.x_box.offer([(name, name) for name in sorted(names, key=_is_no_size)])
        self.y_box.offer([(_COUNT, ""), *((name, name) for name in names)])
        self._soon.start()

    def show_selected(self, labels: NDArray[Any]) -> None:
        """Mark some cells."""
        self._seen = labels
        self.redraw()

    def make_plots(self) -> None:
        """Put the plot below the choices."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.dragged import Dots, DraggedBox
        from napari_unet.widgets.shared.plots.themed import themed_plot

        box = DraggedBox()
        self.plot = themed_plot(_TOOLTIP, "", box)
        # The names of columns are long, and stand above.
        self.plot.getAxis("bottom").showLabel(False)
        self.plot.setFixedHeight(_HEIGHT_PX)
        self.plot.getAxis("left").setWidth(_AXIS_PX)
        self._bars = [pg.BarGraphItem(x0=[], x1=[], height=[]) for _ in range(2)]
        self._dots = [Dots(size=_DOT_PX, pen=None) for _ in range(2)]
        self._ring = Dots(size=_RING_PX, brush=None)
        for item in (*self._bars, *self._dots, self._ring):
            self.plot.addItem(item)
        box.drawn.connect(self._on_drawn)
        box.clicked.connect(self._on_clicked)
        self._layout.addWidget(self.plot)
        self.made.emit()

    def recolour(self, foreground: QColor, font: QFont) -> None:
        """Draw in the colours of a theme."""
        import pyqtgraph as pg

        from napari_unet.widgets.shared.plots.themed import is_on_dark, recolour_axes

        recolour_axes(self.plot, foreground, font)
        colours = (_BRIGHT if is_on_dark(foreground) else _DEEP, _CHOSEN)
        for bars, dots, colour in zip(self._bars, self._dots, colours, strict=True):
            bars.setOpts(brush=pg.mkBrush(colour), pen=None)
            dots.setBrush(pg.mkBrush(colour))
        self._ring.setPen(pg.mkPen(foreground, width=2))

    def redraw(self) -> None:
        """Draw what is chosen, if there is something to draw on and somebody looks."""
        if not self.has_plots or not self.isVisible():
            return
        x, y = self._values(self.x_box), self._values(self.y_box)
        is_seen = np.isin(self._columns.get("label", np.zeros(0)), self._seen)
        is_dots = x is not None and y is not None
        for item in (*self._dots, self._ring):
            item.setVisible(is_dots)
        for item in self._bars:
            item.setVisible(not is_dots)
        if x is None:
            x = np.zeros(0)
            is_seen = np.zeros(0, np.bool_)
        if y is None:
            self._draw_bars(x, is_seen)
        else:
            self._draw_dots(x, y, is_seen)

    def _draw_bars(self, x: NDArray[np.float64], is_seen: NDArray[np.bool_]) -> None:
        is_known = np.isfinite(x)
        known = x[is_known]
        self._edges = np.histogram_bin_edges(known, _bin_count(known))
        for bars, values in zip(self._bars, (known, x[is_known & is_seen]), strict=True):
            heights, _ = np.histogram(values, self._edges)
            bars.setOpts(x0=self._edges[:-1], x1=self._edges[1:], height=heights)

    def _draw_dots(
        self, x: NDArray[np.float64], y: NDArray[np.float64], is_seen: NDArray[np.bool_]
    ) -> None:
        is_known = np.isfinite(x) & np.isfinite(y)
        rest, seen = is_known & ~is_seen, is_known & is_seen
        for dots, drawn in zip(self._dots, (rest, seen), strict=True):
            dots.setData(x[drawn], y[drawn])
        ring = seen if seen.sum() == 1 else np.zeros_like(seen)
        self._ring.setData(x[ring], y[ring])

    def _values(self, box: OfferBox) -> NDArray[np.float64] | None:
        values = self._columns.get(str(box.chosen or ""))
        return None if values is None else np.asarray(values, float)

    def _on_chosen(self, _index: int) -> None:
        self.redraw()

    def _on_drawn(self, corners: list[tuple[float, float]]) -> None:
        x, y = self._values(self.x_box), self._values(self.y_box)
        if x is None:
            return
        if y is None:
            ends = [corner[0] for corner in corners]
            inside = (x >= min(ends)) & (x <= max(ends))
        else:
            inside = within_corners(x, y, corners)
        self.selected.emit(self._columns["label"][inside])

    def _on_clicked(self, at_x: float, at_y: float) -> None:
        x, y = self._values(self.x_box), self._values(self.y_box)
        if x is None or not x.size:
            return
        if y is None:
            place = int(np.searchsorted(self._edges, at_x, side="right"))
            low, high = (
                self._edges[max(0, place - 1)],
                self._edges[min(place, len(self._edges) - 1)],
            )
            is_last = high == self._edges[-1]
            inside = (x >= low) & ((x <= high) if is_last else (x < high)) & (low < high)
            self.selected.emit(self._columns["label"][inside])
            return
        width, height = self.plot.getViewBox().viewPixelSize()
        away = np.hypot((x - at_x) / width, (y - at_y) / height)
        away[np.isnan(away)] = np.inf
        nearest = int(np.argmin(away))
        if away[nearest] <= _NEAR_PX:
            self.cell_clicked.emit(int(self._columns["label"][nearest]))
        else:
            self.selected.emit(np.zeros(0, np.int64))


def _bin_count(values: NDArray[np.float64]) -> int:
    """Bins after Sturges, or Freedman and Diaconis if these are more, but not too many."""
    if not values.size:
        return 1
    low, high = np.percentile(values, (25, 75))
    width = 2 * (high - low) / values.size ** (1 / 3)
    count = np.log2(values.size) + 1
    if width > 0:
        count = max(count, np.ptp(values) / width)
    return int(min(np.ceil(count), _MOST_BINS))


def _is_no_size(name: str) -> bool:
    return not name.startswith(("area_", "volume_"))
