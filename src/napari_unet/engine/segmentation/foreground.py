"""Where cells are, before those that touch are split: a mask, its components and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.images.image import Scores
from napari_unet.engine.labels.components import Runs, cut_rows, joined, meeting_runs

OUTSIDE = -1
"""Label of the rim around an image, which gives every pixel all of its neighbours."""


class Canvas:
    """Labels with a rim around them, so that every pixel has all of its neighbours.

    Places in it are flat indices, and its pixels are in reading order, too.

    Parameters
    ----------
    shape : tuple of int
        Of the image.

    Attributes
    ----------
    labels : int32 array, one pixel larger on each side
        0 inside and OUTSIDE around.
    inner_labels : int32 array
        View of those of the image.
    beside, around : int array
        Steps from a pixel to those that share a face with it, and to all of
        its neighbours.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        # Zeros that are never written to take no memory: not a full array with zeros in it.
        self.labels = np.zeros([n + 2 for n in shape], np.int32)
        for axis in range(len(shape)):
            np.moveaxis(self.labels, axis, 0)[[0, -1]] = OUTSIDE
        self.inner_labels = self.labels[(slice(1, -1),) * len(shape)]
        strides = np.array(self.labels.strides) // self.labels.itemsize
        self.beside = np.concatenate((-strides, strides[::-1]))
        steps = np.indices((3,) * len(shape)).reshape(len(shape), -1) - 1
        self.around = strides @ steps[:, steps.any(axis=0)]
        self._strides = strides

    def places(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of pixels of the image, which are given in C order."""
        at = np.unravel_index(pixels, self.inner_labels.shape)
        places: NDArray[np.int64] = self._strides @ (np.stack(at) + 1)
        return places


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """What is to be split: each connected piece of foreground has one number so far.

    Parameters
    ----------
    mask : bool array of the image's shape
    cell : float32 array of the image's shape, in C order
        Scores of the cells.
    canvas : Canvas
        Labels with a rim; `canvas.inner_labels` are those of the image. A way
        to split writes other positive numbers into the foreground and nothing
        into the background.
    runs : Runs
        Of `mask`.
    places : (runs,) int array
        Where each begins in the flat canvas.
    pieces : (runs,) int array
        Component of each, of background, too; faces connect both.
    numbers : (runs,) int32 array
        Label of each so far: 0 for background, else one more than its piece.
    border : float32 array of the image's shape, in C order, optional
        Scores of the cells' borders, where the network has them.
    beyond : bool array of the image's shape, optional
        Where cells may come in that lie beyond the image. Where borders are
        judged, all of this is one cell, which takes what it can reach before
        the others do.
    """

    mask: NDArray[np.bool_]
    cell: NDArray[np.float32]
    canvas: Canvas
    runs: Runs
    places: NDArray[np.int64]
    pieces: NDArray[np.int64]
    numbers: NDArray[np.int32]
    border: NDArray[np.float32] | None = None
    beyond: NDArray[np.bool_] | None = None

    @classmethod
    def of_scores(
        cls,
        scores: Scores,
        class_roles: Sequence[str],
        settings: InstanceSettings,
        beyond: NDArray[np.bool_] | None = None,
    ) -> Foreground:
        """Find the pieces of what is no background in scores (C, H, W) or (C, Z, H, W)."""
        # In the one memory layout that the loops are compiled for.
        by_role = {
            role: np.require(scores[class_roles.index(role)], np.float32, ["C", "W"])
            for role in ("background", "cell", "border")
            if role in class_roles
        }
        mask = by_role["background"] < np.float32(1 - settings.foreground_threshold)
        return cls.of(mask, by_role["cell"], by_role.get("border"), beyond)

    @classmethod
    def of(
        cls,
        mask: NDArray[np.bool_],
        cell: NDArray[np.float32],
        border: NDArray[np.float32] | None = None,
        beyond: NDArray[np.bool_] | None = None,
    ) -> Foreground:
        """Find the pieces of a mask and write their numbers into a canvas."""
        runs = cut_rows(mask)
        pieces, canvas = components(runs, mask.shape), Canvas(mask.shape)
        places = canvas.places(runs.starts)
        numbers = np.where(runs.values, pieces + 1, 0).astype(np.int32)
        paint(places, runs.lengths, numbers, canvas.labels.reshape(-1))
        return cls(mask, cell, canvas, runs, places, pieces, numbers, border, beyond)


def components(runs: Runs, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Number the components of runs of equal value, from 0; faces connect them."""
    pairs, _ = meeting_runs(runs, shape)
    is_same = runs.values[pairs[:, 0]] == runs.values[pairs[:, 1]]
    return joined(pairs, is_same, runs.starts.size)


@numba.njit(cache=True, nogil=True)
def paint(places: Any, lengths: Any, numbers: Any, labels: Any) -> None:
    """Give the pixels of each run its number, unless that is 0."""
    for run in range(numbers.size):
        if numbers[run] != 0:
            for place in range(places[run], places[run] + lengths[run]):
                labels[place] = numbers[run]
