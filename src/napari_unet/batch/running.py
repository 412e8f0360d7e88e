"""A queue that is worked on: image after image, with a report of each step."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from napari_unet.batch.attempts import Attempt, Processors, attempts
from napari_unet.batch.image_job import Advise, ImageJob, Look, Segmented, failure
from napari_unet.batch.look import concerns_before
from napari_unet.batch.queue import Entry, Outcome, Queue
from napari_unet.batch.settings import BatchSettings
from napari_unet.batch.summary import Summary
from napari_unet.batch.words import count
from napari_unet.engine.base.device import resolve_device
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.segmentation.ensemble import ensemble
from napari_unet.session import measured_file

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How far a queue is.

    Parameters
    ----------
    done, total : int
        Images of this run that are done or have failed, and all of them.
    shares : mapping of Path to float
        Of each image in work, by its labels, how much of it is done, 0 to 1.
    entry : Entry, optional
        An image that is done or has failed.
    line : str
        What was found in it, for people.
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
        """How many images are done, those in work by their shares."""
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
    pause: threading.Event | None = None,
    summary: Summary | None = None,
) -> Generator[BatchReport]:
    """Segment images of a queue, and keep in its file how far it is.

    To stop, no longer iterate: what is in work ends at its next step and waits again.

    Parameters
    ----------
    queue : Queue
    entries : sequence of Entry
        Of the queue.
    load : callable
        Gives the networks for some settings; asked once for each.
    device : str
    look : callable, optional
        Asked before each image.
    advise_with : callable, optional
        Gives what is asked after an image whose result is in doubt.
    at_a_time : int, optional
        Images that are computed side by side, by default as `images_at_a_time` says.
    pause : threading.Event, optional
        Once it is set, images in work are done and no more are begun.
    summary : Summary, optional
        The table, which is kept up to date.

    Yields
    ------
    BatchReport
        One for each image, and some each second in between.

    Raises
    ------
    CheckpointError
        If a model cannot be loaded. Its images wait.
    FileError
        If the disk is full, of several images. The others wait.
    QueueBusyError
        If another process has taken the queue.
    """
    cancel, pause = threading.Event(), pause or threading.Event()
    run = _Run(queue, len(entries), summary, cancel, pause)
    most = images_at_a_time(device) if at_a_time is None else at_a_time
    processors = Processors(max(1, min(most, len(entries))))
    try:
        problem = run.keep(now=True)
        if problem:
            yield BatchReport(0, run.total, problem=problem)
        groups = dict.fromkeys(each.settings_id for each in entries)
        for settings_id in groups:
            group = [each for each in entries if each.settings_id == settings_id]
            if pause.is_set():
                break
            batch = queue.settings[settings_id]
            networks = load(batch)
            advise = advise_with and advise_with(batch, networks[0].description)
            job = ImageJob(networks, batch, device, look, advise, processors, cancel)
            # One more is read or written meanwhile.
            yield from run.segment(group, job, processors.images + 1)
        if run.full is not None:
            raise FileError(
                f"{failure(run.full)} {run.done} of {count(run.total, 'image')} are done; the "
                "others wait until you go on."
            ) from run.full
    finally:
        processors.close()
        run.keep(now=True)
    if run.problem:
        yield BatchReport(run.done, run.total, problem=run.problem)


class _Run:
    """Counts what is done, and keeps the queue and its table up to date."""

    def __init__(
        self,
        queue: Queue,
        total: int,
        summary: Summary | None,
        cancel: threading.Event,
        pause: threading.Event,
    ) -> None:
        self._queue, self._summary = queue, summary
        self._shares: dict[Path, float] = {}
        self.cancel, self.pause = cancel, pause
        self.total, self.done = total, 0
        self.problem = ""
        self.full: Exception | None = None

    def segment(
        self, entries: Sequence[Entry], job: ImageJob, workers: int
    ) -> Generator[BatchReport]:
        """Segment images that have the same settings."""

        def work(entry: Entry) -> Segmented:
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
                else:
                    yield self._recorded(each)

    def _recorded(self, attempt: Attempt[Entry, Segmented]) -> BatchReport:
        if attempt.result is None:
            error = "" if attempt.error is None else failure(attempt.error)
            entry = replace(attempt.item, state="failed", error=error, outcome=Outcome())
        else:
            outcome = attempt.result.outcome
            entry = replace(attempt.item, state="done", error="", outcome=outcome)
        self._queue.record(entry)
        if self._summary is not None:
            self._summary.add(entry)
        self.done += 1
        problem = self.keep(now=False)
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


def _is_full(error: BaseException | None) -> bool:
    """Whether something failed because there was no room on the disk."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False
