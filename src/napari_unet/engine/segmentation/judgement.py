"""What the scores of a result say of it: whether the network has seen images like this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, bundled_ancestor
from napari_unet.engine.networks.class_roles import BACKGROUND, CELL, as_cells

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription
    from napari_unet.engine.segmentation.planes import PlaneScores

# Chosen on 64 images of nuclei (BBBC039, the Data Science Bowl, tissue) and 40 of other kinds
# (DIC, phase contrast, two of EM, photographs) and the bundled model. benchmarks/judgement.py
# counts true and false alarms on neighbours of these, some of them the same: no untouched test.
UNSURE = 0.765
"""Mean certainty of what is seen below which a result is not to be trusted."""

HARDLY_SURE = 0.81
_SEEN = 0.5
"""Score of background below which a pixel rather is none."""

_FAINT_CELL = 0.39
"""Nor is one below this certainty whose median cell has less than this score of being a cell."""


def is_judged(description: NetworkDescription) -> bool:
    """Whether the scores of a network say how far its results are to be trusted.

    Those of networks that were not trained here need not be probabilities. The
    thresholds were not chosen on stacks read as volumes.
    """
    return description.intensity is not None and description.architecture.ndim == 2


def seen_scores(scores: Scores, class_roles: Sequence[str]) -> NDArray[np.float32]:
    """Scores of background in pixels that rather are none, (N,).

    Also of what is too small or too faint for a cell: images of other kinds are full of it.
    """
    background: NDArray[np.float32] = scores[class_roles.index(BACKGROUND)]
    return background[background < _SEEN]


class Judgement:
    """Adds up what the scores of each plane say of its cells."""

    def __init__(self) -> None:
        self._certainty = 0.0
        self._pixels = 0
        self._cell_scores: list[NDArray[np.float64]] = []

    def add(self, plane: PlaneScores, labels: LabelImage) -> None:
        """Take in a plane; nothing is told of classes, nor of scores averaged over directions.

        Parameters
        ----------
        plane : PlaneScores
            Complete.
        labels : integer array
            Its cells, of the shape of `plane.area`.
        """
        if plane.gives_classes or plane.voxel_volume_px is not None:
            return
        seen = seen_scores(plane.scores, plane.class_roles)
        self._certainty += float(seen.size - seen.sum(dtype=np.float64))
        self._pixels += seen.size
        in_cells = labels > 0
        if not in_cells.any():
            return
        scores, roles = as_cells(plane.nearest_scores(), plane.class_roles)
        cell = scores[roles.index(CELL)][in_cells]
        numbers = labels[in_cells]
        # Those of a slice go on from the slice before.
        numbers = numbers - numbers.min()
        sizes = np.bincount(numbers)
        is_there = sizes > 0
        self._cell_scores.append(np.bincount(numbers, cell)[is_there] / sizes[is_there])

    @property
    def has_cells(self) -> bool:
        """Whether there is a cell in any plane."""
        return bool(self._cell_scores)

    @property
    def certainty(self) -> float:
        """Mean score of not being background where that is the likelier; 1 if it is nowhere."""
        return self._certainty / self._pixels if self._pixels else 1.0

    @property
    def cell_score(self) -> float:
        """Mean score of being a cell in the median cell; 1 without a cell."""
        return float(np.median(np.concatenate(self._cell_scores))) if self.has_cells else 1.0

    def doubt(self, description: NetworkDescription) -> str:
        """Say why the result is not to be trusted; empty where nothing speaks against it.

        Nothing is said where `is_judged` is false.
        """
        if not self.has_cells or not is_judged(description):
            return ""
        faint = self.certainty < HARDLY_SURE and self.cell_score < _FAINT_CELL
        if self.certainty >= UNSURE and not faint:
            return ""
        kin = bundled_ancestor(description)
        others = [f"'{row.name}' for {row.finds}" for row in BUNDLED_MODELS if row is not kin]
        remedies = ["Check the cell size", *(f"take the model {each}" for each in others)]
        return (
            "Judged by its own scores, this result is not to be trusted: where the model sees "
            f"cells it is only {100 * self.certainty:.0f} % sure, less than on images like those "
            f"that it learned from. {', '.join(remedies)}, or correct some cells and train the "
            "model on them."
        )
