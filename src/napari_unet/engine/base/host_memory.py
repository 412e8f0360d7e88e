"""How much memory the computer can still give; light to import, quick to ask."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import psutil


def free_host_bytes() -> int:
    """Bytes that can still be taken without swapping or being killed."""
    available = int(psutil.virtual_memory().available)
    granted = granted_bytes()
    return available if granted is None else min(available, granted)


def granted_bytes(system: Path = Path("/")) -> int | None:
    """Memory that a container or a cluster's job may still take; None without a limit.

    Linux kills a process that takes more, however much the machine has free.

    Parameters
    ----------
    system : path
        Folder in which `proc` and `sys` are looked for.
    """
    try:
        lines = (system / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return None
    rooms = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        group = system / ("sys/fs/cgroup/memory" if controllers else "sys/fs/cgroup")
        # A limit holds for everything below; the group itself may be hidden in a container.
        for part in (".", *Path(path).parts[1:]):
            group /= part
            rooms.append(_room_in_group(group, version))
    return min((room for room in rooms if room is not None), default=None)


def _room_in_group(group: Path, version: int) -> int | None:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit = (group / names[0]).read_text("ascii").strip()
        if limit == "max":
            return None
        used = int((group / names[1]).read_text("ascii"))
        statistics = dict(
            line.split() for line in (group / "memory.stat").read_text("ascii").splitlines()
        )
        # Files that nobody uses any more are given up before anything is killed.
        return max(0, int(limit) - used + int(statistics.get(names[2], 0)))
    except (OSError, ValueError):
        return None


@functools.cache
def keep_freed_memory(*, all_of_it: bool = False) -> None:
    """Let glibc keep what is freed for the next time, as it does unless it is told otherwise.

    dask starts workers with MALLOC_TRIM_THRESHOLD_=65536, by which all large
    memory goes back at once and is asked for anew: a third more time for a network.

    Parameters
    ----------
    all_of_it : bool
        Blocks of any size, for a process that does the same again and again, such as a long
        training; an eighth less time for a step.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    trim_threshold, top_pad, mmap_threshold, mmap_max = -1, -2, -3, -4
    if all_of_it:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)
        return
    # Where glibc's own thresholds end when they grow by themselves (mallopt(3)).
    mallopt(mmap_threshold, 2**25)
    mallopt(trim_threshold, 2**26)
