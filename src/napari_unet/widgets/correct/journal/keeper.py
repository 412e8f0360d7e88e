"""Keeps the journal of what is corrected, every few seconds, beside the Qt thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.base.regions import whole
from napari_unet.versions.journal import Correction, Journal, JournalWriter
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.label_edits import Painted
from napari_unet.viewer.label_files import saved_labels, writing_options
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.correct.changes import LayerChanges
from napari_unet.widgets.shared.parts import single_shot, while_alive

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_EVERY_S = 3.0
_REST = 20.0
"""Times as long as the last one took nothing is written."""


@dataclass(slots=True, eq=False)
class _Kept:
    """The journal of one layer, and what is not in it yet."""

    layer: Labels
    writer: JournalWriter
    steps: list[tuple[str, list[Painted]]] = field(default_factory=list)
    marks: dict[int, str] = field(default_factory=dict)
    """Of cells that were looked over, as last seen."""
    is_altered: bool = False
    """Labels may be others in any plane, as after an undo."""
    has_begun: bool = False
    """Whether anything was corrected or marked since the labels were saved."""
    is_due: bool = False
    is_saved: bool = False
    """The labels were saved while the journal was being written."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """What is written next, free of napari."""

    writer: JournalWriter
    labels: NDArray[Any]
    steps: list[tuple[str, list[Painted]]]
    is_altered: bool
    options: dict[str, Any]

    def write(self) -> float:
        """Write it; return the seconds that took."""
        start = time.monotonic()
        changed: set[int] = set()
        for action, parts in self.steps:
            for part in parts:
                lost, gained = part.numbers
                note = Correction.now(action, lost, gained, part.box)
                self.writer.corrections.append(note)
                changed |= _planes_in(part, self.labels.shape)
        planes = None if self.is_altered else sorted(changed)
        untold = Correction.now("undo or redo", (), (), whole(self.labels.shape))
        self.writer.save(
            self.labels,
            changed=planes,
            untold=untold if self.is_altered and not self.steps else None,
            **self.options,
        )
        return time.monotonic() - start


class JournalKeeper(QObject):
    """Follows the layer that is corrected.

    Parameters
    ----------
    action : callable
        Returns what is being done; empty while nobody but napari knows.
    """

    failed = Signal(str)
    """Carries a sentence, once until writing goes well again."""

    def __init__(
        self, viewer: ViewerModel, changes: LayerChanges, action: Callable[[], str], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._changes, self._action = viewer, changes, action
        self._all: dict[str, _Kept] = {}
        self._kept: _Kept | None = None
        self._has_warned = False
        self._job = Job(self)
        self._soon = single_shot(self, self._on_due, after_ms=int(1e3 * _EVERY_S))
        changes.painted.connect(self._on_painted)
        changes.altered.connect(self._on_altered)
        changes.replaced.connect(self._on_replaced)
        saved_labels.saved.connect(self._on_saved)

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way to the disk."""
        return self._soon.isActive() or self._job.is_running

    def go_on_with(self, layer: Labels, journal: Journal) -> None:
        """Go on with the journal of a layer whose labels are those of the journal now."""
        writer = JournalWriter.going_on_with(journal)
        kept = _Kept(layer, writer, marks=marks_of_layer(layer), is_altered=True)
        self._all[str(layer.unique_id)] = kept
        if self._changes.layer == layer:
            self._follow(kept)
        self._ask(kept)

    def write_now(self) -> None:
        """Write what waits, as the form closes."""
        if self._soon.isActive():
            self._soon.stop()
            self._on_due()

    def _ask(self, kept: _Kept) -> None:
        kept.is_due = kept.has_begun = True
        if not self._soon.isActive():
            self._soon.start()

    def _on_painted(self, parts: list[Painted]) -> None:
        if self._kept is not None:
            self._kept.steps.append((self._action() or "paint", parts))
            self._ask(self._kept)

    def _on_altered(self) -> None:
        if self._kept is not None and self._kept.has_begun:
            self._kept.is_altered = True
            self._ask(self._kept)

    @while_alive
    def _on_features(self, _event: Any = None) -> None:
        if self._kept is not None:
            marks, before = marks_of_layer(self._kept.layer), self._kept.marks
            self._kept.marks = marks
            if marks != before:
                self._ask(self._kept)

    def _on_replaced(self) -> None:
        layer, kept = self._changes.layer, self._kept
        if layer is not None and kept is not None and layer == kept.layer:
            self._on_altered()
            return
        # What it had not written of another layer it still will.
        self._follow(None if layer is None else self._of(layer))
        if not self._job.is_running:
            self._on_ended()

    def _follow(self, kept: _Kept | None) -> None:
        for each, connects in ((self._kept, False), (kept, True)):
            if each is not None:
                event = each.layer.events.features
                (event.connect if connects else event.disconnect)(self._on_features)
        self._kept = kept

    def _of(self, layer: Labels) -> _Kept | None:
        if not isinstance(layer.data, np.ndarray) or layer.data.ndim < 2:
            return None
        key = str(layer.unique_id)
        if key not in self._all:
            path = layer.source.path
            writer = JournalWriter(None if path is None else Path(path))
            self._all[key] = _Kept(layer, writer, marks=marks_of_layer(layer))
        return self._all[key]

    def _on_due(self) -> None:
        kept = next((each for each in self._all.values() if each.is_due), None)
        if kept is None:
            return
        if self._job.is_running:
            self._soon.start()
            return
        layer = kept.layer
        kept.is_due = False
        if not isinstance(layer.data, np.ndarray):
            return
        options = {
            "name": str(layer.name),
            "marks": dict(kept.marks),
            "writing": writing_options(layer.as_layer_data_tuple()[1], layer.ndim),
        }
        entry = _Entry(kept.writer, layer.data, kept.steps, kept.is_altered, options)
        kept.steps, kept.is_altered = [], False
        self._job.start(
            entry.write,
            on_result=partial(self._on_written, kept),
            on_error=partial(self._on_failed, kept),
            on_end=self._on_ended,
        )

    @while_alive
    def _on_written(self, kept: _Kept, seconds: float) -> None:
        self._has_warned = False
        self._soon.setInterval(int(1e3 * max(_EVERY_S, _REST * seconds)))
        if kept.is_saved:
            kept.is_saved = False
            kept.writer.discard()

    @while_alive
    def _on_failed(self, kept: _Kept, error: Exception) -> None:
        # Nobody knows which planes it had packed.
        kept.is_altered = True
        if not self._has_warned:
            self._has_warned = True
            self.failed.emit(failure_sentence(error))

    @while_alive
    def _on_ended(self) -> None:
        # A layer that is gone is in its journal now, and needs no memory.
        layers = self._viewer.layers
        self._all = {
            key: each for key, each in self._all.items() if each.is_due or each.layer in layers
        }
        if any(each.is_due for each in self._all.values()) and not self._soon.isActive():
            self._soon.start()

    @while_alive
    def _on_saved(self, path: Path, data: Any) -> None:
        """Delete the journal of labels that were just saved; what follows is beside that file."""
        for key, kept in self._all.items():
            if kept.layer.data is not data:
                continue
            kept.steps, kept.is_due, kept.is_altered = [], False, False
            if self._job.is_running:
                kept.is_saved = True
            else:
                kept.writer.discard()
            fresh = _Kept(kept.layer, JournalWriter(path), marks=kept.marks)
            self._all[key] = fresh
            if kept is self._kept:
                self._kept = fresh


def _planes_in(part: Painted, shape: tuple[int, ...]) -> set[int]:
    """Planes that a box reaches, counted in C order."""
    leading = shape[:-2]
    if not leading:
        return {0}
    index = np.ix_(*(np.arange(each.start, each.stop) for each in part.box[:-2]))
    return set(np.ravel_multi_index(index, leading).ravel().tolist())
