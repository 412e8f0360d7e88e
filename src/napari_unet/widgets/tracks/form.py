"""The fields of the Tracks widget: whose cells, and what counts as the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.tracking.settings import TrackingSettings
from napari_unet.viewer.layers import counts_depth, full_resolution, lengths, place_of
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form, while_alive
from napari_unet.widgets.shared.remembered import Remembered
from napari_unet.widgets.shared.settings_form import SettingsForm
from napari_unet.widgets.shared.texts import FaintLabel
from napari_unet.widgets.tracks.work import Request

if TYPE_CHECKING:
    from napari.components import ViewerModel

_FIELDS = ("largest_move_px", "longest_gap_frames", "divisions")
_RANGES = {"largest_move_px": (1, 10_000), "longest_gap_frames": (0, 100)}


class TracksForm(QWidget):
    """Builds the fields and says what they hold; it follows nothing."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.layer_choice = LayerChoice(viewer, Labels)
        self.layer_choice.setToolTip(
            "<qt>Labels of a time series: frames along the first axis. A cell may have another "
            "number in each of them.</qt>"
        )
        self.fields = SettingsForm(TrackingSettings(), _FIELDS, _RANGES)
        # How far cells go depends on the film.
        kept = {name: self.fields.fields[name] for name in _FIELDS[1:]}
        self.remembered = Remembered("Tracks", kept, self)
        self.note = FaintLabel()
        rows = narrow_form()
        rows.addRow("Labels", self.layer_choice)
        in_column(rows, self.note, self.fields, within=self)
        self.layer_choice.currentIndexChanged.connect(self._show_note)
        self.layer_choice.listed.connect(self._show_note)
        self._show_note()

    def request(self, layer: Labels | None = None) -> Request:
        """Return what is to be followed: the cells of this layer, or of the chosen one.

        Raises
        ------
        UNetError
            If there are no labels of several frames.
        """
        layer = self.layer_choice.layer if layer is None else layer
        if layer is None:
            raise UNetError(
                "There is no labels layer; open a film and run Segment cells on every slice, or "
                "open labels of a film."
            )
        ndim = int(layer.ndim)
        if ndim not in (3, 4):
            raise UNetError(
                f"'{layer.name}' has {ndim} axes; a film of planes has 3 (time, Y, X), one of "
                "volumes 4. Choose labels of several frames."
            )
        sizes = lengths(layer, ndim - 1) or tuple(abs(float(each)) for each in layer.scale[1:])
        settings = self.fields.changed_settings(TrackingSettings())
        place = place_of(layer, tuple(range(ndim)))
        return Request(full_resolution(layer), str(layer.name), place, settings, sizes)

    @while_alive
    def _show_note(self, _value: Any = None) -> None:
        layer = self.layer_choice.layer
        is_depth = layer is not None and layer.ndim == 3 and counts_depth(layer)
        self.note.show_text(
            f"The first axis of '{layer.name}' is depth; each slice will be taken for a frame."
            if layer is not None and is_depth
            else ""
        )
