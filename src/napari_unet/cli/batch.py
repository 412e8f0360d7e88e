"""Many files in a row, or several at a time: one that fails does not lose the others."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from napari_unet.cli.console import count, describe_failure, listing, say, say_of

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(KeyboardInterrupt):
    """Raised where work ends because the user wants to stop; as text, how to go on."""


def for_each(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    name: Callable[[Item], Path],
    noun: str,
    debug: bool = False,
    workers: int = 1,
    cancel: threading.Event | None = None,
    done: Callable[[Item, Result], object] | None = None,
    failed: Callable[[Item, str], object] | None = None,
    remedy: str = "",
) -> int:
    """Do `work` for every item and say which ones failed.

    Parameters
    ----------
    items : sequence
    work : callable
    name : callable
        The file that an item is about, for messages.
    noun : str
        What the items are, in the singular.
    debug : bool
        Show where errors come from.
    workers : int
        Items that are in work at a time, each in a thread of its own.
    cancel : threading.Event, optional
        Set when the user stops; `work` in the threads ends then.
    done, failed : callable, optional
        Called in this thread with each item and its result, or the sentence
        that says why there is none.
    remedy : str
        How to do those again that failed; a sentence.

    Returns
    -------
    int
        Exit status: 0 if all went well, otherwise 1.
    """
    lost = []
    for item, result, error in _attempts(items, work, workers, cancel or threading.Event()):
        if error is None:
            if done is not None:
                done(item, result)  # type: ignore[arg-type]
            continue
        if debug:
            traceback.print_exception(error)
        sentence = describe_failure(error)
        say_of(name(item), sentence)
        lost.append(name(item).name)
        if failed is not None:
            failed(item, sentence)
    if lost and len(items) > 1:
        message = f"{len(lost)} of {count(len(items), noun)} failed: {listing(lost)}."
        say(f"{message} {remedy}".rstrip())
    return 1 if lost else 0


def _attempts(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    workers: int,
    cancel: threading.Event,
) -> Iterator[tuple[Item, Result | None, Exception | None]]:
    """Each item, as it is done, with its result or what went wrong."""
    if workers == 1:
        for item in items:
            yield (item, *_attempt(work, item))
        return
    waiting = iter(items)
    running: dict[Future[Any], Item] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                # No more than are in work: results do not pile up.
                for item in waiting:
                    running[pool.submit(_attempt, work, item)] = item
                    if len(running) >= workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield (running.pop(future), *future.result())
        except KeyboardInterrupt:
            cancel.set()
            pool.shutdown(cancel_futures=True)
            # What was written whole before the threads ended is done, too.
            for future, item in running.items():
                if not future.cancelled() and future.exception() is None:
                    result, error = future.result()
                    if error is None:
                        yield item, result, None
            raise
        finally:
            # After an interrupt or a broken pipe: the threads end at their next step.
            if running:
                cancel.set()
                pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[Item], Result], item: Item) -> tuple[Result | None, Exception | None]:
    try:
        return work(item), None
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever is wrong with this one, the next may be fine
        return None, error


class Processors:
    """Shares the processors among images: each has its part, or one has them all.

    Threads of one image wait for each other many times in each layer. Images
    that are computed side by side, each by fewer threads, do not, and share
    one copy of the network, because torch and numba let other threads of
    Python run meanwhile; so there is no need for processes, each of which
    would load torch, the model and what numba compiled anew.

    Parameters
    ----------
    images : int
        How many are computed at a time.
    """

    def __init__(self, images: int) -> None:
        self.images = self._free = images
        self._threads = torch.get_num_threads()
        self._changed = threading.Condition()
        self._door = threading.Lock()

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[float]:
        """Wait for a part of the processors, or for all of them, and compute.

        Yields
        ------
        float
            Seconds of waiting.
        """
        parts, asked = self.images if alone else 1, time.perf_counter()
        # Whoever waits for all is not passed by those that need one.
        with self._door, self._changed:
            self._changed.wait_for(lambda: self._free >= parts)
            self._free -= parts
        try:
            # Of this thread alone.
            torch.set_num_threads(max(1, self._threads * parts // self.images))
            yield time.perf_counter() - asked
        finally:
            with self._changed:
                self._free += parts
                self._changed.notify_all()

    def close(self) -> None:
        """Give this thread, and new ones, all processors again."""
        torch.set_num_threads(self._threads)
