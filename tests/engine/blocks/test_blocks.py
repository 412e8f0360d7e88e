"""Cells of blocks are those of the whole image, from the same scores: pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.engine.base.border_test import BORDER_FEATURES, BorderTest
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.score_calibration import ScoreCalibration
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks.flooding import FloodRounds, flood_round
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


def planned(folder, scores, instances, block, stack=(), own_shape=None):
    """The work with its scores done."""
    shape = scores.shape[1 + len(stack) :]
    plan = Plan(Scratch(folder), Grid(stack, shape, block), instances, own_shape or shape)
    for key in plan.grid.keys:
        where = (slice(None), *plan.grid.plane(key), *plan.grid.box(key))
        by_role = dict(zip(ROLES, scores[where], strict=True))
        if not plan.is_judged:
            del by_role["border"]
        plan.scratch.save("scores", key, **by_role)
    return plan


def block_labels(plan, shuffled=None):
    out = np.zeros((*plan.grid.stack, *plan.own_shape), np.int32)
    steps = list(find_cells(plan, out))
    assert steps[-1].cell_count == out.max(initial=0)
    return out


def check(folder, seed):
    """One random case."""
    rng = np.random.default_rng(seed)
    ndim = 2 if seed % 3 else 3
    low, high = ((20, 70), (8, 22))[ndim - 2]
    shape = tuple(rng.integers(low, high, ndim).tolist())
    stack = (2,) if rng.random() < 0.2 else ()
    levels = (None, 12, 256)[int(rng.integers(3))]
    scores = crowded_scores(rng, (*stack, *shape), levels)
    instances = any_settings(rng, judging=bool(rng.random() < 0.5))
    block = tuple(rng.integers(5, 24, ndim).tolist())
    own_shape = shape
    if rng.random() < 0.3:
        own_shape = tuple(max(1, round(n * rng.uniform(0.4, 1.8))) for n in shape)
    plan = planned(folder / str(seed), scores, instances, block, stack, own_shape)
    expected = whole_labels(scores, instances, stack, own_shape)
    np.testing.assert_array_equal(block_labels(plan), expected, f"seed {seed}")
    return int(expected.max())


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_blocks_of_any_shape_have_the_cells_of_the_whole(tmp_path, first):
    assert sum(check(tmp_path, seed) for seed in range(first, first + 10)) > 50


if __name__ == "__main__":
    import shutil
    import sys
    import time
    from pathlib import Path

    start, count = map(int, sys.argv[1:3])
    began, cells, bad = time.time(), 0, []
    for seed in range(start, start + count):
        folder = Path(sys.argv[3])
        try:
            cells += check(folder, seed)
        except AssertionError as error:
            bad.append(seed)
            print(seed, str(error)[:300], flush=True)
        shutil.rmtree(folder)
    print(count, "cases", cells, "cells", "differ:", bad, f"{time.time() - began:.0f} s")
