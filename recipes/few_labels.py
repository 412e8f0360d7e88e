"""How few labels teach a model cells that it does not know.

python recipes/few_labels.py DATA [--kind DIC] [--starts nuclei nothing] [--steps 150] [--seeds 5]

An arm learns from so many whole images, or from so many painted cells with everything else
ignored; a seed draws which, and what is random in the training. AP 0.5 is that of other images, of
which nothing is looked at before, with the thresholds that the training leaves:

DIC             CHO cells of BBBC030 at half size; learned from `train`, measured on `test`
phase contrast  what was held out of the training of `cells`, at its size; measured on the rest

With `--seconds` instead of `--steps` the figures depend on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from picture_sets import Picture

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
from napari_unet.engine.networks.unet import NEW_SHAPE
from napari_unet.engine.training.pairs import RING_PX
from napari_unet.engine.training.training import new_description

sys.path.insert(0, str(Path(__file__).resolve().parent / "cells"))
from train import CELLS
from training_images import dic

STARTS = ("nuclei", "cells", "nothing")
KINDS = ("DIC", "phase contrast")


def read(data: Path, kind: str) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Images to learn from, and those that are measured; the same where they take turns."""
    if kind == "DIC":
        learn, test = (_pairs(dic(data, part), zoom=0.5) for part in ("train", "test"))
        return learn, test
    held = _pairs(CELLS.split(data).held[kind])
    return held, held


def _pairs(pictures: Sequence[Picture], zoom: float | None = None) -> list[TrainingPair]:
    return [replace(item, zoom=zoom or item.zoom).pair() for item in pictures]


def whole_images(pairs: Sequence[TrainingPair], count: int, seed: int) -> list[TrainingPair]:
    """Pairs in which every cell is labelled."""
    order = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return [pairs[index] for index in order]


def painted_cells(
    pairs: Sequence[TrainingPair], count: int, seed: int, *, ring_px: float
) -> list[TrainingPair]:
    """Pairs in which so many cells are painted, image after image, and nothing else is known."""
    rng = np.random.default_rng(seed)
    painted: list[TrainingPair] = []
    for index in rng.permutation(len(pairs)):
        if count == 0:
            break
        pair = pairs[index]
        labels = np.asarray(pair.labels)
        chosen = rng.permutation(np.unique(labels[labels > 0]))[:count]
        count -= chosen.size
        some = np.where(np.isin(labels, chosen), labels, 0)
        image = np.asarray(pair.image)
        painted.append(
            annotated_pair(
                image,
                some,
                unlabelled="ignore",
                ring_px=ring_px,
                name=pair.name,
                channel_axis=pair.channel_axis,
            )
        )
    return painted


def arms(
    arguments: argparse.Namespace, pairs: Sequence[TrainingPair], seed: int
) -> Iterator[tuple[str, list[TrainingPair]]]:
    """Name and training pairs of each arm."""
    for count in arguments.images:
        yield f"{count} image{'s' * (count > 1)}", whole_images(pairs, count, seed)
    for count in arguments.cells:
        yield f"{count} painted cells", painted_cells(pairs, count, seed, ring_px=arguments.ring)


def learn(
    pairs: list[TrainingPair], start: str, arguments: argparse.Namespace, seed: int
) -> tuple[Network, int]:
    """Train an arm as the product would; return the network and how many steps it had."""
    length = {"steps": arguments.steps, "seconds": arguments.seconds}
    if start == "nothing":
        settings = TrainingSettings.from_nothing(**length, seed=seed)
        roles = ("background", "cell", "border")
        description = new_description(pairs, ndim=2, class_roles=roles, shape=NEW_SHAPE, name="new")
        run = train(pairs, settings=settings, description=description)
    else:
        settings = TrainingSettings.fine_tuning(**length, seed=seed)
        run = train(pairs, load_checkpoint(start), settings=settings)
    for _ in run:
        pass
    return run.tuned(), run.step


def measure(network: Network, pairs: Sequence[TrainingPair]) -> float:
    """AP 0.5 of all cells together."""
    found = [
        segment(np.asarray(pair.image), network, keep_scores=False, channel_axis=pair.channel_axis)
        for pair in pairs
    ]
    evaluation = evaluate([pair.labels for pair in pairs], [each.labels for each in found])
    return evaluation.pooled(0.5).average_precision


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    parser.add_argument("--images", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--cells", type=int, nargs="*", default=[50])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=["nuclei"])
    parser.add_argument("--seeds", type=int, default=5, help="repetitions of each arm")
    parser.add_argument("--seconds", type=float, help="of each training, instead of steps")
    parser.add_argument("--steps", type=int, help="until the loss has levelled off without them")
    parser.add_argument("--ring", type=float, default=RING_PX, help="pixels around a painted cell")
    arguments = parser.parse_args()
    learned, measured = read(arguments.data, arguments.kind)
    results: dict[tuple[str, str], list[float]] = {}
    for seed in range(arguments.seeds):
        for arm, pairs in arms(arguments, learned, seed):
            names = {pair.name for pair in pairs}
            others = [pair for pair in measured if pair.name not in names]
            for start in arguments.starts:
                started = time.perf_counter()
                network, steps = learn(pairs, start, arguments, seed)
                spent = time.perf_counter() - started
                value = measure(network, others)
                results.setdefault((arm, start), []).append(value)
                line = f"{arm}, seed {seed}, from {start}: {value:.3f} after {steps} steps"
                print(f"{line}, {spent:.0f} s", flush=True)
    cells = sum(np.unique(pair.labels).size - 1 for pair in measured)
    print(
        f"\nAP 0.5 on other images of {len(measured)} with {cells} cells, mean of "
        f"{arguments.seeds} seeds (lowest to highest)\n\n{table(results, arguments.starts)}"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
