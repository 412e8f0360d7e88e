"""What a terminal shows of a queue that is worked on."""

from __future__ import annotations

import argparse
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path

from napari_unet.batch.images.entry import ImageEntry
from napari_unet.batch.queue import Entry, Queue, noun_of
from napari_unet.batch.running import BatchReport
from napari_unet.batch.summary import Summary, counted
from napari_unet.cli.console import describe_failure, progress_bar, report, say, say_of
from napari_unet.engine.base.words import count, listing
from napari_unet.engine.networks.network import NetworkDescription


class Told:
    """A line for each image and training, a bar, and at the end what failed and how to go on.

    Parameters
    ----------
    entries : sequence of ImageEntry or TrainingEntry
        What this run does.
    arguments : Namespace
        Of the command.
    """

    def __init__(self, entries: Sequence[Entry], arguments: argparse.Namespace) -> None:
        self._total, self._debug = len(entries), arguments.debug
        self._out = arguments.out
        self._done = 0
        self._lost: list[str] = []
        self._problem = ""
        self._noun = noun_of(entries)
        title = _named(entries[0]).name if len(entries) == 1 else f"{self._noun}s"
        self._bar = progress_bar(len(entries), title, forced=arguments.progress)
        self._bar.bar_format = (
            "{desc}: {percentage:3.0f}%|{bar}| {n:.3g}/{total} [{elapsed}, {remaining} left]"
        )

    def tell(self, each: BatchReport) -> None:
        """Say what is new."""
        self._bar.update(each.reached - self._bar.n)
        if each.problem and each.problem != self._problem:
            say(each.problem)
        self._problem = each.problem or self._problem
        entry = each.entry
        if entry is None:
            return
        path = _named(entry)
        if each.error is not None:
            if self._debug:
                traceback.print_exception(each.error)
            say_of(path, describe_failure(each.error))
            self._lost.append(path.name)
            return
        self._done += 1
        report(each.line)
        for warning in entry.outcome.warnings:
            say_of(path, warning)

    def stopped(self, queue: Queue) -> str:
        """Say how many are done, and how to go on."""
        done = f"{self._done} of {count(self._total, self._noun)} are done"
        return f"{done}; to go on: {self._command(queue)}"

    def status(self, queue: Queue) -> int:
        """Say which ones failed, and return the exit status."""
        if self._lost and self._total > 1:
            names = f"{len(self._lost)} of {count(self._total, self._noun)} failed"
            again = f"To do only these again: {self._command(queue)}"
            say(f"{names}: {listing(self._lost)}. {again}")
        return 1 if self._lost or self._problem else 0

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _command(self, queue: Queue) -> str:
        folder = self._out if queue.folder is None else queue.folder
        return f"napari-unet segment --continue -o {shlex.quote(str(folder))}"


def _named(entry: Entry) -> Path:
    """The file that messages about an entry are of."""
    if isinstance(entry, ImageEntry):
        return entry.planned.source.parent / entry.title
    return entry.output


def count_earlier(
    summary: Summary, entries: Sequence[ImageEntry], description: NetworkDescription
) -> None:
    """Give results that another program or an earlier version has made their rows."""
    for entry in entries:
        is_kept = entry.keeps and entry.has_results
        is_new = is_kept and entry.state == "waiting" and not summary.has(entry)
        if is_new and not description.gives_classes:
            summary.add(counted(entry, ndim=description.architecture.ndim))
