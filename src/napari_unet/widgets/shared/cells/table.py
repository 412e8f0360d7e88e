"""The table of measurements: a row for each cell, which can be sorted and chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    Qt,
    Signal,
)
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

    @property
    def labels(self) -> NDArray[Any]:
        """(rows,) the cells, in the order of the rows."""
        return self._columns[0][self._order] if self._columns else np.zeros(0, np.int64)

    def show_columns(
        self, columns: Mapping[str, NDArray[Any]], *, keeps_order: bool = False
    ) -> None:
        """Show another table, the label first, sorted as the one before.

        Parameters
        ----------
        keeps_order : bool
            Whether cells of a table of the same columns keep their rows: new
            cells come last then, until somebody sorts.
        """
        is_kept = keeps_order and self._order.size > 0 and list(columns) == self._names
        before = self.labels
        self._names, values = list(columns), list(columns.values())
        is_same_rows = is_kept and np.array_equal(values[0], np.sort(before))
        if not is_same_rows:
            self.beginResetModel()
        self._columns = values
        if is_kept:
            self._order = _as_before(before, values[0])
        else:
            self._order = self._sorted()
        if is_same_rows:
            last = self.index(self._order.size - 1, len(self._names) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
        else:
            self.endResetModel()

    def bring_up(self, labels: NDArray[Any]) -> int:
        """Sort with the rows of some cells at the top; count them."""
        order = self._sorted()
        is_chosen = np.isin(self._columns[0][order] if self._columns else order, labels)
        self._reorder(np.concatenate([order[is_chosen], order[~is_chosen]]))
        return int(is_chosen.sum())

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
        self._sorting = (column, order)
        self._reorder(self._sorted())

    def _reorder(self, order: NDArray[np.intp]) -> None:
        self.layoutAboutToBeChanged.emit()
        old, self._order = self._order, order
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


def _as_before(before: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.intp]:
    """Order labels as they stood before, and new ones behind."""
    ranks = np.full(labels.size, before.size)
    if before.size:
        ascending = np.argsort(before)
        places = np.searchsorted(before[ascending], labels).clip(max=before.size - 1)
        was = ascending[places]
        ranks = np.where(before[was] == labels, was, ranks)
    return np.argsort(ranks, kind="stable")


class CellTable(QTableView):
    """Shows a `CellModel`, whose columns have this width until somebody drags them."""

    cell_chosen = Signal(object)  # an int of Qt has 32 bits
    """A person has gone to the row of a cell; carries its label."""
    selected = Signal(object)
    """Other rows are selected; carries the (N,) labels of their cells."""

    def __init__(self, *, column_px: int = _COLUMN_PX) -> None:
        super().__init__()
        self.cells = CellModel()
        self.setModel(self.cells)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
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
        self._selection.selectionChanged.connect(self._on_selected)

    @property
    def chosen(self) -> int | None:
        """The cell whose row is selected; of several the one that was gone to."""
        index = self._selection.currentIndex()
        is_chosen = index.isValid() and self._selection.isSelected(index)
        return self.cells.label_at(index.row()) if is_chosen else None

    @property
    def selected_labels(self) -> NDArray[Any]:
        """(N,) cells whose rows are selected."""
        ranges = self._selection.selection()
        ends = (ranges[at] for at in range(len(ranges)))
        parts = [(each.top(), each.bottom()) for each in ends]
        rows = [np.arange(top, bottom + 1) for top, bottom in sorted(set(parts))]
        found: NDArray[Any] = self.cells.labels[np.concatenate(rows)] if rows else np.zeros(0, int)
        return found

    @property
    def _selection(self) -> QItemSelectionModel:
        selection = self.selectionModel()
        assert selection is not None  # noqa: S101 - there is one with a model
        return selection

    def show_columns(
        self, columns: Mapping[str, NDArray[Any]], *, keeps_order: bool = False
    ) -> None:
        """Show another table, see `CellModel`; cells stay selected if they are in it."""
        chosen, selected, bar = self.chosen, self.selected_labels, self.verticalScrollBar()
        place = 0 if bar is None else bar.value()
        self.cells.show_columns(columns, keeps_order=keeps_order)
        if selected.size > 1:
            self._select(np.flatnonzero(np.isin(self.cells.labels, selected)))
        elif chosen is not None and not np.array_equal(self.selected_labels, [chosen]):
            self.choose(chosen)
        if keeps_order and bar is not None:
            bar.setValue(place)

    def choose_all(self, labels: NDArray[Any]) -> None:
        """Select the rows of some cells, and bring them to the top; cells are not gone to."""
        with signals_blocked(self):
            self.clearSelection()
            self._select(np.arange(self.cells.bring_up(labels)))
            self.scrollToTop()
        self.selected.emit(self.selected_labels)

    def _select(self, rows: NDArray[np.intp]) -> None:
        chosen, last = QItemSelection(), self.cells.columnCount() - 1
        ends = np.flatnonzero(np.diff(rows) > 1)
        for part in np.split(rows, ends + 1) if rows.size else ():
            top, bottom = int(part[0]), int(part[-1])
            chosen.select(self.cells.index(top, 0), self.cells.index(bottom, last))
        with signals_blocked(self):
            self._selection.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def choose(self, label: int) -> None:
        """Select the row of a cell and scroll to it, without telling anybody."""
        row = self.cells.row_of(label)
        with signals_blocked(self):
            if row is None:
                self.clearSelection()
            else:
                self.selectRow(row)
                self.scrollTo(self.cells.index(row, 0))
        self.selected.emit(self.selected_labels)

    def _on_gone_to(self, index: QModelIndex, _before: QModelIndex = _NOWHERE) -> None:
        if index.isValid():
            self.cell_chosen.emit(self.cells.label_at(index.row()))

    def _on_selected(self, *_ranges: Any) -> None:
        self.selected.emit(self.selected_labels)


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
