"""Measure the boundary weight map against a distance transform and the usual loop over cells.

    python benchmarks/weight_map.py            # everything; a few minutes on two cores
    python benchmarks/weight_map.py --quick    # smaller images, fewer rounds

Seconds are those of the one thread that computes, so that other programs count little.
Contenders take turns, and a ratio is the median over the rounds. "EDT" is one
`scipy.ndimage.distance_transform_edt` of the same image. "Loop" is one for each cell, as most
implementations do it; where that would take minutes it is measured on a few cells and
extrapolated, and the row says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from goals import MIB, Row, at_least, at_most, print_table, ratio, take_turns
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_unet import UNetError, boundary_weight_map
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.engine.weight_map.tracker import WeightMapTracker
from napari_unet.engine.weight_map.weight_map import separate_touching_cells

SHAPES = ((512, 512), (2048, 2048), (128, 128, 128))
QUICK_SHAPES = ((256, 256), (1024, 1024), (64, 64, 64))
COUNTS = (200, 1000, 2000, 5000, 10_000)
LOOP_CELLS = 3


# Images


def cells(shape: tuple[int, ...], count: int, *, radius: float | None = None) -> NDArray[np.int32]:
    """Round cells of different sizes, one at each place of a jittered grid.

    Without `radius` they cover about 45 % of the image, however many there are.
    """
    rng = np.random.default_rng(count)
    volume, ndim = math.prod(shape), len(shape)
    edge = (volume / count) ** (1 / ndim)
    grid = [max(1, round(n / edge)) for n in shape]
    while math.prod(grid) < count:
        grid[grid.index(min(grid))] += 1
    ball = math.pi if ndim == 2 else 4 / 3 * math.pi
    middle = radius or (0.45 * volume / count / ball) ** (1 / ndim)
    labels = np.zeros(shape, np.int32)
    for number, place in enumerate(rng.permutation(math.prod(grid))[:count], start=1):
        index = np.unravel_index(place, grid)
        size = middle * rng.uniform(0.7, 1.3)
        centre = [
            (i + 0.5 + rng.uniform(-0.25, 0.25)) * n / parts
            for i, n, parts in zip(index, shape, grid, strict=True)
        ]
        box = tuple(
            slice(max(0, int(c - size)), min(n, int(c + size) + 2))
            for c, n in zip(centre, shape, strict=True)
        )
        away = [g - c for g, c in zip(np.ogrid[box], centre, strict=True)]
        labels[box][sum(a**2 for a in away) <= size**2] = number
    return labels


def in_words(shape: tuple[int, ...]) -> str:
    """Such as "512 x 512"."""
    return " x ".join(map(str, shape))


# Time


def milliseconds(values: list[float]) -> str:
    """Median."""
    return f"{1000 * statistics.median(values):.1f} ms"


def full_rows(shape: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """One thread, against one distance transform, for several numbers of cells."""
    contenders: dict[str, Callable[[], Any]] = {}
    for count in COUNTS:
        labels = cells(shape, count)
        background = labels == 0
        contenders[f"ours {count}"] = lambda labels=labels: boundary_weight_map(labels)
        contenders[f"EDT {count}"] = lambda background=background: distance_transform_edt(
            background
        )
    seconds = take_turns(contenders, rounds)
    for count in COUNTS:
        ours, edt = f"ours {count}", f"EDT {count}"
        name = f"{in_words(shape)}, {count:,} cells"
        yield Row(name, f"{milliseconds(seconds[ours])}, EDT {milliseconds(seconds[edt])}")
        yield at_most(f"{name}: ours / EDT", ratio(seconds, ours, edt), 1.0)
    medians = [statistics.median(seconds[f"ours {count}"]) for count in COUNTS]
    slowest = max(medians) / min(medians)
    yield at_most(f"{in_words(shape)}: slowest / fastest number of cells", slowest, 1.5)


def other_rows(shape: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """What else the map can be asked for, in one thread, beside the same distance transform."""
    labels = cells(shape, 2000)
    sparse = cells(shape, 200, radius=8)
    numbers = labels.astype(np.int64) * 10**12
    contenders: dict[str, Callable[[], Any]] = {
        "EDT": lambda: distance_transform_edt(labels == 0),
        "few small cells (200 of 16 px)": lambda: boundary_weight_map(sparse),
        "numbers beyond 32 bits": lambda: boundary_weight_map(numbers),
        "anisotropic pixels": lambda: boundary_weight_map(labels, spacing=(1.3, 1)),
        "variant fiji": lambda: boundary_weight_map(labels, variant="fiji"),
        "sigma 20 px": lambda: boundary_weight_map(labels, border_sigma_px=20),
    }
    seconds = take_turns(contenders, rounds)
    for name in list(contenders)[1:]:
        found = f"{milliseconds(seconds[name])}, {ratio(seconds, name, 'EDT'):.2f} EDT"
        yield Row(f"{in_words(shape)}, {name}", found)


def thread_rows(shape: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """Seconds on the clock with all cores."""
    labels, cores = cells(shape, 2000), os.cpu_count() or 1
    contenders = {
        "one": lambda: boundary_weight_map(labels),
        "all": lambda: boundary_weight_map(labels, workers=cores),
    }
    seconds = take_turns(contenders, rounds, time.perf_counter)
    gain = ratio(seconds, "one", "all")
    found = f"{milliseconds(seconds['all'])}, {gain:.2f} x faster"
    yield Row(f"{in_words(shape)}, {cores} threads, on the clock", found)


def loop_rows(shape: tuple[int, ...], count: int, rounds: int) -> Iterator[Row]:
    """The usual way: a distance transform for each cell, keeping the two least distances."""
    labels = cells(shape, count)
    seconds = []
    least = np.full((2, *shape), np.inf)
    for number in range(1, LOOP_CELLS + 1):
        started = time.thread_time()
        distance = distance_transform_edt(labels != number)
        least[1] = np.minimum(least[1], np.maximum(least[0], distance))
        least[0] = np.minimum(least[0], distance)
        seconds.append(time.thread_time() - started)
    loop = count * statistics.median(seconds)
    ours = statistics.median(
        take_turns({"ours": lambda: boundary_weight_map(labels)}, rounds)["ours"]
    )
    name = f"{in_words(shape)}, {count:,} cells: loop"
    yield Row(name, f"{loop / 60:.0f} min, from {LOOP_CELLS} cells")
    yield at_least(f"{name} / ours (extrapolated)", loop / ours, 10_000, form=",.0f")


# Exactness


def exactness_rows() -> Iterator[Row]:
    """Largest difference from the definition, one distance transform for each cell."""
    for shape, count in (((300, 300), 60), ((300, 300), 2000), ((48, 48, 48), 40)):
        labels = cells(shape, count)
        separated = separate_touching_cells(labels)
        transforms = (
            distance_transform_edt(separated != number) for number in np.unique(separated)[1:]
        )
        least = np.full((2, *shape), np.inf)
        for distance in transforms:
            least[1] = np.minimum(least[1], np.maximum(least[0], distance))
            least[0] = np.minimum(least[0], distance)
        term = np.where(separated == 0, 10 * np.exp(-(least.sum(axis=0) ** 2) / 50), 0)
        weights = boundary_weight_map(labels, class_balance=False)
        difference = float(np.abs(weights - 1 - term).max())
        name = f"{in_words(shape)}, {count:,} cells: largest difference"
        yield at_most(name, difference, 2e-6, "", ".1e")


# Live


def brush_stroke(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box of a stroke of a brush of 20 pixels."""
    corner = [int(rng.integers(0, n - 20)) for n in shape]
    return tuple(slice(n, n + 20) for n in corner)


def live_rows(shape: tuple[int, ...], count: int, rounds: int) -> Iterator[Row]:
    """A stroke of a brush against the whole map."""
    away = np.ogrid[tuple(slice(-9.5, 10.5) for _ in shape)]
    disc = sum(a**2 for a in away) <= 100
    for settings in (WeightMapSettings(class_balance=False), WeightMapSettings()):
        labels = cells(shape, count)
        rng = np.random.default_rng(0)
        tracker = WeightMapTracker(labels, settings)
        updates, reads, searches = [], [], []
        for _ in range(50):
            box = brush_stroke(rng, shape)
            labels[box][disc] = rng.integers(0, count + 50)
            started = time.thread_time()
            tracker.update(box)
            updated = time.thread_time()
            weights = tracker.weights
            reads.append(time.thread_time() - updated)
            updates.append(updated - started)
        for _ in range(rounds):
            started = time.thread_time()
            tracker.update_from(labels)
            searches.append(time.thread_time() - started)
        whole = take_turns(
            {"ours": lambda s=settings, a=labels: boundary_weight_map(a, settings=s)}, rounds
        )
        balance = ", class balance" if settings.class_balance else ""
        name = f"{in_words(shape)}, {count:,} cells, 20 px stroke{balance}"
        yield Row(name, f"{1000 * statistics.median(updates):.2f} ms")
        gain = statistics.median(whole["ours"]) / statistics.median(updates)
        yield at_least(f"{name}: whole map / update", gain, 50, form=",.0f")
        if settings.class_balance:
            yield Row(f"{name}: all weights read after it", milliseconds(reads))
        differing = np.count_nonzero(weights != boundary_weight_map(labels, settings=settings))
        yield at_most(f"{name}: pixels that differ", int(differing), 0, "", "d")
        if not settings.class_balance:
            yield Row(f"{name}: finding that nothing changed", milliseconds(searches))


# Memory, in a process of its own


def measure_memory(size: int) -> int:
    """Peak bytes above the labels and the map."""
    import psutil

    process = psutil.Process()
    labels = cells((size, size), 2000)
    boundary_weight_map(labels[:64, :64])  # compiles
    before = process.memory_info().rss
    peak, done = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.0005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    weights = boundary_weight_map(labels)
    done.set()
    watcher.join()
    return peak - before - weights.nbytes


def memory_rows(sizes: tuple[int, int]) -> Iterator[Row]:
    """Peak memory at two image sizes."""
    peaks = []
    for size in sizes:
        command = [sys.executable, __file__, "--memory-of", str(size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(int(json.loads(output)) / size**2)
        name = f"memory above labels and map, {size} x {size}"
        yield Row(name, f"{peaks[-1] * size**2 / MIB:.0f} MiB, {peaks[-1]:.1f} bytes/px")
    yield at_most("growth of that for each pixel", peaks[1] / peaks[0], 1.2)


def gpu_rows() -> Iterator[Row]:
    """Say what there is for a GPU."""
    import torch

    there = "a GPU is here, yet" if torch.cuda.is_available() else "no GPU here;"
    yield Row("GPU", f"{there} the map is computed on the CPU")


def all_rows(*, quick: bool, rounds: int) -> Iterator[Row]:
    """Everything."""
    shapes = QUICK_SHAPES if quick else SHAPES
    plane = shapes[1]
    yield from exactness_rows()
    for shape in shapes:
        # Short ones are measured more often.
        yield from full_rows(shape, rounds if math.prod(shape) > 1 << 20 else 4 * rounds)
    yield from loop_rows(plane, 10_000, rounds)
    yield from live_rows(plane, 2000, rounds)
    yield from other_rows(plane, rounds)
    yield from thread_rows(plane, rounds)
    yield from memory_rows((1024, 2048) if quick else (2048, 4096))
    yield from gpu_rows()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure the weight map beside its goals.")
    parser.add_argument("--quick", action="store_true", help="smaller images, fewer rounds")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(json.dumps(measure_memory(arguments.memory_of)))
        return 0
    try:
        rounds = 3 if arguments.quick else arguments.rounds
        return 0 if print_table(all_rows(quick=arguments.quick, rounds=rounds)) else 1
    except UNetError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
