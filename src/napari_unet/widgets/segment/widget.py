"""The Segment widget: an image layer in, a layer of cells out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive

from napari_unet.engine.base.errors import UNetError
from napari_unet.installation import InstallationError, check_installation
from napari_unet.script import SegmentRecipe
from napari_unet.session import Session, shared_session
from napari_unet.viewer.commands import segment_view
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.segment.advice import Advice
from napari_unet.widgets.segment.for_batch import batch_settings
from napari_unet.widgets.segment.form import SegmentForm
from napari_unet.widgets.segment.job import NOTHING_CHANGED, SegmentJob
from napari_unet.widgets.segment.recipe import chosen_layer, read_form, segment_recipe
from napari_unet.widgets.segment.reports import Found
from napari_unet.widgets.shared.buttons import ScriptButton
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.batch.settings import BatchSettings
    from napari_unet.engine.networks.network import Network

_KEY_SEGMENT_VIEW = "Shift-U"


class SegmentWidget(DockedForm):
    """Choose an image layer, press Run, get a layer of cells that follows the thresholds.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    """

    def __init__(self, napari_viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__(napari_viewer)
        self._session = session or shared_session()
        self._runs_when_loaded = False
        self._build()
        self._connect()
        self.form.show_model(self._session.network.description if self._session.network else None)
        self._show_what_applies()
        self.model_choice.load(self._session.source)
        try:
            check_installation()
        except UNetError as error:
            self._on_failed(error)

    def _build(self) -> None:
        self.form = SegmentForm(self._viewer, self._session)
        self.layer_choice, self.model_choice = self.form.layer_choice, self.form.model_choice
        self.panel = self.form.panel
        self.job = SegmentJob(self._viewer, self._session, self)
        self.live = self.job.live
        self.advice = Advice(self._viewer, self._session, self.form)
        self.script_button = ScriptButton(self._read_recipe)
        self.form.foot.addWidget(self.script_button)
        in_column(Scrolled(self.form), within=self).setContentsMargins(4, 4, 4, 4)

    def _connect(self) -> None:
        self.form.input_changed.connect(self._show_what_applies)
        self.advice.run_wanted.connect(self.run)
        self.form.instances_changed.connect(self._on_instances_changed)
        self.form.volume_changed.connect(self._on_volume_changed)
        self.model_choice.load_failed.connect(self._on_failed)
        self.model_choice.load_finished.connect(self._on_load_finished)
        self.form.better.failed.connect(self._on_failed)
        self.form.better.load_finished.connect(self._on_load_finished)
        self.form.scores_box.toggled.connect(self._on_scores_toggled)
        self.panel.run_clicked.connect(self.run)
        self.panel.stop_clicked.connect(self.stop)
        self.job.progressed.connect(self.panel.show_progress)
        self.job.finished.connect(self._on_finished)
        self.job.failed.connect(self._on_failed)
        self.job.stopped.connect(partial(self.panel.show_idle, settles=True))
        self.live.told.connect(self.panel.show_idle)
        self.live.failed.connect(self._on_failed)
        self.panel.label.follow(
            self._subject,
            self.form.input_changed,
            self.form.instances_changed,
            self.form.better.changed,
            self.layer_choice.listed,
            self.model_choice.load_started,
            self._session.network_loaded,
            self._viewer.layers.events.removed,
        )
        self.job.scores.failed.connect(self._on_failed)
        self.script_button.copied.connect(self._on_copied)
        self.script_button.failed.connect(self._on_failed)
        self._session.network_loaded.connect(self._on_network_loaded)
        self._viewer.bind_key(_KEY_SEGMENT_VIEW, self._on_key_segment_view, overwrite=True)

    def run(self) -> None:
        """Segment the chosen layer, as soon as the model is loaded."""
        if self.job.is_running:
            return
        self.advice.stop_search()
        try:
            check_installation()
            # An error must not wait for the model.
            chosen_layer(self._viewer, self.form)
            if self.model_choice.is_loading or self.form.better.is_loading:
                self._runs_when_loaded = True
                self.panel.show_running("loading the model")
                return
            layer, image, recipe = read_form(self._viewer, self._session, self.form)
        except UNetError as error:
            self._on_failed(error)
            return
        self.form.size_choice.stop_drawing()
        self.job.start(layer, image, recipe)
        self.panel.show_running("segmenting")

    def run_view(self) -> None:
        """Segment the field of view; Stop what runs first."""
        self.stop()
        self.form.extent_choice.choose("view")
        self.run()

    def stop(self) -> None:
        """Stop what runs; slices that are done and cells found so far stay in the layer."""
        self.job.stop()
        self.advice.stop_search()
        if self._runs_when_loaded:
            self._runs_when_loaded = False
            self.panel.show_idle(f"Stopped. {NOTHING_CHANGED}")

    def stop_all(self) -> None:
        """Stop all that this form has begun."""
        self.stop()
        self.live.forget()
        self.advice.stop()
        self.model_choice.stop()
        self.form.better.stop()
        self.form.size_choice.stop_drawing()

    def batch_settings(self) -> tuple[BatchSettings, tuple[Network, ...]]:
        """Return what the form says for many images; see the function of this name."""
        return batch_settings(self._session, self.form)

    def _subject(self) -> object:
        """What the form shows, as far as a message may be about it; thresholds have their own."""
        results = [each.unique_id for each in self._viewer.layers if METADATA_KEY in each.metadata]
        form = self.form
        read = (form.extent_choice.extent, form.channel_choice.chosen, form.size_choice.entered)
        models = (self.model_choice.subject, form.better.subject)
        return self.layer_choice.subject, models, read, results

    def _read_recipe(self) -> SegmentRecipe:
        return segment_recipe(*read_form(self._viewer, self._session, self.form))

    def _on_key_segment_view(self, viewer: Any) -> None:
        # The key outlives the dock.
        if isalive(self) and (self.parent() is not None or self.isVisible()):
            self.run_view()
        else:
            segment_view(viewer)

    @while_alive
    def _on_network_loaded(self, network: Network) -> None:
        self.live.forget()
        self.form.show_model(network.description)
        self._show_what_applies()

    def _on_load_finished(self) -> None:
        if self._runs_when_loaded:
            self._runs_when_loaded = False
            self.run()

    def _show_what_applies(self) -> None:
        network = self._session.network
        self.form.show_image(network.description.architecture.ndim if network else 2)
        self.advice.refresh()

    def _on_instances_changed(self) -> None:
        if not self.job.is_running and self.live.is_ready:
            settings = self.form.linking_settings
            is_asked = self.form.volume_choice.has_choice
            self.live.update(self.form.instances(), settings if is_asked else None)

    def _on_volume_changed(self) -> None:
        """Link the discs of the last run, or part them, at once: their scores are there."""
        layer, kept = self.form.layer, self.live.kept
        is_of_this = self.live.image_id == (None if layer is None else str(layer.unique_id))
        if is_of_this and kept is not None and kept.is_stack:
            self._on_instances_changed()

    def _on_scores_toggled(self, shown: bool) -> None:  # noqa: FBT001 - as Qt calls it
        # A run shows what was said when it began.
        if (layer := self.form.layer) is not None and not self.job.is_running:
            (self.job.scores.show if shown else self.job.scores.remove)(layer)

    def _on_copied(self, sentence: str) -> None:
        show_info(sentence)
        if not self.panel.is_running:
            self.panel.show_idle(sentence)

    def _on_finished(self, sentence: str, found: Found) -> None:
        self.panel.show_idle(sentence)
        self.advice.show_found(found, self.live.layer)
        now = (self.form.instances(), self.form.linking_settings)
        if self.live.is_ready and now != (found.recipe.instances, found.recipe.linking):
            self._on_instances_changed()  # they were changed while it ran
        self._on_scores_toggled(self.form.scores_box.isChecked())

    def _on_failed(self, error: Exception, kept: str = "") -> None:
        message = failure_sentence(error, kept=kept or NOTHING_CHANGED)
        if isinstance(error, UNetError):
            message = f"{message} {kept}".rstrip()
        self._runs_when_loaded = False
        if not self.job.is_running:  # what runs goes on, if something else failed
            self.panel.show_error(message, lasts=isinstance(error, InstallationError))
        show_error(message)
