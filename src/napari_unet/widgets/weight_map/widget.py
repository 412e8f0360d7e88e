"""The Weight map widget: where the network must learn to keep neighbours apart, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QLabel, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.warm_up import preparation
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, while_alive
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.weight_map.follow import MapReport
from napari_unet.widgets.weight_map.form import WeightMapForm
from napari_unet.widgets.weight_map.live import LiveWeightMap
from napari_unet.widgets.weight_map.mask_remedy import MaskRemedy

if TYPE_CHECKING:
    from napari.components import ViewerModel


class WeightMapWidget(DockedForm):
    """Choose a labels layer, press Show, and paint: the map follows."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self._build()
        preparation.ask_for("weights")
        self.form.layer_chosen.connect(self._on_layer_chosen)
        self.form.settings_changed.connect(self._on_settings_changed)
        self.button.toggled.connect(self._on_toggled)
        self.remedy.failed.connect(self._on_failed)
        self.sentence.follow(
            self._subject,
            self.form.layer_chosen,
            self.form.settings_changed,
            self.form.layer_choice.listed,
        )
        self.live.updated.connect(self._on_updated)
        self.live.moved.connect(self._on_moved)
        self.live.ended.connect(self._on_ended)
        self.live.failed.connect(self._on_failed)
        napari_viewer.mouse_move_callbacks.append(self._on_mouse_moved)

    def _build(self) -> None:
        self.live = LiveWeightMap(self._viewer)
        self.form = WeightMapForm(self._viewer)
        self.button = QPushButton("Show")
        self.button.setCheckable(True)
        self.button.setToolTip(
            "<qt>Show the map over the image and keep it up to date while you paint, erase, fill "
            "and undo. Pressed again, the map goes.</qt>"
        )
        self.remedy = MaskRemedy(self._viewer)
        self.sentence = Sentence()
        self.hover = QLabel()
        above = (self.form, self.button, self.sentence, self.remedy)
        inside = QWidget()
        below = (self.form.formula, self.form.remembered.reset_button())
        in_column(*above, self.hover, *below, within=inside).addStretch()
        in_column(Scrolled(inside), within=self).setContentsMargins(4, 4, 4, 4)

    def _subject(self) -> object:
        """What the form shows, as far as a message may be about it."""
        return self.form.layer_choice.subject, self.form.ndim

    def stop(self) -> None:
        """Take the overlay away."""
        self.live.stop()
        self.remedy.stop()
        with signals_blocked(self.button):
            self.button.setChecked(False)
            self.button.setText("Show")
        self.hover.setText("")

    def stop_all(self) -> None:
        """Take the overlay away, and listen to the mouse no more."""
        self.stop()
        if self._on_mouse_moved in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._on_mouse_moved)

    def _on_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        self.sentence.show_text("")
        if not is_on:
            self.stop()
            return
        labels = self.form.layer_choice.layer
        try:
            if labels is None:
                raise UNetError(
                    "There is no labels layer; run Segment cells, or make one with the layer "
                    "list's tag button and paint cells."
                )
            if not isinstance(labels.data, np.ndarray):
                raise UNetError(
                    f"The labels of '{labels.name}' are not in memory, so nobody can paint on "
                    "them; duplicate the layer as a NumPy array first."
                )
            spacing = self.form.unit_box.spacing(labels, self.form.ndim)
            self.live.start(labels, self.form.settings, ndim=self.form.ndim, spacing=spacing)
        except UNetError as error:
            self._on_failed(error)
            return
        self.button.setText("Hide")
        self.sentence.show_text("Computing the map…")

    def _on_layer_chosen(self) -> None:
        if self.button.isChecked() and self.form.layer_choice.layer is not None:
            self._on_toggled(True)

    def _on_moved(self) -> None:
        # Lengths are other numbers of pixels now, or no lengths any more.
        self.form.show_what_applies()
        self._on_settings_changed()

    def _on_settings_changed(self) -> None:
        labels = self.live.labels
        if labels is not None:
            spacing = self.form.unit_box.spacing(labels, self.live.ndim)
            self.live.change(self.form.settings, spacing=spacing)

    def _on_updated(self, report: MapReport) -> None:
        self.sentence.show_text(report.sentence)
        self.remedy.offer(self.live.labels if report.is_mask else None, self.live.ndim)

    @while_alive
    def _on_ended(self, sentence: str) -> None:
        self.stop()
        self.sentence.show_text(sentence)

    def _on_failed(self, error: Exception) -> None:
        self.stop()
        message = failure_sentence(error)
        self.sentence.show_error(message)
        show_error(message)

    @while_alive
    def _on_mouse_moved(self, _viewer: Any, event: Any) -> None:
        if self.live.labels is None:
            return
        pixel = self.live.at(event.position)
        if pixel is None:
            self.hover.setText("")
            return
        unit = self.form.unit_box.symbol
        near, far = (
            f"{each:.3g} {unit}" if np.isfinite(each) else "far" for each in (pixel.near, pixel.far)
        )
        self.hover.setText(f"d<sub>1</sub> = {near}, d<sub>2</sub> = {far}, w = {pixel.weight:.2f}")
