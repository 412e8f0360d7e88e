"""From the scores of all blocks to cells: the stages, and in which order they follow each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.blocks.cells import (
    LabelTarget,
    measure_cells,
    number_cells,
    parts_of,
    write_part,
)
from napari_unet.engine.blocks.flooding import FloodRounds, flood_round, label_block
from napari_unet.engine.blocks.grid import Key
from napari_unet.engine.blocks.judging import (
    find_centres,
    find_core,
    judge,
    measure_block,
    seeds_of_centres,
)
from napari_unet.engine.blocks.pieces import (
    find_crowds,
    find_pieces,
    join_pieces,
    seeds_of_scores,
)
from napari_unet.engine.blocks.plan import Plan


@dataclass(frozen=True, slots=True)
class Step:
    """A block of a stage is done.

    Parameters
    ----------
    stage : str
    done, total : int
        Blocks of the stage, or of a round of the flood.
    cell_count : int, optional
        The last step carries it.
    """

    stage: str
    done: int
    total: int
    cell_count: int | None = None


def find_cells(plan: Plan, out: LabelTarget) -> Iterator[Step]:
    """Do all that follows the stage "scores", each block after the other.

    What a stage does to a block is a function of the plan and of files: blocks
    of one stage can be done in any order, and by several at once. Between
    stages tables of all blocks are brought together.

    Yields
    ------
    Step
        After each block of each stage. What is done already is not done again.
    """
    yield from _stage("pieces", plan, find_pieces)
    join_pieces(plan)
    if plan.is_judged:
        yield from _stage("core", plan, find_core)
        yield from _stage("centres", plan, find_centres)
    seeds = seeds_of_centres(plan) if plan.is_judged else seeds_of_scores(plan)
    rounds = FloodRounds(plan, find_crowds(plan, seeds))
    while work := rounds.work():
        for done, (key, number, last) in enumerate(work, start=1):
            rounds.note(key, flood_round(plan, key, number, last))
            yield Step("flood", done, len(work))
        rounds.next()
    yield from _stage("labels", plan, partial(label_block, last=rounds.last))
    if plan.is_judged:
        yield from _stage("borders", plan, measure_block)
        judge(plan)
    yield from _stage("cells", plan, measure_cells)
    count = number_cells(plan)
    most = np.iinfo(np.dtype(out.dtype)).max
    if count > most:
        raise SettingsError(
            f"The image has {count} cells, and labels of {np.dtype(out.dtype)} end at {most}; "
            "give an array of int32 or wider numbers."
        )
    parts = parts_of(plan, out)
    keys = parts.keys
    for done, key in enumerate(keys, start=1):
        write_part(plan, parts, key, out)
        yield Step("written", done, len(keys), count if done == len(keys) else None)


def _stage(stage: str, plan: Plan, compute: Callable[[Plan, Key], None]) -> Iterator[Step]:
    keys = plan.grid.keys
    for done, key in enumerate(keys, start=1):
        if not plan.scratch.has(stage, key):
            compute(plan, key)
        yield Step(stage, done, len(keys))
