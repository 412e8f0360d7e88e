"""Several things at a time, each in a thread: one that fails does not lose the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(KeyboardInterrupt):
    """Raised where work ends because the user wants to stop; as text, how to go on."""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Item, Result]):
    """How it went with one item: a result, or an error."""

    item: Item
    result: Result | None
    error: Exception | None


def attempts(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    workers: int,
    cancel: threading.Event,
    pause: threading.Event,
    look_s: float,
) -> Generator[Attempt[Item, Result] | None]:
    """Do `work` for the items in threads.

    To stop, no longer iterate: the threads end at their next step.

    Parameters
    ----------
    items : sequence
    work : callable
    workers : int
        Items that are in work at a time.
    cancel : threading.Event
        Set here when the iteration ends before all is done; `work` ends then.
    pause : threading.Event
        Once it is set, no more items are begun; those in work are done.
    look_s : float

    Yields
    ------
    Attempt or None
        Each item as it is done; nothing for every `look_s` seconds in which none is.
    """
    waiting = iter(items)
    running: dict[Future[Attempt[Item, Result]], Item] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="napari-unet") as pool:
        try:
            while True:
                # No more than are in work: results do not pile up.
                while len(running) < workers and not pause.is_set():
                    item = next(waiting, _NONE)
                    if item is _NONE:
                        break
                    running[pool.submit(_attempt, work, item)] = item
                if not running:
                    return
                done = wait(running, timeout=look_s, return_when=FIRST_COMPLETED).done
                for future in done:
                    del running[future]
                    yield future.result()
                if not done:
                    yield None
        except KeyboardInterrupt:
            cancel.set()
            pool.shutdown(cancel_futures=True)
            # What was written whole before the threads ended is done, too.
            for future in running:
                if not future.cancelled() and future.exception() is None:
                    attempt = future.result()
                    if attempt.error is None:
                        yield attempt
            raise
        finally:
            # After an interrupt or a broken pipe: the threads end at their next step.
            if running:
                cancel.set()
                pool.shutdown(cancel_futures=True)


_NONE: Any = object()


def _attempt(work: Callable[[Item], Result], item: Item) -> Attempt[Item, Result]:
    try:
        return Attempt(item, work(item), None)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever is wrong with this one, the next may be fine
        return Attempt(item, None, error)


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
