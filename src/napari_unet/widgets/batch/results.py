"""The image of a batch that is open, with its cells over it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.batch.images.entry import ImageEntry
from napari_unet.engine.base.words import count
from napari_unet.viewer.garbage import ShortSearches
from napari_unet.viewer.results import METADATA_KEY, add_in_parts
from napari_unet.viewer.worker import Job
from napari_unet.widgets.batch.opening import Opened, open_entry, save_corrections
from napari_unet.widgets.batch.work import Live
from napari_unet.widgets.shared.parts import while_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer


class BatchResults(QObject):
    """Opens one result at a time; one that was edited stays until it is saved.

    Parameters
    ----------
    live : Live
        What runs, if anything does.
    """

    told = Signal(str)
    """Carries a sentence."""
    failed = Signal(object)
    """Carries the exception."""
    corrected = Signal(object)
    """Carries the `ImageEntry` whose cells were saved."""
    changed = Signal()
    """Another result is open, or none."""

    def __init__(self, viewer: ViewerModel, live: Live, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._live = viewer, live
        self._reading, self._saving = Job(self), Job(self)
        self._opened: Opened | None = None
        self._layers: list[Layer] = []
        self._searches = ShortSearches()
        viewer.layers.events.removing.connect(self._on_removing)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def entry(self) -> ImageEntry | None:
        """The image whose cells are open."""
        return None if self._labels() is None or self._opened is None else self._opened.entry

    @property
    def is_opening(self) -> bool:
        """Whether a result is being read, or its layers are still to come."""
        return self._reading.is_running

    def open(self, entry: ImageEntry, folder: Path) -> None:
        """Read an image of a folder's queue and its cells, and show them in place of others."""
        labels, opened = self._labels(), self._opened
        is_open = labels is not None and self.entry == entry
        if is_open:
            self._select()
            return
        before = None if labels is None else labels.data
        known = 0 if opened is None else opened.checksum
        self._reading.start(
            partial(open_entry, folder, entry, before, known),
            on_result=self._on_read,
            on_error=self.failed.emit,
        )

    def save(self) -> None:
        """Write the cells that are open into their files."""
        labels, opened = self._labels(), self._opened
        if labels is None or opened is None:
            return
        made = dict(labels.metadata.get(METADATA_KEY, {}))
        made.pop("layer_id", None)
        self._saving.start(
            partial(save_corrections, opened, np.array(labels.data), made, self._live),
            on_result=partial(self._on_saved, opened),
            on_error=self.failed.emit,
        )

    def stop(self) -> None:
        """Read no more."""
        self._reading.stop()
        self._searches.end()

    def _labels(self) -> Labels | None:
        return next((each for each in self._layers if isinstance(each, Labels)), None)

    @while_alive
    def _on_read(self, opened: Opened) -> Iterator[None]:
        kept = ""
        if opened.was_edited and self._opened is not None:
            kept = (
                f"'{self._opened.entry.planned.title}' has corrections that are not saved; its "
                "layers stay: save them there, or delete them."
            )
            self._layers = []
        while self._layers:
            self._viewer.layers.remove(self._layers[-1])
            yield
        is_first = not len(self._viewer.layers)
        self._searches.begin()
        self._opened = opened
        for layer in opened.layers:
            self._layers.append(layer)
            yield from add_in_parts(self._viewer, layer)
            yield
        self._select()
        if not is_first:
            self._viewer.reset_view()
        self.changed.emit()
        self.told.emit(f"{_about(opened.entry)} {kept}".rstrip())

    def _select(self) -> None:
        top = self._labels() or (self._layers[-1] if self._layers else None)
        if top is not None:
            self._viewer.layers.selection.active = top

    @while_alive
    def _on_saved(self, before: Opened, saved: Opened) -> None:
        if self._opened is before:
            self._opened = saved
        entry = saved.entry
        self.corrected.emit(entry)
        cells = count(entry.outcome.cells or 0, "cell")
        self.told.emit(
            f"{cells} of '{entry.planned.title}' are saved in '{entry.output}', and in the tables."
        )

    @while_alive
    def _on_removing(self, event: Any) -> None:
        if self._viewer.layers[event.index] not in self._layers:
            self._searches.end()  # it may be older than what is searched

    @while_alive
    def _on_removed(self, _event: Any) -> None:
        there = [each for each in self._layers if each in self._viewer.layers]
        if len(there) != len(self._layers):
            self._layers = there
            self.changed.emit()


def _about(entry: ImageEntry) -> str:
    """Say what was found in an image, and why that may be wrong."""
    cells = entry.outcome.cells
    found = entry.state if cells is None else count(cells, "cell")
    return " ".join((f"'{entry.planned.title}': {found}.", *entry.outcome.warnings))
