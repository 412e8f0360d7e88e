"""Find the errors of a result beside the truth: time, and equality with scikit-image, in one run.

    python benchmarks/evaluating.py [--side 4096] [--cells 10000]

Discs of several sizes, many of them touching, beside the same ones moved by a few pixels, some
missing and some merged. Seconds are medians. Matches are counted a second time from
`skimage.metrics.contingency_table`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from measuring import discs
from skimage.metrics import contingency_table

from napari_unet import find_errors
from napari_unet.engine.labels.truth.cell_errors import CURVE_THRESHOLDS


def result_of(truth: np.ndarray) -> np.ndarray:
    """Move all cells, leave each 20th out, and give each 15th the number of the one before."""
    numbers = np.arange(truth.max() + 1)
    numbers[::15] -= 1
    numbers[::20] = 0
    return np.roll(numbers[truth], (2, 3), axis=(0, 1))


def matches(truth: np.ndarray, found: np.ndarray) -> list[int]:
    """Pairs at each threshold above one half, where no cell can have two partners."""
    table = contingency_table(truth, found).tocoo()
    areas = [np.bincount(labels.ravel()) for labels in (truth, found)]
    in_cells = (table.row > 0) & (table.col > 0) & (table.data > 0)
    rows, columns = table.row[in_cells], table.col[in_cells]
    shared = table.data[in_cells]
    ious = shared / (areas[0][rows] + areas[1][columns] - shared)
    return [int((ious >= threshold - 1e-9).sum()) for threshold in CURVE_THRESHOLDS[1:]]


def main() -> int:
    """Print the table; 1 if a count differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--cells", type=int, default=10_000)
    arguments = parser.parse_args()
    truth = discs(arguments.side, arguments.cells)
    found = result_of(truth)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        errors = find_errors(truth, found)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    errors.image()
    drawn = time.perf_counter() - started
    scores = [errors.evaluation.pooled(threshold) for threshold in CURVE_THRESHOLDS[1:]]
    is_same = [score.true_positives for score in scores] == matches(truth, found)
    cells = errors.evaluation
    print(f"{cells.true_cells:,} true cells, {cells.predicted_cells:,} found", end=", ")
    print(f"{len(errors.errors):,} errors in {arguments.side} x {arguments.side} pixels")
    print(f"find_errors {statistics.median(seconds):.2f} s, its image {drawn:.2f} s")
    print(f"matches at {len(scores)} thresholds {'equal' if is_same else 'differ'}")
    return int(not is_same)


if __name__ == "__main__":
    sys.exit(main())
