"""The Segment widget: an image layer in, a layer of cells out."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QCheckBox, QFormLayout, QVBoxLayout, QWidget

from napari_unet.engine.errors import UNetError
from napari_unet.installation import check_installation
from napari_unet.layers import LayerLabels, earlier_result, has_slices, read_layer, show_labels
from napari_unet.session import Session, shared_session
from napari_unet.widgets.choices import DeviceChoice, DiameterBox, LayerChoice
from napari_unet.widgets.jobs import segment_layer
from napari_unet.widgets.model_choice import ModelChoice
from napari_unet.widgets.run_panel import RunPanel
from napari_unet.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_unet.engine.network import Network
    from napari_unet.engine.segmentation import SegmentationReport

_log = logging.getLogger(__name__)


class SegmentWidget(QWidget):
    """Choose an image layer, press Run, get a Labels layer.

    Parameters
    ----------
    napari_viewer : napari viewer
    session : Session, optional
        Owner of the loaded network; without it the process's.
    """

    def __init__(self, napari_viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session or shared_session()
        self._worker: Worker | None = None
        self._layer: Image | None = None
        self._started_s = 0.0
        self._runs_when_loaded = False
        self._build()
        self._show_what_applies()
        self._session.network_loaded.connect(self._on_network_loaded)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self.model_choice.load(self._session.source)
        try:
            check_installation()
        except UNetError as error:
            self._on_failed(error)

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer)
        self.layer_choice.setToolTip("Image layer to segment; follows the layer you select.")
        self.layer_choice.currentIndexChanged.connect(self._show_what_applies)
        self.device_choice = DeviceChoice()
        self.device_choice.setToolTip(
            "Where the network runs. Automatic takes the GPU with the most free memory, "
            "or the processor where there is none."
        )
        self.model_choice = ModelChoice(self._session)
        self.model_choice.devices_found.connect(self.device_choice.add_devices)
        self.model_choice.load_failed.connect(self._on_failed)
        self.model_choice.load_finished.connect(self._on_load_finished)
        self.diameter_box = DiameterBox()
        self.every_slice_box = QCheckBox("Every slice")
        self.every_slice_box.setToolTip(
            "Segment all slices of the stack one by one. Unticked, only the slice that is shown."
        )
        self.panel = RunPanel("Run")
        self.panel.run_clicked.connect(self._on_run_clicked)
        self.panel.stop_clicked.connect(self.stop)
        form = QFormLayout()
        form.addRow("Image", self.layer_choice)
        form.addRow("Model", self.model_choice)
        form.addRow("Device", self.device_choice)
        form.addRow("Cell diameter", self.diameter_box)
        form.addRow(self.every_slice_box)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.panel)
        layout.addStretch()

    def run(self) -> None:
        """Segment the chosen layer, as soon as the model is loaded."""
        if self.model_choice.is_loading:
            self._runs_when_loaded = True
            self.panel.show_running("loading the model")
            return
        layer, network = self.layer_choice.layer, self._session.network
        if layer is None:
            self._fail("There is no image layer; open an image, or one of File > Open Sample.")
            return
        if network is None:
            self._fail("No model is loaded; choose one, or a model file with '…'.")
            return
        every_slice = self.every_slice_box.isChecked()
        try:
            check_installation()
            image = read_layer(
                layer,
                self._viewer.dims,
                network_ndim=network.description.unet.ndim,
                every_slice=every_slice,
            )
        except UNetError as error:
            self._on_failed(error)
            return
        earlier = earlier_result(self._viewer, image, network.description.name)
        self._layer, self._started_s = layer, time.perf_counter()
        device, diameter_px = self.device_choice.device, self.diameter_box.diameter_px
        self._worker = Worker(
            partial(segment_layer, image, network, earlier, device=device, diameter_px=diameter_px)
        )
        self._worker.reported.connect(self._on_reported)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        # The window may go at any moment; its threads go with it.
        self.destroyed.connect(self._worker.stop)
        self._worker.start()
        self.panel.show_running("segmenting")

    def stop(self, reason: str = "Stopped; the layers are as they were.") -> None:
        """Stop what runs; nothing is added to the viewer."""
        self._runs_when_loaded = False
        if self._worker is not None:
            self._worker.stop()
        if self.panel.is_running:
            self.panel.show_idle(reason)

    def reset_choices(self, event: Any = None) -> None:
        """List the image layers afresh; napari calls this when they change."""
        if isalive(self):
            self.layer_choice.reset_choices(event)

    def _on_run_clicked(self) -> None:
        self.run()

    def _on_network_loaded(self, _network: Network) -> None:
        if isalive(self):
            self._show_what_applies()

    def _on_load_finished(self) -> None:
        if self._runs_when_loaded:
            self._runs_when_loaded = False
            self.run()

    def _show_what_applies(self) -> None:
        layer, network = self.layer_choice.layer, self._session.network
        ndim = network.description.unet.ndim if network else 2
        self.every_slice_box.setVisible(layer is not None and has_slices(layer, ndim))
        self.diameter_box.show_trained(network.description.object_diameter_px if network else None)

    def _on_reported(self, report: SegmentationReport | LayerLabels) -> None:
        if isinstance(report, LayerLabels):
            return
        is_last = report.tile == report.tiles
        text = "telling cells apart" if is_last else f"tile {report.tile + 1} of {report.tiles}"
        if report.slices > 1:
            text = f"slice {report.slice_index + 1} of {report.slices}, {text}"
        done = report.slice_index * report.tiles + report.tile
        self.panel.show_progress(done, report.slices * report.tiles, text)

    def _on_finished(self, result: LayerLabels) -> None:
        show_labels(self._viewer, self._layer, result)
        name, seconds = result.provenance["image"], time.perf_counter() - self._started_s
        if result.cells == 0:
            text = (
                f"No cells were found in '{name}'; set the cell diameter, or choose another model."
            )
        else:
            cells = "1 cell" if result.cells == 1 else f"{result.cells} cells"
            text = f"{cells} in '{name}' ({seconds:.1f} s)."
        self.panel.show_idle(" ".join((text, *result.notes)))

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, UNetError):
            self._fail(str(error))
            return
        _log.error("Segmentation failed", exc_info=error)
        self._fail(
            f"Something went wrong that should not ({type(error).__name__}: {error}); "
            "the layers are as they were, the log has the details."
        )

    def _fail(self, message: str) -> None:
        self._runs_when_loaded = False
        if self._worker is None or not self._worker.is_running:
            self.panel.show_error(message)
        show_error(message)

    def _on_ended(self) -> None:
        self._worker = None
        self._layer = None

    def _on_layer_removed(self, _event: Any) -> None:
        if isalive(self) and self._layer is not None and self._layer not in self._viewer.layers:
            self.stop(f"Layer '{self._layer.name}' was removed; the segmentation stopped.")

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            left_dock = event.type() == QEvent.Type.ParentChange and self.parent() is None
            if left_dock or event.type() == QEvent.Type.Close:
                self._stop_all()
        return bool(super().event(event))

    def _stop_all(self) -> None:
        self.stop()
        self.model_choice.stop()
