"""The pairs that are learned from: rows of an image layer and its labels, and folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.viewer.results import SCORES_KEY
from napari_unet.widgets.shared.parts import action_button, in_column, in_row
from napari_unet.widgets.train.input.pair_rows import FolderRow, PairRow, RemovableRow

if TYPE_CHECKING:
    from napari.components import ViewerModel

_Row = TypeVar("_Row", bound=RemovableRow)


class PairsList(QWidget):
    """Any number of pairs of layers, and of folders; the first follows the selected layers."""

    changed = Signal()
    """The pairs are others now."""
    listed = Signal()
    """Other layers are offered, or the same under other names."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[PairRow] = []
        self.folder_rows: list[FolderRow] = []
        self.add_button = action_button(
            "Add a pair",
            "Learn from another image layer and its labels, too.",
            self._on_add_clicked,
        )
        self.folders_button = action_button(
            "Add folders…",
            "Learn from files, too: first choose a folder of images, then one of label images with "
            "the same names (cells.tif or cells_masks.tif for cells.png).",
            self._on_folders_clicked,
        )
        self._pairs_layout, self._folders_layout = in_column(spacing=3), in_column(spacing=3)
        buttons = in_row(self.add_button, self.folders_button, spacing=3)
        in_column(self._pairs_layout, self._folders_layout, buttons, within=self, spacing=3)
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

    @property
    def subject(self) -> object:
        """What is learned from, and what it is called."""
        return [row.subject for row in self.rows], self.folders

    def add_folders(self, images: Path, labels: Path) -> None:
        """Put a row for two folders above the buttons."""
        self._add(FolderRow(images, labels), self.folder_rows, self._folders_layout)

    def add_row(self) -> PairRow:
        """Put a row below the others."""
        row = PairRow(self._viewer, follows_active=not self.rows)
        row.changed.connect(self.changed)
        row.listed.connect(self.listed)
        self._add(row, self.rows, self._pairs_layout)
        return row

    def _add(self, row: _Row, rows: list[_Row], layout: QVBoxLayout) -> None:
        row.removed.connect(partial(self._remove, row, rows))
        layout.addWidget(row)
        rows.append(row)
        self._show_what_applies()
        self.changed.emit()

    def _remove(self, row: _Row, rows: list[_Row]) -> None:
        rows.remove(row)
        row.hide()
        row.deleteLater()
        self._show_what_applies()
        self.changed.emit()

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

    def _show_what_applies(self) -> None:
        # The last pair stays.
        for row in self.rows:
            row.remove_button.setVisible(len(self.rows) > 1)
