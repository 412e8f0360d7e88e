"""The Cell types widget: of what types cells are, as colours with a legend, given by clicks."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.cells.cell_types import (
    colour_by_label,
    colour_by_type,
    give_type,
    is_coloured_by_type,
    type_colours,
    types_of_layer,
)
from napari_unet.viewer.gestures import LEFT, Click, Gestures
from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, narrow_form, while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CellTypesWidget(DockedForm):
    """Choose a labels layer, write a type, and click the cells that are of it."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.gestures = Gestures(napari_viewer, self)
        self._followed: Labels | None = None
        self._build()
        self.layer_choice.currentIndexChanged.connect(self._on_layer_chosen)
        self.colour_box.toggled.connect(self._on_colour_toggled)
        self.button.toggled.connect(self._on_button_toggled)
        self.gestures.clicked.connect(self._on_clicked)
        self.gestures.interrupted.connect(self._stop_clicks)
        self.sentence.follow(
            lambda: self.layer_choice.subject,
            self.layer_choice.currentIndexChanged,
            self.layer_choice.listed,
            self.type_box.editTextChanged,
        )
        self._on_layer_chosen()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, Labels)
        self.layer_choice.setToolTip(
            "<qt>The cells whose types are shown and given. Types are kept in the layer's features "
            "table, where other plugins read them, too.</qt>"
        )
        self.type_box = QComboBox()
        self.type_box.setEditable(True)
        self.type_box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        keep_narrow(self.type_box)
        self.type_box.setToolTip(
            "<qt>Write any name, such as <i>mitotic</i>, or choose one that is there. Empty takes "
            "a cell's type away.</qt>"
        )
        self.button = QPushButton("Give this type by clicks")
        self.button.setCheckable(True)
        self.button.setToolTip(
            "<qt>While this is pressed, each cell that you click gets the type above. Dragging "
            "still moves the image.</qt>"
        )
        self.colour_box = QCheckBox("Colour cells by type")
        self.colour_box.setToolTip(
            "<qt>One colour for each type, and grey for cells without one. Untick it to have a "
            "colour for each cell again.</qt>"
        )
        self.legend, self.sentence = QLabel(), Sentence()
        self.legend.setWordWrap(True)
        rows = narrow_form()
        rows.addRow("Labels", self.layer_choice)
        rows.addRow("Type", self.type_box)
        inside = QWidget()
        parts = (rows, self.button, self.colour_box, self.legend, self.sentence)
        in_column(*parts, within=inside).addStretch()
        in_column(Scrolled(inside), within=self).setContentsMargins(4, 4, 4, 4)

    def stop_all(self) -> None:
        """Listen to clicks no more."""
        self._stop_clicks()

    def _stop_clicks(self) -> None:
        self.gestures.stop()
        with signals_blocked(self.button):
            self.button.setChecked(False)

    def _on_layer_chosen(self, _index: int = 0) -> None:
        layer = self.layer_choice.layer
        if self.gestures.layer is not None and self.gestures.layer != layer:
            self._stop_clicks()
        if self._followed is not None and self._followed != layer:
            self._followed.events.features.disconnect(self._show_types)
            self._followed = None
        if layer is not None and self._followed is None:
            layer.events.features.connect(self._show_types)
            self._followed = layer
        self._show_types()

    @while_alive
    def _show_types(self, _event: Any = None) -> None:
        """Show the types of the layer: their names to choose from, and the legend."""
        layer = self.layer_choice.layer
        types = {} if layer is None else types_of_layer(layer)
        colours = {} if layer is None else type_colours(layer)
        counts = Counter(types.values())
        text = self.type_box.currentText()
        with signals_blocked(self.type_box):
            self.type_box.clear()
            self.type_box.addItems(list(colours))
            self.type_box.setEditText(text)
        is_coloured = layer is not None and is_coloured_by_type(layer)
        with signals_blocked(self.colour_box):
            self.colour_box.setChecked(is_coloured)
        self.legend.setText(
            "<br>".join(
                f"<span style='color: {colour}'>&#9632;</span> {escape(name)}: {counts[name]}"
                for name, colour in colours.items()
            )
            or "No cell has a type yet."
        )

    def _on_colour_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        layer = self.layer_choice.layer
        try:
            if layer is None:
                raise _no_labels()
            if is_on:
                colour_by_type(layer)
            else:
                colour_by_label(layer)
        except UNetError as error:
            self.sentence.show_error(str(error))
        self._show_types()

    def _on_button_toggled(self, is_on: bool) -> None:  # noqa: FBT001 - as Qt calls it
        layer = self.layer_choice.layer
        if not is_on:
            self._stop_clicks()
        elif layer is None:
            self._stop_clicks()
            self.sentence.show_error(str(_no_labels()))
        else:
            self.gestures.start(layer)
            self.sentence.show_text("Click cells on the canvas; press the button again to end.")

    def _on_clicked(self, click: Click) -> None:
        layer, name = self.gestures.layer, self.type_box.currentText().strip()
        label = click.label
        if layer is None or label <= 0 or click.button != LEFT:
            return
        give_type(layer, label, name)
        if name and not is_coloured_by_type(layer):
            colour_by_type(layer)
            self._show_types()
        self.sentence.show_text(f"Cell {label} is {name}." if name else f"Cell {label}: no type.")


def _no_labels() -> UNetError:
    return UNetError(
        "There is no labels layer; run Segment cells, or make one with the layer list's tag button "
        "and paint cells."
    )
