"""Which process something belongs to, and whether that process still runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

_CLOCK_S = 10.0
"""So much may the clock be set between two looks at the start of a process."""


def this_process() -> dict[str, Any]:
    """Say which process this is, in plain values that can be written to a file."""
    return {
        "machine": socket.gethostname(),
        "process": os.getpid(),
        "process_started": psutil.Process().create_time(),
    }


def is_running(owner: Mapping[str, Any], *, seen_s_ago: float, gone_after_s: float) -> bool:
    """Whether the process that `this_process` told of still runs.

    Parameters
    ----------
    owner : mapping
    seen_s_ago : float
        Seconds since it last showed that it lives.
    gone_after_s : float
        A process on another machine, of which no more can be known, is taken as ended when it has
        not shown itself for so many seconds.
    """
    if owner.get("machine") != socket.gethostname():
        return seen_s_ago < gone_after_s
    try:
        started = psutil.Process(int(owner["process"])).create_time()
        # The number of a process is given again once it has ended.
        return abs(started - float(owner["process_started"])) < _CLOCK_S
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
