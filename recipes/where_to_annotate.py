"""Whether cells at the places of "where to annotate next" teach more than cells drawn at random.

python recipes/where_to_annotate.py DATA [--kinds DIC "phase contrast"] [--cells 20] [--seeds 0 1 2]

A seed draws images to annotate in; the others are measured, which neither the network nor the
thresholds have seen. So many cells are painted by the truth, and everything else is ignored: those
at the places that the ranking puts first in each image, the images taking turns, or cells drawn at
random. A false cell at a place is erased, and counts as one. Both trainings are alike.

`nuclei` knows nothing of cells in DIC and phase contrast, and nobody asks a network what it is
unsure of before it knows anything: it learns one whole image first, which stays among the training
pairs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from few_labels import KINDS, measure, read
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    UNetError,
    annotated_pair,
    compare_cells,
    load_checkpoint,
    rank_uncertainty,
    segment,
    train,
)
from napari_unet.engine.labels.uncertainty import UncertainRegion
from napari_unet.engine.networks.network import Network

FIRST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Start:
    """What a round begins with.

    Parameters
    ----------
    network : Network
    known : list of TrainingPair
        What it has learned from and learns from again.
    pool, others : list of TrainingPair
        Images to annotate in, and those that are measured.
    """

    network: Network
    known: list[TrainingPair]
    pool: list[TrainingPair]
    others: list[TrainingPair]


def begin(kind: str, data: Path, seed: int) -> Start:
    """`nuclei` after one image; half of the others to annotate in."""
    cells, test = read(data, kind)
    order = np.random.default_rng(seed).permutation(len(cells))
    half = len(cells) // 2
    known, pool, rest = (
        [cells[i] for i in part] for part in (order[:1], order[1:half], order[half:])
    )
    network = learned(load_checkpoint("nuclei"), known, FIRST_STEPS, seed)
    return Start(network, known, pool, rest if test is cells else [*rest, *test])


def learned(network: Network, pairs: Sequence[TrainingPair], steps: int, seed: int) -> Network:
    """Train as the form does, with the images that come with the model beside."""
    run = train(pairs, network, settings=TrainingSettings.fine_tuning(steps=steps, seed=seed))
    for _ in run:
        pass
    return run.tuned()


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as the network sees it.

    Parameters
    ----------
    item : TrainingPair
    things : integer array
        True cells by their numbers, and false ones that were found by negative ones.
    wrong : set of int
        True cells that were not found.
    regions : tuple of UncertainRegion
    """

    item: TrainingPair
    things: NDArray[Any]
    wrong: set[int]
    regions: tuple[UncertainRegion, ...]


def seen(network: Network, item: TrainingPair) -> Seen:
    """Segment and rank as the form does."""
    plain, mirrored = (
        segment(np.asarray(item.image), network, averaging=each) for each in ("none", "flips")
    )
    assert plain.scores is not None
    regions = rank_uncertainty(
        plain.scores, plain.class_roles, plain.labels, flipped_scores=mirrored.scores
    )
    truth = np.asarray(item.labels).astype(np.int64)
    changes = compare_cells(plain.labels, truth, same_iou=0.5).changes
    false = [n for change in changes if change.kind == "lost" for n in change.before_ids]
    is_false = (truth == 0) & np.isin(plain.labels, false)
    things = np.where(is_false, -plain.labels.astype(np.int64), truth)
    return Seen(item, things, {n for change in changes for n in change.after_ids}, regions)


def ranked_things(pool: Sequence[Seen], count: int, _seed: int) -> list[list[int]]:
    """Those at the places that come first in each image, which take turns."""
    chosen: list[list[int]] = [[] for _ in pool]
    places = [
        (turn, index, region)
        for index, each in enumerate(pool)
        for turn, region in enumerate(each.regions)
    ]
    for _, index, region in sorted(places, key=lambda place: (place[0], -place[2].uncertainty)):
        for number in things_at(pool[index].things, region):
            if sum(map(len, chosen)) < count and number not in chosen[index]:
                chosen[index].append(number)
    return chosen


def things_at(things: NDArray[Any], region: UncertainRegion) -> list[int]:
    """Those whose centre is in the frame, the nearest to its centre first."""
    numbers = [int(n) for n in np.unique(things[region.box]) if n]
    centres = np.array(ndimage.center_of_mass(np.ones(things.shape), things, numbers))
    away = {}
    for number, centre in zip(numbers, centres.reshape(-1, things.ndim), strict=True):
        if all(p.start <= c < p.stop for p, c in zip(region.box, centre, strict=True)):
            away[number] = float(np.hypot(*(centre - region.centre)))
    return sorted(away, key=lambda number: away[number])


def random_things(pool: Sequence[Seen], count: int, seed: int) -> list[list[int]]:
    """True cells of any image."""
    cells = [(index, n) for index, each in enumerate(pool) for n in np.unique(each.item.labels)[1:]]
    drawn = np.random.default_rng(seed).permutation(len(cells))[:count]
    return [[int(cells[i][1]) for i in drawn if cells[i][0] == index] for index in range(len(pool))]


CHOICES = {"ranked": ranked_things, "random": random_things}


def painted(pool: Sequence[Seen], chosen: Sequence[Sequence[int]]) -> list[TrainingPair]:
    """Pairs in which these are annotated, and nothing else is known."""
    return [
        annotated_pair(
            np.asarray(each.item.image),
            np.where((each.things > 0) & np.isin(each.things, numbers), each.things, 0),
            unlabelled="ignore",
            regions=(each.things < 0) & np.isin(each.things, numbers),
            name=each.item.name,
        )
        for each, numbers in zip(pool, chosen, strict=True)
        if numbers
    ]


def in_words(pool: Sequence[Seen], chosen: Sequence[Sequence[int]]) -> str:
    """How many of them were wrong, and in how many images they are."""
    false = sum(number < 0 for numbers in chosen for number in numbers)
    wrong = sum(
        len(each.wrong.intersection(numbers)) for each, numbers in zip(pool, chosen, strict=True)
    )
    images = sum(bool(numbers) for numbers in chosen)
    return f"{sum(map(len, chosen))} in {images} images, {wrong} wrong, {false} false"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the sets of images")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--arms", nargs="*", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--cells", type=int, default=20, help="that are annotated")
    parser.add_argument("--steps", type=int, default=80, help="of four patches")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--look", action="store_true", help="only say what is chosen")
    arguments = parser.parse_args()
    print("| images | seed | before | arm | annotated | AP 0.5 after |\n" + "| --- " * 6 + "|")
    for kind in arguments.kinds:
        for seed in arguments.seeds:
            start = begin(kind, arguments.data, seed)
            before = measure(start.network, start.others)
            pool = [seen(start.network, item) for item in start.pool]
            for arm in arguments.arms:
                began = time.perf_counter()
                chosen = CHOICES[arm](pool, arguments.cells, seed)
                line = f"| {kind} | {seed} | {before:.3f} | {arm} | {in_words(pool, chosen)} |"
                if not arguments.look:
                    pairs = [*start.known, *painted(pool, chosen)]
                    network = learned(start.network, pairs, arguments.steps, seed)
                    line += f" {measure(network, start.others):.3f} |"
                print(line, f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UNetError as error:
        sys.exit(str(error))
