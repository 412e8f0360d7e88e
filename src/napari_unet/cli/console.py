"""What the user sees while a command works, and how it is stopped."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

from tqdm import tqdm

from napari_unet.engine.base.errors import UNetError

PROGRAM = "napari-unet"


def say(message: str) -> None:
    """Write one line to the user on standard error, above any progress bar."""
    tqdm.write(f"{PROGRAM}: {message}", file=sys.stderr)


def say_of(path: Path, message: str) -> None:
    """Say something of a file, with its name where the message does not have it."""
    say(message if str(path) in message else f"{path}: {message}")


def report(line: str) -> None:
    """Write one line of the result to standard output, above any progress bar."""
    tqdm.write(line, file=sys.stdout)


def describe_failure(error: Exception) -> str:
    """One sentence for the user, whatever went wrong."""
    if isinstance(error, UNetError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory; close other programs, or use smaller images or tiles."
    return (
        f"Something unexpected went wrong ({type(error).__name__}: {error}); run the command "
        "again with --debug for the details."
    )


def progress_bar(total: int, title: str, *, forced: bool = False) -> tqdm[Any]:
    """Return a bar on standard error that shows only on a terminal, or when `forced`."""
    hidden = not (forced or sys.stderr.isatty())
    return tqdm(total=total, desc=title, disable=hidden, leave=False, file=sys.stderr)


class BatchBar:
    """A bar over several items, which all move it at the same time.

    Parameters
    ----------
    total : int
        Items.
    title : str
    forced : bool
        Show it even if not on a terminal.
    """

    def __init__(self, total: int, title: str, *, forced: bool = False) -> None:
        self._bar = progress_bar(total, title, forced=forced)
        self._bar.bar_format = (
            "{desc}: {percentage:3.0f}%|{bar}| {n:.3g}/{total} [{elapsed}, {remaining} left]"
        )
        self._lock = threading.Lock()

    @contextmanager
    def item(self) -> Iterator[Callable[[float], None]]:
        """Give what moves the bar along one item, told how much of it is done, 0 to 1."""
        done = 0.0

        def reach(part: float) -> None:
            nonlocal done
            with self._lock:
                self._bar.update(part - done)
            done = part

        try:
            yield reach
        finally:
            reach(1.0)

    def close(self) -> None:
        """Take it away."""
        self._bar.close()


def count(number: int, noun: str) -> str:
    """Write "1 cell" or "12 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(names: list[str], shown: int = 3) -> str:
    """Write at most `shown` names, and how many more there are."""
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


class StopRequest:
    """Turns the first Ctrl-C (or a cluster's SIGTERM) into a wish to stop after this step.

    A second one interrupts at once. Use as a context manager and ask
    `requested` between steps.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        say("stopping after this step; press Ctrl-C again to stop at once.")
