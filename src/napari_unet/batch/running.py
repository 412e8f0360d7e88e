"""A queue that is worked on: images and trainings in their order, with a report of each step."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import torch

from napari_unet.batch.attempts import Attempt, Processors, attempts
from napari_unet.batch.images.entry import ImageEntry, ImageOutcome
from napari_unet.batch.images.job import Advise, ImageJob, Look, Segmented
from napari_unet.batch.look import concerns_before
from napari_unet.batch.queue import Entry, Queue, noun_of
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import Summary
from napari_unet.batch.training.entry import TrainingEntry, TrainingOutcome
from napari_unet.batch.training.job import Learned, TrainingJob
from napari_unet.engine.base.device import resolve_device
from napari_unet.engine.base.errors import CheckpointError, FileError, UNetError
from napari_unet.engine.base.words import count, failure
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import ensemble
from napari_unet.session import measured_file

_LOOK_S = 0.1

_Kind = TypeVar("_Kind", ImageEntry, TrainingEntry)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How far a queue is.

    Parameters
    ----------
    done, total : int
        Images and trainings of this run that are done or have failed, and all of them.
    shares : mapping of Path to float
        Of each one in work, by its labels or its model, how much of it is done, 0 to 1.
    entry : ImageEntry or TrainingEntry, optional
        One that is done or has failed.
    line : str
        What came of it, for people.
    error : Exception, optional
        Why it failed.
    problem : str
        Why the queue or the table of it could not be written; a sentence, once.
    """

    done: int
    total: int
    shares: Mapping[Path, float] = field(default_factory=dict)
    entry: Entry | None = None
    line: str = ""
    error: Exception | None = None
    problem: str = ""

    @property
    def reached(self) -> float:
        """How many are done, those in work by their shares."""
        return self.done + sum(self.shares.values())


def load_networks(batch: BatchSettings, *, allow_code: bool = False) -> tuple[Network, ...]:
    """Load the models of a batch; takes a moment.

    Raises
    ------
    CheckpointError
        If one cannot be loaded, or is not the one that was meant.
    SettingsError
        If they do not fit each other.
    """
    loaded = []
    for number, model in enumerate(batch.models):
        guesses = batch.guesses if number == 0 else {}
        batch.check_model(number, measured_file(model.source)[0])
        loaded.append(load_checkpoint(model.source, allow_code=allow_code, guesses=guesses))
    return ensemble(loaded)


def images_at_a_time(device: str) -> int:
    """How many images are best computed side by side: on a CPU one for each of its threads."""
    return torch.get_num_threads() if resolve_device(device).type == "cpu" else 1


def iterate_queue(
    queue: Queue,
    entries: Sequence[Entry],
    *,
    load: Callable[[BatchSettings], tuple[Network, ...]] = load_networks,
    device: str = "auto",
    look: Look | None = concerns_before,
    advise_with: Callable[[BatchSettings, NetworkDescription], Advise] | None = None,
    at_a_time: int | None = None,
    allow_code: bool = False,
    pause: threading.Event | None = None,
    summary: Summary | None = None,
) -> Generator[BatchReport]:
    """Segment images and train networks of a queue, and keep in its file how far it is.

    To stop, no longer iterate: what is in work ends at its next step and waits again. A training
    goes on where it stood.

    Parameters
    ----------
    queue : Queue
    entries : sequence of ImageEntry or TrainingEntry
        Of the queue.
    load : callable
        Gives the networks for some settings.
    device : str
    look : callable, optional
        Asked before each image.
    advise_with : callable, optional
        Gives what is asked after an image whose result is in doubt.
    at_a_time : int, optional
        Images that are computed side by side, by default as `images_at_a_time` says.
    allow_code : bool
        Begin trainings also with a model file that carries a program.
    pause : threading.Event, optional
        Once it is set, images in work are done, a training ends where it stands, and no more are
        begun.
    summary : Summary, optional
        The table of images, which is kept up to date.

    Yields
    ------
    BatchReport
        One for each image and training, and some each second in between.

    Raises
    ------
    CheckpointError
        If a model cannot be loaded that no training of the queue makes. Its images wait, and the
        others are done first.
    FileError
        If the disk is full, and there is more than one to do. The others wait.
    QueueBusyError
        If another process has taken the queue.
    """
    cancel, pause = threading.Event(), pause or threading.Event()
    run = _Run(queue, entries, summary, cancel, pause)
    images = sum(isinstance(each, ImageEntry) for each in entries)
    most = images_at_a_time(device) if at_a_time is None else at_a_time
    processors = Processors(max(1, min(most, images)))
    folder = queue.folder or Path()
    training = TrainingJob(folder, device, allow_code, processors, cancel, pause)
    unloaded: CheckpointError | None = None
    try:
        problem = run.keep(now=True)
        if problem:
            yield BatchReport(0, run.total, problem=problem)
        for group in _groups(entries):
            if pause.is_set():
                break
            if isinstance(group, TrainingEntry):
                yield from run.work([group], training, 1)
                continue
            batch = queue.settings[group[0].settings_id]
            try:
                _check_made(queue, batch)
                networks = load(batch)
            except CheckpointError as error:
                if any(queue.training_of(model.source) for model in batch.models):
                    yield from run.fail(group, error)
                else:
                    unloaded = unloaded or error
                continue
            advise = advise_with and advise_with(batch, networks[0].description)
            job = ImageJob(networks, batch, device, look, advise, processors, cancel)
            # One more is read or written meanwhile.
            yield from run.work(group, job, processors.images + 1)
        if run.full is not None:
            raise FileError(
                f"{failure(run.full)} {run.done} of {count(run.total, run.noun)} are done; the "
                "others wait until you go on."
            ) from run.full
    finally:
        processors.close()
        run.keep(now=True)
    if run.problem:
        yield BatchReport(run.done, run.total, problem=run.problem)
    if unloaded is not None:
        raise unloaded


def _groups(entries: Sequence[Entry]) -> Generator[TrainingEntry | list[ImageEntry]]:
    """Trainings, and between two of them the images of each of the settings, in their order."""
    for is_training, those in groupby(entries, lambda each: isinstance(each, TrainingEntry)):
        if is_training:
            yield from (each for each in those if isinstance(each, TrainingEntry))
            continue
        by_settings: dict[str, list[ImageEntry]] = {}
        for each in those:
            if isinstance(each, ImageEntry):
                by_settings.setdefault(each.settings_id, []).append(each)
        yield from by_settings.values()


def _check_made(queue: Queue, batch: BatchSettings) -> None:
    """See that the trainings of the queue have made the models that some images wait for.

    Raises
    ------
    CheckpointError
        If not, or if the file is another one now.
    """
    for model in batch.models:
        training = queue.training_of(model.source)
        if training is None:
            continue
        if training.unmade:
            raise CheckpointError(training.unmade)
        made, found = training.outcome.file_hash, measured_file(model.source)[0]
        if made and made != found:
            raise CheckpointError(
                f"The model '{training.name}' is not the file that the training of this queue has "
                "written; bring that file back, or take the training out and add it anew."
            )


class _Run:
    """Counts what is done, and keeps the queue and its table up to date."""

    def __init__(
        self,
        queue: Queue,
        entries: Sequence[Entry],
        summary: Summary | None,
        cancel: threading.Event,
        pause: threading.Event,
    ) -> None:
        self._queue, self._summary = queue, summary
        self._shares: dict[Path, float] = {}
        self.cancel, self.pause = cancel, pause
        self.total, self.done = len(entries), 0
        self.noun = noun_of(entries)
        self.problem = ""
        self.full: Exception | None = None

    def work(
        self,
        entries: Sequence[_Kind],
        job: Callable[[_Kind, Callable[[float], None]], Segmented | Learned | None],
        workers: int,
    ) -> Generator[BatchReport]:
        """Segment images that have the same settings, or train."""

        def work(entry: _Kind) -> Segmented | Learned | None:
            shares, output = self._shares, entry.output
            try:
                return job(entry, lambda share: shares.__setitem__(output, share))
            finally:
                shares.pop(output, None)

        yield BatchReport(self.done, self.total)
        tries = attempts(
            entries,
            work,
            workers=min(workers, len(entries)),
            cancel=self.cancel,
            pause=self.pause,
            look_s=_LOOK_S,
        )
        with closing(tries):
            for each in tries:
                self._queue.beat()
                if each is None:
                    yield BatchReport(self.done, self.total, dict(self._shares))
                elif self.total > 1 and _is_full(each.error):
                    # All others would be computed in vain.
                    self.full = self.full or each.error
                    self.pause.set()
                elif each.result is not None or each.error is not None:  # or else it was paused
                    yield self._recorded(each)

    def fail(self, entries: Sequence[ImageEntry], error: UNetError) -> Generator[BatchReport]:
        """Tell of images that could not be begun."""
        for entry in entries:
            yield self._recorded(Attempt(entry, None, error))

    def _recorded(self, attempt: Attempt[Any, Segmented | Learned | None]) -> BatchReport:
        entry = _ended(attempt)
        self._queue.record(entry)
        if self._summary is not None and isinstance(entry, ImageEntry):
            self._summary.add(entry)
        self.done += 1
        is_training = isinstance(entry, TrainingEntry)
        problem = self.keep(now=is_training)
        if isinstance(entry, TrainingEntry) and entry.state == "done" and self._queue.folder:
            with suppress(OSError):  # only now: it is known that it has ended
                entry.state_file(self._queue.folder).unlink(missing_ok=True)
        line = "" if attempt.result is None else attempt.result.line
        shares = dict(self._shares)
        return BatchReport(self.done, self.total, shares, entry, line, attempt.error, problem)

    def keep(self, *, now: bool) -> str:
        """Write the queue and the table; return a sentence the first time that this fails.

        The work goes on without: what it makes is more than what is said of it.
        """
        try:
            self._queue.write(now=now)
            if self._summary is not None and (now or self._summary.is_due):
                self._summary.write()
        except FileError as error:
            was_told, self.problem = self.problem, str(error)
            return "" if was_told else self.problem
        self.problem = ""
        return ""


def _ended(attempt: Attempt[Any, Segmented | Learned | None]) -> Entry:
    """The entry of an attempt, with what came of it."""
    entry: Entry = attempt.item
    error = "" if attempt.error is None else failure(attempt.error)
    if isinstance(entry, TrainingEntry):
        learned = attempt.result
        if not isinstance(learned, Learned):
            return replace(entry, state="failed", error=error, outcome=TrainingOutcome())
        return replace(entry, state="done", error="", outcome=learned.outcome)
    segmented = attempt.result
    if not isinstance(segmented, Segmented):
        return replace(entry, state="failed", error=error, outcome=ImageOutcome())
    return replace(entry, state="done", error="", outcome=segmented.outcome)


def _is_full(error: BaseException | None) -> bool:
    """Whether something failed because there was no room on the disk."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False
