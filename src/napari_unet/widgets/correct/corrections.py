"""What the tools do to a layer: each gesture one step of undo, and one sentence about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import LabelsError, UNetError
from napari_unet.engine.base.regions import shifted
from napari_unet.engine.labels.corrections.cuts import split_cell
from napari_unet.engine.labels.corrections.edits import (
    CellEdit,
    delete_cell,
    fill_cell,
    merge_cells,
    number_at,
    pixel_at,
    smooth_cell,
    stroke_pixels,
)
from napari_unet.engine.labels.corrections.proposals import USUAL_SHARE, add_cell
from napari_unet.session import Session
from napari_unet.viewer.gestures import LEFT, RIGHT, Click
from napari_unet.viewer.label_edits import edit_labels
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.correct.landscape import landscape_of
from napari_unet.widgets.correct.live_count import LiveCount
from napari_unet.widgets.correct.part import EditedPart, pixels_inside, shown_part
from napari_unet.widgets.correct.score_window import ScoreWindow, plan_window
from napari_unet.widgets.correct.tools import ADD, DELETE, FILL, MERGE, SMOOTH, SPLIT, Tool
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

_STEP = 0.8
"""By which the share of the peak changes with each click."""

_LEAST_SHARE, _LARGEST_SHARE = 0.02, 0.98
_BY_CLICK = {DELETE: delete_cell, SMOOTH: smooth_cell, FILL: fill_cell}
_NOTHING = {SMOOTH: "Cell {} is smooth already.", FILL: "Cell {} has no hole."}
_DONE = {DELETE: "Cell {} is deleted.", SMOOTH: "Cell {} is smoothed.", FILL: "Cell {} is filled."}


@dataclass(frozen=True, slots=True, eq=False)
class _Proposal:
    """A cell that was added, and what it was proposed from."""

    layer: Labels
    part: EditedPart
    window: ScoreWindow
    place: tuple[float, ...]
    """Of the first click, in the part."""
    number: int
    share: float = USUAL_SHARE


class Corrections(QObject):
    """Applies the tools to a layer.

    Parameters
    ----------
    image : callable
        Returns the image layer that the cells lie on; None without one.
    """

    told = Signal(str)
    """Carries a sentence about what was done."""
    failed = Signal(str)
    """Carries a sentence: what is the matter, and what to do."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        count: LiveCount,
        image: Callable[[], Image | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._count, self._image = viewer, session, count, image
        self.action = ""
        """What is being written to the layer, for who follows that."""
        self._job = Job(self)
        self._window: ScoreWindow | None = None
        self._proposal: _Proposal | None = None
        session.network_loaded.connect(self._on_network_loaded)

    @property
    def is_busy(self) -> bool:
        """Whether a cell is being looked for."""
        return self._job.is_running

    def forget(self) -> None:
        """Forget the scores, and the cell that was added last: the model or a layer has changed."""
        self._window = self._proposal = None
        if self._job.is_running:
            self._job.stop()
            self.failed.emit("No cell was added, as the model or a layer changed; click again.")

    @while_alive
    def _on_network_loaded(self, _network: Any) -> None:
        self.forget()

    def draw(self, tool: Tool, layer: Labels, stroke: NDArray[np.float64]) -> None:
        """Split or merge along a stroke, (P, D) in pixels of the layer."""
        try:
            part = shown_part(layer, self._viewer)
            points = part.places(stroke)
            if tool is SPLIT:
                self._split(layer, part, points)
            elif tool is MERGE:
                path = pixels_inside(stroke_pixels(points, part.view.shape))
                found = merge_cells(part.view, path)
                text = f"Merged into cell {found.numbers[0]}."
                self._write(layer, part, found, text, action="merge")
        except UNetError as error:
            self.failed.emit(str(error))

    def click(self, tool: Tool, layer: Labels, click: Click) -> None:
        """Do what the tool does with the cell under the mouse."""
        if tool.draws:
            self.failed.emit(f"{tool.gesture} with the button held down; a click is no stroke.")
            return
        try:
            part = shown_part(layer, self._viewer)
            place = tuple(float(n) for n in part.places(np.array(click.place)))
            if tool is ADD:
                self._add(layer, part, place, click)
            elif click.button == LEFT:
                number = number_at(part.view, place)
                found = _BY_CLICK[tool](part.view, place)
                is_changed = bool(found.changed.any())
                text = (_DONE if is_changed else _NOTHING)[tool].format(number)
                self._write(layer, part, found, text, action=tool.name.lower())
        except UNetError as error:
            self.failed.emit(str(error))

    def _write(
        self, layer: Labels, part: EditedPart, found: CellEdit, text: str, *, action: str
    ) -> None:
        self._proposal = None
        edit = part.edit(found)
        if edit.values.size and edit.dtype != layer.data.dtype:
            text += (
                f" Its number needs {edit.dtype}, which the layer has now; steps before this one "
                "cannot be undone any more."
            )
        self.action = action
        try:
            edit_labels(layer, edit)
        finally:
            self.action = ""
        self.told.emit(text)

    def _split(self, layer: Labels, part: EditedPart, points: NDArray[np.float64]) -> None:
        heights = landscape_of(layer, part, self._image(), self._viewer)
        found = split_cell(
            part.view, points, landscape=heights, new_number=self._count.new_number(layer)
        )
        way = "along the stroke" if heights is None else heights.name
        old, new = found.numbers
        text = f"Cell {old} is cut {way}; the other part is cell {new}."
        self._write(layer, part, found, text, action="split")

    # -- add ---------------------------------------------------------------------------------------

    def _add(self, layer: Labels, part: EditedPart, place: tuple[float, ...], click: Click) -> None:
        there = int(part.view[pixel_at(part.view, place)])
        last = self._proposal
        is_last = last is not None and last.layer == layer and last.part.key == part.key
        if last is not None and is_last and there == last.number:
            self._change(last, by=_STEP if click.button == LEFT else 1 / _STEP)
            return
        if click.button == RIGHT:
            raise LabelsError(
                "A right-click makes the cell smaller that was added last; right-click inside it."
            )
        if there > 0:
            raise LabelsError(f"Cell {there} is there already; click where one is missing.")
        plan = plan_window(layer, part, self._image(), click.place, self._viewer, self._session)
        window = self._window
        if window is not None and window.key == plan.key and window.holds(place):
            self._propose(layer, part, window, place)
            return
        self.told.emit("Looking for a cell at this place …")
        self._job.start(
            plan.compute,
            on_result=partial(self._on_scored, layer, part, place),
            on_error=self._on_failed,
        )

    def _on_scored(
        self, layer: Labels, part: EditedPart, place: tuple[float, ...], window: ScoreWindow
    ) -> None:
        self._window = window
        try:
            # It may have been hidden or locked since.
            shown_part(layer, self._viewer)
            self._propose(layer, part, window, place)
        except UNetError as error:
            self.failed.emit(str(error))

    def _propose(
        self, layer: Labels, part: EditedPart, window: ScoreWindow, place: tuple[float, ...]
    ) -> None:
        # Only now: numbers may have been painted while the network ran.
        number = self._count.new_number(layer)
        proposal = _Proposal(layer, part, window, place, number)
        text = f"Cell {number} is added; click in it for larger, right-click for smaller."
        self._write(layer, part, _proposed(proposal), text, action="add")
        # Longer labels are another array.
        self._proposal = replace(proposal, part=replace(part, labels=layer.data))

    def _change(self, last: _Proposal, *, by: float) -> None:
        """Propose the cell anew until it is larger or smaller."""
        word, share = ("larger" if by < 1 else "smaller"), last.share * by
        while _LEAST_SHARE < share < _LARGEST_SHARE:
            trial = replace(last, share=share)
            try:
                found = _proposed(trial)
            except LabelsError:
                break
            grows = np.count_nonzero(found.after == last.number) - np.count_nonzero(
                found.before == last.number
            )
            if (grows > 0) if by < 1 else (grows < 0):
                text = f"Cell {last.number} is {word}."
                self._write(last.layer, last.part, found, text, action=f"make {word}")
                self._proposal = trial
                return
            share *= by
        raise LabelsError(
            f"Cell {last.number} gets no {word} from the scores of the model; use napari's brush."
        )

    def _on_failed(self, error: Exception) -> None:
        self.failed.emit(failure_sentence(error))


def _proposed(proposal: _Proposal) -> CellEdit:
    """Propose the cell in the window; the edit is one of the part."""
    box, view = proposal.window.box, proposal.part.view
    corner = [part.start for part in box]
    found = add_cell(
        view[box],
        proposal.window.scores,
        [n - start for n, start in zip(proposal.place, corner, strict=True)],
        new_number=proposal.number,
        cores=proposal.window.cores,
        share=proposal.share,
        largest_px=proposal.window.scores.size // 2,
    )
    return replace(found, region=shifted(found.region, corner))
