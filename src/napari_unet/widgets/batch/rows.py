"""The table of a batch: a row for each image and each training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_unet.batch.queue import Entry
from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.widgets.batch.sources import LayerSource

_COLUMNS = ("Image", "State", "Cells", "Doubt", "s", "Remarks")
_LEAST_HEIGHT_PX = 200
_BESIDE_PX = 6
_WIDTHS_PX = (86, 62, 40, 48, 36)
_NARROWEST_PX = 20
_NOWHERE = QModelIndex()
_NUMBERS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class Row:
    """One image or training: of the queue, or about to be added to it."""

    source: Path | LayerSource | None = None
    entry: Entry | None = None

    @property
    def title(self) -> str:
        """The name of the image or the training, short enough for a narrow dock."""
        if isinstance(self.entry, TrainingEntry):
            return f"Train {self.entry.name}"
        if self.entry is not None:
            return self.entry.title
        return str(self.source.name) if self.source is not None else ""

    @property
    def file(self) -> str:
        """The image's file, as far as there is one, or that of the model."""
        if isinstance(self.entry, TrainingEntry):
            return str(self.entry.output)
        if self.entry is not None:
            return str(self.entry.planned.source)
        return str(self.source) if isinstance(self.source, Path) else self.title

    @property
    def remarks(self) -> str:
        """Why it failed, what may be wrong with its result, or what came of a training."""
        if self.entry is None:
            return ""
        if isinstance(self.entry, TrainingEntry):
            return self.entry.remarks
        text = self.entry.error or " ".join(self.entry.outcome.warnings)
        # Whose row it is stands in front.
        return text.replace(f"'{self.file}'", "The file")

    def texts(self, share: float | None) -> tuple[str, ...]:
        """What stands in the columns, while so much of it is done."""
        entry = self.entry
        if entry is None:
            return (self.title, "new", "", "", "", "")
        state: str = entry.state
        seconds = "" if entry.outcome.seconds is None else f"{entry.outcome.seconds:.1f}"
        if isinstance(entry, TrainingEntry):
            state = "not better" if entry.outcome.is_refused else state
            state = state if share is None else f"{100 * share:.0f} %"
            return (self.title, state, "", "", seconds, self.remarks)
        outcome = entry.outcome
        if state == "done" and (entry.is_corrected or outcome.doubt):
            state = "corrected" if entry.is_corrected else "in doubt"
        if share is not None:
            state = f"{100 * share:.0f} %"
        return (
            self.title,
            state,
            "" if outcome.cells is None else str(outcome.cells),
            "" if outcome.mean_doubt is None else f"{outcome.mean_doubt:.2f}",
            seconds,
            self.remarks,
        )


class BatchModel(QAbstractTableModel):
    """Rows in the order in which they were added."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._shares: dict[Path, float] = {}
        self._places: dict[Path, int] = {}

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows, self._shares = list(rows), {}
        self._places = {
            row.entry.output: place for place, row in enumerate(rows) if row.entry is not None
        }
        self.endResetModel()

    def show_entry(self, entry: Entry) -> None:
        """Show how it went with an image or a training."""
        place = self._places.get(entry.output)
        if place is not None:
            self.rows[place] = Row(entry=entry)
            self._changed(place)

    def show_shares(self, shares: Mapping[Path, float]) -> None:
        """Show how much of those in work is done, 0 to 1."""
        before, self._shares = self._shares, dict(shares)
        for output in before.keys() | shares.keys():
            if output in self._places and before.get(output) != shares.get(output):
                self._changed(self._places[output])

    def _changed(self, place: int) -> None:
        self.dataChanged.emit(self.index(place, 0), self.index(place, len(_COLUMNS) - 1))

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Count the rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Count what is told of each."""
        return 0 if parent.isValid() else len(_COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of an entry, all of it as its tooltip."""
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.TextAlignmentRole and column in _NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        share = None if row.entry is None else self._shares.get(row.entry.output)
        if role == Qt.ItemDataRole.DisplayRole:
            return row.texts(share)[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            # Whichever column: in a narrow dock the last ones are out of sight.
            return f"<qt>{escape(row.file)}<p>{escape(row.remarks)}</qt>"
        return None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        is_shown = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return _COLUMNS[section] if is_shown else None


class BatchTable(QTableView):
    """Shows a `BatchModel`."""

    entry_chosen = Signal(object)
    """A person has clicked on a row of the queue; carries its entry."""

    def __init__(self) -> None:
        super().__init__()
        self.images = BatchModel()
        self.setModel(self.images)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(_LEAST_HEIGHT_PX)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setToolTip(
            "<qt>A click on a row opens the image with its cells over it; on that of a training, "
            "it takes the model that was made.</qt>"
        )
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and columns is not None:
            rows.hide()
            rows.setDefaultSectionSize(self.fontMetrics().height() + _BESIDE_PX)
            columns.setMinimumSectionSize(_NARROWEST_PX)
            columns.setSectionResizeMode(len(_COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
            columns.setTextElideMode(Qt.TextElideMode.ElideRight)
            for section, width_px in enumerate(_WIDTHS_PX):
                columns.resizeSection(section, width_px)
        self.clicked.connect(self._on_clicked)
        self.activated.connect(self._on_clicked)  # by the keys, too

    @property
    def chosen(self) -> list[Row]:
        """The rows that are selected."""
        selection = self.selectionModel()
        places = [] if selection is None else sorted(i.row() for i in selection.selectedRows())
        return [self.images.rows[place] for place in places]

    def _on_clicked(self, index: QModelIndex) -> None:
        entry = self.images.rows[index.row()].entry
        if entry is not None and len(self.chosen) < 2:
            self.entry_chosen.emit(entry)
