"""The fields of the Batch widget: images, folder of the results, and what is written there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QPushButton, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.files.images import IMAGE_SUFFIXES
from napari_unet.widgets.batch.rows import BatchTable
from napari_unet.widgets.shared.choices import OfferBox
from napari_unet.widgets.shared.parts import action_button, in_column, in_row, narrow_form
from napari_unet.widgets.shared.remembered import Remembered, setting_of
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.shared.texts import FaintLabel

_RESULTS = "cells"
"""Folder that is proposed, beside the images."""


class BatchForm(QWidget):
    """Builds the fields and says what they hold; it runs nothing."""

    files_chosen = Signal(list)
    """Carries paths of files and folders."""
    layers_wanted = Signal()
    """All image layers are to be added."""
    folder_changed = Signal()
    """The results are to lie in another folder."""

    def __init__(self) -> None:
        super().__init__()
        self._build_input()
        self._build_results()
        self.table = BatchTable()
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip(
            "<qt>Take the selected rows out of the queue; what was written stays.</qt>"
        )
        self.save_button = QPushButton("Save corrections")
        self.save_button.setToolTip(
            "<qt>Write the cells that are open, as you have corrected them, into their file, and "
            "measure them anew for the tables.</qt>"
        )
        self.save_button.setEnabled(False)
        self.panel = RunPanel("Run", "Do what waits; what is done is not done again.")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip(
            "<qt>Finish the images in work, end a training where it stands, and begin no more. Run "
            "goes on, also after napari was closed, or on the command line: napari-unet segment "
            "--continue -o FOLDER</qt>"
        )
        self.pause_button.setEnabled(False)
        add = in_row(self.files_button, self.folder_button, self.layers_button, spacing=3)
        below = in_row(self.remove_button, self.save_button, spacing=3)
        parts = (add, self._fields, self.about, self.tables_box, self.overlay_box)
        column = in_column(
            *parts, self.replace_box, self.panel, self.pause_button, self.table, below, within=self
        )
        column.setStretchFactor(self.table, 1)

    def _build_input(self) -> None:
        self.files_button = action_button(
            "Add files…", "Choose image files.", self._on_files_clicked
        )
        self.folder_button = action_button(
            "Add folder…", "Add all images of a folder, without its subfolders.", self._on_folder
        )
        self.layers_button = action_button(
            "Add layers",
            "Add all image layers of the viewer. One that has no file is written into the folder "
            "of the results, so that the queue can go on later.",
            self.layers_wanted,
        )
        self.about = FaintLabel()

    def _build_results(self) -> None:
        self.folder_edit = QLineEdit()
        self.folder_edit.setPlaceholderText("folder")
        self.folder_edit.setToolTip(
            "<qt>Folder of the results: a label image for each image, the table summary.csv, and "
            "the queue. If there is a queue already, its rows are shown, and Run goes on.</qt>"
        )
        self.folder_edit.editingFinished.connect(self._on_folder_edited)
        self._shown = ""
        browse = action_button("…", "Choose the folder of the results.", self._on_browse_clicked)
        browse.setFixedWidth(34)
        self._fields = narrow_form()
        row = QWidget()
        in_row(self.folder_edit, browse, within=row, spacing=2).setStretch(0, 1)
        self._fields.addRow("Results", row)
        self.model_box = OfferBox()
        self.model_box.setToolTip(
            "<qt>Model of new rows: that of Segment cells, or one that a training of this queue "
            "makes before them.</qt>"
        )
        self._fields.addRow("Model", self.model_box)
        self.offer_models({})
        self.tables_box = QCheckBox("Measure the cells")
        self.tables_box.setToolTip(
            "<qt>Also write a table of the cells of each image, into the folder measurements.</qt>"
        )
        self.tables_box.setChecked(True)
        self.overlay_box = QCheckBox("Pictures with outlines")
        self.overlay_box.setToolTip(
            "<qt>Also write a PNG of each image with its cells outlined, into the folder "
            "overlay.</qt>"
        )
        self.replace_box = QCheckBox("Replace results")
        self.replace_box.setToolTip(
            "<qt>Results that lie in the folder and are not of this queue are replaced; without "
            "it nothing is.</qt>"
        )
        self.remembered = Remembered(
            "Batch",
            {"tables": setting_of(self.tables_box), "overlay": setting_of(self.overlay_box)},
            self,
        )

    @property
    def extras(self) -> dict[str, str]:
        """What is written beside the labels, as `plan_outputs` takes it."""
        measurements = {"measurements": ".csv"} if self.tables_box.isChecked() else {}
        return measurements | ({"overlay": ".png"} if self.overlay_box.isChecked() else {})

    @property
    def folder(self) -> Path | None:
        """Where the results go."""
        text = self.folder_edit.text().strip()
        return Path(text).expanduser() if text else None

    def results_folder(self) -> Path:
        """Where the results go.

        Raises
        ------
        UNetError
            If that was not said.
        """
        if self.folder is None:
            raise UNetError("There is no folder for the results; choose one with '…'.")
        return self.folder.absolute()

    def offer_models(self, made: Mapping[str, str]) -> None:
        """Offer models that trainings of the queue make, by name their files."""
        offers = [("that of Segment cells", "")]
        offers += [(f"{name}, of this queue", file) for name, file in made.items()]
        self.model_box.offer(offers)
        self._fields.setRowVisible(self.model_box, bool(made))

    def choose_folder(self, folder: Path) -> None:
        """Have the results lie in a folder."""
        self.folder_edit.setText(str(folder))
        self._on_folder_edited()

    def propose_folder(self, images: Path) -> None:
        """Have the results lie beside images, if no folder was chosen."""
        if self.folder is None:
            self.choose_folder(images / _RESULTS)

    def show_running(self, *, is_running: bool) -> None:
        """Allow what makes sense while images are segmented."""
        for each in (self.files_button, self.folder_button, self.layers_button):
            each.setEnabled(not is_running)
        for widget in (self.folder_edit, self.model_box, self.replace_box, self.remove_button):
            widget.setEnabled(not is_running)
        self.pause_button.setEnabled(is_running)
        self.pause_button.setText("Pause")

    def _on_files_clicked(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
        files, _ = QFileDialog.getOpenFileNames(
            self, "Choose images", "", f"Images ({endings});;All files (*)"
        )
        if files:
            self.files_chosen.emit([Path(each) for each in files])

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose a folder of images")
        if folder:
            self.files_chosen.emit([Path(folder)])

    def _on_browse_clicked(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder of the results")
        if folder:
            self.choose_folder(Path(folder))

    def _on_folder_edited(self) -> None:
        text = self.folder_edit.text().strip()
        if text != self._shown:
            self._shown = text
            self.folder_changed.emit()
