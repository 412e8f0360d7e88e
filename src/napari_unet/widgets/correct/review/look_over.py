"""The walk from cell to cell of a layer, and the marks that it is given on the way."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.labels.cell_list import (
    CellList,
    CellScores,
    ScoreMaps,
    list_cells,
    score_maps,
)
from napari_unet.engine.labels.look_over import Choice, MarkBook, Order, chosen_cells, in_order
from napari_unet.engine.networks.class_roles import BACKGROUND, CELL, is_cell
from napari_unet.viewer.cells.cell_scores import cell_scores_of
from napari_unet.viewer.cells.marks import marks_of_layer, write_marks
from napari_unet.viewer.label_edits import Painted, labels_in_memory
from napari_unet.viewer.results import METADATA_KEY, SCORES_KEY, score_layers
from napari_unet.viewer.viewpoint import look_at
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.correct.changes import LayerChanges
from napari_unet.widgets.shared.parts import single_shot, while_alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels

_WAIT_MS = 200
"""So long nothing may change before cells are listed again."""

_LOOKED_THROUGH_PX = 1 << 22
"""In a larger box the slice that shows most of a cell is taken to be the middle one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    cells: CellList
    maps: ScoreMaps | None
    touched: set[int]


class LookOver(QObject):
    """Lists the cells of the layer that is followed, leads through them and keeps their marks."""

    listed = Signal()
    """There are other cells, or another order or choice of them."""
    visited = Signal()
    """The cell that is looked at, or its mark, is another one."""
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, changes: LayerChanges, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._changes = viewer, changes
        self.cells: CellList | None = None
        self.number: int | None = None
        """Of the cell that is looked at."""
        self.order: Order = "position"
        self.choice: Choice = "unseen"
        self.limit: float | None = None
        self._book = MarkBook()
        self.layer: Labels | None = None
        """Whose cells these are."""
        self._ranks: dict[int, int] = {}
        self._chosen: list[int] = []
        self._ordered: list[int] = []
        self._rank = -1
        self._before: list[int] = []
        self._maps: tuple[tuple[int, ...], ScoreMaps] | None = None
        self._kept: CellScores | None = None
        self._parts: list[Painted] = []
        self._is_writing = False
        self._job = Job(self)
        self._soon = single_shot(self, self._on_due, after_ms=_WAIT_MS)
        changes.painted.connect(self._on_painted)
        changes.altered.connect(self._soon.start)
        changes.replaced.connect(self._on_replaced)
        viewer.layers.events.inserted.connect(self._on_layers_changed)
        viewer.layers.events.removed.connect(self._on_layers_changed)

    @property
    def is_busy(self) -> bool:
        """Whether cells are being listed, or soon will be."""
        return self._soon.isActive() or self._job.is_running

    @property
    def marks(self) -> dict[int, str]:
        """Marks by number; also of cells that are not there any more."""
        return self._book.marks

    @property
    def has_scores(self) -> bool:
        """Whether the scores of any cell are known."""
        doubts = None if self.cells is None else self.cells.doubts
        return doubts is not None and not bool(np.isnan(doubts).all())

    @property
    def shows_chosen(self) -> bool:
        """Whether the cells are of a kind that is worth showing all at once."""
        return self.choice not in ("all", "unseen")

    @property
    def chosen(self) -> list[int]:
        """Numbers of the cells that are walked through, in their order."""
        return [self._ordered[rank] for rank in self._chosen]

    @property
    def box(self) -> Region | None:
        """Box around the cell that is looked at."""
        row = None if self.cells is None or self.number is None else self.cells.row(self.number)
        return None if row is None or self.cells is None else self.cells.box(row)

    # -- the walk ----------------------------------------------------------------------------------

    def walk(self, *, order: Order, choice: Choice, limit: float | None) -> None:
        """Walk through other cells, or in another order."""
        self.order, self.choice, self.limit = order, choice, limit
        self._arrange()

    def go_on(self) -> None:
        """Go to the next cell."""
        if not self._is_ready():
            return
        place = bisect_right(self._chosen, self._rank)
        if place == len(self._chosen):
            self.told.emit("From the first one again.")
            place = 0
        if self.number is not None:
            self._before.append(self.number)
        self._go_to(self._ordered[self._chosen[place]])

    def go_back(self) -> None:
        """Go to the cell where one was before; without one, to the one before in order."""
        if not self._is_ready(needs_chosen=not self._before):
            return
        while self._before:
            number = self._before.pop()
            if number in self._ranks:
                self._go_to(number)
                return
        self._go_to(self._ordered[self._chosen[bisect_left(self._chosen, self._rank) - 1]])

    def give(self, mark: str) -> None:
        """Mark the cell that is looked at, and go on; the mark that it has is taken away."""
        number, layer = self.number, self.layer
        if layer is None or number is None or number not in self._ranks:
            self.failed.emit("There is no cell to be marked; go to one with N.")
            return
        is_taken = self.marks.get(number) == mark
        self._book.give(number, "" if is_taken else mark)
        self._write()
        self._arrange()
        if is_taken:
            self.visited.emit()
        elif self._chosen:
            self.go_on()
        else:
            self.visited.emit()
            self._is_ready()

    def visit(self, number: int) -> None:
        """Look at a cell that somebody points at; the camera stays."""
        layer = self.layer
        if layer is not None and number in self._ranks:
            if self.number is not None:
                self._before.append(self.number)
            self.number, self._rank = number, self._ranks[number]
            layer.selected_label = number
            self.visited.emit()

    def _is_ready(self, *, needs_chosen: bool = True) -> bool:
        """Whether there is a cell to go to; says why not."""
        if self.layer is None:
            self.failed.emit("There is no labels layer; run Segment cells, or open labels.")
        elif self.cells is None:
            try:
                labels_in_memory(self.layer)
                self.failed.emit("The cells are still being listed; try again in a moment.")
            except UNetError as error:
                self.failed.emit(str(error))
        elif not self._ordered:
            self.failed.emit("The layer has no cells.")
        elif not self._chosen and needs_chosen:
            again = list(self.marks.values()).count("look again")
            seen = "All cells are seen." if not again else f"All cells but {again:,} are seen."
            self.told.emit(seen if self.choice == "unseen" else "No cell is of this kind.")
        else:
            return True
        return False

    def _go_to(self, number: int) -> None:
        layer, cells = self.layer, self.cells
        row = None if cells is None else cells.row(number)
        if layer is None or cells is None or row is None:
            return
        self.number, self._rank = number, self._ranks[number]
        # So that the brush goes on with this cell.
        layer.selected_label = number
        look_at(self._viewer, layer, self._best_slice(layer, number, cells.box(row)))
        self.visited.emit()

    def _best_slice(self, layer: Labels, number: int, box: Region) -> Region:
        """The box of a cell in the slice that shows most of it."""
        missing = self._viewer.dims.ndim - layer.ndim
        shown = [axis - missing for axis in self._viewer.dims.displayed]
        hidden = [axis for axis in range(len(box)) if axis not in shown]
        if all(box[axis].stop - box[axis].start == 1 for axis in hidden):
            return box
        part = layer.data[box]
        if part.size > _LOOKED_THROUGH_PX:
            return box
        counts = np.count_nonzero(part == number, axis=tuple(a for a in shown if a >= 0))
        best = np.unravel_index(int(np.argmax(counts)), counts.shape)
        parts = list(box)
        for axis, place in zip(hidden, best, strict=True):
            start = box[axis].start + int(place)
            parts[axis] = slice(start, start + 1)
        return tuple(parts)

    def _arrange(self) -> None:
        """Put the cells in order, and choose among them."""
        self._ranks, self._ordered, self._chosen = {}, [], []
        if self.cells is not None:
            is_blind = self.order == "doubt" and not self.has_scores
            order: Order = "position" if is_blind else self.order
            is_known = self.has_scores or self.choice != "low score"
            wanted = chosen_cells(
                self.cells, self.choice if is_known else "all", marks=self.marks, limit=self.limit
            )
            self._ordered = in_order(self.cells, order)
            self._ranks = {number: rank for rank, number in enumerate(self._ordered)}
            taken = set(self.cells.numbers[wanted].tolist())
            self._chosen = [r for r, number in enumerate(self._ordered) if number in taken]
            if self.number in self._ranks:
                self._rank = self._ranks[self.number]
            elif self.number is not None:
                # It is gone; the next one now stands where it stood.
                self.number, self._rank = None, self._rank - 1
        self.listed.emit()

    def begin_anew(self) -> None:
        """List the cells as if they had just come: marks are those that the layer has."""
        self.cells, self._parts = None, []
        self._soon.start()

    # -- the list ----------------------------------------------------------------------------------

    def _on_painted(self, parts: list[Painted]) -> None:
        self._parts += parts
        self._soon.start()

    def _on_replaced(self) -> None:
        layer, before = self._changes.layer, self.layer
        self._job.stop()
        self._maps = None
        if layer is None or before is None or layer != before:
            if before is not None:
                before.events.features.disconnect(self._on_features)
            if layer is not None:
                layer.events.features.connect(self._on_features)
            self.layer, self.cells, self.number, self._rank = layer, None, None, -1
            self._parts, self._before = [], []
            self._book = MarkBook({} if layer is None else marks_of_layer(layer))
            self._arrange()
            self.visited.emit()
        self._soon.start()

    @while_alive
    def _on_features(self, _event: Any = None) -> None:
        """Take over what somebody else has written of the cells."""
        if self.layer is not None and not self._is_writing:
            if cell_scores_of(self.layer) is not self._kept:
                self._soon.start()
            self._book.marks = marks_of_layer(self.layer)
            self._arrange()
            self.visited.emit()

    @while_alive
    def _on_layers_changed(self, event: Any) -> None:
        if SCORES_KEY in event.value.metadata:
            self._soon.start()

    def _on_due(self) -> None:
        layer = self.layer
        if layer is None or not isinstance(layer.data, np.ndarray) or layer.data.ndim < 2:
            return
        # First: it may put back what it had not looked at.
        self._job.stop()
        scores = self._scores(layer)
        key = tuple(id(each) for _, each in scores)
        known = self._maps[1] if self._maps is not None and self._maps[0] == key else None
        parts, self._parts = self._parts, []
        self._kept = cell_scores_of(layer)

        def put_back() -> None:
            self._parts = parts + self._parts

        self._job.start(
            partial(_list, layer.data, parts, scores, known, self._kept),
            on_result=partial(self._on_list, key),
            on_error=self._on_failed,
            on_stop=put_back,
        )

    def _scores(self, layer: Labels) -> list[tuple[str, NDArray[np.float32]]]:
        """Shown scores of the run that made the cells, by the role of their class."""
        image_id = layer.metadata.get(METADATA_KEY, {}).get("image_id")
        found = score_layers(self._viewer, image_id) if image_id else []
        fitting = [each for each in found if each.data.shape == layer.data.shape]
        models = [each.metadata[SCORES_KEY][1] for each in fitting]
        return [
            (each.metadata[SCORES_KEY][2], each.data)
            for each, model in zip(fitting, models, strict=True)
            if model == models[-1]
        ]

    @while_alive
    def _on_list(self, key: tuple[int, ...], listed: _Listed) -> None:
        layer, before = self.layer, self.cells
        if layer is None:
            return
        self.cells = listed.cells
        self._maps = None if listed.maps is None else (key, listed.maps)
        if before is not None and self._book.follow(before, listed.cells, listed.touched):
            self._write()
        self._arrange()
        self.visited.emit()

    def _write(self) -> None:
        assert self.layer is not None  # noqa: S101 - only asked with a layer
        self._is_writing = True
        try:
            write_marks(self.layer, self.marks)
        finally:
            self._is_writing = False

    def _on_failed(self, error: Exception) -> None:
        self.failed.emit(failure_sentence(error))


def _list(
    labels: NDArray[Any],
    parts: Sequence[Painted],
    scores: Sequence[tuple[str, NDArray[np.float32]]],
    maps: ScoreMaps | None,
    kept: CellScores | None,
) -> _Listed:
    """List the cells, in a worker's thread; shown scores tell of changed cells, too."""
    touched: set[int] = set()
    for part in parts:
        touched.update(*part.numbers)
    if scores and maps is None:
        shown: dict[str, NDArray[np.float32]] = {}
        for role, image in scores:
            name = CELL if is_cell(role) else role
            shown[name] = shown[name] + image if name in shown else np.asarray(image, np.float32)
        stacked = np.stack([1 - np.sum(list(shown.values()), axis=0), *shown.values()])
        maps = score_maps(stacked, (BACKGROUND, *shown))
    if not scores:
        cells = list_cells(labels)
        return _Listed(cells if kept is None else kept.known_of(cells), None, touched)
    return _Listed(list_cells(labels, maps), maps, touched)
