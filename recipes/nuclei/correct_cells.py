"""What correcting a few cells of one image does for other images of its kind.

python recipes/nuclei/correct_cells.py DATA [--kinds stained dim crowded DAPI] [--rounds 6]

`nuclei` segments an image, of small ones four in one. The largest of its wrong or missing cells are
corrected by the truth, so many and no more, as a person would; everything else is ignored in
training. What is proposed after it, by the product's own verdict, is measured on other images of
the kind, none of which it or the bank has seen, and on all of the corrected image. Each round
corrects other images, or draws them anew where there are no more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dsb2018 import read_index
from numpy.typing import NDArray
from train import NUCLEI

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
from napari_unet.engine.networks.bundled import BUNDLED_MODELS
from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.knowledge.bank import known_bank
from napari_unet.files.images import read_image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from picture_sets import Picture

DIM = 21
"""Mean of cells above that of the background, of 255, up to which an image is dim."""

CROWDED_PX = 1800
"""Pixels of the image for each cell, at most, in a crowded one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Images of a kind.

    Parameters
    ----------
    pictures : callable
        Given DATA.
    together : int
        How many are corrected as one.
    """

    pictures: Callable[[Path], list[Picture]]
    together: int


def test_pictures(data: Path, modality: str) -> Iterator[Picture]:
    """Test images of DSB 2018 that do not come with the package."""
    samples = {read_image(path).array.tobytes() for path in BUNDLED_MODELS[0].sample_images}
    for item in read_index(data / "dsb2018"):
        if item.split == "test" and item.modality == modality:
            picture = Picture(modality, item.name, "", item.image, item.labels)
            if picture.pair().image.tobytes() not in samples:
                yield picture


def stained(data: Path) -> list[Picture]:
    """Stained tissue."""
    return list(test_pictures(data, "histology"))


def dim(data: Path) -> list[Picture]:
    """Fluorescence in 360 x 360 pixels that is hardly brighter than its background."""
    found = []
    for picture in test_pictures(data, "fluorescence"):
        pair = picture.pair()
        grey = pair.image.mean(-1) if pair.image.ndim == 3 else pair.image
        inside = pair.labels > 0
        is_dim = grey[inside].mean() - grey[~inside].mean() < DIM
        if pair.labels.shape == (360, 360) and is_dim:
            found.append(picture)
    return found


def crowded(data: Path) -> list[Picture]:
    """Fluorescence in 256 x 256 pixels that is full of cells."""
    found = []
    for picture in test_pictures(data, "fluorescence"):
        labels = picture.pair().labels
        if labels.shape == (256, 256) and labels.size < CROWDED_PX * np.unique(labels).size:
            found.append(picture)
    return found


def dapi(data: Path) -> list[Picture]:
    """DAPI in tissue, of what `nuclei` has not learned, but for what it is judged by."""
    bank = known_bank(load_checkpoint("nuclei").description)
    names = {each.name for each in bank.images}
    return [each for each in NUCLEI.split(data).held["tissue DAPI"] if each.name not in names]


KINDS = {
    "stained": Kind(stained, 4),
    "dim": Kind(dim, 4),
    "crowded": Kind(crowded, 4),
    "DAPI": Kind(dapi, 1),
}


def joined(pictures: Sequence[Picture]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Put images of one size, one or four, and their cells, into one."""
    images, labels, highest = [], [], 0
    for picture in pictures:
        pair = picture.pair()
        numbers = pair.labels.astype(np.int64)
        labels.append(np.where(numbers > 0, numbers + highest, 0))
        highest += int(numbers.max())
        images.append(pair.image)
    if len(images) == 1:
        return images[0], labels[0]
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


def rounds(pictures: list[Picture], together: int, count: int) -> Iterator[list[Picture]]:
    """Images to correct together, others each time while there are any."""
    made = 0
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(pictures))
        for start in range(0, len(order) - together, together):
            if made == count:
                return
            made += 1
            yield [pictures[index] for index in order[start : start + together]]


def precision(network: Network, images: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """AP 0.5 of all cells together."""
    found = [segment(image, network, keep_scores=False).labels for image, _ in images]
    return evaluate([truth for _, truth in images], found).pooled(0.5).average_precision


def one_round(
    network: Network,
    pictures: Sequence[Picture],
    others: Sequence[Picture],
    arguments: argparse.Namespace,
) -> tuple[NDArray[np.float64], str]:
    """Others before and after, the corrected image before and after, and a line of the table."""
    image, truth = joined(pictures)
    rest = [joined([picture]) for picture in others]
    found = segment(image, network, keep_scores=False).labels
    labels, count = corrected(found, truth, arguments.cells)
    pair = as_the_form_reads_it(image, labels, found)
    settings = TrainingSettings.fine_tuning(steps=arguments.steps)
    for item in arguments.set:
        name, _, value = item.partition("=")
        settings = replace(settings, **{name: type(getattr(settings, name))(float(value))})
    run = train([pair], network, settings=settings)
    for _ in run:
        pass
    verdict = run.verdict(run.tuned())
    assert verdict is not None
    kept = verdict.proposed if verdict.is_better else network
    values = np.array(
        [precision(each, images) for images in (rest, [(image, truth)]) for each in (network, kept)]
    )
    if arguments.all:
        for name, each in verdict.judged.items():
            print(
                f"{name}: others {precision(each.network, rest):.3f}, "
                f"image {precision(each.network, [(image, truth)]):.3f}, "
                f"known {each.known_precision:.3f}, labelled {each.corrected}",
                flush=True,
            )
        print(f"untouched: others {precision(run.network, rest):.3f}; {verdict.sentence}")
    shown = " | ".join(f"{value:.3f}" for value in values)
    return values, f"{count} cells | {shown} | {verdict.chosen}"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--cells", type=int, default=20, help="that are corrected")
    parser.add_argument("--steps", type=int, default=110, help="of four patches")
    parser.add_argument("--rounds", type=int, default=6, help="of other images each")
    parser.add_argument("--all", action="store_true", help="measure what was not proposed, too")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=X", help="another setting of training"
    )
    arguments = parser.parse_args()
    network = load_checkpoint("nuclei")
    print(
        "| images | corrected | AP 0.5 of others before | after | of the image before | after "
        "| proposed |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name in arguments.kinds:
        kind = KINDS[name]
        pictures = kind.pictures(arguments.data)
        values = []
        for chosen in rounds(pictures, kind.together, arguments.rounds):
            others = [picture for picture in pictures if picture not in chosen]
            found, line = one_round(network, chosen, others, arguments)
            values.append(found)
            print(f"| {name} | {line} |", flush=True)
        gained = np.array(values)[:, [1, 3]] - np.array(values)[:, [0, 2]]
        mean, least = gained.mean(axis=0), gained.min(axis=0)
        print(
            f"| {name}, mean gain (least) | | | {mean[0]:+.3f} ({least[0]:+.3f}) | "
            f"| {mean[1]:+.3f} ({least[1]:+.3f}) | |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
