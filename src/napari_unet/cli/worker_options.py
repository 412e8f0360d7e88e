"""Options that say who segments the blocks of a large image: this process, or workers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from napari_unet.cli.console import say
from napari_unet.cli.setting_options import whole_number
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.cluster.clusters import crew_at, local_crew, slurm_crew
from napari_unet.engine.cluster.crew import Crew

_OF_SLURM = ("slurm_queue", "slurm_memory", "slurm_walltime")
_MEMORY, _WALLTIME = "8GB", "04:00:00"


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Let the user share blocks out among workers."""
    group = parser.add_argument_group(
        "workers (with an OUT that ends in .ome.zarr; see 'On a cluster' in the documentation)"
    )
    group.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="segment blocks by so many processes of this computer, or by so many jobs of SLURM",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="segment blocks by the workers of a scheduler of dask, such as tcp://10.0.0.1:8786; "
        "they must see the image and OUT under the same names",
    )
    group.add_argument(
        "--slurm", action="store_true", help="start the --workers as jobs of SLURM, one each"
    )
    group.add_argument("--slurm-queue", metavar="NAME", help="partition (default: SLURM's own)")
    group.add_argument(
        "--slurm-memory", metavar="SIZE", help=f"memory of a job (default: {_MEMORY})"
    )
    group.add_argument(
        "--slurm-walltime",
        metavar="HH:MM:SS",
        help=f"time of a job, after which another one takes its place (default: {_WALLTIME})",
    )


def wants_workers(arguments: argparse.Namespace) -> str | None:
    """The first option about workers that was given, or None."""
    names = ("workers", "scheduler", "slurm", *_OF_SLURM)
    given = [name for name in names if getattr(arguments, name)]
    return f"--{given[0].replace('_', '-')}" if given else None


@contextmanager
def workers_of(arguments: argparse.Namespace) -> Iterator[Crew | None]:
    """Whoever does the blocks; None for this process.

    Raises
    ------
    SettingsError
        If options do not go together.
    ClusterError
        If there are no workers.
    """
    count = arguments.workers
    of_slurm = [name for name in _OF_SLURM if getattr(arguments, name)]
    if count is not None and count < 1:
        raise SettingsError(f"--workers is {count}; use 1 or more.")
    if arguments.scheduler and (count or arguments.slurm):
        raise SettingsError(
            "--scheduler takes the workers that it has; leave out --workers and --slurm."
        )
    if arguments.slurm and not count:
        raise SettingsError("--slurm needs the number of jobs; add --workers N.")
    if of_slurm and not arguments.slurm:
        option = f"--{of_slurm[0].replace('_', '-')}"
        raise SettingsError(f"{option} goes with --slurm; add that, or leave it out.")
    if arguments.scheduler:
        crew = crew_at(arguments.scheduler)
    elif arguments.slurm:
        say(f"{count} jobs are asked of SLURM; the work begins with the first that it starts.")
        crew = slurm_crew(
            count,
            queue=arguments.slurm_queue,
            memory=arguments.slurm_memory or _MEMORY,
            walltime=arguments.slurm_walltime or _WALLTIME,
            uses_gpu=arguments.device.startswith("cuda"),
        )
    elif count:
        crew = local_crew(count, device=arguments.device)
    else:
        yield None
        return
    with crew as found:
        say(f"What the workers do is shown at {found.dashboard}.")
        yield found
