"""Volumes from slices in three directions: slices are computed whole, and blocks gather them.

A slice of a volume is small, and its scores are those that it has in memory; so blocks need no
margins, and no tile is computed twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_unet.engine.base.regions import Region, shared, sizes, whole, within
from napari_unet.engine.blocks.grid import Grid, Key
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.images.image import Scores
from napari_unet.engine.images.source import ImageSource
from napari_unet.engine.segmentation.predictor import PlanePredictor
from napari_unet.engine.segmentation.volumes.three_planes import DIRECTIONS, predict_slice

_BYTES = 1 << 28
"""Of the scores of a slab, about."""

_STAGE = "slices"


@dataclass(frozen=True, slots=True)
class Slab:
    """Slices of a volume that lie side by side in one row of blocks.

    Parameters
    ----------
    plane : tuple of int
        Where the volume lies in the stack.
    axis : int
        On which the slices stand.
    start, stop : int
        Slices.
    """

    plane: tuple[int, ...]
    axis: int
    start: int
    stop: int

    def region(self, shape: Sequence[int]) -> Region:
        """Where it lies in its volume."""
        cut = list(whole(tuple(shape)))
        cut[self.axis] = slice(self.start, self.stop)
        return tuple(cut)

    def blocks(self, grid: Grid) -> list[Key]:
        """Blocks that it crosses."""
        counts = len(grid.shape)
        return grid.reached((*self.plane, *(0,) * counts), self.region(grid.shape))

    def piece(self, key: Key) -> Key:
        """Name of its part of a block."""
        return (*key, self.axis, self.start)


def all_slabs(grid: Grid, classes: int) -> list[Slab]:
    """Every slab, as thick as memory allows for so many classes."""
    found = []
    for plane in itertools.product(*map(range, grid.stack)):
        for axis, (n, block) in enumerate(zip(grid.shape, grid.block, strict=True)):
            slice_bytes = 4 * classes * math.prod(grid.shape) // n
            thickness = max(1, _BYTES // slice_bytes)
            for first in range(0, n, block):
                last = min(n, first + block)
                starts = range(first, last, thickness)
                found += [Slab(plane, axis, at, min(last, at + thickness)) for at in starts]
    return found


def missing_slabs(plan: Plan, slabs: Sequence[Slab]) -> list[Slab]:
    """Those of which a block needs a part that is not there."""
    blocks = set(plan.scratch.missing("scores", plan.grid.keys))
    needed = [
        [slab.piece(key) for key in slab.blocks(plan.grid) if key in blocks] for slab in slabs
    ]
    missing = set(plan.scratch.missing(_STAGE, list(itertools.chain(*needed))))
    return [slab for slab, its in zip(slabs, needed, strict=True) if not missing.isdisjoint(its)]


def score_slab(
    plan: Plan,
    slab: Slab,
    sources: Sequence[ImageSource],
    zooms: Sequence[float],
    predictor: PlanePredictor,
    *,
    classes: int,
    anisotropy: float,
) -> Iterator[None]:
    """Compute the slices of a slab and write what each block has of them.

    Parameters
    ----------
    plan : Plan
    slab : Slab
    sources : sequence of ImageSource
        The volume (C, Z, Y, X) as each network reads it.
    zooms, predictor, anisotropy
        As `predict_volume` takes them.
    classes : int
        Of the networks.

    Yields
    ------
    None
        After each tile.
    """
    region = slab.region(plan.grid.shape)
    scores: Scores = np.zeros((classes, *sizes(region)), np.float32)
    # Read at once: a slice across the chunks of a file reads all of these.
    read = [replace(each, array=np.asarray(each.array[(slice(None), *region)])) for each in sources]
    for number in range(slab.stop - slab.start):
        yield from predict_slice(
            read, zooms, predictor, scores, axis=slab.axis, number=number, anisotropy=anisotropy
        )
    for key in slab.blocks(plan.grid):
        both = within(shared(plan.grid.box(key), region), region)
        plan.scratch.save(_STAGE, slab.piece(key), scores=scores[(slice(None), *both)])


def gather_block(plan: Plan, class_roles: tuple[str, ...], key: Key) -> None:
    """Stage "scores" of a block, from its parts of slabs, which are deleted.

    Parameters
    ----------
    plan : Plan
    class_roles : tuple of str
    key : Key
    """
    box = plan.grid.box(key)
    reached = [
        slab
        for slab in all_slabs(replace(plan.grid, stack=()), len(class_roles))
        if box[slab.axis].start <= slab.start < box[slab.axis].stop
    ]
    if not plan.scratch.has("scores", key):
        scores: Scores = np.zeros((len(class_roles), *sizes(box)), np.float32)
        # In the order of the axes, as in memory: the last digit depends on it.
        for slab in sorted(reached, key=lambda each: each.axis):
            own = within(shared(box, slab.region(plan.grid.shape)), box)
            scores[(slice(None), *own)] += plan.scratch.read(_STAGE, slab.piece(key), "scores")
        plan.scratch.save("scores", key, **plan.kept_scores(scores, class_roles))
    for slab in reached:
        plan.scratch.drop(_STAGE, slab.piece(key))


def slice_bytes(classes: int) -> int:
    """Of the scratch folder that slices take for each voxel, until blocks have gathered them."""
    return 4 * classes * DIRECTIONS
