"""The Measure widget: a table of the cells of a layer, which follows what is corrected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.files.measurements import PARQUET_SUFFIX, SUFFIX, write_measurements
from napari_unet.viewer.cells.measurements import Measured, measure, table_of, write_features
from napari_unet.viewer.gestures import LEFT, Click, Gestures
from napari_unet.viewer.viewpoint import look_at
from napari_unet.viewer.warm_up import preparation
from napari_unet.widgets.measure.colours import CellColours
from napari_unet.widgets.measure.form import MeasureForm
from napari_unet.widgets.measure.plot import CellPlot
from napari_unet.widgets.shared.buttons import SaveButton
from napari_unet.widgets.shared.cells.compute_button import ComputeButton
from napari_unet.widgets.shared.cells.edits import LabelEdits
from napari_unet.widgets.shared.cells.table import CellTable
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Fold, Scrolled, in_column, single_shot, while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.engine.labels.measurements import Column
    from napari_unet.viewer.label_edits import Painted

_LAID_OUT_MS = 1000
_KINDS = {
    f"Comma-separated values (*{SUFFIX})": SUFFIX,
    f"Parquet (*{PARQUET_SUFFIX})": PARQUET_SUFFIX,
}
_OUTDATED = "The labels have changed; the table is of those before, and is made anew after a pause."


class MeasureWidget(DockedForm):
    """Choose labels and images, press Measure, and read, sort, visit or save the table."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.gestures, self.edits = Gestures(napari_viewer, self), LabelEdits(self)
        self._layer: Labels | None = None
        self._measured: Measured | None = None
        self._painted: list[Painted] = []
        self._build()
        preparation.ask_for("measurements")
        self.sentence.follow(
            lambda: self.form.layer_choice.subject,
            self.form.layer_choice.currentIndexChanged,
            self.form.layer_choice.listed,
        )
        self.form.layer_choice.currentIndexChanged.connect(self._on_layer_chosen)
        self.edits.edited.connect(self._on_edited)
        self.edits.painted.connect(self._on_painted)
        self.edits.settled.connect(self._start)
        self.gestures.clicked.connect(self._on_clicked)
        self.table.cell_chosen.connect(self._on_cell_chosen)
        self.table.selected.connect(self._on_selected)
        self.plot.selected.connect(self.table.choose_all)
        self.plot.cell_clicked.connect(self._on_dot_clicked)
        self._on_layer_chosen()

    def _build(self) -> None:
        self.form, self.table, self.sentence = MeasureForm(self._viewer), CellTable(), Sentence()
        self.button = ComputeButton(
            "Measure",
            "Measure every cell. The table is here and in the layer's features, where other "
            "plugins read it. A click on a row goes to the cell, a click on a cell to its row; "
            "labels that you correct are measured anew.",
            self.sentence,
            doing="Measuring…",
            kept="the table",
        )
        self.job = self.button.job
        self.button.wanted.connect(self._start)
        self.button.failed.connect(self._on_failed)
        self.save_button = SaveButton(
            "Save table…",
            "Write the table for a spreadsheet or a script, as CSV or Parquet, which keeps the "
            "types of columns and all digits.",
            self.sentence,
            self._read_table,
            title="Save the table",
            told="The table is in '{}'.",
            kinds=_KINDS,
        )
        self.colours, self.plot = CellColours(), CellPlot()
        self.plot_fold = Fold("Plot", self.plot)
        self.plot.hide()
        inside = QWidget()
        parts = (
            *(self.form, self.button, self.sentence, self.table, self.colours),
            *(self.plot_fold, self.save_button),
        )
        in_column(*parts, within=inside).setStretchFactor(self.table, 1)
        self._scrolled = scrolled = Scrolled(inside)
        in_column(scrolled, within=self).setContentsMargins(4, 4, 4, 4)
        # The plot gets its height after some turns of the layout, and then is to be seen.
        self._is_new = single_shot(self, lambda: None, after_ms=_LAID_OUT_MS)
        self.plot_fold.toggled.connect(self._on_folded)
        self.plot.made.connect(self._is_new.start)
        bar = scrolled.verticalScrollBar()
        if bar is not None:
            bar.rangeChanged.connect(self._on_height_changed)

    def _on_folded(self, is_open: bool) -> None:  # noqa: FBT001 - as Qt calls it
        # What is folded away is not loaded and drawn.
        self.plot.setVisible(is_open)
        self._is_new.start()

    def _on_height_changed(self, *_ends: int) -> None:
        if self._is_new.isActive():
            self._scrolled.bring_up(self.save_button)

    @property
    def columns(self) -> dict[str, Column]:
        """The table that is shown."""
        return {} if self._layer is None else table_of(self._layer)

    def stop_all(self) -> None:
        """Measure no more, and let go of the layer."""
        self.colours.show_only(None)
        self._follow(None)

    def _follow(self, layer: Labels | None) -> None:
        self.button.let_go()
        self.gestures.stop()
        self.edits.follow(None)
        if self._layer is not None:
            self._layer.events.features.disconnect(self._show_table)
        if layer is not None:
            layer.events.features.connect(self._show_table)
        self._layer, self._measured, self._painted = layer, None, []

    def _on_layer_chosen(self, _index: int = 0) -> None:
        layer, before = self.form.layer_choice.layer, self._layer
        if layer == before:
            return
        was_measuring = self.job.is_running
        self._follow(layer)
        self._show_table()
        if was_measuring:
            self.button.tell_removed(self._viewer, [before])

    def _start(self) -> None:
        """Measure what has changed since; all of it if somebody asks."""
        self._painted = []
        self._run(known=None if self.button.is_asked else self._measured)

    def _on_painted(self, parts: list[Painted]) -> None:
        """Measure the cells of a stroke at once; the pause after it finds what it did not tell."""
        if self._measured is not None and not self.button.is_asked:
            self._painted += parts
            self._run(known=self._measured, painted=tuple(self._painted))

    def _run(self, *, known: Measured | None, painted: Sequence[Painted] = ()) -> None:
        self.job.stop()
        try:
            request = self.form.request()
        except UNetError as error:
            self.button.show_failure(error)
            return
        if self.edits.layer != self._layer:
            self.edits.follow(self._layer)
        work = partial(measure, request, known, painted)
        self.button.start(work, partial(self._on_measured, len(painted)))

    @while_alive
    def _on_measured(self, painted: int, measured: Measured | None) -> None:
        layer = self._layer
        if layer is None or (self.edits.are_settling and not painted):
            return  # it is measured anew in a moment
        del self._painted[:painted]
        if measured is not None:
            self._measured = measured
            write_features(layer, measured.table)
            self.sentence.show_text(_told(measured, layer.name))
        elif not self.button.is_asked and self.sentence.message == _OUTDATED and self._measured:
            self.sentence.show_text(_told(self._measured, layer.name))
        if self.button.take_request():
            self.gestures.start(layer, yields=True)

    def _on_failed(self) -> None:
        self.edits.follow(None)

    def _on_edited(self) -> None:
        if self._measured is not None:
            self.sentence.show_text(_OUTDATED)

    @while_alive
    def _show_table(self, _event: Any = None) -> None:
        columns = self.columns
        self.table.show_columns(columns, keeps_order=True)
        self.colours.show_table(self._layer, columns)
        self.plot.show_table(columns)

    def _on_clicked(self, click: Click) -> None:
        if click.label > 0 and click.button == LEFT:
            self.table.choose(click.label)

    def _on_cell_chosen(self, label: int) -> None:
        box = None if self._measured is None else self._measured.box(label)
        if box is not None and self._layer is not None:
            look_at(self._viewer, self._layer, box)

    def _on_dot_clicked(self, label: int) -> None:
        self.table.choose(label)
        self._on_cell_chosen(label)

    def _on_selected(self, labels: NDArray[Any]) -> None:
        self.plot.show_selected(labels)
        # One cell is looked at; several are told from the others by fading these.
        self.colours.show_only(labels if labels.size > 1 else None)

    def _read_table(self) -> tuple[str, Callable[[Path], Any]]:
        layer, table = self._layer, self.columns
        if layer is None or not table:
            raise UNetError("There is no table yet; press Measure.")
        return layer.name, partial(write_measurements, columns=table, overwrite=True)


def _told(measured: Measured, name: str) -> str:
    count, changed = measured.columns["label"].size, measured.without_score
    if not count:
        return f"'{name}' has no cells, its labels are all 0; run Segment cells, or paint some."
    cells = "1 cell" if count == 1 else f"{count:,} cells"
    text = f"{cells} in '{name}'. Click a row, or a cell."
    if changed:
        were = "1 was" if changed == 1 else f"{changed:,} were"
        text += f" {were} made or changed by hand: the model has given no score."
    return text
