"""Scores with their intervals, and how many cells became what: the legend of the error layer."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_unet.files.report.verdicts import VERDICT_COLOURS, VERDICT_WORDS

if TYPE_CHECKING:
    from napari_unet.widgets.evaluate.comparison import Compared

_TOOLTIP = (
    "<qt>Cells that share more than half of the smaller one belong together. Such a place is "
    "<b>right</b> if it is one true and one found cell that overlap enough; otherwise it is one "
    "error: <b>missed</b> (no found cell), <b>false</b> (no true one), <b>merged</b> (several true "
    "in one found), <b>split</b> (one true in several found), <b>cut otherwise</b> (several in "
    "several others), or <b>poor outline</b>.<br>Beside each count stands the share of the true "
    "cells, of the false ones that of the found cells, with its interval of 95 %.</qt>"
)
_NUMBER_STYLE = "padding-left: 10px"


class Figures(QLabel):
    """A small table in rich text; no room while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setToolTip(_TOOLTIP)
        self.show_compared(None)

    def show_compared(self, compared: Compared | None) -> None:
        """Show scores and counts."""
        self.setVisible(compared is not None)
        self.setText("" if compared is None else f"{_scores(compared)}{_counts(compared)}")


def _scores(compared: Compared) -> str:
    from napari_unet.engine.labels.evaluation import FEWEST_CELLS

    evaluation, at = compared.errors.evaluation, compared.errors.right_iou
    if not evaluation.has_figures:
        return f"Fewer than {FEWEST_CELLS} true cells are too few for scores.<br>"
    score = evaluation.pooled(at)
    rows = [
        ("F1", score.f1, evaluation.interval(at, "f1")),
        ("AP", score.average_precision, evaluation.interval(at)),
        ("precision", score.precision, evaluation.interval(at, "precision")),
        ("recall", score.recall, evaluation.interval(at, "recall")),
        ("mean IoU", evaluation.mean_matched_iou, evaluation.matched_iou_interval()),
    ]
    return _table(
        [
            (name, f"<b>{value:.2f}</b>", f"{low:.2f} to {high:.2f}")
            for name, value, (low, high) in rows
        ]
    )


def _counts(compared: Compared) -> str:
    rows = []
    for each in compared.shares:
        swatch = f"<span style='color: {VERDICT_COLOURS[each.verdict]}'>■</span>"
        share = ""
        if compared.errors.evaluation.has_figures:
            share = f"{100 * each.low:.0f} to {100 * each.high:.0f} %"
        cells = each.found_cells if each.verdict == "false" else each.true_cells
        rows.append((f"{swatch} {escape(VERDICT_WORDS[each.verdict])}", f"{cells:,}", share))
    return _table(rows)


def _table(rows: list[tuple[str, str, str]]) -> str:
    html = "<table>"
    for name, value, interval in rows:
        html += (
            f"<tr><td>{name}</td><td align='right' style='{_NUMBER_STYLE}'>{value}</td>"
            f"<td style='{_NUMBER_STYLE}'>{interval}</td></tr>"
        )
    return f"{html}</table>"
