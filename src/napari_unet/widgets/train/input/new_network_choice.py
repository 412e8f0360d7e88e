"""The choice of what a network is that begins with nothing."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget

from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.parts import in_column, narrow_form

_DIMENSIONS = (("Each slice by itself (2-D)", 2), ("Whole volumes (3-D)", 3))


class NewNetworkChoice(QWidget):
    """A box to begin with nothing, and below it what is then made.

    Of single images a network is 2-D; where there are stacks, people choose.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.anew_box = QCheckBox("Begin with nothing")
        self.anew_box.setToolTip(
            "<qt>Make a new network instead of going on from the model above. It needs far more "
            "labelled cells and time.</qt>"
        )
        self.dimension_choice = OfferBox()
        self.dimension_choice.offer(_DIMENSIONS)
        self._has_stacks = False
        rows = narrow_form()
        self._dimension_row = _row(
            "It reads",
            self.dimension_choice,
            (
                "<qt>What the network sees at once. A 3-D network tells cells apart that lie above "
                "each other, and needs labels through all slices and far more time.</qt>"
            ),
        )
        rows.addRow(*self._dimension_row)
        in_column(self.anew_box, rows, within=self)
        self._show_what_applies()
        self.anew_box.toggled.connect(self._on_changed)
        self.dimension_choice.currentIndexChanged.connect(self._on_changed)

    @property
    def begins_anew(self) -> bool:
        """Whether a new network is to be made."""
        return self.anew_box.isChecked()

    @property
    def ndim(self) -> int:
        """Axes that the new network reads at once."""
        return int(self.dimension_choice.chosen) if self._has_stacks else 2

    def show_stacks(self, *, are_there: bool) -> None:
        """Ask for the dimension if there are stacks."""
        self._has_stacks = are_there
        self._show_what_applies()

    def _on_changed(self, _value: object = None) -> None:
        self._show_what_applies()
        self.changed.emit()

    def _show_what_applies(self) -> None:
        for part in self._dimension_row:
            part.setVisible(self.begins_anew and self._has_stacks)


def _row(text: str, field: QWidget, tooltip: str) -> tuple[QLabel, QWidget]:
    caption = QLabel(text)
    for part in (caption, field):
        part.setToolTip(tooltip)
    return caption, field
