"""Writes the loaded model for other programs: asks, works beside the window, and can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.session import Session
from napari_unet.viewer.layers import LayerImage, read_layer
from napari_unet.viewer.worker import Job
from napari_unet.widgets.model.export_dialog import ExportDialog
from napari_unet.widgets.model.jobs import export, list_formats
from napari_unet.widgets.shared.image_layers import SelectedImage

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.export.export import ExportFormat, ExportReport
    from napari_unet.engine.networks.network import Network

_CAPTION = "Export…"


class ExportJob(QObject):
    """Belongs to a button, which turns into Stop while it runs."""

    told = Signal(str)
    """Carries how far it is, or how it went."""
    failed = Signal(object)
    """Carries the exception; no file was written."""

    def __init__(
        self, viewer: ViewerModel, session: Session, image: SelectedImage, button: QPushButton
    ) -> None:
        super().__init__(button)
        self._viewer, self._session, self._image = viewer, session, image
        self._job = Job(self)
        self._button = button
        self.dialog: ExportDialog | None = None
        self.folder = ""
        button.setText(_CAPTION)
        button.setToolTip(
            "<qt>Write the loaded model for other programs: as a bioimage.io package, as ONNX, or "
            "as weights for PyTorch.</qt>"
        )
        button.clicked.connect(self._on_clicked)

    @property
    def is_running(self) -> bool:
        """Whether something is being written."""
        return self._job.is_running

    def stop(self) -> None:
        """Write no further; no file is left."""
        if self.dialog is not None:
            self.dialog.close()
        self._job.stop()

    def _on_clicked(self) -> None:
        if self.is_running:
            self._job.stop()
            return
        network = self._session.network
        if network is None:
            return
        if not network.description.architecture.is_trainable:
            self.failed.emit(UNetError(ready_made_sentence(self._session)))
            return
        self._run(list_formats, self._ask)

    def _run(self, work: Callable[[], Any], on_result: Callable[[Any], None]) -> None:
        self._button.setText("Stop")
        self._job.start(
            work,
            on_report=self._on_reported,
            on_result=on_result,
            on_error=self.failed.emit,
            on_stop=self._on_stopped,
            on_end=self._on_ended,
        )

    def _ask(self, formats: tuple[ExportFormat, ...]) -> None:
        network, layer = self._session.network, self._image.layer
        if network is None:
            return
        name = "" if layer is None else str(layer.name)
        self.dialog = ExportDialog(
            formats, network.description.licence, name, self._button.window()
        )
        self.dialog.accepted.connect(partial(self._on_accepted, network))
        self.dialog.finished.connect(self._on_closed)
        self.dialog.open()

    def _on_closed(self) -> None:
        self.dialog = None

    def _on_accepted(self, network: Network) -> None:
        dialog = self.dialog
        if dialog is None:
            return
        try:
            settings = dialog.settings()
            image = self._selected_image(network) if dialog.shows_image else None
        except UNetError as error:
            self.failed.emit(error)
            return
        kind = dialog.format
        start = Path(self.folder) / f"{network.description.name}{kind.suffix}"
        name, _ = QFileDialog.getSaveFileName(
            self._button.window(),
            f"Export as {kind.title}",
            str(start),
            f"{kind.title} (*{kind.suffix})",
        )
        if not name:
            return
        self.folder = str(Path(name).parent)
        work = partial(export, network, Path(name), settings, image, format=kind.name)
        self._run(work, self._on_written)
        self.told.emit("Exporting …")

    def _selected_image(self, network: Network) -> LayerImage | None:
        layer = self._image.layer
        if layer is None:
            return None
        ndim = network.description.architecture.ndim
        return read_layer(layer, self._viewer.dims, network_ndim=ndim, extent="slice")

    def _on_reported(self, report: ExportReport) -> None:
        if report.stage:
            self.told.emit(f"Exporting: {report.stage} ({report.step + 1} of {report.steps}) …")

    def _on_written(self, report: ExportReport) -> None:
        result = report.result
        if result is None:
            return
        beside = "".join(f" and '{path.name}'" for path in result.beside)
        checks = " ".join(result.checks)
        self.told.emit(f"Exported as '{result.path}'{beside}. {checks}".strip())

    def _on_stopped(self) -> None:
        self.told.emit("Stopped; nothing was written.")

    def _on_ended(self) -> None:
        self._button.setText(_CAPTION)


def ready_made_sentence(session: Session) -> str:
    """Why a ready-made network is not written anew, and what to do instead."""
    name = session.network.description.name if session.network else ""
    return (
        f"'{name}' is a ready-made network, which runs as it is and cannot be taken apart; pass on "
        f"the file that it came in: '{session.source}'."
    )
