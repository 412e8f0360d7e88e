"""Boxes to choose an image layer, its channels and how much of it is segmented, kept narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.compat import isalive
from qtpy.QtWidgets import QComboBox, QFormLayout

from napari_unet.viewer.layers import Extent, full_resolution, spatial_ndim
from napari_unet.viewer.results import is_made_up

if TYPE_CHECKING:
    from napari.components import ViewerModel

_NARROWEST = 8
"""Characters of an entry that a box insists on."""

_MOST_CHANNELS = 16

_PLACEHOLDERS: dict[type[Layer], str] = {
    Image: "open an image",
    Labels: "no labels yet",
    Shapes: "draw a Shapes layer",
}


def narrow_form() -> QFormLayout:
    """Make a layout of rows whose labels move above their fields where the dock is narrow."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return layout


def keep_narrow(box: QComboBox, *, characters: int = _NARROWEST) -> None:
    """Let long entries be cut rather than widen the dock."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(characters)


class LayerChoice(QComboBox):
    """Layers of one kind of a viewer; follows the active layer and every change of the list.

    Parameters
    ----------
    viewer : napari viewer
    kind : type
        Image, Labels or Shapes.
    follows_active : bool
        Choose the layer that is selected in the list.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer] = Image,
        *,
        follows_active: bool = True,
    ) -> None:
        super().__init__()
        keep_narrow(self)
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
    def layer(self) -> Any:
        """The chosen layer; None if there is none."""
        return self._layers().get(self.currentData())

    def choose(self, name: str) -> None:
        """Choose a layer by its name."""
        index = self.findText(name)
        self.setCurrentIndex(index if index >= 0 else self.currentIndex())

    def choose_layer(self, layer: Layer) -> None:
        """Choose a layer, if it is offered."""
        index = self.findData(str(layer.unique_id))
        self.setCurrentIndex(index if index >= 0 else self.currentIndex())

    def _layers(self) -> dict[str, Layer]:
        # Scores are images, too, and previews labels, but nobody wants to work on those.
        layers = (
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_made_up(layer)
        )
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
            layer.events.data.connect(self._on_data_changed)
        self.setCurrentIndex(max(self.findData(chosen), 0 if self.count() else -1))
        self.blockSignals(before)
        if self.currentData() != chosen:
            self.currentIndexChanged.emit(self.currentIndex())

    def _on_data_changed(self, event: Any) -> None:
        # Other data may have other axes, so that other choices make sense.
        if isalive(self) and self.layer is not None and self.layer == event.source:
            self.currentIndexChanged.emit(self.currentIndex())

    def _on_active_changed(self, _event: Any = None) -> None:
        if not isalive(self):
            return
        active = self._viewer.layers.selection.active
        if active is not None:
            self.choose_layer(active)


class ExtentChoice(QComboBox):
    """How much of the image is segmented: what is offered depends on its axes."""

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self)
        self.setToolTip(
            "<qt>How much is segmented. 'Field of view' takes what the canvas shows: quick to try "
            "settings out, and the cells are those of the whole image. In a stack or a time "
            "series, each slice is segmented by itself.</qt>"
        )
        self.show_for(has_slices=False)

    @property
    def extent(self) -> Extent:
        """What `read_layer` takes."""
        extent: Extent = self.currentData()
        return extent

    def choose(self, extent: str) -> None:
        """Choose, as far as it is offered."""
        self.setCurrentIndex(max(self.findData(extent), 0))

    def show_for(self, *, has_slices: bool) -> None:
        """Offer what makes sense for an image; the choice stays if it still does."""
        entries = [("Whole image", "slice"), ("Field of view", "view")]
        if has_slices:
            entries = [("This slice", "slice"), ("Every slice", "stack"), ("Field of view", "view")]
        if [self.itemText(i) for i in range(self.count())] == [text for text, _ in entries]:
            return
        chosen = self.currentData()
        before = self.blockSignals(True)
        self.clear()
        for text, extent in entries:
            self.addItem(text, extent)
        self.choose(chosen)
        self.blockSignals(before)
        self.currentIndexChanged.emit(self.currentIndex())


class ChannelChoice(QComboBox):
    """Which axis of a layer counts channels, and which of them are read."""

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self)
        self.setToolTip(
            "<qt>What the network looks at: all colours or channels together, or one of them. A "
            "nuclear stain alone in one colour is often found best by itself. For a stack whose "
            "slices are channels, say so here.</qt>"
        )
        self._entries: list[tuple[str, tuple[int | None, int | None]]] = []
        self.show_for(None)

    @property
    def channel_axis(self) -> int | None:
        """Axis of a layer without colours that counts channels."""
        chosen: tuple[int | None, int | None] | None = self.currentData()
        return chosen[0] if chosen else None

    @property
    def channel(self) -> int | None:
        """The only channel that is read, counted from 0; None for all."""
        chosen: tuple[int | None, int | None] | None = self.currentData()
        return chosen[1] if chosen else None

    @property
    def has_choice(self) -> bool:
        """Whether there is more than one entry."""
        return self.count() > 1

    def choose(self, channel_axis: int | None, channel: int | None) -> None:
        """Choose an entry, if there is such a one."""
        values = [value for _, value in self._entries]
        if (channel_axis, channel) in values:
            self.setCurrentIndex(values.index((channel_axis, channel)))

    def show_for(self, layer: Image | None, *, network_ndim: int = 2) -> None:
        """Offer what a layer has; the choice stays if it still makes sense."""
        entries = list(self._entries_for(layer, network_ndim))
        if entries == self._entries:
            return
        chosen, self._entries = self.currentText(), entries
        before = self.blockSignals(True)
        self.clear()
        for text, value in entries:
            self.addItem(text, value)
        self.setCurrentIndex(max(self.findText(chosen), 0))
        self.blockSignals(before)
        self.currentIndexChanged.emit(self.currentIndex())

    @staticmethod
    def _entries_for(
        layer: Image | None, network_ndim: int
    ) -> list[tuple[str, tuple[int | None, int | None]]]:
        if layer is None:
            return []
        if layer.rgb:
            colours = [
                (name, (None, number)) for number, name in enumerate(("Red", "Green", "Blue"))
            ]
            return [("All colours", (None, None)), *colours]
        entries: list[tuple[str, tuple[int | None, int | None]]] = [("One channel", (None, None))]
        shape = full_resolution(layer).shape
        for axis in range(spatial_ndim(layer, None) - network_ndim):
            size = int(shape[axis])
            if not 2 <= size <= _MOST_CHANNELS:
                continue
            where = f"axis {axis}"
            entries.append((f"All {size} of {where}", (axis, None)))
            entries += [(f"Channel {n + 1} of {where}", (axis, n)) for n in range(size)]
        return entries
