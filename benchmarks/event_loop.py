"""Watches Qt's event loop: how long it did not come round, and what ran meanwhile."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from qtpy.QtCore import QEventLoop, Qt, QTimer, QtMsgType, qInstallMessageHandler

LONG_S = 0.050
"""A gap longer than this is felt."""

_TICK_MS = 1
_LOOK_AFTER_S = 0.020
_LOOK_EVERY_S = 0.003
_CAUSES_SHOWN = 3
_PACKAGES = ("napari_unet", "napari", "torch")
_OWN_FILE = str(Path(__file__))


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the event loop did not come round.

    Parameters
    ----------
    began_s : float
        By `time.perf_counter`.
    seconds : float
        From one tick of a timer of 1 ms to the next.
    cpu_s : float
        Of these, the Qt thread computed.
    queue_s : float
        Of these, it waited for a processor; the rest it waited for Python's lock or slept.
    garbage_s : float
        Of these, Python collected garbage, on whichever thread: nothing else of Python runs then.
    causes : tuple of str
        What was seen to run, the most frequent first.
    """

    began_s: float
    seconds: float
    cpu_s: float
    queue_s: float
    garbage_s: float
    causes: tuple[str, ...]

    def __str__(self) -> str:
        parts = {
            "computing": self.cpu_s,
            "without a processor": self.queue_s,
            "collecting garbage": self.garbage_s,
            "waiting": self.seconds - self.cpu_s - self.queue_s,
        }
        told = ", ".join(f"{1000 * s:.0f} {name}" for name, s in parts.items() if s > 0.002)
        return "\n        ".join((f"{1000 * self.seconds:.0f} ms ({told})", *self.causes))


class Watch:
    """Measures the gaps of the event loop while it is entered (`with watch:`), on the Qt thread.

    Attributes
    ----------
    gaps : list of Gap
        Every one above `LONG_S`.
    longest_s : float
        The longest of all.
    """

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.longest_s = 0.0
        self._looks: list[tuple[float, str]] = []
        self._garbage: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_tick)
        self._looker = threading.Thread(
            target=self._look, args=(threading.get_ident(),), name="watch", daemon=True
        )

    def __enter__(self) -> Watch:
        gc.callbacks.append(self._on_garbage)
        self._last = _clocks()
        self._timer.start(_TICK_MS)
        self._looker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._on_tick()
        self._timer.stop()
        self._over.set()
        self._looker.join()
        gc.callbacks.remove(self._on_garbage)

    def _on_tick(self) -> None:
        now = _clocks()
        seconds, cpu_s, queue_s = (b - a for a, b in zip(self._last, now, strict=True))
        self.longest_s = max(self.longest_s, seconds)
        if seconds > LONG_S:
            garbage_s = sum(lasted for began, lasted in self._garbage if began > self._last[0])
            causes = _most_seen(self._last[0], self._looks)
            self.gaps.append(Gap(self._last[0], seconds, cpu_s, queue_s, garbage_s, causes))
        self._looks, self._garbage = [], []
        self._last = _clocks()

    def _on_garbage(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._garbage_began = now
        else:
            self._garbage.append((self._garbage_began, now - self._garbage_began))

    def _look(self, qt_thread: int) -> None:
        """Note what runs while the loop does not come round."""
        before = time.perf_counter()
        while not self._over.wait(_LOOK_EVERY_S):
            now = time.perf_counter()
            if now - self._last[0] > _LOOK_AFTER_S:
                # Nothing but a held lock keeps this thread from looking for so long.
                runs = _what_runs(qt_thread, was_locked_out=now - before > 3 * _LOOK_EVERY_S)
                self._looks.append((time.perf_counter(), runs))
            before = now


def _clocks() -> tuple[float, float, float]:
    """Seconds by the clock, computed by this thread, and waited by it for a processor."""
    queue_s = 0.0
    try:
        with open(f"/proc/self/task/{threading.get_native_id()}/schedstat") as file:  # noqa: PTH123
            queue_s = int(file.read().split()[1]) * 1e-9
    except OSError:
        pass  # Linux alone tells it.
    return time.perf_counter(), time.thread_time(), queue_s


def _what_runs(qt_thread: int, *, was_locked_out: bool) -> str:
    frames = sys._current_frames()
    found = _described(frames.get(qt_thread)) or "Qt"
    if was_locked_out or found == "Qt":
        for thread in threading.enumerate():
            if thread.name.startswith("napari-unet") and thread.ident in frames:
                found += f", beside {_described(frames[thread.ident])}"
    return found


def _described(frame: FrameType | None) -> str:
    """The innermost frame of this project, of napari and torch, and of all."""
    found: list[str] = []
    packages: set[str] = set()
    while frame is not None:
        file = frame.f_code.co_filename
        if file == _OWN_FILE:
            frame = frame.f_back
            continue
        package = next((p for p in _PACKAGES if f"/{p}/" in file.replace("\\", "/")), "")
        if not found or (package and package not in packages):
            found.append(f"{_short(file)}:{frame.f_lineno} {frame.f_code.co_name}")
        packages.add(package)
        frame = frame.f_back
    return " < ".join(found)


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-3:])


def _most_seen(began: float, looks: list[tuple[float, str]]) -> tuple[str, ...]:
    """What was seen, by the time up to each look, as far as it matters."""
    seconds: Counter[str] = Counter()
    for when, runs in looks:
        seconds[runs] += when - began
        began = when
    return tuple(f"{1000 * s:.0f} ms {runs}" for runs, s in seconds.most_common(_CAUSES_SHOWN))


class QtMessages:
    """Keeps what Qt complains of while it is entered; warnings and worse."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __enter__(self) -> QtMessages:
        self._before = qInstallMessageHandler(self._on_message)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        qInstallMessageHandler(self._before)

    def _on_message(self, kind: QtMsgType, _context: object, text: str) -> None:
        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg):
            self.texts.append(text)


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float = 600.0, look_ms: int = 5
) -> bool:
    """Run the event loop until a condition holds; return whether it did in time.

    A loop of its own, because PySide6 does not stand many calls of `processEvents`.
    """
    loop, end, timer = QEventLoop(), time.perf_counter() + timeout_s, QTimer()

    def look() -> None:
        if condition() or time.perf_counter() > end:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(look_ms)
    loop.exec()
    timer.stop()
    return condition()


def spend(seconds: float) -> None:
    """Run the event loop for a time."""
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
