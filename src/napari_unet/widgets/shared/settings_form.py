"""Fields of a form made from the fields of a settings dataclass."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLabel, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider
from superqt.utils import signals_blocked

from napari_unet.engine.base.setting_texts import setting_texts
from napari_unet.widgets.shared.parts import narrow_form

_UNITS = {"_px": "px", "_um": "µm", "_frames": "frames"}
_MOST = 1_000_000
_AUTOMATIC = "automatic"
_NARROWEST_SLIDER_PX = 100
_DECIMALS = 2


class SettingsForm(QWidget):
    """One row for each setting that is named, with what it does as its tooltip.

    Scores get a slider from 0 to 1, whole numbers a box, switches a check box. Below the lowest
    number lies "automatic" where a setting can be left out.

    Parameters
    ----------
    start : settings dataclass
        Its values are shown first.
    names : sequence of str
        The fields that are shown, in this order.
    ranges : mapping of str to (lowest, highest), optional
        Of sliders that are not for scores, and of numbers that are not for any count.
    """

    changed = Signal()
    """A value was changed by hand or by `show_values`."""

    def __init__(
        self,
        start: object,
        names: Sequence[str],
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        self._ranges = ranges or {}
        settings_class = type(start)
        hints = get_type_hints(settings_class)
        texts = setting_texts(settings_class)
        self.fields: dict[str, QWidget] = {}
        self._optional: set[str] = set()
        self._labels: dict[str, QLabel] = {}
        self._rows = layout = narrow_form()
        self.setLayout(layout)
        for name in names:
            field = self._make_field(name, hints[name])
            field.setToolTip(f"<qt>{texts[name]}</qt>")
            self.fields[name] = field
            if isinstance(field, QCheckBox):
                field.setText(caption(name))
                layout.addRow(field)
            else:
                label = QLabel(caption(name))
                label.setToolTip(field.toolTip())
                self._labels[name] = label
                layout.addRow(label, field)
        self.show_values(start)

    def _make_field(self, name: str, kind: Any) -> QWidget:
        if kind is bool:
            box = QCheckBox()
            box.toggled.connect(self.changed)
            return box
        if kind in (int, int | None):
            spin = QSpinBox()
            lowest, highest = (int(end) for end in self._ranges.get(name, (0, _MOST)))
            if kind is not int:
                lowest -= 1
                spin.setSpecialValueText(_AUTOMATIC)
                self._optional.add(name)
            spin.setRange(lowest, highest)
            for ending in ("_px", "_frames"):
                if name.endswith(ending):
                    spin.setSuffix(f" {_UNITS[ending]}")
            # A number is taken when it is complete, not after each of its digits.
            spin.setKeyboardTracking(False)
            # napari's own style asks for more than a dock of 300 pixels has beside a label.
            spin.setStyleSheet("QSpinBox { min-width: 40px; }")
            spin.valueChanged.connect(self.changed)
            return spin
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        # A threshold of 0 or 1 would make everything one cell, or nothing.
        least = 0.01 if name.endswith("_threshold") else 0.0
        _set_range(slider, *self._ranges.get(name, (least, 0.99)), decimals=_DECIMALS)
        slider.setMinimumWidth(_NARROWEST_SLIDER_PX)
        slider.valueChanged.connect(self.changed)
        return slider

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Put all labels above their fields where one of them does not fit beside its own.

        Rows that Qt breaks one by one get no more height for it, and are squeezed.
        """
        super().resizeEvent(event)
        space_px = max(0, self._rows.horizontalSpacing())
        needed_px = max(
            (
                label.sizeHint().width() + space_px + self.fields[name].minimumWidth()
                for name, label in self._labels.items()
            ),
            default=0,
        )
        policy = QFormLayout.RowWrapPolicy
        fits = self.width() >= needed_px
        self._rows.setRowWrapPolicy(policy.WrapLongRows if fits else policy.WrapAllRows)

    def show_only(self, names: Sequence[str]) -> None:
        """Hide every other setting; hidden ones keep their values."""
        for name, field in self.fields.items():
            field.setVisible(name in names)
            if name in self._labels:
                self._labels[name].setVisible(name in names)

    def set_range(self, name: str, lowest: float, highest: float) -> None:
        """Give a slider other ends, and as many decimals as tell its values apart."""
        slider = self.fields[name]
        decimals = max(_DECIMALS, 1 - math.floor(math.log10(lowest)))
        with signals_blocked(slider):
            _set_range(slider, lowest, highest, decimals=decimals)

    def values(self) -> dict[str, Any]:
        """Values of the fields by name."""
        return {name: self._value(name) for name in self.fields}

    def _value(self, name: str) -> Any:
        field: Any = self.fields[name]
        if isinstance(field, QCheckBox):
            return field.isChecked()
        value = field.value()
        return None if name in self._optional and value == field.minimum() else value

    def show_values(self, settings: object) -> None:
        """Show the values of a settings object; `changed` is emitted once if any differs."""
        before = self.values()
        for name, field in self.fields.items():
            value = getattr(settings, name)
            with signals_blocked(field):
                if isinstance(field, QCheckBox):
                    field.setChecked(value)
                else:
                    number: Any = field
                    number.setValue(number.minimum() if value is None else value)
        if self.values() != before:
            self.changed.emit()

    def changed_settings(self, settings: Any) -> Any:
        """Return `settings` with the values of the fields.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        return dataclasses.replace(settings, **self.values())


def _set_range(slider: Any, lowest: float, highest: float, *, decimals: int) -> None:
    slider.setDecimals(decimals)
    slider.setRange(lowest, highest)
    slider.setSingleStep(10.0**-decimals)


def caption(field_name: str) -> str:
    """Words for a field: "min_size_px" is "Min size"."""
    for ending in _UNITS:
        field_name = field_name.removesuffix(ending)
    return field_name.replace("_", " ").capitalize()
