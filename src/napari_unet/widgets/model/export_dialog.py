"""Asks for whom a model is written, and what that needs beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.engine.base.setting_texts import setting_texts
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.widgets.shared.choices import keep_narrow
from napari_unet.widgets.shared.parts import narrow_form
from napari_unet.widgets.shared.texts import FaintLabel, Sentence

if TYPE_CHECKING:
    from napari_unet.engine.export.export import ExportFormat

_LICENCES = ("CC-BY-4.0", "CC0-1.0", "BSD-3-Clause", "MIT", "Apache-2.0", "GPL-3.0-or-later")
_WIDTH_PX = 420


class ExportDialog(QDialog):
    """A format, and for a bioimage.io package whose model it is.

    Parameters
    ----------
    licence : str
        The model's own; empty if it says none.
    image_name : str
        Of the selected image; empty without one.
    """

    def __init__(
        self, formats: Sequence[ExportFormat], licence: str, image_name: str, parent: QWidget | None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Export the model")
        self._formats = tuple(formats)
        self.format_box = QComboBox()
        keep_narrow(self.format_box, characters=20)
        for each in formats:
            self.format_box.addItem(each.title, each.name)
        self.purpose = FaintLabel()
        self.missing = Sentence()
        self.licence_box = QComboBox()
        self.licence_box.setEditable(True)
        self.licence_box.addItems(["", *_LICENCES])
        line = self.licence_box.lineEdit()
        if line is not None:
            line.setPlaceholderText(f"as it is: {licence}" if licence else "needed: choose one")
        self.authors_line = QLineEdit()
        self.authors_line.setPlaceholderText("names, with commas between them")
        self.citations_line = QLineEdit()
        self.citations_line.setPlaceholderText("DOIs, with commas between them")
        self.image_box = QCheckBox(f"Show a part of '{image_name}' in it")
        self.image_box.setVisible(bool(image_name))
        self.image_box.setToolTip(
            "<qt>A package holds one image to test it with, which everybody who gets it can see. "
            "Without this tick it is a bundled image.</qt>"
        )
        self._has_image = bool(image_name)
        self.buttons = QDialogButtonBox()
        self.save_button = self.buttons.addButton(
            "Choose a file…", QDialogButtonBox.ButtonRole.AcceptRole
        )
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()
        self.format_box.currentIndexChanged.connect(self._show_format)
        self._show_format()

    def _lay_out(self) -> None:
        texts = setting_texts(ExportSettings)
        self._about = QWidget()
        form = narrow_form()
        self._about.setLayout(form)
        for caption, name, field in (
            ("Licence", "licence", self.licence_box),
            ("Authors", "authors", self.authors_line),
            ("To be cited", "citations", self.citations_line),
        ):
            field.setToolTip(f"<qt>{texts[name]}</qt>")
            form.addRow(caption, field)
        form.addRow(self.image_box)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Write the model as"))
        for part in (self.format_box, self.purpose, self.missing, self._about, self.buttons):
            layout.addWidget(part)
        self.setMinimumWidth(_WIDTH_PX)

    @property
    def format(self) -> ExportFormat:
        """The chosen format."""
        return self._formats[max(0, self.format_box.currentIndex())]

    @property
    def shows_image(self) -> bool:
        """Whether a part of the selected image goes into the package."""
        return self._has_image and self._is_package and self.image_box.isChecked()

    @property
    def _is_package(self) -> bool:
        return self.format.name == "bioimageio"

    def settings(self) -> ExportSettings:
        """What was filled in.

        Raises
        ------
        SettingsError
            If a name or a DOI is none.
        """
        if not self._is_package:
            return ExportSettings()
        return ExportSettings(
            licence=self.licence_box.currentText().strip() or None,
            authors=_parts(self.authors_line.text()),
            citations=_parts(self.citations_line.text()),
        )

    def _show_format(self, _index: int = 0) -> None:
        chosen = self.format
        self.purpose.show_text(f"For {chosen.purpose}.")
        self.missing.show_text("")
        if not chosen.is_installed:
            self.missing.show_error(
                "This needs further packages; install them and start napari again: "
                f'pip install "napari-unet-cells[{chosen.extra}]"'
            )
        if self.save_button is not None:
            self.save_button.setEnabled(chosen.is_installed)
        self._about.setVisible(self._is_package)
        self.adjustSize()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
