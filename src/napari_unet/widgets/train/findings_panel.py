"""What was found in the annotation before a training, each with the click that puts it right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_unet.widgets.shared.notices import Notice, Notices

if TYPE_CHECKING:
    from napari_unet.engine.checks.preflight import Finding

_MOST_SHOWN = 6
_ORDER = ("error", "warning", "note")
_UNDO = "Undo (Ctrl+Z in the layer) takes it back."
_TOOLTIPS = {
    "mask": f"<qt>Give each separate piece a number of its own. {_UNDO}</qt>",
    "disconnected": (
        f"<qt>The largest piece keeps its number, the others get new ones. {_UNDO}</qt>"
    ),
    "specks": f"<qt>Make the specks background. {_UNDO}</qt>",
    "holes": f"<qt>Give each hole to the cell around it. {_UNDO}</qt>",
}


class FindingsPanel(Notices):
    """Shows findings, errors first; what is over is counted.

    Attributes
    ----------
    repair_chosen : Signal
        Carries the `Finding` whose button was pressed.
    """

    repair_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._findings: tuple[Finding, ...] = ()
        self.button_clicked.connect(self._on_button_clicked)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them in the order of what is shown."""
        return self._findings

    @property
    def has_errors(self) -> bool:
        """Whether one of them keeps a training from starting."""
        return any(finding.severity == "error" for finding in self._findings)

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Replace what is shown."""
        self._findings = tuple(sorted(findings, key=lambda each: _ORDER.index(each.severity)))
        more = len(self._findings) - _MOST_SHOWN
        self.show_notices(
            [_notice(finding) for finding in self._findings[:_MOST_SHOWN]],
            foot=f"and {more} more" if more > 0 else "",
        )

    def _on_button_clicked(self, place: int) -> None:
        self.repair_chosen.emit(self._findings[place])


def _notice(finding: Finding) -> Notice:
    tooltip = _TOOLTIPS.get(finding.code, f"<qt>Put the labels right. {_UNDO}</qt>")
    return Notice(finding.severity, finding.text, finding.repair or "", tooltip)
