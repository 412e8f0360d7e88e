"""Rows of what is learned from: an image layer with its labels, or two folders."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QWidget

from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow
from napari_unet.widgets.shared.parts import in_column, in_row, while_alive
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.train.input.partners import REASONS, Partners

if TYPE_CHECKING:
    from napari.components import ViewerModel

_NARROWEST = 5
"""Characters of a name that are always in sight: two boxes share a narrow dock."""


class RemovableRow(QWidget):
    """A row that can be taken away."""

    removed = Signal()
    """The row is not wanted any more."""

    def __init__(self, *parts: QWidget, tooltip: str, note: QWidget | None = None) -> None:
        super().__init__()
        self.remove_button = QToolButton()
        self.remove_button.setText("✕")
        self.remove_button.setToolTip(tooltip)
        self.remove_button.clicked.connect(self.removed)
        layout = in_row(*parts, self.remove_button, spacing=4)
        for place in range(len(parts)):
            layout.setStretch(place, 1)
        in_column(layout, *((note,) if note else ()), within=self, spacing=1)


class LabelsChoice(LayerChoice[Labels]):
    """Labels layers, of which none is chosen until somebody or something says which."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, Labels, follows_active=False)

    def offer(self, entries: Sequence[tuple[str, Any]]) -> bool:
        """Offer layers; what is no longer among them leaves no choice."""
        chosen, before = self.chosen, self.blockSignals(True)
        is_other = super().offer(entries)
        if chosen not in [value for _, value in entries]:
            self.setCurrentIndex(-1)
        self.setPlaceholderText("choose the labels" if entries else "no labels yet")
        self.blockSignals(before)
        return is_other


class PairRow(RemovableRow):
    """An image layer beside the labels layer that belongs to it, and how that is known.

    Parameters
    ----------
    partners : Partners
        Of all rows.
    follows_active : bool
        Choose the layer that is selected in the list, and what belongs to it.
    """

    changed = Signal()
    """Another layer was chosen."""
    listed = Signal()
    """Other layers are offered, or the same under other names."""

    def __init__(self, viewer: ViewerModel, partners: Partners, *, follows_active: bool) -> None:
        self.image_choice = LayerChoice(viewer, Image, follows_active=False)
        self.labels_choice = LabelsChoice(viewer)
        self.note = Sentence()
        super().__init__(
            self.image_choice,
            self.labels_choice,
            tooltip="Do not learn from this pair.",
            note=self.note,
        )
        self._viewer = viewer
        self._partners = partners
        self._is_pairing = False
        self._shown: Labels | None = None
        self.image_choice.setToolTip("Image layer to learn from.")
        self.labels_choice.setToolTip(
            "<qt>Labels layer with the cells of that image, as you would like to have them.</qt>"
        )
        for choice in (self.image_choice, self.labels_choice):
            keep_narrow(choice, characters=_NARROWEST)
            choice.listed.connect(self._on_listed)
        self.image_choice.currentIndexChanged.connect(self._on_image_chosen)
        self.labels_choice.currentIndexChanged.connect(self._on_labels_chosen)
        self._pair()
        if follows_active:
            viewer.layers.selection.events.active.connect(self._on_active_changed)
            self._on_active_changed()

    @property
    def layers(self) -> tuple[Image | None, Labels | None]:
        """What is chosen."""
        return self.image_choice.layer, self.labels_choice.layer

    @property
    def subject(self) -> object:
        """What is chosen, and what it is called."""
        return self.image_choice.subject, self.labels_choice.subject

    @property
    def question(self) -> str:
        """Which labels are to be chosen, in a sentence; empty if that is known."""
        image, labels = self.layers
        if image is None or labels is not None or not self.labels_choice.count():
            return ""
        return (
            f"Choose the labels of '{image.name}': neither their names nor where they came from "
            "tell which ones they are."
        )

    def _pair(self) -> None:
        """Choose the labels of the image, as far as anything tells which they are."""
        image = self.image_choice.layer
        found = None if image is None else self._partners.labels_of(image)
        self._is_pairing = True
        if found is None:
            self.labels_choice.setCurrentIndex(-1)
        else:
            self.labels_choice.choose_layer(found[0])
            self._partners.pair(image, *found)
        self._is_pairing = False
        self._shown = self.labels_choice.layer
        self._show_note(REASONS[found[1]] if found else "")
        self.changed.emit()

    def _show_note(self, reason: str) -> None:
        if self.question:
            self.note.show_error(self.question)
        else:
            self.note.show_text(reason)

    def _on_image_chosen(self, _index: int) -> None:
        if not self._is_pairing:
            self._pair()

    def _on_labels_chosen(self, _index: int) -> None:
        image, labels = self.layers
        if self._is_pairing:
            return
        if image is None or labels is None:
            self._pair()
        elif labels is self._shown:  # it was given other data
            self.changed.emit()
        else:
            self._partners.pair(image, labels, "chosen")
            self._pair()

    def _on_listed(self) -> None:
        # What nothing told before a new layer, or another name, may tell now.
        if self._viewer.layers and self.labels_choice.layer is None:
            self._pair()
        self.listed.emit()

    @while_alive
    def _on_active_changed(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels) and active is not self.labels_choice.layer:
            found = self._partners.image_of(active)
            if found is not None:
                self._partners.pair(found[0], active, found[1])
                self.image_choice.choose_layer(found[0])
                self._pair()
        elif isinstance(active, Image):
            self.image_choice.choose_layer(active)


class FolderRow(RemovableRow):
    """A folder of images and one of label images with the same names."""

    def __init__(self, images: Path, labels: Path) -> None:
        text = QLabel(f"{images.name} / {labels.name}")
        text.setToolTip(
            f"<qt>Images in {escape(str(images))}, labels in {escape(str(labels))}</qt>"
        )
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        super().__init__(text, tooltip="Do not learn from these folders.")
        self.images, self.labels = images, labels
