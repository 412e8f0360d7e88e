"""Boxes of a form that keep narrow, and the one that chooses a layer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

from napari_unet.viewer.results import is_made_up
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel

_Layer = TypeVar("_Layer", bound=Layer)

_NARROWEST = 8
"""Characters of an entry that a box insists on."""

_PLACEHOLDERS: dict[type[Layer], str] = {
    Image: "open an image",
    Labels: "no labels yet",
    Shapes: "draw a Shapes layer",
}


def keep_narrow(box: QComboBox, *, characters: int = _NARROWEST) -> None:
    """Let long entries be cut rather than widen the dock."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(characters)


class StillBox(QComboBox):
    """Shows long entries with dots in their middle while it is closed, and whole when asked."""

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self)

    @property
    def short_text(self) -> str:
        """What is shown of the chosen entry while the box is closed."""
        return self.fontMetrics().elidedText(
            self.currentText(), Qt.TextElideMode.ElideMiddle, self._field_px()
        )

    def showPopup(self) -> None:  # noqa: N802
        """Open the list, as wide as its longest entry."""
        if (view := self.view()) is not None:
            view.setMinimumWidth(view.sizeHintForColumn(0))
        super().showPopup()

    def event(self, event: QEvent | None) -> bool:
        """Tell the whole of an entry that is shown with dots, above what the box is for."""
        if isinstance(event, QHelpEvent) and self.short_text != self.currentText():
            told = f"<qt><b>{escape(self.currentText())}</b><br>{self.toolTip()}</qt>"
            QToolTip.showText(event.globalPos(), told, self)
            return True
        return bool(super().event(event))

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the box as always, with dots where its text is too long."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.short_text
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _field_px(self) -> int:
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        box, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        return style.subControlRect(box, option, field, self).width() if style else self.width()


class OfferBox(StillBox):
    """A narrow box whose entries change with what there is to choose from."""

    def __init__(self) -> None:
        super().__init__()
        # Beside Qt's own data, which one of its bindings makes a list of a tuple.
        self._entries: list[tuple[str, Any]] = []

    @property
    def chosen(self) -> Any:
        """What the chosen entry stands for; None without one."""
        index = self.currentIndex()
        return self._entries[index][1] if 0 <= index < len(self._entries) else None

    def choose_value(self, value: Any) -> None:
        """Choose what stands for a value, if it is offered."""
        values = [each for _, each in self._entries]
        if value in values:
            self.setCurrentIndex(values.index(value))

    def offer(self, entries: Sequence[tuple[str, Any]]) -> bool:
        """Offer texts that stand for values; the choice stays if it can, or else is the first.

        Returns
        -------
        bool
            Whether these are others than before; no signal tells of it.
        """
        if list(entries) == self._entries:
            return False
        chosen, before = self.chosen, self.blockSignals(True)
        self.clear()
        self._entries = list(entries)
        for text, value in entries:
            self.addItem(text, value)
        self.setCurrentIndex(0 if entries else -1)
        self.choose_value(chosen)
        self.blockSignals(before)
        return True


class LayerChoice(OfferBox, Generic[_Layer]):
    """Layers of one kind of a viewer; follows the active layer and every change of the list.

    Parameters
    ----------
    kind : type
        Image, Labels or Shapes.
    follows_active : bool
        Choose the layer that is selected in the list.
    """

    listed = Signal()
    """Other layers are offered, or the same under other names."""

    def __init__(
        self, viewer: ViewerModel, kind: type[_Layer], *, follows_active: bool = True
    ) -> None:
        super().__init__()
        self.setPlaceholderText(_PLACEHOLDERS[kind])
        self._kind = kind
        self._viewer = viewer
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.reset_choices)
        self.reset_choices()
        if follows_active:
            viewer.layers.selection.events.active.connect(self._on_active_changed)
            self._on_active_changed()

    @property
    def layer(self) -> _Layer | None:
        """The chosen layer; None if there is none."""
        return self._layers().get(self.chosen)

    @property
    def offered(self) -> list[_Layer]:
        """All layers that can be chosen, in the order of the viewer."""
        return list(self._layers().values())

    @property
    def subject(self) -> object:
        """The chosen layer and its name, for a `Sentence` that tells of it."""
        return self.currentText(), self.chosen

    def choose(self, name: str) -> None:
        """Choose a layer by its name, if it is offered."""
        self.setCurrentText(name)

    def choose_layer(self, layer: Layer) -> None:
        """Choose a layer, if it is offered."""
        self.choose_value(str(layer.unique_id))

    def _layers(self) -> dict[str, _Layer]:
        # Scores are images, too, and previews labels, but nobody wants to work on those.
        layers = (
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_made_up(layer)
        )
        return {str(layer.unique_id): layer for layer in layers}

    @while_alive
    def reset_choices(self, _event: Any = None) -> None:
        """List the layers afresh; the chosen one stays chosen while it is there."""
        chosen, layers = self.chosen, self._layers()
        for layer in layers.values():
            # Once for each layer, however often; a list that tells of it is new in napari 0.7.
            layer.events.name.connect(self.reset_choices)
            layer.events.data.connect(self._on_data_changed)
        if self.offer([(layer.name, layer_id) for layer_id, layer in layers.items()]):
            self.listed.emit()
        if self.chosen != chosen:
            self.currentIndexChanged.emit(self.currentIndex())

    @while_alive
    def _on_data_changed(self, event: Any) -> None:
        # Other data may have other axes, so that other choices make sense.
        if self.layer is not None and self.layer == event.source:
            self.currentIndexChanged.emit(self.currentIndex())

    @while_alive
    def _on_active_changed(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None:
            self.choose_layer(active)
