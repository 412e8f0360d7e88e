"""The offer to restore corrections that were not saved, as after a crash."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.base.words import count
from napari_unet.versions.journal import SUFFIX, Journal, left_journals
from napari_unet.viewer.cells.marks import mark_columns, write_marks
from napari_unet.viewer.label_edits import LabelEdit, edit_labels, label_edit
from napari_unet.viewer.label_files import layer_options
from napari_unet.viewer.worker import Job, failure_sentence
from napari_unet.widgets.shared.parts import action_button, in_column, in_row, while_alive
from napari_unet.widgets.shared.texts import Sentence

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_MOST_UNDONE_PX = 200_000
"""More pixels are replaced at once, without a step of undo: that takes as long as any number."""


class JournalOffer(QWidget):
    """One sentence and two buttons; it takes no room while there is nothing to restore."""

    restored = Signal(object, object)
    """Carries the layer, and the `Journal` that it is restored from."""
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._left: list[Journal] = []
        self._taken: set[Path] = set()
        self._job, self._looking = Job(self), Job(self)
        self.sentence = Sentence()
        self.restore_button = action_button(
            "Restore", "Bring the labels back as they were corrected.", self._on_restore
        )
        self.discard_button = action_button(
            "Discard", "Delete these corrections for good.", self._on_discard
        )
        buttons = in_row(self.restore_button, self.discard_button, spacing=3)
        in_column(self.sentence, buttons, within=self, spacing=3)
        self.hide()

    @property
    def journal(self) -> Journal | None:
        """The one that is offered."""
        return self._left[0] if self._left else None

    def look(self) -> None:
        """Look for journals that were left, beside the files of layers and in the data folder."""
        files = [Path(each.source.path) for each in self._layers() if each.source.path]
        self._looking.start(partial(_find, files), on_result=self._on_found)

    def stop(self) -> None:
        """Look no more."""
        self._looking.stop()

    def _layers(self) -> list[Labels]:
        from napari.layers import Labels

        return [each for each in self._viewer.layers if isinstance(each, Labels)]

    @while_alive
    def _on_found(self, left: list[Journal]) -> None:
        # What was just restored is not written anew yet.
        self._left = [each for each in left if each.path not in self._taken]
        self._show()

    def _show(self) -> None:
        journal = self.journal
        self.setVisible(journal is not None)
        if journal is not None:
            steps, marks = len(journal.corrections), len(journal.marks)
            told = count(steps, "step", grouped=True)
            told += f" and {count(marks, 'mark', grouped=True)}" if marks else ""
            when = datetime.fromisoformat(journal.date).astimezone()
            self.sentence.show_text(
                f"Corrections of '{journal.name}' were not saved before napari ended: "
                f"{told}, the last on {when:%d %b %Y, %H:%M}. Restore or discard them."
            )

    def _on_restore(self) -> None:
        journal = self.journal
        if journal is None:
            return
        layer = self._layer_of(journal)
        before = None if layer is None else layer.data
        self._enable(is_on=False)
        self._job.start(
            partial(_read, journal, before),
            on_result=partial(self._on_read, journal, layer),
            on_error=self._on_failed,
            on_end=partial(self._enable, is_on=True),
        )

    def _layer_of(self, journal: Journal) -> Labels | None:
        """The layer of the file that the journal lies beside."""
        file = str(journal.path)[: -len(SUFFIX)]
        found = (each for each in self._layers() if each.source.path)
        return next((e for e in found if str(Path(e.source.path).absolute()) == file), None)

    @while_alive
    def _enable(self, *, is_on: bool) -> None:
        self.restore_button.setEnabled(is_on)
        self.discard_button.setEnabled(is_on)

    @while_alive
    def _on_read(self, journal: Journal, layer: Labels | None, read: Labels | LabelEdit) -> None:
        self._taken.add(journal.path)
        if layer is not None and isinstance(read, LabelEdit):
            layer.visible = True  # or else writing fails half-way
            if read.values.size <= _MOST_UNDONE_PX:
                edit_labels(layer, read)
            else:
                labels = layer.data.astype(read.dtype)
                labels[read.places] = read.values
                layer.data = labels
            write_marks(layer, journal.marks)
        elif not isinstance(read, LabelEdit):
            layer = read
            self._viewer.add_layer(layer)
        self._left = self._left[1:]
        self._show()
        self.restored.emit(layer, journal)

    def _on_discard(self) -> None:
        if self.journal is not None:
            self.journal.discard()
            self._left = self._left[1:]
            self._show()

    @while_alive
    def _on_failed(self, error: Exception) -> None:
        self.failed.emit(failure_sentence(error))


def _find(files: list[Path]) -> list[Journal]:
    """Journals that were left, in a worker's thread; those beside open files first."""
    beside = [journal for file in files for journal in left_journals(file.absolute())]
    return [*beside, *left_journals()]


def _read(journal: Journal, before: Any) -> Labels | LabelEdit:
    """What turns a layer into what it was, or a layer of its own; in a worker's thread."""
    labels = journal.labels()
    if before is None:
        return _new_layer(journal, labels)
    if np.shape(before) != labels.shape:
        raise LabelsError(
            f"The corrections of '{journal.name}' are of shape {labels.shape}, and the layer has "
            f"{np.shape(before)} now; remove the layer, and restore them as one of their own."
        )
    return label_edit(before, labels)


def _new_layer(journal: Journal, labels: Any) -> Labels:
    from napari.layers import Labels

    options = layer_options(journal.writing.get("notes"), labels.ndim)
    marks = {"features": mark_columns(journal.marks)} if journal.marks else {}
    return Labels(labels, name=journal.name, **options | marks)
