"""The part of the form that colours cells by a column of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from napari_unet.viewer.cells.cell_colours import (
    colour_cells,
    coloured_by,
    faded,
    value_colours,
)
from napari_unet.widgets.shared.cells.colour_bar import ColourBar
from napari_unet.widgets.shared.choices import OfferBox, keep_narrow
from napari_unet.widgets.shared.parts import in_column, in_row, narrow_form, single_shot

if TYPE_CHECKING:
    from napari.layers import Labels

_NUMBER = "Number"
_PERCENTILES = (1, 99)
_PAUSE_MS = 150


def number_columns(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Names of the columns that hold a number, or yes and no, for each cell."""
    return [name for name, values in columns.items() if values.dtype.kind in "biuf"]


class CellColours(QWidget):
    """Colours a layer by what is chosen, and fades all cells but some of them."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: Labels | None = None
        self._columns: Mapping[str, NDArray[Any]] = {}
        self._faint: NDArray[Any] | None = None
        self._drawn: tuple[Any, ...] | None = None
        self._before: Any = None
        self._soon = single_shot(self, self._colour)
        self.column_box, self.bar = OfferBox(), ColourBar()
        keep_narrow(self.column_box)
        self.column_box.setToolTip(
            "<qt>Colour each cell by a column of the table. <b>Number</b> gives the cells the "
            "colours of before again. Cells without a value are grey.</qt>"
        )
        self.outliers_box = QCheckBox("Without outliers")
        self.outliers_box.setChecked(True)
        self.outliers_box.setToolTip(
            "<qt>The colours go from the 1st to the 99th percentile, so that a few cells do not "
            "take all of them; otherwise from the least to the greatest value.</qt>"
        )
        self.column_box.offer([(_NUMBER, "")])
        rows = narrow_form()
        rows.addRow("Colour by", self.column_box)
        in_column(rows, in_row(self.bar, self.outliers_box), within=self, spacing=4)
        self.outliers_box.hide()
        self.column_box.currentIndexChanged.connect(self._on_chosen)
        self.outliers_box.toggled.connect(self._on_chosen)

    @property
    def column(self) -> str:
        """The column that is chosen; empty for the number."""
        return str(self.column_box.chosen or "")

    def show_table(self, layer: Labels | None, columns: Mapping[str, NDArray[Any]]) -> None:
        """Offer the columns of a layer's table, and colour its cells as is chosen."""
        is_other = layer is None or self._layer is None or layer != self._layer
        if is_other:
            self.show_only(None)
            self._drawn = self._before = None
        names = [name for name in number_columns(columns) if name != "label"]
        self.column_box.offer([(_NUMBER, ""), *((name, name) for name in names)])
        if is_other and layer is not None:
            # What was chosen for the other layer stays there.
            self._choose(coloured_by(layer) or "")
        elif layer is not None and self._drawn is not None and coloured_by(layer) is None:
            # Somebody has given the cells other colours since.
            self._drawn = self._before = self._faint = None
            self._choose("")
        self._layer, self._columns = layer, columns
        # napari draws the whole plane anew: not while somebody paints.
        self._soon.start(0 if is_other else _PAUSE_MS)

    def show_only(self, labels: NDArray[Any] | None) -> None:
        """Fade all cells but these, and those that are made from now on; none for None."""
        there = self._columns.get("label", np.zeros(0, np.int64))
        self._faint = None if labels is None else np.setdiff1d(there, labels)
        if labels is None:
            self._colour()
        else:
            # Once, however many rows the keys have gone through meanwhile.
            self._soon.start(0)

    def _choose(self, column: str) -> None:
        with signals_blocked(self.column_box):
            self.column_box.choose_value(column)

    def _on_chosen(self, _value: object = None) -> None:
        self._colour()

    def _colour(self) -> None:
        """Colour the layer, if its colours would be others than before."""
        self._soon.stop()
        layer, values = self._layer, self._columns.get(self.column)
        self.bar.setVisible(values is not None)
        self.outliers_box.setVisible(values is not None)
        if layer is None:
            return
        is_ours = coloured_by(layer) is not None
        if values is None and self._faint is None:
            if is_ours:
                layer.colormap = self._own_colours()
            self._drawn = self._before = None
            return
        if not is_ours:
            self._before = layer.colormap
        labels = self._columns["label"]
        if values is None:
            colours = np.asarray(self._own_colours().map(labels), np.float32)
        else:
            low, high = self._range(values)
            self.bar.show_range(low, high)
            colours = value_colours(values, low, high)
        if self._faint is not None:
            colours = faded(colours, ~np.isin(labels, self._faint))
        drawn = (labels, colours)
        if is_ours and self._drawn is not None and all(map(np.array_equal, drawn, self._drawn)):
            return
        self._drawn = drawn
        colour_cells(layer, labels, colours, name=self.column)

    def _own_colours(self) -> Any:
        """Colormap that the layer had before; a colour for each number if that is not known."""
        return label_colormap() if self._before is None else self._before

    def _range(self, values: NDArray[Any]) -> tuple[float, float]:
        known = np.asarray(values, float)
        known = known[np.isfinite(known)]
        if not known.size:
            return 0.0, 0.0
        if values.dtype.kind == "b" or not self.outliers_box.isChecked():
            return float(known.min()), float(known.max())
        low, high = np.percentile(known, _PERCENTILES)
        return float(low), float(high)
