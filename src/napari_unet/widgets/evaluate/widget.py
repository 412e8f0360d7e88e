"""The Evaluate widget: a result beside the truth, in figures, in colours, and error by error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import UNetError
from napari_unet.files.report.verdicts import VERDICT_COLOURS
from napari_unet.script import evaluation_command, evaluation_python
from napari_unet.viewer.gestures import LEFT, Click, Gestures
from napari_unet.viewer.viewpoint import look_at
from napari_unet.viewer.worker import failure_sentence
from napari_unet.widgets.evaluate.comparison import Compared, compare, write_page
from napari_unet.widgets.evaluate.curve import ScoreCurve
from napari_unet.widgets.evaluate.figures import Figures
from napari_unet.widgets.evaluate.form import EvaluateForm
from napari_unet.widgets.shared.buttons import SaveButton, ScriptButton
from napari_unet.widgets.shared.cells.compute_button import ComputeButton
from napari_unet.widgets.shared.cells.edits import LabelEdits
from napari_unet.widgets.shared.cells.kind_layer import find_kinds, remove_kinds, show_kinds
from napari_unet.widgets.shared.cells.table import CellTable
from napari_unet.widgets.shared.docked_form import DockedForm
from napari_unet.widgets.shared.parts import Scrolled, in_column, while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

_SUBJECT = "errors"
_COLUMN_PX = 66
_SUFFIX = ".html"
_FAINT = "80"
"""Opacity of what is right, so that errors stand out."""
_OUTDATED = "The labels have changed; what is shown is of those before, until a pause."


class EvaluateWidget(DockedForm):
    """Choose truth and result, press Compare, and go through the errors."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.gestures, self.edits = Gestures(napari_viewer, self), [LabelEdits(self) for _ in "tf"]
        self._pair: tuple[Labels | None, Labels | None] = (None, None)
        self._compared: Compared | None = None
        self._known: tuple[Any, ...] | None = None
        """`Compared.state` of what is shown, once all of it is."""
        self._build()
        form = self.form
        self.sentence.follow(
            lambda: (form.truth_choice.subject, form.found_choice.subject),
            form.pair_changed,
            form.truth_choice.listed,
            form.found_choice.listed,
        )
        form.pair_changed.connect(self._on_pair_changed)
        form.choices_changed.connect(self._on_choices_changed)
        for edits in self.edits:
            edits.edited.connect(self._on_edited)
            edits.settled.connect(self._start)
        self.gestures.clicked.connect(self._on_clicked)
        self.table.cell_chosen.connect(self._on_error_chosen)
        self._on_pair_changed()

    def _build(self) -> None:
        self.form = EvaluateForm(self._viewer)
        self.table = CellTable(column_px=_COLUMN_PX)
        self.sentence, self.note = Sentence(), Sentence()
        self.figures, self.curve = Figures(), ScoreCurve()
        self.button = ComputeButton(
            "Compare",
            "Hold each found cell against the true ones. Errors are shown in colour over the "
            "image, and listed: a click on a row goes there, a click on a cell to its row. Labels "
            "that you edit are compared anew.",
            self.sentence,
            doing="Comparing…",
            kept="what is shown",
        )
        self.job = self.button.job
        self.button.wanted.connect(self._start)
        self.save_button = SaveButton(
            "Save report…",
            "Write figures, curve, errors and pictures of the worst places as one page for a "
            "browser.",
            self.sentence,
            self._read_report,
            title="Save the report",
            told="The report is in '{}'.",
            kinds={f"Web pages (*{_SUFFIX})": _SUFFIX},
        )
        self.script_button = ScriptButton(self.form.recipe, evaluation_python, evaluation_command)
        self.script_button.copied.connect(self.sentence.show_text)
        self.script_button.failed.connect(self._on_not_copied)
        inside = QWidget()
        parts: tuple[QWidget, ...] = (self.form, self.button, self.sentence, self.note)
        parts += (self.figures, self.curve, self.table, self.save_button, self.script_button)
        in_column(*parts, within=inside).setStretchFactor(self.table, 1)
        in_column(Scrolled(inside), within=self).setContentsMargins(4, 4, 4, 4)

    def stop_all(self) -> None:
        """Compare no more, and let go of the layers."""
        self._follow((None, None))

    def _follow(self, pair: tuple[Labels | None, Labels | None]) -> None:
        self.button.let_go()
        self.gestures.stop()
        for edits in self.edits:
            edits.follow(None)
        self._pair = pair

    def _on_pair_changed(self) -> None:
        pair, before = self.form.pair, self._pair
        if pair == before:
            return
        was_shown = self._compared is not None or self.job.is_running
        self._follow(pair)
        self._show(None)
        if before[1] is not None:
            remove_kinds(self._viewer, before[1], _SUBJECT)
        if was_shown:
            self.button.tell_removed(self._viewer, before)

    def _on_choices_changed(self) -> None:
        if self._compared is not None:
            self._start()

    def _start(self) -> None:
        """Compare, unless nothing has changed and nobody has asked for it."""
        self.job.stop()
        try:
            request = self.form.request()
        except UNetError as error:
            self.button.show_failure(error)
            return
        known = None if self.button.is_asked else self._known
        for edits, layer in zip(self.edits, self._pair, strict=True):
            edits.follow(layer)
        self.button.start(partial(compare, request, known), self._on_compared)

    @while_alive
    def _on_compared(self, compared: Compared | None) -> Iterator[None]:
        truth, found = self._pair
        if truth is None or found is None or any(edits.are_settling for edits in self.edits):
            return  # it is compared anew in a moment
        was_asked = self.button.is_asked
        if compared is None:
            self._show_summary()
            return
        # Who has taken the layer away wants to see the cells.
        if was_asked or find_kinds(self._viewer, found, _SUBJECT) is not None:
            yield from show_kinds(
                self._viewer,
                found,
                compared.shown,
                {**VERDICT_COLOURS, "right": f"{VERDICT_COLOURS['right']}{_FAINT}"},
                subject=_SUBJECT,
                # Below it they would only mix their colours with its own.
                in_place_of=(truth, found) if was_asked else (),
            )
            yield
        self._show(compared)
        yield
        self.table.show_columns(compared.columns)
        layer = find_kinds(self._viewer, found, _SUBJECT)
        if self.button.take_request() and layer is not None:
            self.gestures.start(layer, yields=True)
        self._known = compared.state

    def _show(self, compared: Compared | None) -> None:
        self._compared, self._known = compared, None
        self.figures.show_compared(compared)
        self.curve.show_evaluation(None if compared is None else compared.errors.evaluation)
        self.note.show_text("")
        if compared is None:
            self.table.show_columns({})
            return
        self._show_summary()
        if compared.notes:
            self.note.show_error(" ".join(compared.notes))

    def _show_summary(self) -> None:
        if self._compared is None:
            return
        evaluation = self._compared.errors.evaluation
        if not evaluation.true_cells and not evaluation.predicted_cells:
            self.sentence.show_text("There are no cells, neither true nor found.")
            return
        errors = len(self._compared.errors.errors)
        told = {0: "No error", 1: "1 error"}.get(errors, f"{errors:,} errors")
        self.sentence.show_text(
            f"{told}; {evaluation.true_cells:,} true cells, {evaluation.predicted_cells:,} found."
        )

    def _on_edited(self) -> None:
        if self._compared is not None:
            self.sentence.show_text(_OUTDATED)

    def _read_report(self) -> tuple[str, Callable[[Path], None]]:
        compared = self._compared
        if compared is None:
            raise UNetError("There is nothing to report yet; press Compare.")
        name, image = f"{compared.request.found_name}_evaluation", self.form.image_below()
        return name, partial(write_page, compared=compared, image=image)

    def _on_not_copied(self, error: Exception) -> None:
        self.sentence.show_error(failure_sentence(error))

    def _on_clicked(self, click: Click) -> None:
        active = self._viewer.layers.selection.active
        is_brush = getattr(active, "mode", "pan_zoom") != "pan_zoom"
        if self._compared is None or click.button != LEFT or is_brush:
            return
        errors = self._compared.errors
        place = np.floor(np.array(click.place) + 0.5).astype(int)
        if place.size == len(errors.shape) and ((place >= 0) & (place < errors.shape)).all():
            error = errors.at(place.tolist())
            if error is not None:
                self.table.choose(error + 1)

    def _on_error_chosen(self, number: int) -> None:
        found = self._pair[1]
        if self._compared is not None and found is not None:
            look_at(self._viewer, found, self._compared.errors.errors[number - 1].box)
