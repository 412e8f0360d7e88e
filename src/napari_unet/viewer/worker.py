"""Runs the engine beside the Qt thread and brings its reports back to it."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.threads import leave_a_core
from napari_unet.installation import InstallationError
from napari_unet.viewer.warm_up import import_torch, preparation

_log = logging.getLogger(__name__)

_QUIT_TIMEOUT_S = 20.0
_WIND_UP_S = 10.0
_LOOK_S = 0.02
_FIRST_ROUND_S = 0.1
_MOST_AHEAD = 8
_DRAWN_MS = 10
"""Until what has changed is drawn: Qt waits up to 5 ms for more of it."""

_OVER: Any = object()
_running: set[Worker] = set()


class _StoppedError(BaseException):
    """Unwinds the engine; no `except Exception` on the way may hold it up."""


class Job(QObject):
    """What a form has done beside the Qt thread, one piece of work at a time.

    The owner's callbacks are called on its own thread; when it is destroyed, what runs is stopped.
    """

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._worker: Worker | None = None
        self._parts: Iterator[None] | None = None
        """What is still to be shown of a result."""
        self._on_stop: Callable[[], Any] | None = None
        self._on_end: Callable[[], Any] | None = None
        self._started = 0
        self._next_part = QTimer(self)
        self._next_part.setSingleShot(True)
        self._next_part.setInterval(_DRAWN_MS)
        self._next_part.timeout.connect(self._show_part)

    @property
    def is_running(self) -> bool:
        """Whether what was started has not yet finished and been shown, failed or been stopped."""
        works = self._worker is not None and self._worker.is_running
        return works or self.is_showing

    @property
    def is_showing(self) -> bool:
        """Whether the result has come, and parts of it are still to be shown."""
        return self._parts is not None

    def start(
        self,
        work: Callable[[], Any],
        *,
        on_report: Callable[[Any], Any] | None = None,
        on_result: Callable[[Any], Any] | None = None,
        on_error: Callable[[Exception], Any] | None = None,
        on_stop: Callable[[], Any] | None = None,
        on_end: Callable[[], Any] | None = None,
    ) -> None:
        """Stop what runs, and start this.

        Parameters
        ----------
        work : callable
            Called in the thread, as in `Worker`.
        on_report : callable, optional
            Given each report of a generator.
        on_result : callable, optional
            Given what a function returns, or the last report. If it is a
            generator, the window is drawn and answers at each `yield`, so that
            much can be shown without holding it up.
        on_error : callable, optional
            Given the exception; without it, the log is.
        on_stop : callable, optional
            Called when it is stopped, before `stop` returns.
        on_end : callable, optional
            Called after any of the three ends, and nothing after it.
        """
        self.stop()
        worker = self._worker = Worker(work)
        self._started += 1
        self._on_stop, self._on_end = on_stop, on_end
        for signal, callback in (
            (worker.reported, on_report),
            (worker.finished, on_result and partial(self._show, on_result)),
            (worker.failed, on_error or _log_failure),
            (worker.stopped, on_stop),
            # A callback may have started the next.
            (worker.ended, partial(self._on_worker_ended, self._started)),
        ):
            if callback is not None:
                signal.connect(callback)
        # The window may go at any moment, and this object with it; its threads go, too.
        self.destroyed.connect(worker.stop)
        worker.start()

    def stop(self) -> None:
        """Stop what runs, if anything does; a result that is half shown stays so."""
        if self._worker is not None:
            self._worker.stop()
        if self._parts is not None:
            self._next_part.stop()
            self._parts = None
            if self._on_stop is not None:
                self._on_stop()
            self._end()

    def _on_worker_ended(self, number: int) -> None:
        if number == self._started:
            # What it worked on may be large.
            self._worker = None
            if self._parts is None and isalive(self):
                self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def _show(self, on_result: Callable[[Any], Any], result: Any) -> None:
        parts = on_result(result)
        if isinstance(parts, Iterator) and isalive(self):
            self._parts = parts
            self._show_part()

    def _show_part(self) -> None:
        parts = self._parts
        is_over = True
        try:
            is_over = parts is None or next(parts, _OVER) is _OVER
        finally:
            # It may have been stopped by what it showed.
            if parts is not None and self._parts is parts:
                if not is_over:
                    self._next_part.start()
                else:
                    self._parts = None
                    if self._worker is None:
                        self._end()


def _log_failure(error: Exception) -> None:
    _log.error("A job failed", exc_info=error)


def failure_sentence(error: Exception, *, kept: str = "") -> str:
    """Say what went wrong and what to do; what nobody foresaw goes into the log as well.

    Parameters
    ----------
    kept : str
        What an error that nobody foresaw left as it was, as a sentence.
    """
    if isinstance(error, UNetError):
        return str(error)
    _log_failure(error)
    sentence = (
        f"Something went wrong that should not ({type(error).__name__}: {error}); the log has the "
        "details."
    )
    return f"{sentence} {kept}".rstrip()


class Worker(QObject):
    """One long job of the engine in a thread of its own.

    A job that was stopped may have to end a step before its thread is over; the
    next one waits for it, in its own thread, rather than share the processor.
    Between two reports the event loop comes round, however fast they follow
    each other; work that is far ahead of the window waits.

    Qt's thread pool, and so superqt's workers, cannot be used: they take a
    `RuntimeError`, which is what torch raises, for a deleted widget and end
    without any signal. All signals arrive on the thread that made the worker.

    Parameters
    ----------
    work : callable
        Called in the thread; returns an iterator of reports, whose last one is
        the result, or the result. It must hold no layer, viewer or widget: those
        belong to the Qt thread.

    Attributes
    ----------
    reported : Signal
        Each report, as it comes.
    finished, failed, stopped : Signal
        One of them, once: the result, the exception, or nothing.
    ended : Signal
        After any of the three.
    """

    reported = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    stopped = Signal()
    ended = Signal()
    _arrived = Signal()

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self._stop_requested = threading.Event()
        self._has_ended = False
        self._first_round = threading.Event()
        self._arrivals: deque[tuple[str, Any]] = deque()
        self._room = threading.Semaphore(_MOST_AHEAD)
        self._takes_next = False
        self._thread = threading.Thread(target=self._run, name="napari-unet", daemon=True)
        self._arrived.connect(self._on_arrived)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not yet finished, failed or been stopped."""
        return self in _running and not self._has_ended

    def start(self) -> None:
        """Start the thread; connect the signals first."""
        _end_with_the_application()
        _running.add(self)
        self._thread.start()
        QTimer.singleShot(0, self._on_first_round)

    def stop(self) -> None:
        """Stop: `stopped` and `ended` come at once and nothing after them.

        The thread itself ends at the next report or the next operation of
        torch, whichever is sooner.
        """
        if not self.is_running:
            return
        self._stop_requested.set()
        # Wherever the thread waits for the window, it need not any more.
        self._first_round.set()
        self._room.release()
        self._end(self.stopped)

    @property
    def has_thread(self) -> bool:
        """Whether its thread lives, be it to wind up after a stop."""
        return self._thread.is_alive()

    def join(self, timeout_s: float = _QUIT_TIMEOUT_S) -> None:
        """Wait for the thread."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        last = None
        try:
            # What the click changed is shown before work competes for Python's lock.
            self._first_round.wait(_FIRST_ROUND_S)
            _load_torch()
            leave_a_core()
            self._wait_for_stopped_ones()
            with _stops_torch(self._stop_requested):
                made = self._work()
            if not isinstance(made, Iterator):
                self._hand_over("result", made)
                return
            # Closed by hand, because cleaning up may well take operations of torch.
            with closing(_closable(made)) as reports, _stops_torch(self._stop_requested):
                for last in reports:
                    self._room.acquire()
                    if self._stop_requested.is_set():
                        return
                    self._hand_over("report", last)
            self._hand_over("result", last)
        except _StoppedError:
            pass
        except Exception as error:
            self._hand_over("error", error)
        finally:
            self._hand_over("over", None)

    def _hand_over(self, kind: str, value: Any) -> None:
        self._arrivals.append((kind, value))
        self._arrived.emit()

    def _wait_for_stopped_ones(self) -> None:
        """Wait for what was stopped, unless it hangs."""
        end = time.monotonic() + _WIND_UP_S
        for other in list(_running):
            while other is not self and other._stop_requested.is_set() and other.has_thread:
                if self._stop_requested.is_set() or time.monotonic() > end:
                    return
                other.join(_LOOK_S)

    def _on_first_round(self) -> None:
        self._first_round.set()

    def _on_arrived(self) -> None:
        if self._arrivals and not self._takes_next:
            self._takes_next = True
            QTimer.singleShot(0, self._take_next)

    def _take_next(self) -> None:
        kind, value = self._arrivals.popleft()
        try:
            self._take(kind, value)
        finally:
            # Only now: a slot may run the event loop, and reports come one after the other.
            self._takes_next = False
            self._on_arrived()

    def _take(self, kind: str, value: Any) -> None:
        if kind == "over":
            # Only then nothing but this thread can drop the last reference to a QObject.
            self._thread.join()
            _running.discard(self)
        elif self._has_ended:
            return
        elif kind == "report":
            self._room.release()
            self.reported.emit(value)
        elif kind == "result":
            self._end(self.finished, value)
        else:
            self._end(self.failed, value)

    def _end(self, outcome: Any, *values: Any) -> None:
        self._has_ended = True
        outcome.emit(*values)
        self.ended.emit()


def stop_all(timeout_s: float = _QUIT_TIMEOUT_S) -> bool:
    """Stop every worker and wait for its thread.

    Returns
    -------
    bool
        Whether all threads are over.
    """
    workers = list(_running)
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join(timeout_s)
    preparation.end(timeout_s)
    return not any(worker.has_thread for worker in workers)


def _load_torch() -> None:
    try:
        import_torch()
    except (ImportError, OSError) as error:
        raise InstallationError(
            f"PyTorch is installed but cannot be loaded ({error}); install it again as "
            "https://pytorch.org/get-started/locally shows. On Windows, the documentation's "
            "questions and answers have what helps."
        ) from error


def _closable(reports: Iterator[Any]) -> Generator[Any]:
    yield from reports


def _stops_torch(stop_requested: threading.Event) -> AbstractContextManager[Any]:
    """Let a stop reach this thread inside the network, too: one tile can take seconds."""
    from napari_unet.engine.base.cancel import CancelsTorch

    return CancelsTorch(stop_requested, _StoppedError)


def _end_with_the_application() -> None:
    """No thread may run into the interpreter's or Qt's tear-down."""
    application = QCoreApplication.instance()
    if application is not None and not application.property("napari_unet_stops_workers"):
        application.setProperty("napari_unet_stops_workers", True)
        application.aboutToQuit.connect(stop_all)


atexit.register(stop_all)
