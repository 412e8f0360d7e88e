"""Blocks by workers beside one process: labels, time, and what kills cost.

    python benchmarks/cluster.py                     # 2048 x 2048, 50 kills of a worker, 20 of all
    python benchmarks/cluster.py --size 1024 --block 256 --kills 5 --kills-of-all 2

The image is a bundled sample, repeated mirrored, in zarr; so are the labels. Processes share the
same processors, so that two workers are quicker than one only where there are two. A kill is
`kill -9` at a random moment: of one worker, or of the process that hands out blocks together with
all that it started. "Again" counts blocks of any stage that were finished before a kill and were
computed once more. "Equal" means every pixel, held against one process.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

import napari_unet
from napari_unet import segment_blocks
from napari_unet.engine.blocks.segmentation import BlocksReport
from napari_unet.engine.cluster.clusters import local_crew
from napari_unet.engine.cluster.crew import Crew
from napari_unet.files.images import read_image

TILE_PX = 256
SAMPLE = Path(napari_unet.__file__).parent / "bundled" / "samples" / "images" / "fluorescence.png"
BY_WORKERS = ("scores", "pieces", "core", "centres", "labels", "borders", "cells", "flood*")


def write_image(path: Path, size: int) -> None:
    """Write a sample repeated mirrored to a square."""
    array = read_image(SAMPLE).array
    padding = [(0, max(0, size - n)) for n in array.shape]
    image = np.pad(array, padding, mode="symmetric")[:size, :size]
    stored = zarr.create_array(path, shape=image.shape, chunks=(256, 256), dtype=image.dtype)
    stored[...] = image


def segmented(folder: Path, name: str, block_px: int, crew: Crew | None) -> Iterator[BlocksReport]:
    """Reports of a run, which goes on where the last one of that name ended."""
    image = zarr.open_array(folder / "image.zarr", mode="r")
    path = folder / f"{name}.zarr"
    if not path.exists():
        zarr.create_array(path, shape=image.shape, chunks=(256, 256), dtype="i4")
    yield from segment_blocks(
        image,
        "nuclei",
        zarr.open_array(path, mode="r+"),
        block=(block_px, block_px),
        tile_px=TILE_PX,
        device="cpu",
        work=folder / f"{name}-work",
        client=crew,
    )


def is_equal(folder: Path, name: str) -> bool:
    """Whether a run has the labels of one process."""
    one, other = (zarr.open_array(folder / f"{n}.zarr", mode="r")[...] for n in ("one", name))
    return bool(one.max() > 0) and np.array_equal(one, other)


def finished(work: Path) -> dict[str, int]:
    """Files of blocks that workers have finished, each with what tells it from a later one."""
    files = [path for stage in BY_WORKERS for path in work.glob(f"{stage}/*.npz")]
    return {str(path): path.stat().st_ino for path in files}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took, without the start of its processes."""

    seconds: float
    processor_seconds: float
    peak_kb: int
    scratch_bytes: int


def measured(folder: Path, block_px: int, workers: int) -> Cost:
    """Segment the image by so many workers, or by this process alone."""
    if not workers:
        return _measured(folder, "one", block_px, None)
    with local_crew(workers, device="cpu") as crew:
        return _measured(folder, f"{workers} workers", block_px, crew)


def _measured(folder: Path, name: str, block_px: int, crew: Crew | None) -> Cost:
    def asked(function: Callable[[], float]) -> list[float]:
        return [function()] if crew is None else list(crew.ask(function).values())

    reports = segmented(folder, name, block_px, crew)
    next(reports)  # by now networks are loaded
    began, before = time.perf_counter(), sum(asked(time.process_time))
    scratch = 0
    for report in reports:
        if report.cell_count is not None:
            files = (folder / f"{name}-work").glob("*/*.npz")
            scratch = sum(path.stat().st_size for path in files)
    seconds = time.perf_counter() - began
    return Cost(seconds, sum(asked(time.process_time)) - before, int(max(asked(peak_kb))), scratch)


def peak_kb() -> int:
    """Most memory that this process had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def kill_workers(folder: Path, block_px: int, wanted: int, rng: random.Random) -> tuple[int, int]:
    """Kill a random worker so many times; runs that differed, and blocks computed again."""
    kills, again, differing, number = 0, 0, 0, 0
    with local_crew(2, device="cpu") as crew:
        while kills < wanted:
            name, number = f"killed-{number}", number + 1
            known: dict[str, int] = {}
            pause = rng.randint(1, 40)
            for report in segmented(folder, name, block_px, crew):
                pause -= 1
                now = finished(folder / f"{name}-work") if pause <= 0 else {}
                if pause <= 0 and kills < wanted and report.cell_count is None:
                    again += len(known.keys() & now.keys()) - len(known.items() & now.items())
                    known = now
                    victim = rng.choice(sorted(crew.ask(os.getpid).values()))
                    os.kill(victim, signal.SIGKILL)
                    kills, pause = kills + 1, rng.randint(10, 80)
                if report.cell_count is not None:
                    now = finished(folder / f"{name}-work")
                    again += len(known.keys() & now.keys()) - len(known.items() & now.items())
            differing += not is_equal(folder, name)
            shutil.rmtree(folder / f"{name}.zarr")
    return differing, again


def kill_all(folder: Path, block_px: int, wanted: int, rng: random.Random) -> tuple[bool, int]:
    """Kill a run and its workers so many times, then let it end."""
    command = [sys.executable, __file__, "--run", str(folder), "--block", str(block_px)]
    work, again = folder / "all-work", 0
    for kill in range(wanted + 1):
        known = finished(work)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        left = rng.randint(2, 60) if kill < wanted else -1
        now = known
        for _ in process.stdout:
            left -= 1
            if left == 0:
                process.kill()
            now = finished(work) or now
        process.wait()
        again += len(known.keys() & now.keys()) - len(known.items() & now.items())
        if process.returncode == 0:
            break
    return is_equal(folder, "all"), again


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Blocks by workers beside one process.")
    parser.add_argument("--size", type=int, default=2048, help="pixels along each axis")
    parser.add_argument("--block", type=int, default=512, help="the same")
    parser.add_argument("--kills", type=int, default=50, help="of a random worker")
    parser.add_argument("--kills-of-all", type=int, default=20, help="of a run and its workers")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        with local_crew(2, device="cpu") as crew:
            for _ in segmented(arguments.run, "all", arguments.block, crew):
                print(flush=True)
        return 0
    rng = random.Random(0)  # noqa: S311 - the same kills each time
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder / "image.zarr", arguments.size)
        print(
            "| way | seconds | of processors | Mpx/s of one | peak MB of one | bytes/px | equal |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        equal = True
        for workers in (0, 1, 2):
            cost = measured(folder, arguments.block, workers)
            way = f"{workers} workers" if workers else "one"
            is_same = is_equal(folder, way)
            equal &= is_same
            rate = arguments.size**2 / 1e6 / cost.processor_seconds
            print(
                f"| {way} | {cost.seconds:.1f} | {cost.processor_seconds:.1f} | {rate:.2f} | "
                f"{cost.peak_kb / 1024:.0f} | {cost.scratch_bytes / arguments.size**2:.1f} | "
                f"{'yes' if is_same else 'NO'} |",
                flush=True,
            )
        differing, again = kill_workers(folder, arguments.block, arguments.kills, rng)
        print(f"{arguments.kills} kills of a worker: {differing} runs differ, {again} blocks again")
        same, again_all = kill_all(folder, arguments.block, arguments.kills_of_all, rng)
        print(f"{arguments.kills_of_all} kills of all: {'equal' if same else 'NOT equal'}, "
              f"{again_all} blocks again")  # fmt: skip
    return 0 if equal and same and not differing + again + again_all else 1


if __name__ == "__main__":
    sys.exit(main())
