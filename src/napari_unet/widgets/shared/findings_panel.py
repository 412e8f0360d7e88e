"""What may spoil the work, each beside a bar whose colour says how bad it is, with the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QWidget

from napari_unet.engine.checks.finding import RUN
from napari_unet.widgets.shared.parts import in_column
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari_unet.engine.checks.finding import Finding

_COLOURS = {"error": "#d9534f", "warning": "#e0a030", "note": "#5b8fc9"}
"""The worst first."""

_MOST_SHOWN = 6
_CHANGE = "Change the form as this says; nothing runs yet."
_CHANGE_AND_RUN = "Change the form as this says, and run."
_UNDO = "Undo (Ctrl+Z in the layer) takes it back."
_REPAIRS = {
    "mask": "Give each separate piece a number of its own.",
    "disconnected": "The largest piece keeps its number, the others get new ones.",
    "specks": "Make the specks background.",
    "holes": "Give each hole to the cell around it.",
}

_LEADS = {
    "untouched": "<qt>Go through the places in which the model is least sure.</qt>",
    "discs": "<qt>Give discs that overlap one number; 'Cells are' takes it back.</qt>",
}
"""What a button does that changes nothing, or can be taken back."""


class FindingsPanel(QWidget):
    """Shows findings, errors first; what is over is counted. Without any it takes no room."""

    remedy_chosen = Signal(dict)
    """Carries the changes of the form of the finding whose button was pressed."""
    repair_chosen = Signal(object)
    """Carries the `Finding` itself, where its labels are to be repaired."""

    def __init__(self) -> None:
        super().__init__()
        self._findings: tuple[Finding, ...] = ()
        self._layout = in_column(within=self)
        self.setVisible(False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them in the order of what is shown."""
        return self._findings

    @property
    def texts(self) -> list[str]:
        """The sentences that are shown."""
        return [finding.text for finding in self._findings[:_MOST_SHOWN]]

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Replace what is shown."""
        order = list(_COLOURS)
        before = self._findings
        self._findings = tuple(sorted(findings, key=lambda each: order.index(each.severity)))
        if self._findings == before:
            return
        while (item := self._layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for finding in self._findings[:_MOST_SHOWN]:
            self._layout.addWidget(self._entry(finding))
        more = len(self._findings) - _MOST_SHOWN
        if more > 0:
            self._layout.addWidget(QLabel(f"and {more} more"))
        self.setVisible(bool(self._findings))

    def _entry(self, finding: Finding) -> QFrame:
        entry = QFrame()
        entry.setObjectName("finding")
        colour = _COLOURS[finding.severity]
        entry.setStyleSheet(f"QFrame#finding {{ border-left: 3px solid {colour}; }}")
        text = Sentence()  # names of layers may hold anything
        text.show_text(finding.text)
        layout = in_column(text, within=entry)
        layout.setContentsMargins(6, 0, 0, 0)
        if finding.remedy:
            layout.addWidget(self._button(finding))
        for remedy, changes in finding.other_remedies.items():
            layout.addWidget(self._button(replace(finding, remedy=remedy, changes=changes)))
        return entry

    def _button(self, finding: Finding) -> QPushButton:
        button = QPushButton(finding.remedy.replace("&", "&&"))  # one alone marks a key
        repair = _REPAIRS.get(finding.code, "Put the labels right.")
        change = _CHANGE_AND_RUN if finding.changes.keys() >= RUN.keys() else _CHANGE
        leads = _LEADS.get(finding.code, change if finding.changes else "")
        button.setToolTip(leads or f"<qt>{repair} {_UNDO}</qt>")
        button.clicked.connect(partial(self._on_clicked, finding))
        return button

    def _on_clicked(self, finding: Finding, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 - as Qt calls it
        if finding.changes:
            self.remedy_chosen.emit(dict(finding.changes))
        else:
            self.repair_chosen.emit(finding)
