"""Measure what a step of training takes, beside a plain loop and what the processor can do.

    python benchmarks/training_step.py                # one minute on two cores

Four patches of 256 x 256 and of 192 x 192 pixels on the network of `nuclei` (base width 32), on the
CPU. *Ours* is a step of `TrainingRun` with the recipe's augmentation and weight map; the *plain
loop* is forward, cross-entropy, backward and Adam as a tutorial writes them, in float32 on a batch
that is there already. The two take turns. *Least* is the time that the step's multiplications would
take if all ran as fast as a large matrix product of the same numbers, in which nothing waits for
memory: no step can be faster on that processor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from napari_unet import TrainingPair, TrainingSettings
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.run import TrainingRun

BATCH, SIDES_PX, TURNS = 4, (256, 192), 7
GOAL_S = {256: 0.35}
MATRIX = 4096


def main() -> None:
    """Print the table."""
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


def _plain_step(network: Network, side: int) -> Callable[[], object]:
    unet = new_network(network.description, 1).unet.requires_grad_(True).train()
    optimizer = torch.optim.Adam(unet.parameters(), 1e-3)
    images, target = torch.rand(BATCH, 3, side, side), torch.randint(0, 3, (BATCH, side, side))

    def step() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(unet(images), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    return step


def _in_turns(*works: Callable[[], object]) -> list[float]:
    """Median seconds of each, the first two turns left out."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS + 2):
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
