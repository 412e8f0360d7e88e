"""The Weight map widget: where the network must learn to keep neighbours apart, live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.weight_map.settings import Variant, WeightMapSettings
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow, narrow_form
from napari_unet.widgets.shared.settings_form import SettingsForm
from napari_unet.widgets.shared.texts import Sentence
from napari_unet.widgets.weight_map.live import LiveWeightMap, MapReport
from napari_unet.widgets.weight_map.mask_remedy import MaskRemedy
from napari_unet.widgets.weight_map.sigma_unit import SigmaUnit

if TYPE_CHECKING:
    from napari.components import ViewerModel

_DISTANCES = "d<sub>1</sub>, d<sub>2</sub>: distances to the two nearest cells."
_BORDER = (
    "<i>w</i><sub>0</sub> · e<sup> &minus;(<i>d</i><sub>1</sub> + <i>d</i><sub>2</sub>)² / "
    "2<i>&sigma;</i>²</sup>"
)
_FORMULAS = {
    "paper": (
        f"<p align='center'><i>w</i> = <i>w</i><sub>c</sub> + {_BORDER}</p>"
        f"<p>{_DISTANCES} The narrower the gap, the brighter. w<sub>0</sub>: how much narrow gaps "
        "count; &sigma;: how wide a gap may be to count; w<sub>c</sub>: balance of cells and "
        "background.</p>"
    ),
    "fiji": (
        f"<p align='center'><i>w</i> = <i>v</i> + {_BORDER}<br>+ (1 &minus; <i>v</i>) · "
        "e<sup> &minus;<i>d</i><sub>1</sub>² / 2<i>&sigma;</i><sub>1</sub>²</sup></p>"
        f"<p>{_DISTANCES} The narrower the gap, the brighter. w<sub>0</sub> and &sigma;: how much "
        "gaps count, and how wide they may be; v: weight of background far away from cells, which "
        "it reaches over &sigma;<sub>1</sub>. Cells weigh 1.</p>"
    ),
}
_SHOWN = {
    "paper": ("w0", "border_sigma_px", "separate_touching", "class_balance"),
    "fiji": (
        "w0",
        "border_sigma_px",
        "background_weight",
        "background_sigma_px",
        "separate_touching",
    ),
}
_FIELDS = (
    "w0",
    "border_sigma_px",
    "background_weight",
    "background_sigma_px",
    "separate_touching",
    "class_balance",
)
_SIGMAS_PX = {"border_sigma_px": (0.5, 30.0), "background_sigma_px": (0.5, 60.0)}
_RANGES = {"w0": (0.5, 100.0), **_SIGMAS_PX}


class WeightMapWidget(QWidget):
    """Choose a labels layer, press Show, and paint: the map follows.

    Parameters
    ----------
    napari_viewer : napari viewer
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.live = LiveWeightMap(napari_viewer)
        self.live.updated.connect(self._on_updated)
        self.live.moved.connect(self._on_moved)
        self.live.ended.connect(self._on_ended)
        self.live.failed.connect(self._on_failed)
        self._build()
        self._show_what_applies()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, Labels)
        self.layer_choice.setToolTip("Labels layer whose weight map is shown.")
        self.layer_choice.currentIndexChanged.connect(self._on_layer_chosen)
        self.variant_box = QComboBox()
        keep_narrow(self.variant_box)
        self.variant_box.addItem("as in the paper", "paper")
        self.variant_box.addItem("as in the Fiji plugin", "fiji")
        self.variant_box.setToolTip(
            "<qt>The formula: that of the U-Net paper, or that of the authors' plugin for Fiji, "
            "where background far away from cells counts less.</qt>"
        )
        self.variant_box.currentIndexChanged.connect(self._on_variant_chosen)
        self.unit_box = SigmaUnit()
        self._sigma_unit, self._sigma_per_px = self.unit_box.symbol, 1.0
        self.unit_box.currentIndexChanged.connect(self._on_unit_chosen)
        self.volume_box = QCheckBox("Distances in 3-D")
        self.volume_box.setToolTip(
            "<qt>Measure distances through the slices of the stack, too. Unticked, each slice has "
            "a map of its own, computed when it is shown.</qt>"
        )
        self.volume_box.toggled.connect(self._on_layer_chosen)
        self.fields = SettingsForm(WeightMapSettings(), _FIELDS, _RANGES)
        self.fields.changed.connect(self._on_settings_changed)
        self.button = QPushButton("Show")
        self.button.setCheckable(True)
        self.button.setToolTip(
            "<qt>Show the map over the image and keep it up to date while you paint, erase, fill "
            "and undo. Pressed again, the map goes.</qt>"
        )
        self.button.toggled.connect(self._on_toggled)
        self.remedy = MaskRemedy(self._viewer)
        self.remedy.failed.connect(self._on_failed)
        self.formula = QLabel()
        self.formula.setWordWrap(True)
        self.sentence = Sentence()
        self.hover = QLabel()
        self._lay_out()
        self._viewer.mouse_move_callbacks.append(self._on_mouse_moved)

    def _lay_out(self) -> None:
        form = narrow_form()
        form.addRow("Labels", self.layer_choice)
        form.addRow("Formula", self.variant_box)
        form.addRow("Sigma in", self.unit_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(form)
        for widget in (
            self.volume_box,
            self.fields,
            self.button,
            self.sentence,
            self.remedy,
            self.hover,
            self.formula,
        ):
            layout.addWidget(widget)
        layout.addStretch()

    @property
    def settings(self) -> WeightMapSettings:
        """What the form says."""
        settings: WeightMapSettings = self.fields.changed_settings(
            WeightMapSettings.of(self._variant)
        )
        return settings

    @property
    def _variant(self) -> Variant:
        variant: Variant = self.variant_box.currentData()
        return variant

    def reset_choices(self, event: Any = None) -> None:
        """List the labels layers afresh; napari calls this when they change."""
        if isalive(self):
            self.layer_choice.reset_choices(event)

    def stop(self) -> None:
        """Take the overlay away."""
        self.live.stop()
        self.remedy.stop()
        was_blocked = self.button.blockSignals(True)
        self.button.setChecked(False)
        self.button.setText("Show")
        self.button.blockSignals(was_blocked)
        self.hover.setText("")

    def _on_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        self.sentence.show_text("")
        if not is_on:
            self.stop()
            return
        labels = self.layer_choice.layer
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
            spacing = self.unit_box.spacing(labels, self._ndim)
            self.live.start(labels, self.settings, ndim=self._ndim, spacing=spacing)
        except UNetError as error:
            self._on_failed(error)
            return
        self.button.setText("Hide")
        self.sentence.show_text("Computing the map…")

    @property
    def _ndim(self) -> int:
        """Axes along which distances are measured."""
        labels = self.layer_choice.layer
        is_volume = self.volume_box.isChecked() and labels is not None and labels.ndim > 2
        return 3 if is_volume else 2

    def _show_what_applies(self) -> None:
        labels = self.layer_choice.layer
        self.unit_box.show_for(labels, self._ndim)
        self.volume_box.setVisible(labels is not None and labels.ndim > 2)
        self.fields.show_only(_SHOWN[self._variant])
        self.formula.setText(_FORMULAS[self._variant])
        self._show_sigmas()

    def _show_sigmas(self) -> None:
        """Bring the sigmas into the chosen unit; lengths that are lengths already stay."""
        per_px = self.unit_box.per_pixel(self.layer_choice.layer)
        is_other = self.unit_box.symbol != self._sigma_unit
        factor = per_px / self._sigma_per_px if is_other else 1.0
        values = self.fields.values()
        for name, ends in _SIGMAS_PX.items():
            self.fields.set_range(name, *(per_px * end for end in ends))
            values[name] *= factor
        self._sigma_unit, self._sigma_per_px = self.unit_box.symbol, per_px
        self.fields.show_values(replace(WeightMapSettings.of(self._variant), **values))

    def _on_layer_chosen(self, _value: Any = None) -> None:
        self._show_what_applies()
        if self.button.isChecked() and self.layer_choice.layer is not None:
            self._on_toggled(True)

    def _on_moved(self) -> None:
        # Lengths are other numbers of pixels now, or no lengths any more.
        self._show_what_applies()
        self._on_settings_changed()

    def _on_variant_chosen(self, _index: int) -> None:
        start = WeightMapSettings.of(self._variant)
        per_px = self._sigma_per_px
        sigmas = {name: getattr(start, name) * per_px for name in _SIGMAS_PX}
        self.fields.show_values(replace(start, **sigmas))
        self._show_what_applies()
        self._on_settings_changed()

    def _on_unit_chosen(self, _index: int) -> None:
        self._show_sigmas()
        self._on_settings_changed()

    def _on_settings_changed(self, _value: Any = None) -> None:
        labels = self.live.labels
        if labels is not None:
            spacing = self.unit_box.spacing(labels, self.live.ndim)
            self.live.change(self.settings, spacing=spacing)

    def _on_updated(self, report: MapReport) -> None:
        self.sentence.show_text(report.sentence)
        self.remedy.offer(self.live.labels if report.is_mask else None, self.live.ndim)

    def _on_ended(self, sentence: str) -> None:
        if isalive(self):
            self.stop()
            self.sentence.show_text(sentence)

    def _on_failed(self, error: Exception) -> None:
        self.stop()
        message = failure_sentence(error)
        self.sentence.show_error(message)
        show_error(message)

    def _on_mouse_moved(self, _viewer: Any, event: Any) -> None:
        if not isalive(self) or self.live.labels is None:
            return
        pixel = self.live.at(event.position)
        if pixel is None:
            self.hover.setText("")
            return
        unit = self.unit_box.symbol
        near, far = (
            f"{each:.3g} {unit}" if np.isfinite(each) else "far" for each in (pixel.near, pixel.far)
        )
        self.hover.setText(f"d<sub>1</sub> = {near}, d<sub>2</sub> = {far}, w = {pixel.weight:.2f}")

    def event(self, event: QEvent | None) -> bool:
        """Stop when the widget is closed, or leaves its dock, which sends no close event."""
        if event is not None:
            left_dock = event.type() == QEvent.Type.ParentChange and self.parent() is None
            if left_dock or event.type() == QEvent.Type.Close:
                self.stop()
                if self._on_mouse_moved in self._viewer.mouse_move_callbacks:
                    self._viewer.mouse_move_callbacks.remove(self._on_mouse_moved)
        return bool(super().event(event))
