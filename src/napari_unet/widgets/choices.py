"""Boxes to choose an image layer, a device and a cell diameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox

if TYPE_CHECKING:
    from napari.components import ViewerModel

_NARROWEST = 8
"""Characters of an entry that a box insists on."""

_LARGEST_DIAMETER_PX = 10_000.0


def keep_narrow(box: QComboBox) -> None:
    """Let long entries be cut rather than widen the dock."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_NARROWEST)


class LayerChoice(QComboBox):
    """Image layers of a viewer; follows the active layer and every change of the list.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        keep_narrow(self)
        self._viewer = viewer
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.reset_choices)
        viewer.layers.selection.events.active.connect(self._on_active_changed)
        self.reset_choices()
        self._on_active_changed()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        return self._layers().get(self.currentData())

    def _layers(self) -> dict[str, Image]:
        layers = (layer for layer in self._viewer.layers if isinstance(layer, Image))
        return {str(layer.unique_id): layer for layer in layers}

    def reset_choices(self, _event: Any = None) -> None:
        """List the layers afresh; the chosen one stays chosen while it is there."""
        # napari's signals outlive the widget until Python collects it.
        if not isalive(self):
            return
        chosen = self.currentData()
        before = self.blockSignals(True)
        self.clear()
        for layer_id, layer in self._layers().items():
            self.addItem(layer.name, layer_id)
            # Once for each layer, however often; a list that tells of it is new in napari 0.7.
            layer.events.name.connect(self.reset_choices)
        self.setCurrentIndex(max(self.findData(chosen), 0 if self.count() else -1))
        self.blockSignals(before)
        if self.currentData() != chosen:
            self.currentIndexChanged.emit(self.currentIndex())

    def _on_active_changed(self, _event: Any = None) -> None:
        if not isalive(self):
            return
        active = self._viewer.layers.selection.active
        if active is not None:
            index = self.findData(str(active.unique_id))
            self.setCurrentIndex(index if index >= 0 else self.currentIndex())


class DeviceChoice(QComboBox):
    """Devices that the network can run on; "auto" until the others are known."""

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self)
        self.addItem("Automatic", "auto")

    @property
    def device(self) -> str:
        """Name that the engine takes."""
        return str(self.currentData())

    def add_devices(self, names: Iterable[str]) -> None:
        """List this machine's devices."""
        for name in names:
            if self.findData(name) < 0:
                self.addItem(name.upper(), name)


class DiameterBox(QDoubleSpinBox):
    """Diameter of a typical cell in pixels, or "automatic"."""

    def __init__(self) -> None:
        super().__init__()
        self._trained_px: float | None = None
        self.setRange(0.0, _LARGEST_DIAMETER_PX)
        self.setDecimals(1)
        self.setSpecialValueText("automatic")
        self.setSuffix(" px")
        self.show_trained(None)

    @property
    def diameter_px(self) -> float | None:
        """The diameter; None for automatic."""
        return self.value() or None

    def show_trained(self, diameter_px: float | None) -> None:
        """Tell the diameter of the cells that the model was trained on, if it says so."""
        self._trained_px = diameter_px
        self.setToolTip(
            "Diameter of a typical cell in pixels. The image is resized so that its cells are as "
            "large as those the model was trained on"
            + (f" ({diameter_px:.0f} px). " if diameter_px else ". ")
            + "'automatic' goes by the pixel size where the layer and the model both have one, "
            "and otherwise leaves the size alone."
        )

    def stepBy(self, steps: int) -> None:  # noqa: N802
        """Step; the first step from "automatic" goes to a diameter that makes sense."""
        if self.value() == 0 and steps > 0 and self._trained_px:
            self.setValue(self._trained_px)
        else:
            super().stepBy(steps)
