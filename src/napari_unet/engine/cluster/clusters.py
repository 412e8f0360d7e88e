"""Where workers come from: this computer, a scheduler that runs already, or jobs of SLURM."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from napari_unet.engine.base.errors import ClusterError
from napari_unet.engine.cluster.crew import GPU, Crew

_EXTRA = "pip install 'napari-unet-cells[cluster]'"

_ANSWER_S = 10.0
"""Time that a scheduler has to answer."""

_SLURM_ANSWER_S = 120.0

_BUSY_START_S = 900.0
"""Time in which a worker of this computer must be there: on a busy one each takes minutes."""


@contextmanager
def local_crew(
    count: int, *, device: str = "auto", cancel: threading.Event | None = None
) -> Iterator[Crew]:
    """Start workers on this computer, which share its processors and its memory.

    With GPUs each worker has one for itself, in turn.

    Parameters
    ----------
    count : int
    device : str
        As `resolve_device` takes it; "cpu" leaves the GPUs alone.
    cancel : threading.Event, optional
        As `Crew` takes it.

    Raises
    ------
    ClusterError
        If dask is not installed.
    """
    distributed = _library("distributed")
    threads = max(1, (os.cpu_count() or 1) // count)
    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    if count > gpus > 0:
        raise ClusterError(
            f"{count} workers were asked for, and this computer has {gpus} GPUs, of which each "
            f"worker needs one; ask for {gpus}, or for the CPU as device."
        )
    workers = {}
    for number in range(count):
        # The environment of a worker alone, so that each sees a single GPU as the first.
        own = {"CUDA_VISIBLE_DEVICES": str(number)} if gpus else {}
        options: dict[str, Any] = {
            "nthreads": threads,
            "memory_limit": "auto",
            "silence_logs": logging.CRITICAL,
            "env": own,
            "resources": {GPU: 1} if gpus else {},
        }
        workers[number] = {"cls": distributed.Nanny, "options": options}
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "localhost", "port": 0, "dashboard_address": ":0"},
    }
    with (
        distributed.SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):
        # dask gives up workers that are not back within 15 s, as on a busy computer.
        refill = partial(cluster.scale, count)
        yield Crew(client, patience_s=_BUSY_START_S, refill=refill, cancel=cancel)


@contextmanager
def crew_at(
    address: str, *, patience_s: float = 60.0, cancel: threading.Event | None = None
) -> Iterator[Crew]:
    """Take the workers of a scheduler that runs already.

    Parameters
    ----------
    address : str
        Such as "tcp://10.0.0.1:8786".
    patience_s, cancel
        As `Crew` takes them.

    Raises
    ------
    ClusterError
        If no scheduler answers there, it has no workers, or dask is not
        installed.
    """
    distributed = _library("distributed")
    try:
        client = distributed.Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"No scheduler answers at '{address}' within {_ANSWER_S:.0f} s; start one with "
            "'dask scheduler', and give the address that it prints, such as tcp://10.0.0.1:8786."
        ) from error
    with client:
        yield Crew(client, patience_s=patience_s, cancel=cancel)


@contextmanager
def slurm_crew(
    count: int, *, queue: str | None, memory: str, walltime: str, uses_gpu: bool = False
) -> Iterator[Crew]:
    """Start workers as jobs of SLURM, and anew where their time was over.

    What else a cluster wants, such as an account, dask-jobqueue reads from its
    own file, ~/.config/dask/jobqueue.yaml.

    Parameters
    ----------
    count : int
        Jobs; each is one worker.
    queue : str, optional
        Partition.
    memory, walltime : str
        Of a job, such as "8GB" and "02:00:00".
    uses_gpu : bool
        Ask for a GPU for each job.

    Raises
    ------
    ClusterError
        If SLURM or dask-jobqueue is not there, or refuses.
    """
    jobqueue, distributed = _library("dask_jobqueue"), _library("distributed")
    import dask

    gpu = {
        "job_extra_directives": ["--gres=gpu:1"],
        "worker_extra_args": ["--resources", f"{GPU}=1"],
    }
    try:
        cluster = jobqueue.SLURMCluster(
            queue=queue,
            cores=dask.config.get("jobqueue.slurm.cores", None) or 1,
            processes=1,
            memory=memory,
            walltime=walltime,
            silence_logs=logging.CRITICAL,
            **(gpu if uses_gpu else {}),
        )
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"SLURM was not asked for workers ({error}); check the options."
        ) from error
    with cluster, distributed.Client(cluster) as client:
        _check_taken(cluster.job_script())
        refill = partial(cluster.scale, jobs=count)
        refill()
        # Jobs may wait in a queue for hours.
        yield Crew(client, patience_s=math.inf, refill=refill)


def _check_taken(script: str) -> None:
    """Ask SLURM whether it takes such a job; dask hides a refusal, and would wait for ever."""
    try:
        subprocess.run(  # "sbatch" is wherever the cluster has it
            ["sbatch", "--test-only"],  # noqa: S607
            input=script,
            text=True,
            capture_output=True,
            check=True,
            timeout=_SLURM_ANSWER_S,
        )
    except FileNotFoundError as error:
        raise ClusterError(
            "SLURM's command sbatch is not on this computer; start from a computer of the "
            "cluster that has it, or take workers of this computer, without SLURM."
        ) from error
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split()) or f"exit status {error.returncode}"
        raise ClusterError(
            f"SLURM does not take the jobs ({said}); check the options, and "
            "~/.config/dask/jobqueue.yaml."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"SLURM did not answer within {_SLURM_ANSWER_S:.0f} s; try again later."
        ) from error


def _library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise ClusterError(
            f"Workers need the package {name.replace('_', '-')}, which is not installed; run "
            f'"{_EXTRA}" and start again.'
        ) from error
