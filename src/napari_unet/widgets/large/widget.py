"""The Large images widget: an image that may be larger than memory in, labels as OME-Zarr out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtGui import QGuiApplication

from napari_unet.batch.images.part import WantedPart
from napari_unet.engine.base.errors import UNetError
from napari_unet.script import blocks_command
from napari_unet.session import Session, shared_session
from napari_unet.viewer.layers import place_of
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.large.command import blocks_recipe
from napari_unet.widgets.large.form import NO_ADDRESS, LargeForm
from napari_unet.widgets.large.shown import ShownLabels
from napari_unet.widgets.large.source import layer_file, look_at
from napari_unet.widgets.large.work import Begun, Done, Order, Progress, connect, segment_large
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import (
    Scrolled,
    action_button,
    in_column,
    single_shot,
    while_alive,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_unet.engine.cluster.crew import CrewFacts

_ASK_AGAIN_MS = 200

_STAGES = {
    "slices": ("network, slices of three directions", ""),
    "scores": ("network", "In one colour: where cells are. Numbers come with the last stage."),
    "flood": ("growing cells", "Cells grow over the sides of blocks, until nothing changes."),
    "written": ("writing", "Cells have their numbers in the blocks that are written."),
    "smaller sizes": ("smaller sizes", "The labels are whole; sizes for zooming out are written."),
}


class LargeWidget(DockedForm):
    """Choose an image layer that has a file, and where to work; press Run.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    segment_form : callable, optional
        Gives the Segment widget, whose model and settings are taken; without it the one of the
        window, which is opened if need be.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        session: Session | None = None,
        segment_form: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(napari_viewer)
        self._session = session or shared_session()
        self._segment_form = segment_form or partial(self.open_behind, "Segment cells")
        self._awaited: Any = None
        """The Segment widget while it loads its model."""
        self._order: Order | None = None
        self.shown = ShownLabels(napari_viewer, self)
        self.form = LargeForm(napari_viewer)
        self.panel = self.form.panel
        self.job, self._looking, self._connecting = Job(self), Job(self), Job(self)
        self._asking_again = single_shot(self, self.run, after_ms=_ASK_AGAIN_MS)
        self._soon_look = single_shot(self, self._look)
        self.command_button = action_button(
            "Copy as command",
            "Put a command line into the clipboard that gives the same labels, for a terminal or "
            "a cluster.",
            self._on_copy_clicked,
        )
        self.form.foot.addWidget(self.command_button)
        self.form.foot.addWidget(self.form.remembered.reset_button())
        in_column(Scrolled(self.form), within=self).setContentsMargins(4, 4, 4, 4)
        self._connect_signals()
        self._show_model()
        self._soon_look.start()

    def _connect_signals(self) -> None:
        form = self.form
        form.layer_choice.currentIndexChanged.connect(self._on_layer_changed)
        form.connect_wanted.connect(self._on_connect_wanted)
        self.panel.run_clicked.connect(self.run)
        self.panel.stop_clicked.connect(self.stop)
        self.panel.label.follow(
            lambda: (form.layer_choice.subject, form.out_edit.text()),
            form.layer_choice.currentIndexChanged,
            form.layer_choice.listed,
            form.out_edit.textChanged,
            form.place_box.currentIndexChanged,
            form.address_edit.textChanged,
        )
        self._session.network_loaded.connect(self._show_model)

    def run(self) -> None:
        """Segment the chosen image, or go on with it."""
        if self.job.is_running:
            return
        try:
            layer = self._layer()
            segment, self._awaited = self._awaited or self._segment_form(), None
            if segment.model_choice.is_loading or self._looking.is_running:
                self._awaited = segment
                self.panel.show_running("loading the model")
                self._asking_again.start()
                return
            self._start(self._ordered(layer, segment))
        except UNetError as error:
            self._awaited = None
            self._on_failed(error)

    def _layer(self) -> Image:
        layer = self.form.layer
        if layer is None:
            raise UNetError("There is no image layer; open an image, such as an OME-Zarr, first.")
        layer_file(layer, self._viewer)
        return layer

    def _ordered(self, layer: Image, segment: Any) -> Order:
        from napari_unet.engine.segmentation.ensemble import ensemble_name

        file, form = layer_file(layer, self._viewer), self.form
        batch, networks = segment.batch_settings()
        out, workers = form.out(), form.workers()
        axis = None if form.facts is None else form.facts.channel_axis
        kept = tuple(at for at in range(layer.ndim) if at != axis)
        long = tuple(at for at in kept if file.shape[at] > 1)
        return Order(
            file,
            out,
            f"{layer.name}: {ensemble_name([each.description.name for each in networks])}",
            networks,
            replace(batch, part=WantedPart(form.channel)),
            self._session.device,
            workers,
            form.replace_box.isChecked(),
            {len(axes): place_of(layer, axes) for axes in (long, kept)},
        )

    def _start(self, order: Order) -> None:
        self._order = order
        self.form.forget_crew()
        self.job.start(
            partial(segment_large, order),
            on_report=self._on_reported,
            on_result=self._show_result,
            on_error=self._on_failed,
            on_stop=order.cancel.set,
            on_end=self._on_ended,
        )
        here = order.workers.place == "here"
        self.panel.show_running("opening the image" if here else "waiting for workers")
        self.form.show_running(is_running=True)

    def stop(self) -> None:
        """Stop at once; Run goes on where it was."""
        self._awaited = None
        is_waiting = self._asking_again.isActive()
        self._asking_again.stop()
        if self.job.is_running:
            self.job.stop()
            self.panel.show_idle("Stopped. What is done is kept beside the labels; Run goes on.")
        elif is_waiting:
            self.panel.show_idle("Stopped; nothing was begun.")

    def stop_all(self) -> None:
        """Stop all that this form has begun; another run goes on."""
        self.stop()
        for job in (self._looking, self._connecting):
            job.stop()
        self.shown.stop()

    @while_alive
    def _show_model(self, _network: object = None) -> None:
        network = self._session.network
        model = "the model" if network is None else f"'{network.description.name}'"
        self.form.about.show_text(
            f"Segments the file of a layer block by block with {model} and the settings of Segment "
            "cells; of stacks, every slice. The image and its labels may be larger than memory."
        )

    def _on_layer_changed(self) -> None:
        self.form.show_file(None)
        self._soon_look.start()

    def _look(self) -> None:
        layer = self.form.layer
        if layer is None or self.job.is_running:
            return
        try:
            file = layer_file(layer, self._viewer)
        except UNetError as error:
            self.panel.show_idle(str(error))
            return
        self._looking.start(
            partial(look_at, file), on_result=self.form.show_file, on_error=self._on_look_failed
        )

    def _on_look_failed(self, error: Exception) -> None:
        self.panel.show_error(failure_sentence(error))

    def _on_connect_wanted(self, address: str) -> None:
        if not address:
            self._on_failed(UNetError(NO_ADDRESS))
            return
        cancel = threading.Event()
        self.form.crew.show_text("Asking…")
        self.form.connect_button.setEnabled(False)
        self._connecting.start(
            partial(connect, address, cancel),
            on_result=self._on_connected,
            on_error=self._on_connect_failed,
            on_stop=cancel.set,
            on_end=self._on_connect_ended,
        )

    def _on_connected(self, facts: CrewFacts | None) -> None:
        if facts is not None:
            self.form.show_crew(facts)

    def _on_connect_failed(self, error: Exception) -> None:
        self.form.forget_crew()
        self.panel.label.show_error(failure_sentence(error))

    def _on_connect_ended(self) -> None:
        self.form.connect_button.setEnabled(True)

    def _on_reported(self, report: CrewFacts | Begun | Progress | Done) -> None:
        if isinstance(report, Begun):
            self.shown.begin(report.layer)
        elif isinstance(report, Progress):
            name, about = _STAGES.get(report.stage, ("finding cells", ""))
            text = f"{name}: block {report.done} of {report.total}"
            self.panel.show_progress(report.done, report.total, text)
            self.form.stage.show_text(about)
            if report.warnings:
                self.panel.label.show_text(" ".join(report.warnings))
            self.shown.note(report.changes)
        elif not isinstance(report, Done):
            self.form.show_crew(report)

    def _show_result(self, result: object) -> Iterator[None]:
        if isinstance(result, Done) and self._order is not None:
            yield from self.shown.replace(result.layer)
            cells = "1 cell" if result.cells == 1 else f"{result.cells} cells"
            self.panel.show_idle(f"{cells}, in '{self._order.out}'.", settles=True)

    def _on_ended(self) -> None:
        self.form.stage.show_text("")
        self.form.forget_crew()
        self.form.show_running(is_running=False)

    def _on_copy_clicked(self) -> None:
        try:
            order = self._ordered(self._layer(), self._segment_form())
            text = blocks_command(blocks_recipe(order, self.form.facts))
        except UNetError as error:
            self._on_failed(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
            show_info("The command is in the clipboard.")

    def _on_failed(self, error: Exception) -> None:
        # The sentence comes from where callers write Python.
        message = failure_sentence(error).replace("(overwrite=True)", "(tick 'Replace labels')")
        if self.job.is_running:  # what runs goes on, if something else failed
            self.panel.label.show_error(message)
        else:
            self.panel.show_error(message)
        show_error(message)
