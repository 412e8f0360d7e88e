"""How often an interval of average precision holds the true value, over simulated evaluations.

    python benchmarks/score_intervals.py            # half a minute
    python benchmarks/score_intervals.py --rounds 5000

Cells are right with a probability that varies from image to image (a beta distribution, whose
intraclass correlation is `alike`); seven of ten mistakes are a wrong outline, which counts as a
missed and as an extra cell, the others are one of the two. Beside `Evaluation.interval` stand the
two usual ways: Wilson's interval of AP as if it were a share of TP + FP + FN independent things,
and the percentiles of a bootstrap over images. A good interval holds the value 95 times of 100 and
is no wider than it must be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.labels.evaluation import Evaluation, ImageScore, ThresholdScore

Counts: TypeAlias = NDArray[np.int64]
"""(images, 3): right, extra and missed cells."""

CASES = (
    *((1, 20, 0.0), (1, 50, 0.0), (1, 200, 0.0), (2, 50, 0.1), (3, 50, 0.1), (5, 30, 0.1)),
    *((10, 30, 0.0), (10, 30, 0.1), (50, 75, 0.1)),
)
"""Images, mean cells in each, and how much more alike they are within an image."""

RIGHT, WRONG_OUTLINE = 0.9, 0.7
RESAMPLED = 300


def draw(images: int, cells: int, alike: float, random: np.random.Generator) -> Counts:
    """Counts of one evaluation."""
    share = np.full(images, RIGHT)
    if alike:
        size = (1 - alike) / alike
        share = random.beta(RIGHT * size, (1 - RIGHT) * size, images)
    number = 1 + random.poisson(cells - 1, images)
    right = random.binomial(number, share)
    outlines = random.binomial(number - right, WRONG_OUTLINE)
    missed = random.binomial(number - right - outlines, 0.5)
    extra = number - right - outlines - missed
    return np.stack([right, outlines + extra, outlines + missed], axis=1)


def average_precision(counts: Counts) -> NDArray[np.float64]:
    """Pooled over the last axis but one."""
    total = counts.sum(axis=-2)
    share: NDArray[np.float64] = total[..., 0] / total.sum(axis=-1)
    return share


def ours(counts: Counts, _random: np.random.Generator) -> tuple[float, float]:
    """`Evaluation.interval`."""
    images = tuple(
        ImageScore(
            right + missed, right + extra, (ThresholdScore(0.5, right, extra, missed),), (), 0
        )
        for right, extra, missed in counts.tolist()
    )
    return Evaluation(images).interval(0.5)


def wilson(counts: Counts, _random: np.random.Generator) -> tuple[float, float]:
    """As if right, missed and extra cells were independent of each other and of their image."""
    share, number, z = float(average_precision(counts)), int(counts.sum()), 1.96
    centre = share + z * z / (2 * number)
    half = z * np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    return (centre - half) / (1 + z * z / number), (centre + half) / (1 + z * z / number)


def bootstrap(counts: Counts, random: np.random.Generator) -> tuple[float, float]:
    """Percentiles over images drawn with replacement."""
    drawn = counts[random.integers(0, len(counts), (RESAMPLED, len(counts)))]
    low, high = np.quantile(average_precision(drawn), (0.025, 0.975))
    return float(low), float(high)


WAYS: dict[str, Callable[[Counts, np.random.Generator], tuple[float, float]]] = {
    "ours": ours,
    "Wilson of AP": wilson,
    "bootstrap": bootstrap,
}


def main() -> None:
    """Print one line for each case: how often the value is held, and the mean width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    truth = RIGHT / (RIGHT + (1 - RIGHT) * (1 + WRONG_OUTLINE))
    heads = "".join(f"  {name + ': held':>18}  width" for name in WAYS)
    print(f"images  cells  alike{heads}")
    for images, cells, alike in CASES:
        random = np.random.default_rng(0)
        every = [draw(images, cells, alike, random) for _ in range(rounds)]
        line = f"{images:6d}  {cells:5d}  {alike:5.2f}"
        for way in WAYS.values():
            low, high = np.array([way(counts, random) for counts in every]).T
            held = np.mean((low <= truth) & (truth <= high))
            line += f"  {held:18.3f}  {np.mean(high - low):5.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
