"""The fields of the Measure widget: whose cells, on which images, and in what units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QListWidget, QListWidgetItem, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.viewer.cells.cell_scores import cell_scores_of
from napari_unet.viewer.cells.measurements import Request
from napari_unet.viewer.layers import as_array, counts_time, full_resolution, is_on_grid, lengths
from napari_unet.viewer.results import is_made_up
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form, while_alive
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.labels.measurements import PixelSize

_COLOURS = ("red", "green", "blue")
_ROWS_SHOWN = 3
_LAYER_ID = Qt.ItemDataRole.UserRole


class MeasureForm(QWidget):
    """Builds the fields and says what they hold; it measures nothing."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.layer_choice = LayerChoice(viewer, Labels)
        self.layer_choice.setToolTip("<qt>Each cell in this layer is a row of the table.</qt>")
        self.image_list = QListWidget()
        self.image_list.setToolTip(
            "<qt>Images on the grid of the labels. Of each that is ticked the table has the mean, "
            "minimum, maximum, standard deviation and sum of the intensities in each cell; of a "
            "colour image for red, green and blue.</qt>"
        )
        row_px = self.image_list.fontMetrics().height() + 6
        self.image_list.setFixedHeight(_ROWS_SHOWN * row_px)
        self.left_out = FaintLabel()
        self.unit_box = QCheckBox()
        self.unit_box.setChecked(True)
        self.unit_box.setToolTip(
            "<qt>Sizes and places in the unit of the layer, where it has a scale and a unit of "
            "length along each axis. The names of the columns tell.</qt>"
        )
        self.background_box = QCheckBox("Take the background off")
        self.background_box.setToolTip(
            "<qt>Take the median intensity where no cell is from the intensities of each image. "
            "What was taken is a column.</qt>"
        )
        rows = narrow_form()
        rows.addRow("Labels", self.layer_choice)
        rows.addRow("Images", self.image_list)
        in_column(rows, self.left_out, self.unit_box, self.background_box, within=self)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.show_what_applies)
        self.layer_choice.currentIndexChanged.connect(self.show_what_applies)
        self.show_what_applies()

    def request(self) -> Request:
        """Return what is to be measured.

        Raises
        ------
        UNetError
            If there are no labels, or they count time.
        """
        layer = self.layer_choice.layer
        if layer is None:
            raise UNetError(
                "There is no labels layer; run Segment cells, or make one with the layer list's "
                "tag button and paint cells."
            )
        if layer.ndim == 3 and counts_time(layer):
            raise UNetError(
                f"'{layer.name}' counts time along its first axis, and is measured frame by frame; "
                "that does the command napari-unet measure, or duplicate one frame as a layer."
            )
        images: dict[str, Any] = {}
        for image in self._ticked():
            images |= _channels(image)
        return Request(
            full_resolution(layer),
            images,
            self._pixel_size(layer),
            self.background_box.isChecked(),
            cell_scores_of(layer),
        )

    @while_alive
    def show_what_applies(self, _event: Any = None) -> None:
        """List the images of the chosen labels, and name their unit; ticks stay as they are."""
        layer = self.layer_choice.layer
        images = [
            each for each in self._viewer.layers if isinstance(each, Image) and not is_made_up(each)
        ]
        for image in images:
            # Once for each layer, however often.
            for event in (image.events.name, image.events.data):
                event.connect(self.show_what_applies)
        if layer is not None:
            for event in (layer.events.scale, layer.events.units):
                event.connect(self.show_what_applies)
        fitting = [each for each in images if layer is not None and is_on_grid(each, layer)]
        unticked = {str(item.data(_LAYER_ID)) for item in self._items() if not _is_ticked(item)}
        self.image_list.clear()
        for image in fitting:
            item = QListWidgetItem(str(image.name))
            item.setData(_LAYER_ID, str(image.unique_id))
            is_ticked = str(image.unique_id) not in unticked
            item.setCheckState(Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked)
            self.image_list.addItem(item)
        others = [f"'{each.name}'" for each in images if layer is not None and each not in fitting]
        self.left_out.show_text(
            f"On another grid than the labels: {', '.join(others)}. Of an image whose channels are "
            "an axis, split that (right-click on the layer, Split Stack)."
            if others
            else ""
        )
        symbol = None if layer is None else _unit(layer)
        self.unit_box.setText("In physical units" if symbol is None else f"In {symbol}")
        self.unit_box.setEnabled(symbol is not None)

    def _items(self) -> list[QListWidgetItem]:
        items = (self.image_list.item(row) for row in range(self.image_list.count()))
        return [item for item in items if item is not None]

    def _ticked(self) -> list[Image]:
        chosen = {str(item.data(_LAYER_ID)) for item in self._items() if _is_ticked(item)}
        return [each for each in self._viewer.layers if str(each.unique_id) in chosen]

    def _pixel_size(self, layer: Labels) -> PixelSize | None:
        from napari_unet.engine.labels.measurements import PixelSize

        symbol, sizes = _unit(layer), lengths(layer, layer.ndim)
        if symbol is None or sizes is None or not self.unit_box.isChecked():
            return None
        # Names of columns are read by programs that know no Greek.
        return PixelSize(sizes, symbol.replace("µ", "u"))


def _is_ticked(item: QListWidgetItem) -> bool:
    return bool(item.checkState() == Qt.CheckState.Checked)


def _unit(layer: Labels) -> str | None:
    """Unit of length of a layer, as people write it; None if it has none along each axis."""
    return None if lengths(layer, layer.ndim) is None else f"{layer.units[-1]:~P}"


def _channels(image: Image) -> dict[str, Any]:
    """The pixels of a layer under its name; of a colour image those of each colour."""
    array = full_resolution(image)
    if not image.rgb:
        return {str(image.name): array}
    colours = as_array(array)
    return {f"{image.name} {name}": colours[..., at] for at, name in enumerate(_COLOURS)}
