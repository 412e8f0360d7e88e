"""Labels kept small, as runs of equal numbers, to know later what was changed since."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage


@dataclass(frozen=True, slots=True, eq=False)
class LabelRuns:
    """A copy of labels that takes a few bytes for each run of equal numbers.

    Parameters
    ----------
    shape : tuple of int
    starts : (N,) int64 array
        Where each run begins, in pixels in C order.
    numbers : (N,) integer array
        Of each run.
    """

    shape: tuple[int, ...]
    starts: NDArray[np.int64]
    numbers: LabelImage

    @classmethod
    def of(cls, labels: LabelImage) -> LabelRuns:
        """Copy labels of any shape."""
        flat = np.ascontiguousarray(labels).reshape(-1)
        ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        starts = np.concatenate([[0], ends])[: flat.size]
        return cls(labels.shape, starts, flat[starts].copy())

    def labels(self) -> LabelImage:
        """Return the labels as they were."""
        size = int(np.prod(self.shape))
        lengths = np.diff(self.starts, append=size)
        return np.repeat(self.numbers, lengths).reshape(self.shape)

    def changed(self, labels: LabelImage) -> NDArray[np.bool_]:
        """Where labels of the same shape are other ones now: bool array."""
        different: NDArray[np.bool_] = self.labels() != labels
        return different
