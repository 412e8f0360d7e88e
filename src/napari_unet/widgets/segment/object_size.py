"""How large the cells are: as the image is, in pixels, in micrometres, or drawn by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_unet.engine.base.errors import SettingsError
from napari_unet.widgets.shared.choices import keep_narrow
from napari_unet.widgets.shared.parts import in_row, while_alive
from napari_unet.widgets.shared.remembered import Setting

if TYPE_CHECKING:
    from napari.components import ViewerModel

_AS_IT_IS, _PIXELS, _MICROMETRES = "as it is", "px", "µm"
_LARGEST = 10_000.0
_DRAWING_NAME = "draw one cell"


class ObjectSizeChoice(QWidget):
    """Diameter of a typical cell, or that the image is taken as it is.

    Parameters
    ----------
    viewer : napari viewer
        Gets a Shapes layer while a cell is drawn.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Image | None = None
        self._drawing: Shapes | None = None
        self._trained_px: float | None = None
        self.mode_box = QComboBox()
        keep_narrow(self.mode_box, characters=5)
        self.mode_box.addItems([_AS_IT_IS, _PIXELS, _MICROMETRES])
        self.mode_box.currentTextChanged.connect(self._on_mode_changed)
        self.box = QDoubleSpinBox()
        self.box.setRange(0.1, _LARGEST)
        self.box.setDecimals(1)
        self.box.setKeyboardTracking(False)
        # napari's own style asks for more than a dock of 300 pixels has.
        self.box.setStyleSheet("QDoubleSpinBox { min-width: 40px; }")
        self.box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.box.valueChanged.connect(self.changed)
        self.draw_button = QPushButton("Draw…")
        self.draw_button.setCheckable(True)
        self.draw_button.setToolTip(
            "Measure: draw an ellipse around one typical cell in the image, and its diameter is "
            "taken. A line, a rectangle or a polygon will do, too."
        )
        self.draw_button.clicked.connect(self._on_draw_clicked)
        layout = in_row(self.mode_box, self.box, self.draw_button, within=self)
        layout.setStretch(0, 3)
        layout.setStretch(1, 2)
        self.show_trained(None)
        self.show_image(None)
        self.box.setVisible(False)

    def show_trained(self, diameter_px: float | None) -> None:
        """Tell the diameter of the cells that the model was trained on, if it says so."""
        self._trained_px = diameter_px
        known = f" ({diameter_px:.0f} pixels)" if diameter_px else ""
        text = (
            "How large a typical cell is. With a number, the image is resized so that its cells "
            f"are as large as those the model was trained on{known}; the labels come back at the "
            "image's own size. 'As it is' goes by the pixel size where layer and model both have "
            "one, and otherwise leaves the image alone."
        )
        self.mode_box.setToolTip(f"<qt>{text}</qt>")
        self.box.setToolTip(f"<qt>Diameter of a typical cell. {text}</qt>")

    def show_image(self, image: Image | None) -> None:
        """Measure on this layer from now on."""
        self._image = image
        self.draw_button.setEnabled(image is not None)

    def set_diameter_px(self, diameter_px: float | None) -> None:
        """Choose a diameter in pixels, or the image as it is."""
        if diameter_px is None:
            self.mode_box.setCurrentText(_AS_IT_IS)
            return
        with signals_blocked(self):
            self.mode_box.setCurrentText(_PIXELS)
            self.box.setValue(diameter_px)
        self.changed.emit()

    @property
    def setting_um(self) -> Setting:
        """The diameter in micrometres, which cells have in every image; 0 without one."""
        return Setting(self._get_um, self._set_um, self.changed)

    def _get_um(self) -> float:
        unit, size = self.entered
        return size if unit == _MICROMETRES else 0.0

    def _set_um(self, size: float) -> None:
        self.mode_box.setCurrentText(_MICROMETRES if size else _AS_IT_IS)
        if size:
            self.box.setValue(size)

    @property
    def entered(self) -> tuple[str, float]:
        """What is shown: the unit, and the number."""
        return self.mode_box.currentText(), float(self.box.value())

    def diameter_px(self, pixel_size_um: float | None) -> float | None:
        """Return the diameter in pixels; None for the image as it is.

        Raises
        ------
        SettingsError
            If it is in micrometres and the pixel size is not known.
        """
        mode = self.mode_box.currentText()
        if mode == _AS_IT_IS:
            return None
        if mode == _PIXELS:
            return float(self.box.value())
        if pixel_size_um is None:
            raise SettingsError(
                "The cell size is in micrometres, but the layer's units are no lengths; set the "
                "layer's scale and units, or give the size in pixels."
            )
        return float(self.box.value()) / pixel_size_um

    def stop_drawing(self) -> None:
        """Take the drawing away."""
        drawing, self._drawing = self._drawing, None
        if isalive(self):
            self.draw_button.setChecked(False)
        if drawing is not None and drawing in self._viewer.layers:
            self._viewer.layers.remove(drawing)
            if self._image is not None and self._image in self._viewer.layers:
                self._viewer.layers.selection.active = self._image

    def _on_mode_changed(self, mode: str) -> None:
        self.box.setVisible(mode != _AS_IT_IS)
        if mode == _PIXELS and self._trained_px and self.box.value() <= self.box.minimum():
            self.box.setValue(self._trained_px)
        self.changed.emit()

    def _on_draw_clicked(self) -> None:
        if not self.draw_button.isChecked() or self._image is None:
            self.stop_drawing()
            return
        image = self._image
        # Drawn on the image's own pixels, whatever its scale; a stack's slices all show it.
        self._drawing = Shapes(
            ndim=image.ndim,
            name=_DRAWING_NAME,
            scale=image.scale,
            translate=image.translate,
            rotate=image.rotate,
            shear=image.shear,
            affine=image.affine.affine_matrix,
            units=image.units,
            edge_color="yellow",
            edge_width=1,
            face_color="transparent",
        )
        self._viewer.add_layer(self._drawing)
        self._viewer.layers.selection.active = self._drawing
        self._drawing.mode = "add_ellipse"
        self._drawing.events.data.connect(self._on_drawn)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)

    @while_alive
    def _on_drawn(self, event: Any) -> None:
        if self._drawing is None or not self._drawing.data:
            return
        if str(getattr(event, "action", "added")) not in ("added", "ActionType.ADDED"):
            return
        axes = list(self._viewer.dims.displayed[-2:])
        missing = self._viewer.dims.ndim - self._drawing.ndim
        corners = np.asarray(self._drawing.data[-1])[:, [axis - missing for axis in axes]]
        diameter = drawn_diameter(corners, str(self._drawing.shape_type[-1]))
        # Inside of its own event napari still holds the layer.
        QTimer.singleShot(0, self.stop_drawing)
        if diameter >= 1:
            self.set_diameter_px(round(diameter, 1))

    def _on_layer_removed(self, _event: Any) -> None:
        if self._drawing is not None and self._drawing not in self._viewer.layers:
            self.stop_drawing()


def drawn_diameter(corners: NDArray[np.floating[Any]], kind: str) -> float:
    """Diameter, in pixels, of the circle that is as large as what was drawn.

    Parameters
    ----------
    corners : (N, 2) array
        As napari keeps shapes: of an ellipse those of its box.
    kind : str
        napari's type of the shape.
    """
    if kind in ("line", "path"):
        return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())
    y, x = corners.T
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    if kind == "ellipse":
        return math.sqrt(area)
    return math.sqrt(4 * area / math.pi)
