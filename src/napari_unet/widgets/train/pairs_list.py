"""The pairs that are learned from: rows of an image layer and its labels, and folders."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.viewer.layers import full_resolution
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY
from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow

if TYPE_CHECKING:
    from napari.components import ViewerModel


_NARROWEST = 5
"""Characters of a name that are always in sight: two boxes share a narrow dock."""


class PairRow(QWidget):
    """An image layer beside the labels layer that belongs to it.

    Attributes
    ----------
    changed : Signal
        Another layer was chosen.
    removed : Signal
        The row is not wanted any more.
    """

    changed = Signal()
    removed = Signal()

    def __init__(self, viewer: ViewerModel, *, follows_active: bool) -> None:
        super().__init__()
        self._viewer = viewer
        self.image_choice = LayerChoice(viewer, Image, follows_active=follows_active)
        self.image_choice.setToolTip("Image layer to learn from.")
        self.labels_choice = LayerChoice(viewer, Labels, follows_active=follows_active)
        self.labels_choice.setToolTip(
            "<qt>Labels layer with the cells of that image, as you would like to have them.</qt>"
        )
        self.remove_button = QToolButton()
        self.remove_button.setText("✕")
        self.remove_button.setToolTip("Do not learn from this pair.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.image_choice, 1)
        layout.addWidget(self.labels_choice, 1)
        layout.addWidget(self.remove_button)
        for choice in (self.image_choice, self.labels_choice):
            keep_narrow(choice, characters=_NARROWEST)
        self.image_choice.currentIndexChanged.connect(self._on_image_chosen)
        self.labels_choice.currentIndexChanged.connect(self._on_labels_chosen)
        self.remove_button.clicked.connect(self.removed)
        self._on_image_chosen(0)

    @property
    def layers(self) -> tuple[Image | None, Labels | None]:
        """What is chosen."""
        return self.image_choice.layer, self.labels_choice.layer

    def _on_image_chosen(self, _index: int) -> None:
        image, labels = self.layers
        if image is not None and not _belong_together(image, labels):
            fitting = [each for each in self._labels_layers() if _belong_together(image, each)]
            if fitting:
                self.labels_choice.choose_layer(fitting[-1])
        self.changed.emit()

    def _on_labels_chosen(self, _index: int) -> None:
        self.changed.emit()

    def _labels_layers(self) -> list[Labels]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Labels)]


def _belong_together(image: Image, labels: Labels | None) -> bool:
    """Whether Segment made the labels of the image, or they at least have its size."""
    if labels is None:
        return False
    source = labels.metadata.get(METADATA_KEY, {}).get("image_id")
    if source is not None:
        return bool(source == str(image.unique_id))
    shape = full_resolution(image).shape
    return bool(np.shape(labels.data)[-2:] == shape[: image.ndim][-2:])


class FolderRow(QWidget):
    """A folder of images and one of label images with the same names.

    Attributes
    ----------
    removed : Signal
        The row is not wanted any more.
    """

    removed = Signal()

    def __init__(self, images: Path, labels: Path) -> None:
        super().__init__()
        self.images, self.labels = images, labels
        text = QLabel(f"{images.name} / {labels.name}")
        text.setToolTip(
            f"<qt>Images in {escape(str(images))}, labels in {escape(str(labels))}</qt>"
        )
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        remove_button = QToolButton()
        remove_button.setText("✕")
        remove_button.setToolTip("Do not learn from these folders.")
        remove_button.clicked.connect(self.removed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(text, 1)
        layout.addWidget(remove_button)


class PairsList(QWidget):
    """Any number of pairs of layers, and of folders; the first follows the selected layers.

    Parameters
    ----------
    viewer : napari viewer

    Attributes
    ----------
    changed : Signal
        The pairs are others now.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[PairRow] = []
        self.add_button = QPushButton("Add a pair")
        self.add_button.setToolTip("<qt>Learn from another image layer and its labels, too.</qt>")
        self.add_button.clicked.connect(self._on_add_clicked)
        self.folder_rows: list[FolderRow] = []
        self.folders_button = QPushButton("Add folders…")
        self.folders_button.setToolTip(
            "<qt>Learn from files, too: first choose a folder of images, then one of label images "
            "with the same names (cells.tif or cells_masks.tif for cells.png).</qt>"
        )
        self.folders_button.clicked.connect(self._on_folders_clicked)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.folders_button)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(3)
        self._layout.addLayout(buttons)
        self.add_row()

    @property
    def pairs(self) -> list[tuple[Image, Labels]]:
        """Rows that are complete, each pair of layers once."""
        complete: list[tuple[Image, Labels]] = []
        for row in self.rows:
            image, labels = row.layers
            if image is not None and labels is not None and (image, labels) not in complete:
                complete.append((image, labels))
        return complete

    @property
    def folders(self) -> list[tuple[Path, Path]]:
        """Folders of images, and of their labels."""
        return [(row.images, row.labels) for row in self.folder_rows]

    def add_folders(self, images: Path, labels: Path) -> None:
        """Put a row for two folders above the buttons."""
        row = FolderRow(images, labels)
        row.removed.connect(self._on_folder_removed)
        self._layout.insertWidget(len(self.rows) + len(self.folder_rows), row)
        self.folder_rows.append(row)
        self.changed.emit()

    def add_row(self) -> PairRow:
        """Put a row below the others."""
        row = PairRow(self._viewer, follows_active=not self.rows)
        row.changed.connect(self.changed)
        row.removed.connect(self._on_removed)
        self._layout.insertWidget(len(self.rows), row)
        self.rows.append(row)
        self._show_what_applies()
        self.changed.emit()
        return row

    def reset_choices(self, event: Any = None) -> None:
        """List the layers afresh."""
        if isalive(self):
            for row in self.rows:
                row.image_choice.reset_choices(event)
                row.labels_choice.reset_choices(event)

    def _on_add_clicked(self) -> None:
        row = self.add_row()
        used = [image for image, _ in self.pairs]
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and SCORES_KEY not in layer.metadata and layer not in used:
                row.image_choice.choose_layer(layer)
                break

    def _on_folders_clicked(self) -> None:
        images = QFileDialog.getExistingDirectory(self, "Choose the folder of the images")
        if not images:
            return
        beside = str(Path(images).parent)
        labels = QFileDialog.getExistingDirectory(self, "Choose the folder of their labels", beside)
        if labels:
            self.add_folders(Path(images), Path(labels))

    def _on_folder_removed(self) -> None:
        row = self.sender()
        if isinstance(row, FolderRow):
            self.folder_rows.remove(row)
            row.hide()
            row.deleteLater()
            self.changed.emit()

    def _on_removed(self) -> None:
        row = self.sender()
        if isinstance(row, PairRow) and len(self.rows) > 1:
            self.rows.remove(row)
            row.hide()
            row.deleteLater()
            self._show_what_applies()
            self.changed.emit()

    def _show_what_applies(self) -> None:
        for row in self.rows:
            row.remove_button.setVisible(len(self.rows) > 1)
