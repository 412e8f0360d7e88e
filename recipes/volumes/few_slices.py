"""Teach a network from nothing to find the cells of a volume, from all labels or from some slices.

    python recipes/volumes/few_slices.py TRAIN_IMAGE TRAIN_LABELS TEST_IMAGE TEST_LABELS \
        [--slices 9,25,41,57,73,89] [--steps 600] [-o MODEL]

Two volumes with their labels as TIFF: the network learns one with the settings that are usual for
volumes, thresholds are chosen on what it has learned from, and AP at 0.5 is that of the other. With
`--slices` only these slices of the first count (from 1), as if nobody had painted more. Prints the
steps, the seconds, the processor's seconds (of all threads) and the load of the machine. The
figures in docs/benchmarks.md are of two crops of 100 x 100 x 100 voxels of plant nuclei
(GoNuclear).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    annotated_pair,
    evaluate,
    save_checkpoint,
    segment,
    train,
)
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import read_image, read_labels


def main() -> None:
    """Train, judge on the other volume, and print both."""
    arguments = _arguments()
    pair = _pair(arguments.train, arguments.train_labels, arguments.slices)
    network = _trained(pair, arguments.steps, arguments.seed)
    if arguments.out:
        save_checkpoint(network, arguments.out)
    print(f"thresholds: {network.description.instances}")
    labels = read_labels(arguments.test_labels).array
    found = segment(read_image(arguments.test).array, network, device="cpu").labels
    score = evaluate([labels], [found]).pooled(0.5)
    print(
        f"AP at 0.5 of the other volume: {score.average_precision:.3f} ({score.true_positives} "
        f"right, {score.false_positives} false, {score.false_negatives} missed)"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("train", "train_labels", "test", "test_labels"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--slices", type=lambda text: [int(part) - 1 for part in text.split(",")])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path)
    return parser.parse_args()


def _pair(image: Path, labels: Path, slices: list[int] | None) -> TrainingPair:
    pair = annotated_pair(
        read_image(image).array, read_labels(labels).array, slices=slices, name=image.stem
    )
    seen = pair.checked_labels()
    cells, voxels = np.unique(seen[seen > 0]).size, int(np.count_nonzero(seen >= 0))
    print(f"{cells} cells, {voxels:,} of {seen.size:,} voxels count")
    return pair


def _trained(pair: TrainingPair, steps: int, seed: int) -> Network:
    settings = TrainingSettings.from_nothing(steps=steps, seed=seed, ndim=3)
    began, processor = time.perf_counter(), time.process_time()
    run = train([pair], settings=settings, device="cpu")
    losses = []
    for report in run:
        losses.append(report.loss)
        if report.step % 50 == 0:
            print(f"step {report.step}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    print(*run.notes, sep="\n")
    print(
        f"{run.step} steps in {time.perf_counter() - began:.0f} s, processor "
        f"{time.process_time() - processor:.0f} s, load {os.getloadavg()[0]:.1f}, {run.precision}",
        flush=True,
    )
    return run.tuned()


if __name__ == "__main__":
    main()
