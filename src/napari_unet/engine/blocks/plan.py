"""What all stages of a segmentation in blocks know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.regions import Region, shared, sizes, within
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks.grid import Grid, Key
from napari_unet.engine.blocks.scratch import Scratch
from napari_unet.engine.images.resampling import nearest_index
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
    """

    scratch: Scratch
    grid: Grid
    instances: InstanceSettings
    own_shape: tuple[int, ...]

    @property
    def is_judged(self) -> bool:
        """Whether borders are judged, as they are in planes alone."""
        return self.instances.judges_borders and self.grid.ndim == 2

    def nearest(self, axis: int) -> NDArray[np.intp]:
        """For each own pixel along an axis, the nearest one at the model's scale."""
        return nearest_index(self.own_shape[axis], self.grid.shape[axis])

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
