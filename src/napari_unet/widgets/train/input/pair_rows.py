"""Rows of what is learned from: an image layer and its labels, or two folders."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_unet.viewer.layers import full_resolution
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow

if TYPE_CHECKING:
    from napari.components import ViewerModel


_NARROWEST = 5
"""Characters of a name that are always in sight: two boxes share a narrow dock."""


class RemovableRow(QWidget):
    """A row that can be taken away.

    Attributes
    ----------
    removed : Signal
        The row is not wanted any more.
    """

    removed = Signal()

    def __init__(self, *parts: QWidget, tooltip: str) -> None:
        super().__init__()
        self.remove_button = QToolButton()
        self.remove_button.setText("✕")
        self.remove_button.setToolTip(tooltip)
        self.remove_button.clicked.connect(self.removed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in parts:
            layout.addWidget(part, 1)
        layout.addWidget(self.remove_button)


class PairRow(RemovableRow):
    """An image layer beside the labels layer that belongs to it.

    Attributes
    ----------
    changed : Signal
        Another layer was chosen.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, *, follows_active: bool) -> None:
        image_choice, labels_choice = choices = [
            LayerChoice(viewer, kind, follows_active=follows_active) for kind in (Image, Labels)
        ]
        super().__init__(*choices, tooltip="Do not learn from this pair.")
        self._viewer = viewer
        self.image_choice, self.labels_choice = image_choice, labels_choice
        self.image_choice.setToolTip("Image layer to learn from.")
        self.labels_choice.setToolTip(
            "<qt>Labels layer with the cells of that image, as you would like to have them.</qt>"
        )
        for choice in choices:
            keep_narrow(choice, characters=_NARROWEST)
        self.image_choice.currentIndexChanged.connect(self._on_image_chosen)
        self.labels_choice.currentIndexChanged.connect(self._on_labels_chosen)
        self._on_image_chosen(0)

    @property
    def layers(self) -> tuple[Image | None, Labels | None]:
        """What is chosen."""
        return self.image_choice.layer, self.labels_choice.layer

    def _on_image_chosen(self, _index: int) -> None:
        image, labels = self.layers
        if image is not None and not _belong_together(image, labels):
            labels_layers = [each for each in self._viewer.layers if isinstance(each, Labels)]
            fitting = [each for each in labels_layers if _belong_together(image, each)]
            if fitting:
                self.labels_choice.choose_layer(fitting[-1])
        self.changed.emit()

    def _on_labels_chosen(self, _index: int) -> None:
        self.changed.emit()


def _belong_together(image: Image, labels: Labels | None) -> bool:
    """Whether Segment made the labels of the image, or they at least have its size."""
    if labels is None:
        return False
    source = labels.metadata.get(METADATA_KEY, {}).get("image_id")
    if source is not None:
        return bool(source == str(image.unique_id))
    shape = full_resolution(image).shape
    return bool(np.shape(labels.data)[-2:] == shape[: image.ndim][-2:])


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
