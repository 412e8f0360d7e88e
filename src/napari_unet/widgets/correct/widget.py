"""The Correct widget: tools with which the mouse corrects cells, and the way through them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.cell_count import CellCount
from napari_unet.session import Session, shared_session
from napari_unet.versions.journal import Journal
from napari_unet.viewer.gestures import LEFT, Click, Gestures
from napari_unet.widgets.correct.changes import LayerChanges
from napari_unet.widgets.correct.corrections import Corrections
from napari_unet.widgets.correct.journal.keeper import JournalKeeper
from napari_unet.widgets.correct.journal.offer import JournalOffer
from napari_unet.widgets.correct.landscape import image_of, lies_on
from napari_unet.widgets.correct.layer_keys import LayerKeys
from napari_unet.widgets.correct.live_count import LiveCount
from napari_unet.widgets.correct.part import shown_part
from napari_unet.widgets.correct.review.look_over import LookOver
from napari_unet.widgets.correct.review.outlines import ShownOutlines
from napari_unet.widgets.correct.review.panel import LookOverPanel
from napari_unet.widgets.correct.stroke_line import StrokeLine
from napari_unet.widgets.correct.tools import Tool, ToolButtons
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import (
    Fold,
    Scrolled,
    in_column,
    narrow_form,
)
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CorrectWidget(DockedForm):
    """Choose a labels layer and a tool, and correct cells on the canvas.

    Parameters
    ----------
    session : Session, optional
        Owner of the loaded network; without it the process's.
    """

    def __init__(self, napari_viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__(napari_viewer)
        self._line: StrokeLine | None = None
        self._layer: Labels | None = None
        self._is_open = True
        self._keys = LayerKeys()
        self.gestures, self.looking = Gestures(napari_viewer, self), Gestures(napari_viewer, self)
        self.changes = LayerChanges(napari_viewer, self)
        self.count = LiveCount(self.changes, self)
        self.look_over = LookOver(napari_viewer, self.changes, self)
        self.outlines = ShownOutlines(napari_viewer, self.look_over, self.canvases, self)
        self._build()
        self.corrections = Corrections(
            napari_viewer,
            session or shared_session(),
            self.count,
            lambda: self.image_choice.layer,
            self,
        )
        self.journal = JournalKeeper(
            napari_viewer, self.changes, lambda: self.corrections.action, self
        )
        self._connect()
        self._on_layer_chosen()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, Labels)
        self.layer_choice.setToolTip("Cells to correct; follows the layer you select.")
        self.image_choice = LayerChoice(self._viewer, Image, follows_active=False)
        self.image_choice.setToolTip(
            "<qt>The image that the cells lie on: a cut follows the lines between cells in it, and "
            "missed cells are found in it.</qt>"
        )
        self.tools = ToolButtons()
        self.count_label, self.sentence = QLabel(), Sentence()
        self.count_label.setToolTip("Different numbers above 0 in the layer, in all of its slices.")
        self.panel = LookOverPanel(self.look_over)
        self.fold = Fold("Look over", self.panel)
        self.fold.expand(animate=False)
        rows = narrow_form()
        rows.addRow("Labels", self.layer_choice)
        rows.addRow("Image", self.image_choice)
        inside = QWidget()
        self.offer = JournalOffer(self._viewer)
        parts = (self.offer, rows, self.tools, self.count_label, self.fold, self.sentence)
        in_column(*parts, within=inside).addStretch()
        in_column(Scrolled(inside), within=self).setContentsMargins(4, 4, 4, 4)

    def _connect(self) -> None:
        # First: what is said of a change is about what is there after it.
        self.sentence.follow(
            lambda: self.layer_choice.subject,
            self.layer_choice.currentIndexChanged,
            self.layer_choice.listed,
        )
        self.layer_choice.currentIndexChanged.connect(self._on_layer_chosen)
        self.image_choice.listed.connect(self._on_images_listed)
        self.image_choice.currentIndexChanged.connect(self.corrections.forget)
        self.tools.chosen.connect(self._on_tool_chosen)
        self.gestures.clicked.connect(self._on_clicked)
        self.looking.clicked.connect(self._on_pointed)
        self.gestures.drawing.connect(self._on_drawing)
        self.gestures.drawn.connect(self._on_drawn)
        self.gestures.interrupted.connect(self._on_interrupted)
        self.corrections.told.connect(self.sentence.show_text)
        self.corrections.failed.connect(self.sentence.show_error)
        self.count.counted.connect(self._on_counted)
        self.journal.failed.connect(self.sentence.show_error)
        self.offer.failed.connect(self.sentence.show_error)
        self.offer.restored.connect(self._on_restored)
        self.panel.asked.connect(self._on_look_asked)
        self.look_over.told.connect(self.sentence.show_text)
        self.look_over.failed.connect(self.sentence.show_error)

    def stop_all(self) -> None:
        """Let go of the mouse, the keys and the layer."""
        self.tools.choose(None)
        self.looking.stop()
        self._keys.bind(None, {})
        self.corrections.forget()
        self.changes.follow(None)
        self.journal.write_now()
        self.offer.stop()
        self._layer, self._is_open = None, False

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take up again what `stop_all` has let go of."""
        super().showEvent(event)
        self._is_open = True
        self._on_layer_chosen()
        self.offer.look()

    def _on_layer_chosen(self, _index: int = 0) -> None:
        layer: Labels | None = self.layer_choice.layer
        # It may also have got other data.
        self.corrections.forget()
        if layer == self._layer or not self._is_open:
            return
        self._layer = layer
        self.looking.stop()
        self.tools.choose(None)
        self._keys.bind(layer, {**self.tools.keys, **self.panel.keys})
        self.changes.follow(layer)
        self.offer.look()
        self._choose_image()

    def _choose_image(self) -> None:
        """Choose the image that the cells were found in."""
        image = None if self._layer is None else image_of(self._layer, self._viewer)
        if image is not None:
            self.image_choice.choose_layer(image)

    def _on_images_listed(self) -> None:
        """Leave it at the image that was chosen, as long as the cells can lie on it."""
        image, layer = self.image_choice.layer, self._layer
        if layer is not None and (image is None or not lies_on(image, layer.data.shape)):
            self._choose_image()

    def _on_tool_chosen(self, tool: Tool | None) -> None:
        self.gestures.stop()
        self._on_drawing([])
        if tool is None:
            return
        try:
            if self._layer is None:
                raise UNetError(
                    "There is no labels layer; run Segment cells, or open labels, and correct them "
                    "here."
                )
            shown_part(self._layer, self._viewer)
        except UNetError as error:
            self.tools.choose(None)
            self.sentence.show_error(str(error))
            return
        self.gestures.start(self._layer, draws=tool.draws)
        self.sentence.show_text(f"{tool.gesture}; press {tool.key} on the canvas to end.")

    def _on_interrupted(self) -> None:
        self.tools.choose(None)
        self.sentence.show_text()

    def _on_clicked(self, click: Click) -> None:
        tool, layer = self.tools.tool, self.gestures.layer
        if tool is not None and layer is not None:
            self.corrections.click(tool, layer, click)

    def _on_drawn(self, stroke: NDArray[np.float64]) -> None:
        tool, layer = self.tools.tool, self.gestures.layer
        if tool is not None and layer is not None:
            self.corrections.draw(tool, layer, stroke)

    def _on_drawing(self, points: list[Any]) -> None:
        """Show the stroke while it is drawn; without points it is over."""
        if self._line is None and points:
            self._line = next(map(StrokeLine, self.canvases()), None)
        if self._line is not None:
            self._line.show_stroke(points)

    def _on_restored(self, layer: Labels, journal: Journal) -> None:
        self._viewer.layers.selection.active = layer
        self.journal.go_on_with(layer, journal)
        self.look_over.begin_anew()
        self.sentence.show_text(f"'{layer.name}' is as it was corrected; save it when it is done.")

    def _on_look_asked(self) -> None:
        self.fold.expand(animate=False)
        # What was said is about the cell before.
        self.sentence.show_text()
        layer, is_idle = self._layer, self.tools.tool is None
        if layer is not None and is_idle and layer.mode == "pan_zoom" and not self.looking.layer:
            self.looking.start(layer, yields=True)

    def _on_pointed(self, click: Click) -> None:
        if click.button == LEFT and click.label > 0:
            self.look_over.visit(click.label)

    def _on_counted(self, count: CellCount | None) -> None:
        if count is None:
            self.count_label.setText("")
        else:
            self.count_label.setText(f"{count.cells:,} cell{'' if count.cells == 1 else 's'}")
