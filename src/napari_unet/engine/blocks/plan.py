"""What all stages of a segmentation in blocks know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, shared, sizes, within
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks.grid import Grid, Key
from napari_unet.engine.blocks.scratch import Scratch
from napari_unet.engine.images.image import Scores
from napari_unet.engine.images.resampling import nearest_index
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL, as_cells, types_of
from napari_unet.engine.segmentation.foreground import Foreground

NOBODY = -1
"""In place of the number of a cell, a seed or a piece, which are places in the whole image."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The work, as far as it needs neither the image nor the network.

    A stage of a block is a function of this and of the files of earlier stages,
    which it reads, to a file, which it writes: blocks may be computed in any
    order, by anyone, and twice.

    Parameters
    ----------
    scratch : Scratch
    grid : Grid
        At the model's scale.
    instances : InstanceSettings
    own_shape : tuple of int
        Of a plane in its own pixels.
    types : tuple of str
        Of cells, that the networks tell apart.
    """

    scratch: Scratch
    grid: Grid
    instances: InstanceSettings
    own_shape: tuple[int, ...]
    types: tuple[str, ...] = ()

    @property
    def is_judged(self) -> bool:
        """Whether borders are judged, as they are in planes alone."""
        return self.instances.judges_borders and self.grid.ndim == 2

    def nearest(self, axis: int) -> NDArray[np.intp]:
        """For each own pixel along an axis, the nearest one at the model's scale."""
        return nearest_index(self.own_shape[axis], self.grid.shape[axis])

    def kept_scores(self, scores: Scores, class_roles: Sequence[str]) -> dict[str, Scores]:
        """What is kept of the scores (C, *S) of a block, for cells and for their types."""
        summed, roles = as_cells(scores, class_roles)
        wanted = [BACKGROUND, CELL]
        if self.is_judged and BORDER in roles:
            wanted.append(BORDER)
        of_types = (channel for channel, role in enumerate(class_roles) if types_of([role]))
        return {
            **{role: summed[roles.index(role)] for role in wanted},
            **{type_name(number): scores[each] for number, each in enumerate(of_types)},
        }

    def foreground(self, key: Key) -> Foreground:
        """What is to be split in a block, from its scores."""
        with self.scratch.opened("scores", key) as scores:
            return Foreground.of(self.is_foreground(scores["background"]), scores["cell"])

    def is_foreground(self, background: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where cells are, given the scores of background."""
        mask: NDArray[np.bool_] = background < np.float32(1 - self.instances.foreground_threshold)
        return mask

    def around(self, stage: str, name: str, key: Key, region: Region) -> NDArray[Any]:
        """Put an array of a region around a block together, from all blocks that it reaches."""
        whole = np.empty(0)
        for number, other in enumerate(self.grid.reached(key, region)):
            part = self.scratch.read(stage, other, name)
            if number == 0:
                whole = np.empty(sizes(region), part.dtype)
            box = self.grid.box(other)
            both = shared(box, region)
            whole[within(both, region)] = part[within(both, box)]
        return whole


def type_name(number: int) -> str:
    """Name under which the scores of a type of cells are kept."""
    return f"type {number}"
