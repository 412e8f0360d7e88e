"""What correcting a few cells of one image does for other images of its kind.

python recipes/nuclei/correct_cells.py DSB2018 [--cells 20] [--steps 110] [--rounds 3]

Four stained images of the split `test` are put together to one of 512 x 640 pixels, which
`nuclei` segments. The largest of its wrong or missing nuclei are corrected by the truth, so many
and no more, as a person would; everything else is ignored in training, or taken as it was found
with --reviewed. What is printed was
measured on the other stained images of `test`, before and after. Each round corrects four other
images. Images that come with the package are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from dsb2018 import Nuclei, read_index
from numpy.typing import NDArray

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    UNetError,
    annotated_pair,
    compare_cells,
    evaluate,
    load_checkpoint,
    segment,
    train,
)
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.prepared import bundled_images

TILES = 4


def together(items: list[Nuclei]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Put four images of one size, and their nuclei, into one."""
    images, labels, highest = [], [], 0
    for item in items:
        image, numbers = item.read()
        numbers = numbers.astype(np.int64)
        labels.append(np.where(numbers > 0, numbers + highest, 0))
        highest += int(numbers.max())
        images.append(image)
    rows = [
        [np.concatenate(parts[start : start + 2], axis=1) for start in (0, 2)]
        for parts in (images, labels)
    ]
    return np.concatenate(rows[0]), np.concatenate(rows[1])


def corrected(
    found: NDArray[Any], truth: NDArray[Any], count: int
) -> tuple[NDArray[np.int64], int]:
    """Correct so many cells, the largest first; return the labels and how many it were."""
    labels = found.astype(np.int64)
    done = 0
    for change in compare_cells(found, truth, same_iou=0.7).changes:
        if done >= count:
            break
        labels[np.isin(found, change.before_ids)] = 0
        for number in change.after_ids:
            labels[truth == number] = number + 1_000_000
        done += max(len(change.before_ids), len(change.after_ids))
    return labels, done


def as_the_form_reads_it(
    image: NDArray[Any], labels: NDArray[np.int64], found: NDArray[Any]
) -> TrainingPair:
    """Only what was touched counts, and what was changed is sampled more."""
    changed = labels != found
    touched = np.isin(labels, np.unique(labels[changed])) & (labels > 0)
    pair = annotated_pair(
        image, np.where(touched, labels, 0), unlabelled="ignore", corrected=changed
    )
    assert pair.reviewed is not None
    pair.reviewed[changed] = True
    return pair


def measure(network: Network, items: list[Nuclei]) -> str:
    """AP of all nuclei together."""
    truths, found = [], []
    for item in items:
        image, labels = item.read()
        truths.append(labels)
        found.append(segment(image, network, keep_scores=False).labels)
    evaluation = evaluate(truths, found)
    values = [evaluation.pooled(t).average_precision for t in evaluation.thresholds]
    return " / ".join(f"{value:.3f}" for value in values)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DSB2018", help="folder with index.csv")
    parser.add_argument("--cells", type=int, default=20, help="that are corrected")
    parser.add_argument("--steps", type=int, default=110, help="of four patches")
    parser.add_argument(
        "--reviewed",
        action="store_true",
        help="take the cells that were not corrected, and the background, for the truth",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of four other images each")
    arguments = parser.parse_args()
    network = load_checkpoint("nuclei")
    known = {image.tobytes() for image in bundled_images(network.description)}
    stained = [
        item
        for item in read_index(arguments.data)
        if item.split == "test" and item.modality == "histology"
    ]
    stained = [item for item in stained if item.read()[0].tobytes() not in known]
    order = np.random.default_rng(0).permutation(len(stained))
    print("| round | corrected | AP 0.5 / 0.7 / 0.9 before | after |\n| --- | --- | --- | --- |")
    for number in range(min(arguments.rounds, len(stained) // TILES)):
        chosen = order[TILES * number : TILES * (number + 1)]
        image, truth = together([stained[index] for index in chosen])
        others = [item for index, item in enumerate(stained) if index not in chosen]
        found = segment(image, network, keep_scores=False).labels
        labels, count = corrected(found, truth, arguments.cells)
        if arguments.reviewed:
            pair = TrainingPair(image, labels, corrected=labels != found)
        else:
            pair = as_the_form_reads_it(image, labels, found)
        run = train([pair], network, settings=TrainingSettings.fine_tuning(steps=arguments.steps))
        for _ in run:
            pass
        before, after = measure(network, others), measure(run.network, others)
        print(f"| {number + 1} | {count} cells | {before} | {after} |", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
