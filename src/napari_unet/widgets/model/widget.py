"""The Model widget: which network finds the cells, what it is good for, and where it runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QFormLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.session import Session, shared_session
from napari_unet.viewer.commands import open_widget
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.model.concerns import MemoryFit, ModelConcerns
from napari_unet.widgets.model.export_job import ExportJob, ready_made_sentence
from napari_unet.widgets.model.guesses.panel import GuessesPanel
from napari_unet.widgets.model.jobs import save_model
from napari_unet.widgets.model.network_panel import NetworkPanel
from napari_unet.widgets.model.text import STYLE, model_html
from napari_unet.widgets.shared.device_choice import DeviceChoice
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.image_layers import SelectedImage
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.parts import (
    Scrolled,
    action_button,
    in_row,
    while_alive,
)
from napari_unet.widgets.shared.texts import Sentence, TextBlock

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import Network

_SUFFIX = ".safetensors"


class ModelWidget(DockedForm):
    """Choose, open and save a model, and read what it is.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    """

    def __init__(self, napari_viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__(napari_viewer)
        self._session = session or shared_session()
        self._saving = Job(self)
        self._build()
        self.setAcceptDrops(True)
        self._session.network_loaded.connect(self._show_model)
        self._show_model()
        self.model_choice.load(self._session.source)

    def _build(self) -> None:
        self.sentence = Sentence()
        self.model_choice = ModelChoice(self._session, file_text="Open…")
        self.model_choice.load_started.connect(self._on_load_started)
        self.model_choice.load_finished.connect(self.sentence.show_text)
        self.model_choice.load_failed.connect(self._on_failed)
        self.device_choice = DeviceChoice(self._session)
        self.model_choice.devices_found.connect(self.device_choice.choose_remembered)
        self.image = SelectedImage(self._viewer, self)
        self.network_panel = NetworkPanel(self._session, self.image)
        self.fit = MemoryFit(self.image, self._session, self.device_choice)
        self.concerns = ModelConcerns(self._viewer, self._session, self.image)
        self.concerns.segment_wanted.connect(self._on_remedy_chosen)
        self.guesses = GuessesPanel(self._viewer, self._session, self.image)
        self.guesses.changed.connect(self.sentence.show_text)
        self.guesses.failed.connect(self._on_failed)
        self.text = TextBlock(STYLE)
        self.text.setToolTip("What the model says about itself; the text can be copied.")
        self.save_button = action_button(
            "Save…",
            "Write the loaded model to a file of your own, with all that is known about it.",
            self._on_save_clicked,
        )
        self.export_button = QPushButton()
        self.export = ExportJob(self._viewer, self._session, self.image, self.export_button)
        self.export.told.connect(self.sentence.show_text)
        self.export.failed.connect(self._on_failed)
        self.segment_button = action_button(
            "Segment…",
            "Open the widget that finds the cells of an image with this model.",
            self._on_segment_clicked,
        )
        self.segment_button.setVisible(self._has_window)
        self._lay_out()
        self.sentence.follow(
            lambda: self._session.model,
            self._session.network_loaded,
            self.image.changed,
            self.device_choice.activated,
        )

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.model_choice)
        form.addRow("Device", self.device_choice)
        self.scrolled = QWidget()
        middle = QVBoxLayout(self.scrolled)
        middle.setContentsMargins(0, 0, 4, 0)
        for part in (self.network_panel, self.concerns, self.fit, self.guesses, self.text):
            middle.addWidget(part)
        middle.addStretch()
        scroll = Scrolled(self.scrolled)
        buttons = in_row(self.save_button, self.export_button, self.segment_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.sentence)
        layout.addWidget(scroll, 1)
        layout.addLayout(buttons)

    @property
    def _has_window(self) -> bool:
        return getattr(self._viewer, "window", None) is not None

    @while_alive
    def _show_model(self, _network: Network | None = None) -> None:
        model = self._session.model
        self.save_button.setEnabled(model is not None)
        self.export_button.setEnabled(model is not None)
        self.text.setHtml(model_html(model) if model else "<p>No model is loaded.</p>")

    def _on_load_started(self, name: str) -> None:
        self.sentence.show_text(f"Loading the model '{name}' …")

    def _on_failed(self, error: Exception) -> None:
        self._fail(failure_sentence(error, kept="The loaded model is as it was."))

    def _fail(self, message: str) -> None:
        self.sentence.show_error(message)
        show_error(message)

    def _on_save_clicked(self) -> None:
        network = self._session.network
        if network is None:
            return
        if not network.description.architecture.is_trainable:
            self._fail(ready_made_sentence(self._session))
            return
        start = Path(self.model_choice.recent.folder) / f"{network.description.name}{_SUFFIX}"
        name, _ = QFileDialog.getSaveFileName(
            self, "Save a copy of the model", str(start), f"U-Net models (*{_SUFFIX})"
        )
        if not name:
            return
        # The dialog asked about overwriting the name that it was given, and only that.
        file = Path(name)
        save = partial(save_model, network, file, overwrite=file.suffix == _SUFFIX)
        self._saving.start(save, on_result=self._on_saved, on_error=self._on_failed)

    def _on_saved(self, file: Path) -> None:
        self.model_choice.remember(str(file))
        self.sentence.show_text(f"Saved as '{file}'.")

    def _on_segment_clicked(self) -> None:
        open_widget(self._viewer, "Segment cells")

    def _on_remedy_chosen(self, layer: Any, changes: dict[str, Any]) -> None:
        if self._has_window:
            form = open_widget(self._viewer, "Segment cells").form
            form.layer_choice.choose_layer(layer)
            form.apply_changes(changes)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files that are dragged here."""
        if event is not None and _files(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Load the model file that is dropped here."""
        files = _files(event) if event is not None else []
        if event is None or not files:
            return
        event.acceptProposedAction()
        if len(files) == 1:
            self.model_choice.open(files[0])
        else:
            self._fail(f"{len(files)} files were dropped here; drop one model file.")

    def stop_all(self) -> None:
        """Stop all that this form has begun."""
        self.model_choice.stop()
        self.device_choice.stop()
        self.network_panel.stop()
        self.concerns.stop()
        self.guesses.stop()
        self.export.stop()


def _files(event: QDropEvent) -> list[str]:
    data = event.mimeData()
    return [url.toLocalFile() for url in data.urls() if url.isLocalFile()] if data else []
