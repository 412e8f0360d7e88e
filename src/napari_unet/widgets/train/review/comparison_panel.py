"""What a retrained model does differently, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPixmap
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QWidget

from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.review.change_layer import CHANGE_COLOURS

if TYPE_CHECKING:
    from napari_unet.engine.labels.comparison import Change, Comparison

_MOST_LISTED = 200
_IN_A_ROW = 2
_SWATCH_PX = 12
_CELL_STYLE = "padding-right: 10px"
_MOST_ROWS_SEEN = 7
_FRAME_PX = 6
_COUNTS_TOOLTIP = (
    "<qt>Cells that only the new model finds are <b>gained</b>, those that only the old one found "
    "are <b>lost</b>. <b>Split</b>: one became several. <b>Merged</b>: several became one. "
    "<b>Regrouped</b>: several became others. <b>Reshaped</b>: another outline.</qt>"
)


class ComparisonPanel(QWidget):
    """Counts and a list of changes."""

    change_chosen = Signal(object)
    """Carries the `Change` whose row was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._changes: tuple[Change, ...] = ()
        self.heading, self.counts = QLabel(), QLabel()
        self.heading.setWordWrap(True)
        self.counts.setToolTip(_COUNTS_TOOLTIP)
        self.list = _ChangeList()
        self.list.setToolTip("Click a change to see it; the arrow keys go through all of them.")
        self.list.itemClicked.connect(self._on_item_clicked)
        self.more = Sentence()
        in_column(self.heading, self.counts, self.list, self.more, within=self)
        self.clear()

    def show_comparison(self, comparison: Comparison, part: str = "") -> None:
        """Replace what is shown.

        Parameters
        ----------
        part : str
            What was compared: "What was in view, 300 x 400 pixels".
        """
        self._changes = comparison.changes
        self.heading.setText(f"{part}: {_heading(comparison)}" if part else _heading(comparison))
        self.counts.setText(_counts(comparison))
        self._fill_list()
        self.setVisible(True)

    def clear(self) -> None:
        """Show nothing."""
        self._changes = ()
        self.list.clear()
        self.setVisible(False)

    def _fill_list(self) -> None:
        self.list.clear()
        swatches = {kind: _swatch(colour) for kind, colour in CHANGE_COLOURS.items()}
        for change in self._changes[:_MOST_LISTED]:
            item = QListWidgetItem(_described(change))
            item.setData(Qt.ItemDataRole.DecorationRole, swatches[change.kind])
            self.list.addItem(item)
        self.list.setVisible(bool(self._changes))
        rows = min(self.list.count(), _MOST_ROWS_SEEN)
        self.list.setFixedHeight(max(rows, 1) * max(self.list.sizeHintForRow(0), 1) + _FRAME_PX)
        more = len(self._changes) - _MOST_LISTED
        self.more.show_text(f"and {more:,} smaller ones" if more > 0 else "")

    def _on_item_clicked(self, item: QListWidgetItem) -> None:
        self.change_chosen.emit(self._changes[self.list.row(item)])


class _ChangeList(QListWidget):
    """A list in which the arrow keys count as clicks."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        before = self.currentRow()
        super().keyPressEvent(event)
        item = self.currentItem()
        if item is not None and self.currentRow() != before:
            self.itemClicked.emit(item)


def _swatch(colour: str) -> QPixmap:
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(QColor(colour))
    return pixmap


def _heading(comparison: Comparison) -> str:
    cells = f"{comparison.before_cells:,} cells before, {comparison.after_cells:,} after"
    return f"{cells}, {comparison.unchanged:,} unchanged."


def _counts(comparison: Comparison) -> str:
    """Make a table of the kinds, each with its colour."""
    cells = [
        f"<span style='color: {CHANGE_COLOURS[kind]}'>■</span> {comparison.counts[kind]:,} {kind}"
        for kind in CHANGE_COLOURS
    ]
    return _table([cells[start : start + _IN_A_ROW] for start in range(0, len(cells), _IN_A_ROW)])


def _table(rows: list[list[str]]) -> str:
    html = "<table>"
    for row in rows:
        html += "<tr>" + "".join(f"<td style='{_CELL_STYLE}'>{cell}</td>" for cell in row) + "</tr>"
    return html + "</table>"


def _described(change: Change) -> str:
    """One line of the list: what became of which cells, and whether it is better."""
    before, after = len(change.before_ids), len(change.after_ids)
    size = f"{change.before_px:,} → {change.after_px:,} px"
    words = {
        "gained": f"gained, {change.after_px:,} px",
        "lost": f"lost, {change.before_px:,} px",
        "split": f"split into {after}, {size}",
        "merged": f"{before} merged, {size}",
        "regrouped": f"{before} became {after}, {size}",
        "reshaped": f"reshaped, {size}",
    }[change.kind]
    verdict = {None: "", True: ": better", False: ": worse"}[change.is_better]
    return words + verdict
