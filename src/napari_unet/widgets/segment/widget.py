"""The Segment widget: an image layer in, a layer of cells out."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.installation import check_installation
from napari_unet.script import SegmentRecipe
from napari_unet.session import Session, shared_session
from napari_unet.viewer.commands import open_widget, segment_view
from napari_unet.viewer.layers import LayerImage, full_resolution, read_layer
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.segment.advice import Advice
from napari_unet.widgets.segment.form import SegmentForm
from napari_unet.widgets.segment.live import LiveLabels
from napari_unet.widgets.segment.result_layers import ResultLayers, view_of
from napari_unet.widgets.segment.runs import Drawn, Found, Opened, Recipe, Step, find_cells
from napari_unet.widgets.segment.script import segment_recipe
from napari_unet.widgets.shared.script_button import ScriptButton

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_unet.engine.base.settings import InstanceSettings
    from napari_unet.engine.networks.network import Network

_KEY_SEGMENT_VIEW = "Shift-U"
_NOTHING_CHANGED = "The layers are as they were."


class SegmentWidget(QWidget):
    """Choose an image layer, press Run, get a layer of cells that follows the thresholds.

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
        self._job = Job(self)
        self._layer: Image | None = None
        self._array: Any = None
        self._instances: InstanceSettings | None = None
        self._results = ResultLayers(napari_viewer)
        self._started_s = 0.0
        self._runs_when_loaded = False
        self._build()
        self.form.show_model(self._session.network.description if self._session.network else None)
        self._show_what_applies()
        self._session.network_loaded.connect(self._on_network_loaded)
        napari_viewer.bind_key(_KEY_SEGMENT_VIEW, self._on_key_segment_view, overwrite=True)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self.model_choice.load(self._session.source)
        try:
            check_installation()
        except UNetError as error:
            self._on_failed(error)

    def _build(self) -> None:
        self.form = SegmentForm(self._viewer, self._session)
        self.layer_choice, self.model_choice = self.form.layer_choice, self.form.model_choice
        self.panel = self.form.panel
        self.live = LiveLabels(partial(view_of, self._viewer))
        self.advice = Advice(self._viewer, self._session, self.form)
        self.form.concerns.remedy_chosen.connect(self._on_remedy_chosen)
        self.form.input_changed.connect(self._show_what_applies)
        self.form.instances_changed.connect(self._on_instances_changed)
        self.model_choice.load_failed.connect(self._on_failed_beside)
        self.model_choice.load_finished.connect(self._on_load_finished)
        self.panel.run_clicked.connect(self._on_run_clicked)
        self.panel.stop_clicked.connect(self.stop)
        self.live.counted.connect(self._on_counted)
        self.live.refused.connect(self._on_refused)
        self.live.failed.connect(self._on_failed_beside)
        self.script_button = ScriptButton(self._read_recipe)
        self.script_button.copied.connect(self._on_copied)
        self.script_button.failed.connect(self._on_failed_beside)
        self.form.add_at_foot(self.script_button)
        # Unfolded and in large type, the form is higher than a small screen.
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(scroll)

    def run(self) -> None:
        """Segment the chosen layer, as soon as the model is loaded."""
        if self._job.is_running:
            return
        if self.model_choice.is_loading:
            self._runs_when_loaded = True
            self.panel.show_running("loading the model")
            return
        try:
            check_installation()
            layer, image, recipe = self._read_form()
        except UNetError as error:
            self._on_failed(error)
            return
        self.live.forget()
        self.form.size_choice.stop_drawing()
        earlier, scores = self._results.earlier(image, recipe)
        self._layer, self._array, self._instances = layer, image.array, recipe.instances
        self._started_s = time.perf_counter()
        self._job.start(
            partial(find_cells, image, recipe, earlier, scores),
            on_report=self._on_reported,
            on_result=partial(self._on_finished, recipe.network),
            on_error=self._on_failed,
            on_end=self._on_ended,
        )
        self.panel.show_running("segmenting")

    def run_view(self) -> None:
        """Segment the field of view; Stop what runs first."""
        self.stop()
        self.form.extent_choice.choose("view")
        self.run()

    def _read_form(self) -> tuple[Image, LayerImage, Recipe]:
        layer, network = self.form.layer, self._session.network
        if layer is None:
            others = [str(each.name) for each in self._viewer.layers]
            found = f" ('{others[-1]}' is none)" if others else ""
            raise UNetError(
                f"There is no image layer{found}; open an image, or one of File > Open Sample."
            )
        if network is None:
            raise UNetError("No model is loaded; choose one, or a model file with '…'.")
        image = read_layer(
            layer,
            self._viewer.dims,
            network_ndim=network.description.unet.ndim,
            extent=self.form.extent_choice.extent,
            channel_axis=self.form.channel_choice.channel_axis,
            channel=self.form.channel_choice.channel,
        )
        recipe = Recipe(
            network,
            self._session.source,
            self._session.file_hash,
            self.form.settings(),
            self.form.instances(),
            device=self._session.device,
            shows_scores=self.form.scores_box.isChecked(),
            guesses=self._session.guesses,
        )
        return layer, image, recipe

    def _read_recipe(self) -> SegmentRecipe:
        layer, image, recipe = self._read_form()
        return segment_recipe(layer, image, recipe)

    def stop(self, reason: str = "") -> None:
        """Stop what runs; slices that are done and cells found so far stay in the layer."""
        self._runs_when_loaded = False
        kept = ""
        if self._job.is_running:
            kept = self._results.close()
            self._job.stop()
        if self.panel.is_running:
            kept = kept or ("" if reason else _NOTHING_CHANGED)
            self.panel.show_idle(" ".join(filter(None, (reason or "Stopped.", kept))))

    def reset_choices(self, event: Any = None) -> None:
        """List the image layers afresh; napari calls this when they change."""
        if isalive(self):
            self.layer_choice.reset_choices(event)

    def _on_run_clicked(self) -> None:
        self.run()

    def _on_key_segment_view(self, viewer: Any) -> None:
        # The key outlives the dock.
        if isalive(self) and (self.parent() is not None or self.isVisible()):
            self.run_view()
        else:
            segment_view(viewer)

    def _on_network_loaded(self, network: Network) -> None:
        if isalive(self):
            self.live.forget()
            self.form.show_model(network.description)
            self._show_what_applies()

    def _on_load_finished(self) -> None:
        if self._runs_when_loaded:
            self._runs_when_loaded = False
            self.run()

    def _show_what_applies(self) -> None:
        network = self._session.network
        self.form.show_image(network.description.unet.ndim if network else 2)
        self.advice.refresh()

    def _on_remedy_chosen(self, changes: dict[str, Any]) -> None:
        if "widget" in changes and getattr(self._viewer, "window", None) is not None:
            open_widget(self._viewer, changes["widget"])

    def _on_instances_changed(self) -> None:
        if not self._job.is_running and self.live.is_ready:
            self.live.update(self.form.instances())

    def _on_copied(self, sentence: str) -> None:
        show_info(sentence)
        if not self.panel.is_running:
            self.panel.show_idle(sentence)

    def _on_counted(self, cells: int, edited_slices: int) -> None:
        text = f"{_count(cells)} with these settings."
        if edited_slices:
            slices = "1 slice was" if edited_slices == 1 else f"{edited_slices} slices were"
            text += f" {slices} edited and left alone."
        self.panel.show_idle(text)

    def _on_refused(self) -> None:
        self.panel.show_idle(
            "The labels were edited, so they stay as they are; Run puts the cells with these "
            "settings into a new layer."
        )

    def _on_reported(self, report: Opened | Step | Drawn | Found) -> None:
        if self._layer is not None and full_resolution(self._layer) is not self._array:
            self._stop_for_other_data(str(self._layer.name))
        elif isinstance(report, Opened):
            self._results.open(report)
        elif isinstance(report, Drawn):
            if not self._results.show(report):
                self._stop_for_other_data(self._results.name)
        elif isinstance(report, Step):
            self._show_step(report)

    def _stop_for_other_data(self, name: str) -> None:
        self.stop(f"The data of layer '{name}' were replaced; the segmentation stopped.")

    def _show_step(self, step: Step) -> None:
        is_last = step.tile == step.tiles
        text = "telling cells apart" if is_last else f"tile {step.tile + 1} of {step.tiles}"
        if step.slices > 1:
            text = f"slice {step.slice_index + 1} of {step.slices}, {text}"
        done = step.slice_index * step.tiles + step.tile
        self.panel.show_progress(done, step.slices * step.tiles, text)

    def _on_finished(self, network: Network, found: Found) -> None:
        labels = self._results.finish(found)
        # Thresholds are the model's: those of another one are not for these scores.
        is_same = network is self._session.network
        if found.kept is not None and labels is not None and is_same:
            self.live.keep(found.kept, labels)
        name, seconds = found.provenance["image"], time.perf_counter() - self._started_s
        if found.cells == 0:
            text = (
                f"No cells were found in '{name}'; lower the foreground threshold, set the cell "
                "size, or choose another model."
            )
        else:
            text = f"{_count(found.cells)} in '{name}' ({seconds:.1f} s)."
        self.panel.show_idle(" ".join((text, *self._results.notes, *found.notes)))
        self.advice.show_found(found.diameter_px, found.provenance["settings"])

    def _on_failed(self, error: Exception) -> None:
        self._show_failure(error, self._results.close())

    def _on_failed_beside(self, error: Exception) -> None:
        # What runs goes on.
        self._show_failure(error, "")

    def _show_failure(self, error: Exception, kept: str) -> None:
        message = failure_sentence(error, kept=kept or _NOTHING_CHANGED)
        if isinstance(error, UNetError) and kept:
            message = f"{message} {kept}"
        self._runs_when_loaded = False
        if not self._job.is_running:
            self.panel.show_error(message)
        show_error(message)

    def _on_ended(self) -> None:
        self._layer = self._array = None
        # Changed while it ran.
        if self.live.is_ready and self.form.instances() != self._instances:
            self._on_instances_changed()

    def _on_layer_removed(self, _event: Any) -> None:
        if not isalive(self):
            return
        gone = self._results.missing(self._layer)
        if gone and self._job.is_running:
            self.stop(f"Layer '{gone}' was removed; the segmentation stopped.")
        self.live.forget_missing(self._viewer.layers)

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            left_dock = event.type() == QEvent.Type.ParentChange and self.parent() is None
            if left_dock or event.type() == QEvent.Type.Close:
                self._stop_all()
        return bool(super().event(event))

    def _stop_all(self) -> None:
        self.stop()
        self.live.forget()
        self.advice.stop()
        self.model_choice.stop()
        self.form.size_choice.stop_drawing()


def _count(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"
