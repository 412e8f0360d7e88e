"""Measure what stands beside a training: preflight, comparison and where to annotate next.

    python benchmarks/retraining.py                   # seconds at 2048 x 2048, 2,116 cells
    python benchmarks/retraining.py --data dsb2018/test

With `--data`, a folder with `images` and `labels`, it also says what preflight finds in these
labels, and which share of the wrong pixels of the bundled model lies in the fifth of the windows
that `rank_doubt` puts first. Seconds are those of the thread that computes, best of five.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import compare_cells, load_checkpoint, preflight, rank_doubt, segment
from napari_unet.engine.labels.comparison import Comparison
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import image_stem
from napari_unet.files.images import read_image, read_labels

GOALS_S = {"preflight": 0.5, "compare_cells": 0.5, "rank_doubt": 0.3}
WINDOW_PX = 64
FIRST = 0.2


def main() -> int:
    """Print the tables; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with images and labels")
    data = parser.parse_args().data
    missed = False
    for name, work in _tasks():
        seconds = _best_of(work)
        missed |= seconds > GOALS_S[name]
        print(f"{name:14} {seconds:6.3f} s   goal <= {GOALS_S[name]:g} s")
    if data is not None:
        _look_at(data)
    return int(missed)


def _tasks() -> Iterator[tuple[str, Callable[[], object]]]:
    y, x = np.indices((2048, 2048))
    away = np.hypot(y % 45 - 22, x % 45 - 22)
    labels = (((y // 45) * 46 + x // 45 + 1) * (away < 19)).astype(np.int32)
    after = np.roll(np.where(labels % 7 == 0, 0, labels), 3, axis=1)
    cell = (1 / (1 + np.exp(away - 19))).astype(np.float32)
    scores = np.stack([1 - cell, 0.8 * cell, 0.2 * cell])
    roles = ("background", "cell", "border")
    image = (255 * cell).astype(np.uint8)
    yield "preflight", lambda: preflight(labels, image=image)
    yield "compare_cells", lambda: compare_cells(labels, after, labels)
    yield "rank_doubt", lambda: rank_doubt(scores, roles, labels, flipped_scores=scores[..., ::-1])


def _best_of(work: Callable[[], object], rounds: int = 5) -> float:
    work()  # compiles
    seconds = []
    for _ in range(rounds):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return min(seconds)


def _look_at(folder: Path) -> None:
    findings: Counter[tuple[str, str]] = Counter()
    held: list[tuple[float, float]] = []
    network = load_checkpoint("nuclei")
    images = {image_stem(path): path for path in find_images([folder / "images"])}
    for path in find_images([folder / "labels"]):
        truth, image = read_labels(path).array, read_image(images[image_stem(path)]).array
        findings.update((each.severity, each.code) for each in preflight(truth, image=image))
        plain, mirrored = (segment(image, network, averaging=each) for each in ("none", "flips"))
        comparison = compare_cells(plain.labels, truth, same_iou=0.6)
        regions = rank_doubt(
            plain.scores,
            plain.class_roles,
            plain.labels,
            flipped_scores=mirrored.scores,
            count=max(1, round(FIRST * truth.size / WINDOW_PX**2)),
            window_px=WINDOW_PX,
        )
        held += _held(comparison, [region.box for region in regions])
    for (severity, code), count in sorted(findings.items()):
        print(f"{severity:8} {code:14} in {count} images")
    wrong, area = np.mean(held, axis=0)
    print(f"{100 * wrong:.0f} % of the wrong pixels lie in {100 * area:.0f} % of the image")


def _held(comparison: Comparison, boxes: list[Any]) -> Iterator[tuple[float, float]]:
    """Share of the changed pixels, and of all pixels, that lie in some boxes."""
    changed: NDArray[np.bool_] = np.repeat(comparison.run_changes >= 0, comparison.run_lengths)
    changed = changed.reshape(comparison.shape)
    if changed.any():
        inside = np.zeros(comparison.shape, np.bool_)
        for box in boxes:
            inside[box] = True
        yield float(inside[changed].mean()), float(inside.mean())


if __name__ == "__main__":
    raise SystemExit(main())
