"""How many labels it takes to teach `nuclei` DIC cells, beside a network that begins with nothing.

python recipes/dic/few_labels.py BBBC030 [--seconds 60] [--seeds 3]

An arm learns from so many whole images, or from so many painted cells with everything else
ignored; a seed draws which, and what is random in the training. What is printed was measured on
all images of `test`, at half size, with the thresholds that the training leaves; nothing of `test`
is looked at before. With `--steps` instead of `--seconds` the figures do not depend on the
machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from cho import Cells, read_split

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    UNetError,
    annotated_pair,
    evaluate,
    load_checkpoint,
    segment,
    train,
)
from napari_unet.engine.networks.network import Network

STARTS = ("nuclei", "nothing")


def whole_images(cells: list[Cells], count: int, seed: int) -> list[TrainingPair]:
    """Pairs in which every cell is labelled."""
    order = np.random.default_rng(seed).permutation(len(cells))[:count]
    return [TrainingPair(cells[i].image, cells[i].labels, cells[i].name) for i in order]


def painted_cells(
    cells: list[Cells], count: int, seed: int, *, ring_px: float
) -> list[TrainingPair]:
    """Pairs in which so many cells are painted, image after image, and nothing else is known."""
    rng = np.random.default_rng(seed)
    pairs: list[TrainingPair] = []
    for index in rng.permutation(len(cells)):
        if count == 0:
            break
        item = cells[index]
        numbers = np.unique(item.labels[item.labels > 0])
        painted = rng.permutation(numbers)[:count]
        count -= painted.size
        labels = np.where(np.isin(item.labels, painted), item.labels, 0)
        pairs.append(
            annotated_pair(item.image, labels, unlabelled="ignore", ring_px=ring_px, name=item.name)
        )
    return pairs


def arms(
    arguments: argparse.Namespace, cells: list[Cells], seed: int
) -> Iterator[tuple[str, list[TrainingPair]]]:
    """Name and training pairs of each arm."""
    for count in arguments.images:
        yield f"{count} images", whole_images(cells, count, seed)
    for count in arguments.cells:
        yield f"{count} painted cells", painted_cells(cells, count, seed, ring_px=arguments.ring)


def learn(
    pairs: list[TrainingPair], start: str, arguments: argparse.Namespace, seed: int
) -> tuple[Network, int]:
    """Train an arm; return the network and how many steps it had."""
    network = load_checkpoint("nuclei")
    settings = TrainingSettings.fine_tuning(
        seconds=None if arguments.steps else arguments.seconds, steps=arguments.steps, seed=seed
    )
    if start == "nuclei":
        run = train(pairs, network, settings=settings)
    else:
        settings = replace(settings, learning_rate=1e-3, keep_knowledge=0.0, adapt_norms=True)
        run = train(pairs, settings=settings, description=network.description)
    for _ in run:
        pass
    return run.tuned(), run.step


def measure(network: Network, cells: list[Cells]) -> float:
    """AP 0.5 of all test cells together."""
    found = [segment(item.image, network, keep_scores=False).labels for item in cells]
    return evaluate([item.labels for item in cells], found).pooled(0.5).average_precision


def table(results: dict[tuple[str, str], list[float]], starts: list[str]) -> str:
    """Markdown: a row for each arm, its mean over the seeds, the lowest and the highest."""
    lines = ["| labels | " + " | ".join(f"from {start}" for start in starts) + " |"]
    lines.append("| --- |" + " --- |" * len(starts))
    for arm in dict.fromkeys(name for name, _ in results):
        values = [results[arm, start] for start in starts]
        texts = [f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in values]
        lines.append(f"| {arm} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="BBBC030", help="folder with train and test")
    parser.add_argument("--images", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--cells", type=int, nargs="*", default=[10, 50, 200])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--seeds", type=int, default=3, help="repetitions of each arm")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training")
    parser.add_argument("--steps", type=int, help="instead of seconds")
    parser.add_argument("--ring", type=float, default=2.0, help="pixels around a painted cell")
    arguments = parser.parse_args()
    learned, test = (read_split(arguments.data, split) for split in ("train", "test"))
    results: dict[tuple[str, str], list[float]] = {}
    for seed in range(arguments.seeds):
        for arm, pairs in arms(arguments, learned, seed):
            for start in arguments.starts:
                started = time.perf_counter()
                network, steps = learn(pairs, start, arguments, seed)
                spent = time.perf_counter() - started
                value = measure(network, test)
                results.setdefault((arm, start), []).append(value)
                line = f"{arm}, seed {seed}, from {start}: {value:.3f} after {steps} steps"
                print(f"{line}, {spent:.0f} s", flush=True)
    limit = f"{arguments.steps} steps" if arguments.steps else f"{arguments.seconds:g} s"
    cells = sum(np.unique(item.labels[item.labels > 0]).size for item in test)
    print(
        f"\nAP 0.5 on {len(test)} test images with {cells} cells after {limit}, mean of "
        f"{arguments.seeds} seeds (lowest to highest)\n\n{table(results, arguments.starts)}"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
