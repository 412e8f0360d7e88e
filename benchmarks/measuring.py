"""Measure cells with ours and with scikit-image: equality and time, in one run.

    python benchmarks/measuring.py [--side 4096] [--cells 10000]

Discs of several sizes, many of them touching, on an image of 16 bit. Seconds are medians; theirs
is measured once. Then strokes of 12 x 12 pixels, after which only their cells are measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from skimage.measure import regionprops_table

from napari_unet.engine.labels.measurements import measure_cells
from napari_unet.viewer.cells.measurements import Request, measure
from napari_unet.viewer.label_edits import Painted

SAME = {
    "area": "area_px2",
    "centroid-0": "centroid_y_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "axis_major_length": "axis_major_px",
    "axis_minor_length": "axis_minor_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "perimeter": "perimeter_px",
    "intensity_mean": "intensity_mean_image",
    "intensity_std": "intensity_std_image",
    "intensity_max": "intensity_max_image",
}
"""What both measure, under the names of theirs and of ours."""

LARGEST_DIFFERENCE = 1e-6


def discs(side: int, cells: int) -> np.ndarray:
    """So many discs on a grid, of sizes that let some touch."""
    pitch = side / np.ceil(np.sqrt(cells))
    y, x = np.indices((side, side))
    row, column = (y // pitch).astype(int), (x // pitch).astype(int)
    number = (row * int(np.ceil(side / pitch)) + column + 1).astype(np.int32)
    radius = pitch * np.random.default_rng(0).uniform(0.2, 0.6, number.max() + 1)
    away = np.hypot(y - (row + 0.5) * pitch, x - (column + 0.5) * pitch)
    return np.where(away < radius[number], number, 0)


def corrected_s(labels: np.ndarray, image: np.ndarray) -> float:
    """Seconds of measuring after one stroke, the median of ten; its table must be as all anew."""
    request = Request(labels, {"image": image}, None, False)
    known, seconds, rng = measure(request), [], np.random.default_rng(2)
    for _ in range(10):
        y, x = rng.integers(0, np.subtract(labels.shape, 12))
        box = slice(y, y + 12), slice(x, x + 12)
        before = labels[box].reshape(-1).copy()
        labels[box] = rng.choice([0, labels.max() + 1])
        part = Painted(box, before, labels[box].reshape(-1)[:1].copy())
        started = time.perf_counter()
        known = measure(request, known, [part])
        seconds.append(time.perf_counter() - started)
    anew = measure(request)
    if any(not np.array_equal(known.columns[name], anew.columns[name]) for name in anew.columns):
        raise SystemExit("The table after strokes is another than that of all cells.")
    return statistics.median(seconds)


def main() -> int:
    """Print the table; 1 if a value differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--cells", type=int, default=10_000)
    arguments = parser.parse_args()
    labels = discs(arguments.side, arguments.cells)
    image = np.random.default_rng(1).integers(0, 65536, labels.shape).astype(np.uint16)
    measure_cells(labels[:64, :64], {"image": image[:64, :64]})  # compiled once
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        ours = measure_cells(labels, {"image": image})
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    names = {name.partition("-")[0] for name in SAME}
    theirs = regionprops_table(labels, image, properties=("label", *names))
    spent = time.perf_counter() - started
    own = statistics.median(seconds)
    per_edit = corrected_s(labels, image)
    differences = {
        name: float(np.abs(ours[mine] / np.where(theirs[name] == 0, 1, theirs[name]) - 1).max())
        for name, mine in SAME.items()
        if (theirs[name] != 0).all()
    }
    print(f"{len(ours['label'])} cells in {arguments.side} x {arguments.side} pixels")
    print(f"ours {own:.2f} s, scikit-image {spent:.1f} s, {spent / own:.0f} x")
    print(f"after one stroke {1000 * per_edit:.1f} ms, equal to all cells measured anew")
    print(f"largest difference, relative: {max(differences.values()):.1e} of {len(differences)}")
    return int(max(differences.values()) > LARGEST_DIFFERENCE)


if __name__ == "__main__":
    sys.exit(main())
