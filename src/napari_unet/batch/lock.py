"""A queue is worked on by one process at a time: a small file says by which."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import write_problem
from napari_unet.versions.notes import is_running, process_note

LOCK = "queue.lock"

_BEAT_S = 10.0
_GONE_AFTER_S = 300.0
"""An owner on another machine, of which no more is known, is taken as gone after so long."""

_LITTER = "." + "[0-9a-f]" * 16 + ".part"
"""Files that were being written when a process was killed; see `whole_file`."""


class QueueBusyError(FileError):
    """Another process works on the queue."""


class QueueLock:
    """Holds the queue of a folder for this process, as a context manager.

    An owner that was killed loses it: on the same machine at once, on another one a few minutes
    after it has last shown that it lives.

    Parameters
    ----------
    folder : Path
        Made if need be.
    program : str
        What this process is, for the message that another one shows.

    Raises
    ------
    QueueBusyError
        When it is entered while another process has it; also one of this process.
    FileError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self._path = folder / LOCK
        self._note = {"program": program, **process_note(), "token": secrets.token_hex(8)}
        self._beaten_s = 0.0

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self._path.parent):
                if not self._take():
                    self._take_over()
        except QueueBusyError:
            raise
        except OSError as error:
            raise FileError(write_problem(self._path, error)) from error
        self._beaten_s = time.monotonic()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._is_own():
            with suppress(OSError):
                self._path.unlink()

    def beat(self) -> None:
        """Show that this process lives, if it has not done so for a while.

        Raises
        ------
        QueueBusyError
            If another one has taken the queue in the meantime, such as after this computer slept.
        """
        now = time.monotonic()
        if now - self._beaten_s < _BEAT_S:
            return
        self._beaten_s = now
        if not self._is_own():
            raise self._busy(self._read())
        with suppress(OSError):  # the next one will show it
            os.utime(self._path)

    def _take(self) -> bool:
        try:
            number = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(number, "wb") as stream:
            stream.write(json.dumps(self._note).encode())
        return True

    def _take_over(self) -> None:
        try:
            seen_s = self._path.stat().st_mtime
        except FileNotFoundError:  # given back just now
            seen_s = 0.0
        found = self._read()
        if self._lives(found, seen_s):
            raise self._busy(found)
        # Of two that find it left behind, only one can take it away.
        aside = self._path.with_name(f".{secrets.token_hex(8)}.stale")
        with suppress(FileNotFoundError):
            self._path.rename(aside)
            is_other = _read(aside) != found
            if is_other:
                with suppress(OSError):
                    os.link(aside, self._path)
            aside.unlink()
            if is_other:
                raise self._busy(self._read())
        if not self._take():
            raise self._busy(self._read())
        self._sweep(seen_s)

    def _lives(self, found: dict[str, Any], seen_s: float) -> bool:
        if not found:  # killed while it wrote this, or about to write
            return time.time() - seen_s < _BEAT_S
        return is_running(found, self._path, gone_after_s=_GONE_AFTER_S)

    def _sweep(self, seen_s: float) -> None:
        """Take away what the owner that was killed had begun to write."""
        folder = self._path.parent
        depths = (_LITTER, f"*/{_LITTER}", f"*/*/{_LITTER}")
        for litter in [path for depth in depths for path in folder.glob(depth)]:
            with suppress(OSError):
                if litter.stat().st_mtime < max(seen_s + 2 * _BEAT_S, time.time() - _BEAT_S):
                    litter.unlink()

    def _is_own(self) -> bool:
        return self._read() == self._note

    def _read(self) -> dict[str, Any]:
        return _read(self._path)

    def _busy(self, found: dict[str, Any]) -> QueueBusyError:
        who = found.get("program", "another program")
        where = f"process {found['process']} on {found['machine']}" if found else "unknown"
        return QueueBusyError(
            f"The queue in '{self._path.parent}' is being worked on by {who} ({where}); wait for "
            "its end, stop it there, or choose another folder."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process after the other look who holds a queue; over as soon as a process ends.

    Windows knows no such lock of folders, and some shares know none at all: there two that find
    a queue left behind at the same moment are told apart by their names in the file alone.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
