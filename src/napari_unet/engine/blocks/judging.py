"""The border test in blocks: centres of basins, and borders measured and judged for the whole."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, grown, sizes, within
from napari_unet.engine.blocks.grid import Key
from napari_unet.engine.blocks.pieces import distinct, painted, painted_places, seed_runs_of_scores
from napari_unet.engine.blocks.plan import NOBODY, Plan
from napari_unet.engine.segmentation.borders.basins import REACH_PX, BasinMaps
from napari_unet.engine.segmentation.borders.tables import BorderTables, measure_basins
from napari_unet.engine.segmentation.foreground import Foreground

_BEYOND_PX = 2
"""From a pixel to those whose scores count for the borders that it has."""


def find_core(plan: Plan, key: Key) -> None:
    """Stage "core": `core`, where the seeds of a block are that are large enough."""
    foreground = plan.foreground(key)
    core = np.zeros(foreground.cell.shape, np.bool_)
    runs, _ = seed_runs_of_scores(plan, key, foreground)
    core.reshape(-1)[painted_places(runs)] = True
    plan.scratch.save("core", key, core=core)


def find_centres(plan: Plan, key: Key) -> None:
    """Stage "centres": where basins begin in a block, and what they grow by.

    `starts`, their pixels in C order, `pieces`, the piece of the block in which
    each lies, and `landscape`.
    """
    maps, region = _maps(plan, key, REACH_PX)
    inside = within(plan.grid.box(key), region)
    starts = np.flatnonzero(maps.is_centre[inside])
    foreground = plan.foreground(key)
    pieces = painted(foreground.pieces, foreground.runs, foreground.cell.shape)
    plan.scratch.save(
        "centres",
        key,
        starts=starts,
        pieces=pieces.reshape(-1)[starts],
        landscape=np.ascontiguousarray(maps.landscape[inside]),
    )


def seeds_of_centres(plan: Plan, key: Key) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what `find_crowds` asks of the centres of basins of a block."""
    with plan.scratch.opened("centres", key) as found:
        return plan.grid.flat(key, found["starts"]), found["pieces"]


def measure_block(plan: Plan, key: Key) -> None:
    """Stage "borders": the tables of the basins of a block, and of the borders that begin in it."""
    box = plan.grid.box(key)
    region = grown(box, (_BEYOND_PX,) * 2, plan.grid.shape)
    maps, around = _maps(plan, key, REACH_PX + _BEYOND_PX)
    inside = within(region, around)
    maps = BasinMaps(
        *(np.ascontiguousarray(getattr(maps, field.name)[inside]) for field in fields(maps))
    )
    own = within(box, region)
    image = np.full(sizes(region), NOBODY, np.int64)
    with plan.scratch.opened("labels", key) as labelled:
        image[own] = np.append(NOBODY, labelled["cells"])[labelled["labels"]]
    crowded = plan.scratch.read("crowds", key, "crowded")
    for (axis, end), other in plan.grid.neighbours(key).items():
        if end == 1:
            beyond = list(own)
            beyond[axis] = slice(own[axis].stop, own[axis].stop + 1)
            face = plan.scratch.read("labels", other, f"face{axis}0")
            image[tuple(beyond)] = np.expand_dims(face, axis)
    foreground = plan.foreground(key)
    is_crowded = np.zeros(image.shape, np.bool_)
    is_crowded[own] = crowded[painted(foreground.pieces, foreground.runs, foreground.cell.shape)]
    image[own] = np.where(is_crowded[own], image[own], NOBODY)
    numbers, labels = distinct(image)
    cell = plan.around("scores", "cell", key, region)
    border = None
    with plan.scratch.opened("scores", key) as scores:
        if "border" in scores.files:
            border = plan.around("scores", "border", key, region)
    # Runs of the block's own basins, beside the labels of those that begin beyond.
    measured = Foreground.of(is_crowded, cell, border)
    measured.canvas.inner_labels[...] = labels
    origin = (region[0].start, region[1].start)
    tables = measure_basins(measured, maps, numbers, base=1, origin=origin)
    found = {field.name: getattr(tables, field.name) for field in fields(tables)}
    plan.scratch.save("borders", key, **found)


def judge(plan: Plan) -> None:
    """Join basins over all blocks.

    Stage "judged": `basins` of the block, ascending, and `cells`, the number of
    the cell that each belongs to.
    """
    parts = []
    for key in plan.grid.keys:
        with plan.scratch.opened("borders", key) as found:
            parts.append(BorderTables(*(found[field.name] for field in fields(BorderTables))))
    tables = BorderTables.gathered(parts)
    test = plan.instances.border_test
    waists = tables.one_where(tables.is_shallow)
    larger = tables.joined(waists)
    cells = larger.basins[:0]
    if test is not None:
        cells = larger.one_where(test.joins(larger.features()))
    cells = cells[np.searchsorted(larger.basins, waists)]
    for key in plan.grid.keys:
        is_here = np.isin(tables.basins, plan.scratch.read("labels", key, "cells"))
        plan.scratch.save("judged", key, basins=tables.basins[is_here], cells=cells[is_here])


def _maps(plan: Plan, key: Key, margin_px: int) -> tuple[BasinMaps, Region]:
    """Maps of a block and so much around it; right as far from its ends as they reach."""
    region = grown(plan.grid.box(key), (margin_px,) * 2, plan.grid.shape)
    cell = plan.around("scores", "cell", key, region)
    core = plan.around("core", "core", key, region)
    return BasinMaps.of(cell, core), region
