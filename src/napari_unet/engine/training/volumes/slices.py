"""Slices of a volume in which alone somebody has labelled cells.

References
----------
Cicek et al. (2016), 3D U-Net: learning dense volumetric segmentation from sparse annotation.
https://arxiv.org/abs/1606.06650
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.images.image import LabelImage

ChosenSlices: TypeAlias = Sequence[int] | Literal["painted"]
"""Numbers of slices, from 0; or those that show any label."""


def labelled_slices(
    painted: NDArray[np.bool_], chosen: ChosenSlices, *, name: str
) -> NDArray[np.intp]:
    """Return the numbers of the slices in which a volume was labelled.

    Parameters
    ----------
    painted : (Z, H, W) bool array
        Where there is a label.
    chosen : ChosenSlices
    name : str
        Of the image, for messages.

    Raises
    ------
    TrainingError
        If it is no volume, has no such slice, or none of them shows a label.
    """
    if painted.ndim != 3:
        raise TrainingError(
            f"The labels of '{name}' have {painted.ndim} axes, and slices are of volumes, which "
            "have 3; leave the slices out, or train a 3-D network."
        )
    depth, there = len(painted), np.flatnonzero(painted.any(axis=(1, 2)))
    numbers = there if isinstance(chosen, str) else np.unique(np.asarray(chosen, np.intp))
    beyond = [int(number) for number in numbers if not 0 <= number < depth]
    if beyond:
        raise TrainingError(
            f"'{name}' has no slice {beyond[0] + 1}, counted from 1; it has {depth} slices."
        )
    if not np.isin(there, numbers).any():
        listed = ", ".join(str(number + 1) for number in there[:10]) or "none"
        raise TrainingError(
            f"No label of '{name}' is in the slices that were chosen; slices with labels, counted "
            f"from 1: {listed}."
        )
    return numbers


def within(slices: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(Z, H, W) bool array: where these slices are."""
    mask = np.zeros(shape, bool)
    mask[slices] = True
    return mask


def reviewed_slices(labels: NDArray[np.int32], ignored: int) -> Iterator[int]:
    """Numbers of the slices of (Z, H, W) labels in which anything was reviewed."""
    yield from np.flatnonzero((labels != ignored).any(axis=(1, 2))).tolist()


def ball_sizes(areas_px: Sequence[float]) -> list[float]:
    """Voxels of the balls of which slices of any height have these areas, in the mean.

    A slice through a ball has pi/4 of its diameter, in the mean over all heights.
    """
    diameters = 8 / math.pi**1.5 * np.sqrt(np.asarray(areas_px, float))
    sizes: list[float] = (math.pi / 6 * diameters**3).tolist()
    return sizes


def cell_centres(labels: LabelImage) -> Iterator[tuple[int, list[float]]]:
    """Number of each cell, and where its middle is."""
    for number, box in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if box:
            yield number, [(part.start + part.stop - 1) / 2 for part in box]


def slice_centres(labels: LabelImage) -> Iterator[tuple[int, list[float]]]:
    """Yield the same of the cells of each slice of a volume by itself."""
    for z, plane in enumerate(labels):
        for number, centre in cell_centres(plane):
            yield number, [z, *centre]
