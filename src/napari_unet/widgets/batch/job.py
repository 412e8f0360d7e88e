"""The job of the Batch form: one queue at a time, worked on beside the Qt thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.batch.queue import Entry
from napari_unet.batch.training.entry import TrainingEntry
from napari_unet.engine.base.words import count
from napari_unet.session import Turn
from napari_unet.viewer.worker import Job
from napari_unet.widgets.batch.sources import listed
from napari_unet.widgets.batch.work import (
    FormTraining,
    Live,
    Queued,
    Request,
    Waiting,
    add_training,
    read_queue,
    remove_images,
    run_queue,
)

if TYPE_CHECKING:
    from napari_unet.batch.running import BatchReport


@dataclass(slots=True)
class Tally:
    """What has come of a run so far."""

    total: int = 0
    done: int = 0
    failed: int = 0
    in_doubt: int = 0
    refused: int = 0
    cells: int = 0
    noun: str = "image"
    """What all of them are called."""

    def add(self, entry: Entry) -> None:
        """Count an image or a training."""
        self.done += 1
        self.failed += entry.state == "failed"
        if isinstance(entry, TrainingEntry):
            self.refused += entry.outcome.is_refused
            return
        self.in_doubt += bool(entry.outcome.doubt)
        self.cells += entry.outcome.cells or 0

    @property
    def text(self) -> str:
        """In words."""
        good = self.done - self.failed
        text = f"{good} of {count(self.total, self.noun)} done"
        text += "" if self.noun == "training" else f", {count(self.cells, 'cell')}"
        text += f"; {self.refused} not better" if self.refused else ""
        text += f"; {self.failed} failed" if self.failed else ""
        return text + (f"; {self.in_doubt} in doubt" if self.in_doubt else "")


class BatchJob(QObject):
    """Owns the worker of a queue, and what is asked of its folder in between."""

    queued = Signal(object)
    """Carries `Queued`: the images of the queue."""
    progressed = Signal(int, int, str)
    """Carries how far it is, of how much, and what is being done."""
    reported = Signal(object)
    """Carries each `BatchReport`."""
    told = Signal(str)
    """Carries a sentence that is no error, while it runs."""
    ended = Signal(str)
    """Carries how it went."""
    failed = Signal(object)
    """Carries the exception; of what runs, and of what is asked in between."""
    files_listed = Signal(list)
    """Carries the paths of images."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.live = Live()
        self._running, self._asking = Job(self), Job(self)
        self._tally = Tally()

    @property
    def is_running(self) -> bool:
        """Whether images are still to come."""
        return self._running.is_running

    def start(self, request: Request, turn: Turn | None) -> None:
        """Add images to the queue of a folder, and do what waits in it; trainings need a turn."""
        work: Callable[[], Iterator[Any]] = partial(run_queue, request, self.live)
        self._asking.stop()
        self._tally = Tally()
        self.live.pause.clear()
        self._running.start(
            work if turn is None else partial(turn.during, work),
            on_report=self._on_reported,
            on_result=self._on_result,
            on_error=self.failed.emit,
            on_stop=self._on_stopped,
        )

    def stop(self) -> None:
        """Stop what runs; images in work wait again."""
        self._running.stop()

    def pause(self) -> None:
        """Begin no more; images in work are finished, and a training ends where it stands."""
        self.live.pause.set()

    def read(self, folder: Path) -> None:
        """Look for a queue in a folder."""
        self._ask(partial(read_queue, folder), self.queued.emit)

    def add_training(self, folder: Path, training: FormTraining) -> None:
        """Add a training to the queue of a folder."""
        self._ask(partial(add_training, folder, training), self.queued.emit)

    def remove(self, folder: Path, outputs: Sequence[Path]) -> None:
        """Leave images out of the queue of a folder."""
        self._ask(partial(remove_images, folder, outputs), self.queued.emit)

    def list_files(self, paths: Sequence[Path]) -> None:
        """List the images among files and folders."""
        self._ask(partial(listed, paths), self.files_listed.emit)

    def _ask(self, work: Callable[[], object], answer: Callable[[Any], object]) -> None:
        self._asking.start(work, on_result=answer, on_error=self.failed.emit)

    def _on_reported(self, report: Waiting | Queued | BatchReport) -> None:
        if isinstance(report, Waiting):
            self.progressed.emit(0, 1, report.text)
        elif isinstance(report, Queued):
            self._tally.total, self._tally.noun = report.wanted, report.noun
            self.queued.emit(report)
            if report.notes:
                self.told.emit(" ".join(report.notes))
        else:
            self._show(report)

    def _show(self, report: BatchReport) -> None:
        if report.entry is not None:
            self._tally.add(report.entry)
        if report.problem:
            self.told.emit(report.problem)
        text = f"{report.done} of {count(report.total, self._tally.noun)}"
        text += ", pausing" if self.live.pause.is_set() else ""
        self.reported.emit(report)
        self.progressed.emit(round(100 * report.reached), 100 * report.total, text)

    def _on_result(self, _last: object) -> None:
        tally = self._tally
        if tally.done < tally.total:
            self.ended.emit(f"Paused: {tally.text}. Run goes on.")
        elif tally.total:
            self.ended.emit(f"{tally.text}.".capitalize())
        else:
            self.ended.emit("Nothing waits: all images are done with their settings.")

    def _on_stopped(self) -> None:
        self.ended.emit(f"Stopped: {self._tally.text}. Run goes on.")
