"""From the scores of all blocks to cells: the stages, and in which order they follow each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.blocks.cells import (
    LabelTarget,
    known_types,
    measure_cells,
    parts_of,
    write_part,
)
from napari_unet.engine.blocks.flooding import FloodRounds, flood_round, label_block
from napari_unet.engine.blocks.grid import Face, Grid, Key
from napari_unet.engine.blocks.judging import (
    find_centres,
    find_core,
    judge,
    measure_block,
    seeds_of_centres,
)
from napari_unet.engine.blocks.numbering import number_cells
from napari_unet.engine.blocks.pieces import (
    find_crowds,
    find_pieces,
    join_pieces,
    seeds_of_scores,
)
from napari_unet.engine.blocks.plan import Plan
from napari_unet.engine.cluster.hands import Hands
from napari_unet.engine.labels.cell_types import CellTypes


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
    written : tuple of int, optional
        The part of the labels that is written.
    types : CellTypes, optional
        The last step carries them, if types are told apart.
    """

    stage: str
    done: int
    total: int
    cell_count: int | None = None
    written: Key | None = None
    types: CellTypes | None = None


def find_cells(plan: Plan, out: LabelTarget, hands: Hands) -> Iterator[Step]:
    """Do all that follows the stage "scores".

    What a stage does to a block is a function of the plan and of files: blocks
    of one stage can be done in any order, and by several at once. Between
    stages, here, tables of blocks are brought together: of what lies at the
    sides of blocks all at once, of what lies within a block one after the other.

    Parameters
    ----------
    plan : Plan
    out : array of integers
        That whoever does tasks can write to.
    hands : Hands
        Who does them.

    Yields
    ------
    Step
        After each block of each stage. What is done already is not done again.
    """
    yield from _stage("pieces", plan, find_pieces, hands)
    join_pieces(plan)
    if plan.is_judged:
        yield from _stage("core", plan, find_core, hands)
        yield from _stage("centres", plan, find_centres, hands)
    seeds = seeds_of_centres if plan.is_judged else seeds_of_scores
    rounds = FloodRounds(plan, find_crowds(plan, seeds))
    while work := rounds.work():
        flooded = hands.done("flood", partial(_flood, plan), work)
        for done, ((key, *_), changed) in enumerate(flooded, start=1):
            rounds.note(key, changed)
            yield Step("flood", done, len(work))
        rounds.next()
    yield from _stage("labels", plan, label_block, hands, more=rounds.around)
    if plan.is_judged:
        yield from _stage("borders", plan, measure_block, hands)
        judge(plan)
    yield from _stage("cells", plan, measure_cells, hands)
    count = number_cells(plan)
    most = np.iinfo(np.dtype(out.dtype)).max
    if count > most:
        raise SettingsError(
            f"The image has {count} cells, and labels of {np.dtype(out.dtype)} end at {most}; "
            "give an array of int32 or wider numbers."
        )
    parts = parts_of(plan, out)
    keys = parts.keys
    written = hands.done("written", partial(_write, plan, parts, out), keys)
    for done, (key, _) in enumerate(written, start=1):
        if done < len(keys):
            yield Step("written", done, len(keys), written=key)
        else:
            yield Step("written", done, done, count, key, known_types(plan, parts, count))


def _stage(
    stage: str,
    plan: Plan,
    compute: Callable[..., None],
    hands: Hands,
    *,
    more: Callable[[Key], Any] | None = None,
) -> Iterator[Step]:
    """Do a stage; `more` of a block is what `compute` takes beside the plan and the block."""
    keys = plan.grid.keys
    missing = plan.scratch.missing(stage, keys)
    done = len(keys) - len(missing)
    if done:
        yield Step(stage, done, len(keys))
    items = [(key,) if more is None else (key, more(key)) for key in missing]
    for number, _ in enumerate(hands.done(stage, partial(_do, stage, plan, compute), items), 1):
        yield Step(stage, done + number, len(keys))


def _do(stage: str, plan: Plan, compute: Callable[..., None], item: tuple[Any, ...]) -> None:
    # Whoever began it before may have finished it, and then been lost.
    if not plan.scratch.has(stage, item[0]):
        compute(plan, *item)


def _flood(plan: Plan, item: tuple[Key, int, Mapping[Key, int]]) -> list[Face]:
    return flood_round(plan, *item)


def _write(plan: Plan, parts: Grid, out: LabelTarget, key: Key) -> None:
    write_part(plan, parts, key, out)
