"""Cells of blocks are those of the whole image, from the same scores: pixel by pixel."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_unet.engine.base.border_test import BORDER_FEATURES, BorderTest
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks.grid import Grid
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.blocks.scratch import Scratch
from napari_unet.engine.blocks.stages import find_cells
from napari_unet.engine.segmentation.planes import PlaneScores

ROLES = ("background", "cell", "border")


def border_test(rng):
    """One that joins about half of the borders."""
    n = len(BORDER_FEATURES)
    hidden = tuple(map(tuple, rng.normal(size=(4, n)).tolist()))
    output = tuple(rng.normal(size=4).tolist())
    return BorderTest((0.5,) * n, (0.5,) * n, hidden, (0.0,) * 4, output, 0.0)


def crowded_scores(rng, shape, levels):
    """Blobs that touch, with holes; few levels make many ties."""
    fields = []
    for sigma in (rng.uniform(1, 3), rng.uniform(0.8, 2), 1.0):
        smooth = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
        fields.append((smooth - smooth.mean()) / (smooth.std() + 1e-6))
    background = 1 / (1 + np.exp(3 * fields[0] + rng.uniform(-1, 2)))
    cell = (1 - background) / (1 + np.exp(-2 * fields[0] - fields[1]))
    border = (1 - background - cell) * (1 / (1 + np.exp(-fields[2])))
    scores = np.stack([background, cell, border]).astype(np.float32)
    return scores if levels is None else np.round(scores * levels) / np.float32(levels)


def any_settings(rng, judging):
    return InstanceSettings(
        foreground_threshold=float(rng.uniform(0.2, 0.7)),
        seed_threshold=float(rng.uniform(0.3, 0.8)),
        separate_touching=bool(rng.random() < 0.9),
        min_size_px=int(rng.integers(0, 30)),
        min_seed_px=int(rng.integers(0, 8)),
        min_score=float(rng.choice([0, 0.5, 0.7])),
        fill_holes=bool(rng.random() < 0.7),
        drop_border_cells=bool(rng.random() < 0.2),
        border_test=border_test(rng) if judging else None,
        score_calibration=ScoreCalibration(1.5, -0.3) if rng.random() < 0.3 else None,
    )


def whole_labels(scores, instances, stack, own_shape):
    """Planes one after the other, as `segment` does them."""
    planes, count = [], 0
    for index in np.ndindex(*stack):
        plane = scores[(slice(None), *index)]
        shape = plane.shape[1:]
        box = tuple(slice(0, n) for n in shape)
        found = PlaneScores(plane, ROLES, own_shape, shape, box).labels(instances)
        planes.append(np.where(found > 0, found + count, 0))
        count += int(found.max(initial=0))
    return np.stack(planes).reshape(*stack, *own_shape)


class Kept(Scratch):
    """Keeps files in memory: thousands of small ones take most of the time."""

    def __init__(self, folder):
        super().__init__(folder)
        object.__setattr__(self, "files", {})

    def has(self, stage, key):
        return (stage, key) in self.files

    def missing(self, stage, keys):
        return [key for key in keys if not self.has(stage, key)]

    def save(self, stage, key, **arrays):
        # As a file gives them back: copies.
        self.files[stage, key] = {name: np.array(array) for name, array in arrays.items()}

    @contextmanager
    def opened(self, stage, key):
        yield Arrays(self.files[stage, key])


class Arrays(dict):
    """Arrays as `numpy.load` gives them."""

    @property
    def files(self):
        return list(self)


class Clumsy:
    """Hands that do blocks in a random order, some of them twice."""

    def __init__(self, rng):
        self.rng = rng

    def done(self, stage, task, items):
        for number in self.rng.permutation(len(items)):
            if self.rng.random() < 0.2:
                task(items[number])
            yield items[number], task(items[number])


def planned(scratch, scores, instances, block, stack=(), own_shape=None):
    """The work with its scores done."""
    shape = scores.shape[1 + len(stack) :]
    plan = Plan(scratch, Grid(stack, shape, block), instances, own_shape or shape)
    for key in plan.grid.keys:
        where = (slice(None), *plan.grid.plane(key), *plan.grid.box(key))
        by_role = dict(zip(ROLES, scores[where], strict=True))
        if not plan.is_judged:
            del by_role["border"]
        plan.scratch.save("scores", key, **by_role)
    return plan


def block_labels(plan, rng):
    out = np.zeros((*plan.grid.stack, *plan.own_shape), np.int32)
    steps = list(find_cells(plan, out, Clumsy(rng)))
    assert steps[-1].cell_count == out.max(initial=0)
    return out


def check(scratch, seed):
    """One random case."""
    rng = np.random.default_rng(seed)
    ndim = 2 if seed % 3 else 3
    low, high = ((15, 50), (6, 16))[ndim - 2]
    shape = tuple(rng.integers(low, high, ndim).tolist())
    stack = (2,) if rng.random() < 0.2 else ()
    levels = (None, 12, 256)[int(rng.integers(3))]
    scores = crowded_scores(rng, (*stack, *shape), levels)
    instances = any_settings(rng, judging=bool(rng.random() < 0.5))
    block = tuple(rng.integers(5, 24, ndim).tolist())
    own_shape = shape
    if rng.random() < 0.3:
        own_shape = tuple(max(1, round(n * rng.uniform(0.4, 1.8))) for n in shape)
    plan = planned(scratch, scores, instances, block, stack, own_shape)
    expected = whole_labels(scores, instances, stack, own_shape)
    np.testing.assert_array_equal(block_labels(plan, rng), expected, f"seed {seed}")
    return int(expected.max())


def test_blocks_of_any_shape_have_the_cells_of_the_whole():
    cells = sum(check(Kept(Path("nowhere")), seed) for seed in range(150))
    assert cells > 500


def test_files_hold_what_memory_holds(tmp_path):
    assert check(Scratch(tmp_path), 4) > 3


if __name__ == "__main__":
    # Any number of cases: first and count.
    start, count = map(int, sys.argv[1:3])
    began, found, differing = time.time(), 0, []
    for number in range(start, start + count):
        try:
            found += check(Kept(Path("nowhere")), number)
        except AssertionError as error:
            differing.append(number)
            print(number, str(error)[:300], flush=True)
    print(count, "cases", found, "cells", "differ:", differing, f"{time.process_time():.0f} s")
