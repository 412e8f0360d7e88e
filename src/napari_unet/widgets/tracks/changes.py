"""The offer to follow cells anew once their labels have changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.shared.cells.edits import LabelEdits
from napari_unet.widgets.shared.parts import action_button, in_column
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.layers import Labels


class ChangedSince(QWidget):
    """Says that labels have changed since their cells were followed; no room until then."""

    wanted = Signal()
    """The cells of `layer` are to be followed anew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: Labels | None = None
        """The layer that was edited last."""
        self._edits: list[LabelEdits] = []
        self.sentence = Sentence()
        self.button = action_button(
            "Follow anew",
            "Link the cells once more, as they are now. Tracks keep their numbers as far as they "
            "are the same; the labels change in one step, which undo takes back.",
            self.wanted,
        )
        in_column(self.sentence, self.button, within=self)
        self.hide()

    def watch(self, layers: Sequence[Labels]) -> None:
        """Tell of edits of these layers from now on, and of none before."""
        for edits in self._edits:
            edits.follow(None)
            edits.deleteLater()
        self._edits, self.layer = [], None
        for layer in layers:
            edits = LabelEdits(self)
            edits.follow(layer)
            edits.edited.connect(partial(self.offer, layer))
            self._edits.append(edits)
        self.hide()

    def offer(self, layer: Labels) -> None:
        """Say that a layer was edited."""
        if self.layer is None or self.layer != layer:
            self.layer = layer
            self.sentence.show_text(f"'{layer.name}' has changed since its cells were followed.")
            self.show()
