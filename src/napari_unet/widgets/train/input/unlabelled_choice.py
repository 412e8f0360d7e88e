"""The choice of what pixels without a label mean: the question that a training hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QRadioButton, QSpinBox, QVBoxLayout, QWidget

from napari_unet.widgets.shared.choices import LayerChoice, narrow_form
from napari_unet.widgets.train.input.meaning_picture import MeaningPicture
from napari_unet.widgets.train.plan import Meaning

if TYPE_CHECKING:
    from napari.components import ViewerModel

_CAPTIONS: dict[Meaning, str] = {
    "reviewed": "Everything was reviewed",
    "regions": "Only inside regions",
    "painted": "Only what I painted",
}
_TOOLTIPS: dict[Meaning, str] = {
    "reviewed": (
        "<qt>Each cell of the image has a label, so all the rest is background. A cell that was "
        "forgotten teaches the network not to find such cells.</qt>"
    ),
    "regions": (
        "<qt>Inside the shapes of a Shapes layer each cell has a label and the rest is background. "
        "What lies outside teaches nothing, whether there are cells or not.</qt>"
    ),
    "painted": (
        "<qt>Only painted pixels teach anything. Paint some background too, with a number of its "
        "own, or the network never learns where a cell ends.</qt>"
    ),
}
_HIGHEST_LABEL = 2**31 - 1


class UnlabelledChoice(QWidget):
    """Three ways to read pixels without a label, each beside a small picture of it.

    Parameters
    ----------
    viewer : napari viewer

    Attributes
    ----------
    changed : Signal
        Another meaning, another layer of regions or another background label.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.buttons = {meaning: QRadioButton(text) for meaning, text in _CAPTIONS.items()}
        self.regions_choice = LayerChoice(viewer, Shapes)
        self.regions_choice.setToolTip(
            "<qt>Shapes layer whose rectangles, ellipses and polygons surround what was reviewed. "
            "Make one with the polygon button above the layer list.</qt>"
        )
        self.background_box = QSpinBox()
        self.background_box.setRange(0, _HIGHEST_LABEL)
        self.background_box.setSpecialValueText("none")
        self.background_box.setKeyboardTracking(False)
        self.background_box.setToolTip(
            "<qt>The number that you painted background with; pixels with it are no cell. 'none' "
            "if only cells were painted.</qt>"
        )
        self._lay_out()
        self.buttons["reviewed"].setChecked(True)
        self._show_what_applies()
        for button in self.buttons.values():
            button.toggled.connect(self._on_toggled)
        self.regions_choice.currentIndexChanged.connect(self._on_field_changed)
        self.background_box.valueChanged.connect(self._on_field_changed)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(4)
        for row, (meaning, button) in enumerate(self.buttons.items()):
            picture = MeaningPicture(meaning)
            picture.clicked.connect(button.click)
            for widget in (picture, button):
                widget.setToolTip(_TOOLTIPS[meaning])
            grid.addWidget(picture, row, 0)
            grid.addWidget(button, row, 1, Qt.AlignmentFlag.AlignVCenter)
        form = narrow_form()
        self._captions: dict[Meaning, QLabel] = {}
        for meaning, text, field in (
            ("regions", "Regions", self.regions_choice),
            ("painted", "Background label", self.background_box),
        ):
            caption = QLabel(text)
            caption.setToolTip(field.toolTip())
            form.addRow(caption, field)
            self._captions[meaning] = caption
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addLayout(form)

    @property
    def meaning(self) -> Meaning:
        """What is chosen."""
        return next(meaning for meaning, button in self.buttons.items() if button.isChecked())

    @property
    def regions_layer(self) -> Shapes | None:
        """What surrounds reviewed pixels; None if that is not asked, or no such layer is there."""
        layer: Shapes | None = self.regions_choice.layer
        return layer if self.meaning == "regions" else None

    @property
    def background_label(self) -> int | None:
        """Number of painted background; None if that is not asked, or none was painted."""
        label = int(self.background_box.value())
        return label or None if self.meaning == "painted" else None

    def choose(self, meaning: Meaning) -> None:
        """Choose what pixels without a label mean."""
        self.buttons[meaning].setChecked(True)

    def reset_choices(self, event: Any = None) -> None:
        """List the Shapes layers afresh."""
        self.regions_choice.reset_choices(event)

    def _show_what_applies(self) -> None:
        shown = self.meaning
        self.regions_choice.setVisible(shown == "regions")
        self._captions["regions"].setVisible(shown == "regions")
        self.background_box.setVisible(shown == "painted")
        self._captions["painted"].setVisible(shown == "painted")

    def _on_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        # The button that goes out tells, too.
        if is_on:
            self._show_what_applies()
            self.changed.emit()

    def _on_field_changed(self, _value: int) -> None:
        self.changed.emit()
