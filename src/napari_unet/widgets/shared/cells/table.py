"""The table of measurements: a row for each cell, which can be sorted and chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QTableView
from superqt.utils import signals_blocked

_LEAST_HEIGHT_PX = 160
_COLUMN_PX = 90
_BESIDE_PX = 6
_DIGITS = 6
_NOWHERE = QModelIndex()


class CellModel(QAbstractTableModel):
    """Columns of arrays, one row for each cell, in an order of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._columns: list[NDArray[Any]] = []
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        self._sorting = (0, Qt.SortOrder.AscendingOrder)

    def show_columns(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Show another table, the label first, sorted as the one before."""
        self.beginResetModel()
        self._names, self._columns = list(columns), list(columns.values())
        self._order = self._sorted()
        self.endResetModel()

    def label_at(self, row: int) -> int:
        """Return the cell in a row."""
        return int(self._columns[0][self._order[row]])

    def row_of(self, label: int) -> int | None:
        """Return the row of a cell; None if it has none."""
        if not self._columns:
            return None
        (rows,) = np.nonzero(self._columns[0][self._order] == label)
        return int(rows[0]) if rows.size else None

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Count the cells."""
        return 0 if parent.isValid() else self._order.size

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Count what was measured."""
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of an entry, and on which side it stands."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return _text(self._columns[index.column()][self._order[index.row()]])

    def headerData(  # noqa: N802 - Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the name of a column."""
        is_text = role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
        if orientation == Qt.Orientation.Horizontal and is_text:
            return self._names[section]
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, empty entries last; a cell that is chosen stays chosen."""
        self.layoutAboutToBeChanged.emit()
        self._sorting = (column, order)
        old, self._order = self._order, self._sorted()
        rows = np.empty_like(self._order)
        rows[self._order] = np.arange(rows.size)
        for index in self.persistentIndexList():
            moved = self.index(int(rows[old[index.row()]]), index.column())
            self.changePersistentIndex(index, moved)
        self.layoutChanged.emit()

    def _sorted(self) -> NDArray[np.intp]:
        column, order = self._sorting
        if not self._columns:
            return np.zeros(0, np.intp)
        values = self._columns[column if 0 <= column < len(self._columns) else 0]
        is_falling = order == Qt.SortOrder.DescendingOrder
        if values.dtype.kind not in "biuf":
            _, values = np.unique(values.astype(str), return_inverse=True)
        numbers = values.astype(float)
        return np.argsort(-numbers if is_falling else numbers, kind="stable")


class CellTable(QTableView):
    """Shows a `CellModel`, whose columns have this width until somebody drags them."""

    cell_chosen = Signal(int)
    """A person has gone to the row of a cell; carries its label."""

    def __init__(self, *, column_px: int = _COLUMN_PX) -> None:
        super().__init__()
        self.cells = CellModel()
        self.setModel(self.cells)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(_LEAST_HEIGHT_PX)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and columns is not None:
            rows.hide()
            rows.setDefaultSectionSize(self.fontMetrics().height() + _BESIDE_PX)
            columns.setDefaultSectionSize(column_px)
            columns.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.clicked.connect(self._on_gone_to)
        # By the keys, too.
        self._selection.currentRowChanged.connect(self._on_gone_to)

    @property
    def chosen(self) -> int | None:
        """The cell whose row is selected."""
        rows = self._selection.selectedRows()
        return self.cells.label_at(rows[0].row()) if rows else None

    @property
    def _selection(self) -> QItemSelectionModel:
        selection = self.selectionModel()
        assert selection is not None  # noqa: S101 - there is one with a model
        return selection

    def show_columns(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Show another table; the chosen cell stays chosen if it is in it."""
        chosen = self.chosen
        self.cells.show_columns(columns)
        if chosen is not None:
            self.choose(chosen)

    def choose(self, label: int) -> None:
        """Select the row of a cell and scroll to it, without telling anybody."""
        row = self.cells.row_of(label)
        with signals_blocked(self):
            if row is None:
                self.clearSelection()
            else:
                self.selectRow(row)
                self.scrollTo(self.cells.index(row, 0))

    def _on_gone_to(self, index: QModelIndex, _before: QModelIndex = _NOWHERE) -> None:
        if index.isValid():
            self.cell_chosen.emit(self.cells.label_at(index.row()))


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
