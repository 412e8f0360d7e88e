"""Files of the user's data folder, each with a note of what it is in JSON beside it."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from platformdirs import user_data_path

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.whole_file import whole_file

PROGRAM = "napari-unet-cells"
NOTE = ".json"
_OTHER_MACHINE_S = 3600.0
"""What another machine has not saved for so long is taken as interrupted."""
_CLOCK_S = 10.0
"""So much may the clock be set between two looks at the start of a process."""


def data_folder() -> Path:
    """Return the folder in which this user's model versions are kept; it need not exist yet.

    What the system prescribes: in the home folder on Linux (`XDG_DATA_HOME`),
    in the library on macOS, in the local application data on Windows.
    """
    return user_data_path(PROGRAM, appauthor=False)


def process_note() -> dict[str, Any]:
    """Note which process writes a file, for `is_running`."""
    return {
        "machine": socket.gethostname(),
        "process": os.getpid(),
        "process_started": psutil.Process().create_time(),
    }


def is_running(
    note: Mapping[str, Any], file: Path, *, gone_after_s: float = _OTHER_MACHINE_S
) -> bool:
    """Whether the process that wrote a file still runs, this one included.

    Parameters
    ----------
    note : mapping
        As `process_note` gives it.
    file : Path
    gone_after_s : float
        A process on another machine is taken as ended when it has not written the file for so
        many seconds.
    """
    if note.get("machine") != socket.gethostname():
        try:
            return time.time() - file.stat().st_mtime < gone_after_s
        except OSError:
            return True  # gone in the meantime
    try:
        started = psutil.Process(int(note["process"])).create_time()
        # The number of a process is given again once it has ended.
        return abs(started - float(note["process_started"])) < _CLOCK_S
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def new_id() -> str:
    """Return a name for files that no other program chooses at the same time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def files_in(folder: Path, suffix: str) -> list[Path]:
    """Return the files with an ending; none of a folder that is not there."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except OSError:
        return []  # not made yet, or not there any more


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a note whole or not at all."""
    text = json.dumps(values, indent=1, sort_keys=True, default=plain)
    with whole_file(path, refused=CheckpointError) as partial:
        partial.write_text(text, "utf-8")


def plain(value: Any) -> Any:
    """Turn what JSON cannot hold into something that it can."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    item = getattr(value, "item", None)  # a number of NumPy's
    return item() if callable(item) else str(value)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a note; None if it is not there, torn, or no mapping."""
    try:
        with path.open("rb") as file:
            values = json.load(file)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


@contextmanager
def explained(folder: Path, outcome: str) -> Iterator[None]:
    """Say in one sentence why a folder could not be written to, and what became of it.

    Raises
    ------
    CheckpointError
        In the place of an `OSError`, or of an error that came from one.
    """
    try:
        yield
    except (OSError, CheckpointError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if cause is None:
            raise
        reason, remedy = _reason(cause)
        raise CheckpointError(f"The folder '{folder}' {reason}, so {outcome}; {remedy}.") from error


def _reason(cause: BaseException) -> tuple[str, str]:
    """Say why nothing could be written, and what to do."""
    number = getattr(cause, "errno", None)
    # safetensors tells the number only in its text.
    if number in (errno.ENOSPC, errno.EDQUOT) or f"os error {errno.ENOSPC}" in str(cause):
        return "is full", "make room in it"
    if isinstance(cause, RuntimeError):  # torch, which does not tell more
        return "cannot be written to, most likely because it is full", "make room in it"
    reason = (getattr(cause, "strerror", None) or str(cause)).lower()
    return f"cannot be written to ({reason})", "check its permissions"
