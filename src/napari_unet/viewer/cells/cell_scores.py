"""Score and doubt of the cells that Segment has found, kept in the metadata of their layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.engine.labels.cell_list import CellScores, joined_scores

if TYPE_CHECKING:
    from napari.layers import Labels

CELL_SCORES_KEY = "napari_unet_cell_scores"
"""Where a layer's metadata keep the `CellScores`."""


def cell_scores_of(layer: Labels) -> CellScores | None:
    """Read what a network said of the cells of a layer; None if it is not known."""
    found: CellScores | None = layer.metadata.get(CELL_SCORES_KEY)
    return found


def keep_cell_scores(layer: Labels, found: CellScores | None) -> None:
    """Keep what a network said of cells that it has just found, beside what is known of others.

    Who is asked later compares the cells with what they were: one that was changed since has none.
    """
    known = joined_scores((cell_scores_of(layer), found))
    if known is not None:
        layer.metadata = {**layer.metadata, CELL_SCORES_KEY: known}
        # Metadata have no event: who shows what is known of the cells reads it again.
        layer.events.features()
