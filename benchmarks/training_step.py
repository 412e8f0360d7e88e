"""Measure what a step of training takes, beside a plain loop and what the processor can do.

    python benchmarks/training_step.py                # one minute on two cores
    python benchmarks/training_step.py --volumes      # one more; with the memory of a step

Four patches of 256 x 256 and of 192 x 192 pixels on the network of `nuclei` (base width 32), on the
CPU; of volumes two patches of 48 x 48 x 48 and of 64 x 64 x 64 voxels on a network that begins with
nothing (base width 16, three poolings). *Ours* is a step of `TrainingRun` with the recipe's
augmentation and weight map; the *plain loop* is forward, cross-entropy, backward and Adam as a
tutorial writes them, in float32 on a batch that is there already. The two take turns. *Least* is
the time that the step's multiplications would take if all ran as fast as a large matrix product of
the same numbers, in which nothing waits for memory: no step can be faster on that processor.
*Memory* is how much more a process of its own holds at most during a step than before it, beside
what is told before the training.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import psutil
import torch
from goals import peak_bytes
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from napari_unet import TrainingPair, TrainingSettings
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.run import TrainingRun
from napari_unet.engine.training.settings import VOLUME_BATCH
from napari_unet.engine.training.volumes.new_shape import VOLUME_SHAPE
from napari_unet.engine.training.volumes.patch_size import step_bytes

BATCH, SIDES_PX, TURNS = 4, (256, 192), 7
VOLUME_SIDES_PX, VOLUME_TURNS = (48, 64), 3
GOAL_S = {256: 0.35}
MATRIX = 4096


def main() -> None:
    """Print the table of images, or that of volumes."""
    if "--volumes" in sys.argv[1:]:
        of_volumes()
    else:
        of_images()


def of_volumes() -> None:
    """Print time and memory of steps on volumes."""
    print("| patches | numbers | ours | plain loop | plain / ours | memory | told before |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for side in VOLUME_SIDES_PX:
        network = _volume_network()
        run = _volume_run(network, side)
        plain_step = _plain_step(network, side, batch=VOLUME_BATCH)
        ours, plain = _in_turns(partial(next, run), plain_step, turns=VOLUME_TURNS)
        told = step_bytes(network.description.architecture, (side,) * 3, VOLUME_BATCH)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            held = pool.apply(_memory_of_a_step, (side,))
        print(
            f"| {VOLUME_BATCH} x {side}³ | {run.precision} | {ours:.2f} s | {plain:.2f} s "
            f"| {plain / ours:.1f} | {held / 2**20:.0f} MB | {told / 2**20:.0f} MB |",
            flush=True,
        )


def _volume_network() -> Network:
    shape = replace(VOLUME_SHAPE, classes=3)
    roles = ("background", "cell", "border")
    return new_network(NetworkDescription("step", shape, class_roles=roles), 0)


def _volume_run(network: Network, side: int) -> TrainingRun:
    """Crowded balls in noise."""
    places = np.indices((96, 96, 96)) % 24 - 12
    labels = np.where((places**2).sum(axis=0) < 10**2, 1, 0)
    labels *= np.ravel_multi_index(tuple(np.indices((96, 96, 96)) // 24), (4, 4, 4)) + 1
    image = 100.0 * (labels > 0) + np.random.default_rng(0).normal(0, 20, labels.shape)
    settings = TrainingSettings.from_nothing(
        steps=1000, ndim=3, patch_size_px=side, validation_interval=0
    )
    return TrainingRun(
        [TrainingPair(image.astype(np.float32), labels)],
        network,
        settings=settings,
        validation=(),
        device="cpu",
        started_from=None,
    )


def _memory_of_a_step(side: int) -> int:
    """Bytes that this process holds at most during a step beyond what it held before."""
    run = _volume_run(_volume_network(), side)
    before = psutil.Process().memory_info().rss
    next(run)
    return peak_bytes() - before


def of_images() -> None:
    """Print time of steps on images, and what is the least that they can take."""
    network = new_network(
        NetworkDescription(
            "step",
            UNetConfig(in_channels=3, classes=3, base_width=32, depth=4, max_width=160),
            class_roles=("background", "cell", "border"),
        ),
        0,
    )
    print("| patches | numbers | ours | plain loop | plain / ours | least | goal |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for side in SIDES_PX:
        run = _run(network, side)
        ours, plain = _in_turns(partial(next, run), _plain_step(network, side))
        least = _operations(network, side) / _fastest(run.precision)
        goal = f"{GOAL_S[side]:.2f} s" if side in GOAL_S else "-"
        print(
            f"| {BATCH} x {side}² | {run.precision} | {ours:.2f} s | {plain:.2f} s "
            f"| {plain / ours:.1f} | {least:.2f} s | {goal} |",
            flush=True,
        )


def _run(network: Network, side: int) -> TrainingRun:
    """Crowded discs in noise: what is drawn does not change what a step costs."""
    random = np.random.default_rng(0)
    labels = np.zeros((512, 512), np.int32)
    rows, columns = np.ogrid[:512, :512]
    for number, (y, x) in enumerate(np.argwhere(np.ones((16, 16))) * 32 + 16, start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 < 13**2] = number
    image = (100.0 * (labels > 0) + random.normal(0, 20, labels.shape)).astype(np.float32)
    settings = TrainingSettings(
        steps=1000, batch_size=BATCH, patch_size_px=side, patience=0, validation_interval=0
    )
    return TrainingRun(
        [TrainingPair(image, labels)],
        network,
        settings=settings,
        validation=(),
        device="cpu",
        started_from=None,
    )


def _plain_step(network: Network, side: int, *, batch: int = BATCH) -> Callable[[], object]:
    unet = new_network(network.description, 1).unet.requires_grad_(True).train()
    optimizer = torch.optim.Adam(unet.parameters(), 1e-3)
    config = network.description.architecture
    sizes = (side,) * config.ndim
    images = torch.rand(batch, config.in_channels, *sizes)
    target = torch.randint(0, 3, (batch, *sizes))

    def step() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(unet(images), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    return step


def _in_turns(*works: Callable[[], object], turns: int = TURNS) -> list[float]:
    """Median seconds of each, the first two turns left out."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(turns + 2):
        for own, work in zip(spent, works, strict=True):
            started = time.perf_counter()
            work()
            own.append(time.perf_counter() - started)
    return [statistics.median(own[2:]) for own in spent]


def _operations(network: Network, side: int) -> int:
    """Floating-point operations of one step, forward and backward."""
    unet = new_network(network.description, 0).unet.requires_grad_(True).train()
    with FlopCounterMode(display=False) as counter:
        unet(torch.rand(1, 3, side, side)).sum().backward()
    return BATCH * int(counter.get_total_flops())


def _fastest(precision: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product."""
    a, b = (torch.rand(MATRIX, MATRIX).to(precision) for _ in range(2))
    (seconds,) = _in_turns(lambda: a @ b)
    return 2 * MATRIX**3 / seconds


if __name__ == "__main__":
    main()
