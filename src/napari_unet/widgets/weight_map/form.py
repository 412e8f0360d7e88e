"""The fields of the Weight map widget: whose map, by which formula, and with what numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QWidget

from napari_unet.engine.weight_map.settings import Variant, WeightMapSettings
from napari_unet.viewer.layers import lengths
from napari_unet.widgets.shared.choices import LayerChoice, OfferBox, keep_narrow
from napari_unet.widgets.shared.parts import in_column, narrow_form
from napari_unet.widgets.shared.remembered import Remembered, Setting
from napari_unet.widgets.shared.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari.components import ViewerModel

_PIXELS = "px"
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


class WeightMapForm(QWidget):
    """Builds the fields and says what they hold; it computes nothing.

    Attributes
    ----------
    formula : QLabel
        The formula that is chosen, in words and symbols; whoever owns the form places it.
    """

    layer_chosen = Signal()
    """Another layer, or other axes of it."""
    settings_changed = Signal()
    """Other numbers, or the same in another unit."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.layer_choice = LayerChoice(viewer, Labels)
        self.layer_choice.setToolTip("Labels layer whose weight map is shown.")
        self.variant_box = QComboBox()
        keep_narrow(self.variant_box)
        self.variant_box.addItem("of the paper", "paper")
        self.variant_box.addItem("of the Fiji plugin", "fiji")
        self.variant_box.setToolTip(
            "<qt>The formula: that of the U-Net paper, or that of the authors' plugin for Fiji, "
            "where background far away from cells counts less.</qt>"
        )
        self.unit_box = SigmaUnit()
        self._sigma_unit, self._sigma_per_px = self.unit_box.symbol, 1.0
        self.volume_box = QCheckBox("Distances in 3-D")
        self.volume_box.setToolTip(
            "<qt>Measure distances through the slices of the stack, too. Unticked, each slice has "
            "a map of its own, computed when it is shown.</qt>"
        )
        self.fields = SettingsForm(WeightMapSettings(), _FIELDS, _RANGES)
        self.formula = QLabel()
        self.formula.setWordWrap(True)
        rows = narrow_form()
        rows.addRow("Labels", self.layer_choice)
        rows.addRow("Formula", self.variant_box)
        rows.addRow("Sigma in", self.unit_box)
        sigmas = {name: self._sigma_setting(name) for name in _SIGMAS_PX}
        self.remembered = Remembered(
            "Weight map", {"formula": self.variant_box, **self.fields.fields, **sigmas}, self
        )
        in_column(rows, self.volume_box, self.fields, within=self)
        self.layer_choice.currentIndexChanged.connect(self._on_layer_chosen)
        self.volume_box.toggled.connect(self._on_layer_chosen)
        self.variant_box.currentIndexChanged.connect(self._on_variant_chosen)
        self.unit_box.currentIndexChanged.connect(self._on_unit_chosen)
        self.fields.changed.connect(self.settings_changed)
        self.show_what_applies()

    def _sigma_setting(self, name: str) -> Setting:
        """A sigma in pixels, whatever the unit in which it is shown."""
        field: Any = self.fields.fields[name]
        return Setting(
            lambda: field.value() / self._sigma_per_px,
            lambda size_px: field.setValue(size_px * self._sigma_per_px),
            field.valueChanged,
        )

    @property
    def ndim(self) -> int:
        """Axes along which distances are measured."""
        is_volume = (
            self.volume_box.isChecked()
            and self.layer_choice.layer is not None
            and self.layer_choice.layer.ndim > 2
        )
        return 3 if is_volume else 2

    @property
    def settings(self) -> WeightMapSettings:
        """What the fields say."""
        start = WeightMapSettings.of(self._variant)
        settings: WeightMapSettings = self.fields.changed_settings(start)
        return settings

    @property
    def _variant(self) -> Variant:
        variant: Variant = self.variant_box.currentData()
        return variant

    def show_what_applies(self) -> None:
        """Offer what the chosen layer allows, and show what the chosen formula has."""
        labels = self.layer_choice.layer
        self.unit_box.show_for(labels, self.ndim)
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
        self.show_what_applies()
        self.layer_chosen.emit()

    def _on_variant_chosen(self, _index: int) -> None:
        start = WeightMapSettings.of(self._variant)
        per_px = self._sigma_per_px
        sigmas = {name: getattr(start, name) * per_px for name in _SIGMAS_PX}
        self.fields.show_values(replace(start, **sigmas))
        self.show_what_applies()
        self.settings_changed.emit()

    def _on_unit_chosen(self, _index: int) -> None:
        self._show_sigmas()
        self.settings_changed.emit()


class SigmaUnit(OfferBox):
    """Offers pixels, and the unit of a layer whose axes are lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>Unit of the sigmas. Where the layer has a scale and a unit of length they can be "
            "lengths, so that they mean the same at every magnification.</qt>"
        )
        self.show_for(None)

    @property
    def symbol(self) -> str:
        """Such as "px" or "µm"."""
        return str(self.chosen)

    @property
    def is_length(self) -> bool:
        """Whether the layer's unit is chosen."""
        return self.symbol != _PIXELS

    def show_for(self, labels: Labels | None, ndim: int = 2) -> None:
        """Offer what a layer has along the axes of distances; a length stays one if it can."""
        entries = [("pixels", _PIXELS)]
        if labels is not None and lengths(labels, ndim) is not None:
            symbol = f"{labels.units[-1]:~P}"
            entries.append((symbol, symbol))
        was_length, before = self.currentIndex() > 0, self.blockSignals(True)
        self.offer(entries)
        self.setCurrentIndex(1 if was_length and len(entries) > 1 else 0)
        self.blockSignals(before)
        self.setEnabled(len(entries) > 1)

    def spacing(self, labels: Labels, ndim: int) -> tuple[float, ...] | None:
        """Size of a pixel along each axis of distances in this unit; None where pixels count."""
        return lengths(labels, ndim) if self.is_length else None

    def per_pixel(self, labels: Labels | None) -> float:
        """How much of this unit a pixel of the plane is."""
        sizes = None if labels is None else self.spacing(labels, 2)
        return math.sqrt(math.prod(sizes)) if sizes else 1.0
