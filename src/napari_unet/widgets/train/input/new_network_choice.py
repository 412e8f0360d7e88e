"""The choice of what a network is that begins with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QLineEdit, QWidget

from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.parts import in_column, narrow_form
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari_unet.engine.networks.annotation import LabelKind

_DIMENSIONS = (("Each slice by itself (2-D)", 2), ("Whole volumes (3-D)", 3))
_KINDS = (("Cells, a number for each", "cells"), ("Classes, a number for each", "classes"))


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
        self.kind_choice = OfferBox()
        self.kind_choice.offer(_KINDS)
        self.names_edit = QLineEdit()
        self.names_edit.setPlaceholderText("class 1, class 2, …")
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
        self._kind_row = _row(
            "Labels are",
            self.kind_choice,
            (
                "<qt>What the numbers of the Labels layers mean. <b>Cells</b>: each has a number "
                "of its own, and the network tells them apart. <b>Classes</b>: 1, 2, … are kinds "
                "of things, painted as scribbles, and the network gives each pixel a kind.</qt>"
            ),
        )
        self._names_row = _row(
            "Class names",
            self.names_edit,
            (
                "<qt>Names of the classes 1, 2, …, with commas between them. There are as many "
                "classes as the labels show, whether you name them or not.</qt>"
            ),
        )
        self.voxels = FaintLabel()
        self._voxels_row = _row(
            "Voxels",
            self.voxels,
            (
                "<qt>A new network does not shrink volumes along the slices until its voxels are "
                "about as high as wide. It is read from the layer's scale.</qt>"
            ),
        )
        rows.addRow(*self._voxels_row)
        rows.addRow(*self._kind_row)
        rows.addRow(*self._names_row)
        in_column(self.anew_box, rows, within=self)
        self._show_what_applies()
        self.anew_box.toggled.connect(self._on_changed)
        self.dimension_choice.currentIndexChanged.connect(self._on_changed)
        self.kind_choice.currentIndexChanged.connect(self._on_changed)
        self.names_edit.editingFinished.connect(self._on_changed)

    @property
    def begins_anew(self) -> bool:
        """Whether a new network is to be made."""
        return self.anew_box.isChecked()

    @property
    def ndim(self) -> int:
        """Axes that the new network reads at once."""
        return int(self.dimension_choice.chosen) if self._has_stacks else 2

    @property
    def label_kind(self) -> LabelKind:
        """What the numbers of the labels are to the new network."""
        kind: LabelKind = self.kind_choice.chosen
        return kind

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the first classes, as they were typed."""
        text = self.names_edit.text().strip()
        return tuple(name.strip() for name in text.split(",")) if text else ()

    def show_stacks(self, *, are_there: bool, voxels: str = "") -> None:
        """Ask for the dimension if there are stacks, and say how large the voxels of one are."""
        self._has_stacks = are_there
        self.voxels.show_text(voxels)
        self._show_what_applies()

    def _on_changed(self, _value: object = None) -> None:
        self._show_what_applies()
        self.changed.emit()

    def _show_what_applies(self) -> None:
        for row, applies in (
            (self._dimension_row, self._has_stacks),
            (self._voxels_row, self.ndim == 3 and bool(self.voxels.message)),
            (self._kind_row, True),
            (self._names_row, self.label_kind == "classes"),
        ):
            for part in row:
                part.setVisible(self.begins_anew and applies)


def _row(text: str, field: QWidget, tooltip: str) -> tuple[QLabel, QWidget]:
    caption = QLabel(text)
    for part in (caption, field):
        part.setToolTip(tooltip)
    return caption, field
