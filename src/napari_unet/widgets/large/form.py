"""The fields of the Large images widget: image, labels, and who segments its blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLabel, QLineEdit, QSpinBox, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.widgets.large.source import FileFacts, labels_beside
from napari_unet.widgets.large.work import Workers
from napari_unet.widgets.shared.choices import LayerChoice, OfferBox
from napari_unet.widgets.shared.parts import action_button, in_column, in_row, narrow_form
from napari_unet.widgets.shared.remembered import Remembered, Setting, setting_of
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.cluster.crew import CrewFacts

_PLACES = (
    ("this napari", "here"),
    ("workers on this computer", "workers"),
    ("run elsewhere", "elsewhere"),
)
NO_ADDRESS = (
    "There is no address of a scheduler; give the one that 'dask scheduler' prints, such as "
    "tcp://10.0.0.1:8786."
)

_MOST_WORKERS = 64
_ZARR = ".zarr"


class LargeForm(QWidget):
    """Builds the fields and says what they hold; it runs nothing."""

    connect_wanted = Signal(str)
    """Carries the address of a scheduler."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._facts: FileFacts | None = None
        self._proposed = ""
        self._build_image(viewer)
        self._build_workers()
        self.replace_box = QCheckBox("Replace labels")
        self.replace_box.setToolTip(
            "<qt>Labels that have this name already are replaced once the new ones are whole.</qt>"
        )
        self.panel = RunPanel(
            "Run",
            "<qt>Segment the image block by block. What was stopped or cut short goes on where it "
            "was.</qt>",
        )
        self.stage, self.dashboard = FaintLabel(), QLabel()
        self.dashboard.setWordWrap(True)
        self.dashboard.setOpenExternalLinks(True)
        self.dashboard.hide()
        self.remembered = Remembered(
            "Large images",
            {
                "place": setting_of(self.place_box),
                "workers": setting_of(self.count_box),
                "address": Setting(
                    self.address_edit.text,
                    self.address_edit.setText,
                    self.address_edit.editingFinished,
                ),
            },
            self,
        )
        self.foot = in_column()
        parts = (self._fields, self.crew, self.replace_box, self.panel, self.dashboard, self.stage)
        in_column(self.about, *parts, self.foot, within=self).addStretch()
        self._show_place()

    def _build_image(self, viewer: ViewerModel) -> None:
        self.about = FaintLabel()
        self.layer_choice = LayerChoice(viewer, Image)
        self.layer_choice.setToolTip(
            "<qt>Image layer whose file is segmented; follows the layer you select.</qt>"
        )
        self.channel_box = OfferBox()
        self.channel_box.setToolTip("<qt>Channel of the file that the network reads.</qt>")
        self.out_edit = QLineEdit()
        self.out_edit.setPlaceholderText("labels.ome.zarr")
        self.out_edit.setToolTip(
            "<qt>OME-Zarr for the labels, a folder whose name ends in .ome.zarr. What is known "
            "before they are whole lies beside it, up to 25 bytes for each pixel.</qt>"
        )
        browse = action_button("…", "Choose where the labels go.", self._on_browse_clicked)
        browse.setFixedWidth(34)
        row = QWidget()
        in_row(self.out_edit, browse, within=row, spacing=2).setStretch(0, 1)
        self._fields = narrow_form()
        self._fields.addRow("Image", self.layer_choice)
        self._fields.addRow("Channel", self.channel_box)
        self._fields.addRow("Labels", row)
        self._fields.setRowVisible(self.channel_box, False)

    def _build_workers(self) -> None:
        self.place_box = OfferBox()
        self.place_box.offer(_PLACES)
        self.place_box.setToolTip(
            "<qt><b>This napari</b>: one block after the other, here.<br><b>Workers on this "
            "computer</b>: processes that share its processors and memory.<br><b>Run elsewhere"
            "</b>: the workers of a scheduler of dask, on other computers, which must see the "
            "image and the labels under the same names. The labels are the same.</qt>"
        )
        self.place_box.currentIndexChanged.connect(self._show_place)
        self.count_box = QSpinBox()
        self.count_box.setRange(1, _MOST_WORKERS)
        self.count_box.setValue(Workers().count)
        self.count_box.setToolTip("<qt>Processes; each holds a block in memory.</qt>")
        self.address_edit = QLineEdit()
        self.address_edit.setPlaceholderText("tcp://10.0.0.1:8786")
        self.address_edit.setToolTip(
            "<qt>As <i>dask scheduler</i> prints it when it is started.</qt>"
        )
        self.address_edit.textChanged.connect(self.forget_crew)
        self.connect_button = action_button(
            "Connect",
            "Ask the scheduler for its workers, their versions and threads.",
            self._on_connect_clicked,
        )
        self._elsewhere = QWidget()
        in_row(self.address_edit, self.connect_button, within=self._elsewhere, spacing=2)
        self.crew = FaintLabel()
        self._fields.addRow("Where", self.place_box)
        self._fields.addRow("Workers", self.count_box)
        self._fields.addRow("Scheduler", self._elsewhere)

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        return self.layer_choice.layer

    @property
    def facts(self) -> FileFacts | None:
        """What its file says, as far as that is known."""
        return self._facts

    @property
    def channel(self) -> int | None:
        """The channel that is read, counted from 1; None for all."""
        channel: int | None = self.channel_box.chosen
        return channel

    def workers(self) -> Workers:
        """Who does the blocks.

        Raises
        ------
        UNetError
            If there is no address.
        """
        address = self.address_edit.text().strip()
        place = self.place_box.chosen
        if place == "elsewhere" and not address:
            raise UNetError(NO_ADDRESS)
        return Workers(place, self.count_box.value(), address)

    def out(self) -> Path:
        """Where the labels go.

        Raises
        ------
        UNetError
            If that was not said, or is no OME-Zarr.
        """
        text = self.out_edit.text().strip()
        if not text:
            raise UNetError("There is no name for the labels; choose one with '…'.")
        if not text.lower().endswith(_ZARR) and Path(text).parent.name != "labels":
            raise UNetError(
                f"Labels '{Path(text).name}' are written as OME-Zarr; give a name that ends in "
                ".ome.zarr."
            )
        return Path(text).expanduser().absolute()

    def show_file(self, facts: FileFacts | None) -> None:
        """Offer what a file has; None while that is not known."""
        self._facts = facts
        several = facts is not None and facts.channels > 1
        if facts is not None:
            self.propose(labels_beside(facts.path))
            numbers = range(1, facts.channels + 1)
            offers = [("all that the model reads", None), *((str(n), n) for n in numbers)]
            self.channel_box.offer(offers)
            self.channel_box.choose_value(facts.likely_channel)
        self._fields.setRowVisible(self.channel_box, several)

    def propose(self, out: Path) -> None:
        """Propose a place for the labels, unless another one was chosen by hand."""
        if self.out_edit.text().strip() in ("", self._proposed):
            self._proposed = str(out)
            self.out_edit.setText(self._proposed)

    def show_crew(self, facts: CrewFacts) -> None:
        """Say who will work."""
        versions = ", ".join(f"{name} {each}" for name, each in facts.versions.items())
        gpus = f", {_count(facts.gpus, 'graphics card')}" if facts.gpus else ""
        self.crew.show_text(
            f"{_count(facts.workers, 'worker')} with {_count(facts.threads, 'thread')}{gpus}; "
            f"{versions}."
        )
        self.show_dashboard(facts.dashboard)

    def show_dashboard(self, address: str) -> None:
        """Show the address of the page of dask."""
        self.dashboard.setText(f'What they do: <a href="{address}">{address}</a>')
        self.dashboard.setVisible(bool(address))

    def forget_crew(self) -> None:
        """Say nothing of workers any more."""
        self.crew.show_text("")
        self.dashboard.hide()

    def show_running(self, *, is_running: bool) -> None:
        """Allow what makes sense while an image is segmented."""
        for each in (self.layer_choice, self.channel_box, self.out_edit, self.place_box):
            each.setEnabled(not is_running)
        for other in (self.count_box, self._elsewhere, self.replace_box):
            other.setEnabled(not is_running)

    def _show_place(self) -> None:
        place = self.place_box.chosen
        self._fields.setRowVisible(self.count_box, place == "workers")
        self._fields.setRowVisible(self._elsewhere, place == "elsewhere")
        self.forget_crew()

    def _on_connect_clicked(self) -> None:
        self.connect_wanted.emit(self.address_edit.text().strip())

    def _on_browse_clicked(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Labels", self.out_edit.text(), "OME-Zarr (*.ome.zarr)"
        )
        if chosen:
            self.out_edit.setText(chosen)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
