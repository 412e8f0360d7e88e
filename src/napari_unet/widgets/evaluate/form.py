"""The fields of the Evaluate widget: which labels are true, which were found, and how to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.script import EvaluationRecipe
from napari_unet.viewer.layers import counts_time, full_resolution, is_on_grid
from napari_unet.viewer.results import METADATA_KEY
from napari_unet.widgets.evaluate.comparison import Request
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form, while_alive
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

_LOWEST_IOU, _HIGHEST_IOU, _IOU_STEP = 0.5, 0.95, 0.05


class EvaluateForm(QWidget):
    """Builds the fields and says what they hold; it compares nothing."""

    pair_changed = Signal()
    """Other layers are chosen."""
    choices_changed = Signal()
    """The same layers are to be judged in another way."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._found: Labels | None = None
        self.truth_choice = LayerChoice(viewer, Labels, follows_active=False)
        self.truth_choice.setToolTip("<qt>Labels in which each cell is as it should be.</qt>")
        self.found_choice = LayerChoice(viewer, Labels, follows_active=False)
        self.found_choice.setToolTip("<qt>Labels of the same image that are to be judged.</qt>")
        self.image_choice = LayerChoice(viewer, Image)
        self.image_choice.setToolTip(
            "<qt>What the pictures of the report show below the outlines.</qt>"
        )
        self.iou_box = QDoubleSpinBox()
        self.iou_box.setRange(_LOWEST_IOU, _HIGHEST_IOU)
        self.iou_box.setSingleStep(_IOU_STEP)
        self.iou_box.setToolTip(
            "<qt>Overlap of a true and a found cell, divided by their union, from which the found "
            "one is right. Below it, the outline is poor.</qt>"
        )
        self.slice_box = QCheckBox("Each slice by itself")
        self.slice_box.setToolTip(
            "<qt>Each slice of the stack is an image of its own. Otherwise a cell is all pixels of "
            "its number, through the slices.</qt>"
        )
        self.image_note = FaintLabel()
        rows = narrow_form()
        rows.addRow("Truth", self.truth_choice)
        rows.addRow("Result", self.found_choice)
        rows.addRow("Image", self.image_choice)
        rows.addRow("Right from IoU", self.iou_box)
        in_column(rows, self.slice_box, self.image_note, within=self)
        self._choose_first()
        for choice in (self.truth_choice, self.found_choice):
            choice.currentIndexChanged.connect(self._on_pair_changed)
            choice.listed.connect(self._on_listed)
        self.image_choice.currentIndexChanged.connect(self._show_what_applies)
        self.iou_box.valueChanged.connect(self._on_choices_changed)
        self.slice_box.toggled.connect(self._on_choices_changed)
        self._on_pair_changed()

    @property
    def pair(self) -> tuple[Labels | None, Labels | None]:
        """The layers of the truth and of the result."""
        return self.truth_choice.layer, self.found_choice.layer

    def request(self) -> Request:
        """Return what is to be compared.

        Raises
        ------
        UNetError
            If the layers cannot be compared.
        """
        truth, found = self.pair
        if truth is None or found is None or truth == found:
            raise UNetError(
                "The truth and the result are two labels layers of one image; open the true "
                "labels as a layer, and choose them beside the result."
            )
        shapes = [tuple(full_resolution(layer).shape) for layer in (truth, found)]
        if shapes[0] != shapes[1]:
            told = [" x ".join(map(str, shape)) for shape in shapes]
            raise UNetError(
                f"'{truth.name}' has {told[0]} pixels and '{found.name}' {told[1]}; choose labels "
                "of the same image."
            )
        by_slice = self.slice_box.isChecked() and len(shapes[0]) > 2
        if len(shapes[0]) > 3 and not by_slice:
            raise UNetError(
                f"'{found.name}' has {len(shapes[0])} axes, and a cell at most 3; tick 'Each slice "
                "by itself', or choose layers of one volume."
            )
        return Request(
            full_resolution(truth),
            full_resolution(found),
            str(truth.name),
            str(found.name),
            self.iou_box.value(),
            by_slice,
        )

    def recipe(self) -> EvaluationRecipe:
        """Return what is to be compared, for a script.

        Raises
        ------
        UNetError
            If the layers cannot be compared.
        """
        request = self.request()
        image = self.image_choice.layer if self.image_below() is not None else None
        layers = [*self.pair, image]
        return EvaluationRecipe(
            request.truth_name,
            request.found_name,
            "" if image is None else str(image.name),
            request.right_iou,
            request.by_slice,
            tuple(str(each.name) for each in layers if each is not None and each.multiscale),
        )

    def image_below(self) -> tuple[str, Any] | None:
        """Name and pixels of the image for the pictures; None without one of the same grid."""
        image, found = self.image_choice.layer, self.found_choice.layer
        if image is None or found is None or not is_on_grid(image, found):
            return None
        return str(image.name), full_resolution(image)

    def _choose_first(self) -> None:
        """What a model has found is the result, and the first other labels are the truth."""
        layers = [each for each in self._listed() if METADATA_KEY in each.metadata]
        found = layers[-1] if layers else next(iter(self._listed()[1:2]), None)
        if found is not None:
            self.found_choice.choose_layer(found)
            others = [each for each in self._listed() if each != found]
            if others and self.truth_choice.layer == found:
                self.truth_choice.choose_layer(others[0])

    def _listed(self) -> list[Labels]:
        return self.found_choice.offered

    @while_alive
    def _on_listed(self) -> None:
        # As long as nobody can have chosen two.
        if self.truth_choice.layer == self.found_choice.layer:
            self._choose_first()

    @while_alive
    def _on_pair_changed(self, _index: int = 0) -> None:
        found = self.found_choice.layer
        is_stack = found is not None and found.ndim > 2
        self.slice_box.setVisible(is_stack)
        if found is not None and found != self._found:
            # A person may think otherwise, until other labels are chosen.
            self.slice_box.setChecked(is_stack and counts_time(found))
        self._found = found
        self._show_what_applies()
        self.pair_changed.emit()

    def _show_what_applies(self, _index: int = 0) -> None:
        image, found = self.image_choice.layer, self.found_choice.layer
        note = ""
        if image is not None and found is not None and self.image_below() is None:
            note = f"'{image.name}' is on another grid; the report will show outlines alone."
        self.image_note.show_text(note)

    def _on_choices_changed(self, _value: Any = None) -> None:
        self.choices_changed.emit()
