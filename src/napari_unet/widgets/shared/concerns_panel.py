"""What may go wrong, in plain words, each with the one click that puts it right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_unet.widgets.shared.notices import Notice, Notices

if TYPE_CHECKING:
    from napari_unet.engine.checks.guard import Concern

_REMEDY = "Change the form as this says; nothing runs yet."


class ConcernsPanel(Notices):
    """Shows concerns, most important first; nothing where there are none.

    Attributes
    ----------
    remedy_chosen : Signal
        Carries the changes of the concern whose button was pressed.
    """

    remedy_chosen = Signal(dict)

    def __init__(self) -> None:
        super().__init__()
        self._concerns: tuple[Concern, ...] = ()
        self.button_clicked.connect(self._on_button_clicked)

    def show_concerns(self, concerns: Sequence[Concern]) -> None:
        """Replace what is shown."""
        self._concerns = tuple(concerns)
        self.show_notices(
            [Notice(each.severity, each.text, each.remedy, _REMEDY) for each in concerns]
        )

    def _on_button_clicked(self, place: int) -> None:
        self.remedy_chosen.emit(dict(self._concerns[place].changes))
