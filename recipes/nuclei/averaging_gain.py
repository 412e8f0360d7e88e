"""Measure what averaging gains: over flips, over flips and rotations, and over two models.

python recipes/nuclei/averaging_gain.py DATA [--model nuclei] [--second nuclei] [--images 40]

DATA is the folder that `training_images.py` describes. The held-out images are taken, evenly over
their kinds: both models must have been trained without them. Of each the middle 512 x 512 pixels
are segmented.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training_images import Picture, split

from napari_unet import evaluate, load_checkpoint, segment

SIDE_PX = 512
THRESHOLDS = (0.5, 0.7, 0.9)
TABLE_HEAD = (
    "| averaged | times as long | AP 0.5 / 0.7 / 0.9, mean over images | the same, pooled "
    "| AP 0.7 by kind |\n| --- | --- | --- | --- | --- |"
)

Segmenter = Callable[[NDArray[Any], int | None], NDArray[Any]]


def some_of(held: dict[str, tuple[Picture, ...]], most: int) -> list[tuple[str, Picture]]:
    """At most so many images with their kinds: as many of each where there are, evenly spaced."""
    each = max(n for n in range(most + 1) if sum(min(n, len(p)) for p in held.values()) <= most)
    chosen: list[tuple[str, Picture]] = []
    for kind, pictures in held.items():
        places = np.linspace(0, len(pictures) - 1, min(len(pictures), each)).round().astype(int)
        chosen += [(kind, pictures[place]) for place in places]
    return chosen


def middle(array: NDArray[Any]) -> NDArray[Any]:
    """The part in the middle of the first two axes."""
    parts = [slice(max(0, (n - SIDE_PX) // 2), (n + SIDE_PX) // 2) for n in array.shape[:2]]
    return array[tuple(parts)]


def segmenters(model: str, second: str, device: str) -> dict[str, Segmenter]:
    """Each way to average, by what it is called."""
    first, other = load_checkpoint(model), load_checkpoint(second)

    def of(networks: Any, **options: Any) -> Segmenter:
        return lambda image, axis: (
            segment(image, networks, channel_axis=axis, device=device, **options).labels
        )

    return {
        "nothing": of(first),
        "flips": of(first, averaging="flips"),
        "flips and rotations": of(first, averaging="flips+rotations"),
        "two models": of([first, other]),
        "(the second model alone)": of(other),
    }


def row(name: str, kinds: list[str], truths: Any, found: Any, slower: float) -> str:
    """One line of the table."""
    every = evaluate(truths, found)
    mean = " / ".join(f"{every.mean_ap(t):.3f}" for t in THRESHOLDS)
    pooled = " / ".join(f"{every.pooled(t).average_precision:.3f}" for t in THRESHOLDS)
    by_kind = []
    for kind in dict.fromkeys(kinds):
        at = [number for number, each in enumerate(kinds) if each == kind]
        own = evaluate([truths[n] for n in at], [found[n] for n in at])
        by_kind.append(f"{kind} ({len(at)}) {own.mean_ap(0.7):.3f}")
    return f"| {name} | {slower:.1f} | {mean} | {pooled} | {', '.join(by_kind)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--model", default="nuclei", help="the first model (default: nuclei)")
    parser.add_argument("--second", default="nuclei", help="the second one (default: nuclei)")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    pictures = some_of(split(arguments.data).held, arguments.images)
    pairs = [picture.pair() for _, picture in pictures]
    kinds, truths = [kind for kind, _ in pictures], [middle(each.labels) for each in pairs]
    print(TABLE_HEAD, flush=True)
    plain_s = None
    for name, segmenter in segmenters(arguments.model, arguments.second, arguments.device).items():
        segmenter(middle(pairs[0].image), pairs[0].channel_axis)  # compiles what is to be compiled
        started = time.process_time()
        found = [segmenter(middle(each.image), each.channel_axis) for each in pairs]
        took_s = time.process_time() - started
        plain_s = plain_s or took_s
        print(row(name, kinds, truths, found, took_s / plain_s), flush=True)


if __name__ == "__main__":
    main()
