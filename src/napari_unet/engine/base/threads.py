"""The threads of torch's arithmetic: how they wait for each other, and how many there are."""

from __future__ import annotations

import os
import sys

_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""By each of these a user says how threads wait, to GNU's, LLVM's or Intel's OpenMP."""


def let_waiting_threads_sleep() -> None:
    """Have the threads of OpenMP sleep while they wait, unless the user said how they wait.

    OpenMP reads this when it is loaded, which is with torch: called later, this
    does nothing. By default threads spin for milliseconds at the end of each
    operation. Where another program has a processor, all spin until the one
    that got none is done, and keep it from getting one.

    Measured by `benchmarks/responsiveness.py --busy`, which tells what this
    costs on a quiet machine, too.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _CHOICES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def leave_a_core() -> None:
    """Have torch's arithmetic, in the whole process, use all processors but one at most."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Lower it if need be, never raise it.
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 1) - 1)))
