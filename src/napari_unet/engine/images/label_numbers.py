"""Which numbers may stand in labels: whole ones, of which the positive ones are cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.images.image import LabelImage


def whole_numbers(labels: LabelImage, *, holder: str = "The labels hold") -> LabelImage:
    """Return labels as integers, whatever dtype they came in.

    Negative numbers stay; they are no cells, wherever labels are read.

    Parameters
    ----------
    labels : array
        Integers, bool, or floats that are all whole: many programs save labels
        as float32.
    holder : str
        Subject and verb for the message, such as "'cells.tif' holds".

    Returns
    -------
    integer array
        `labels` itself if it is one already.

    Raises
    ------
    LabelsError
        If a number is not whole, or beyond those that its dtype tells apart.
    """
    if labels.dtype.kind in "ui":
        return labels
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind != "f":
        raise LabelsError(
            f"{holder} values of dtype {labels.dtype}; labels are whole numbers: 0 for background "
            "and 1, 2, ... for cells."
        )
    if not (np.isfinite(labels).all() and (np.trunc(labels) == labels).all()):
        raise LabelsError(
            f"{holder} numbers that are not whole, as images do; labels are 0 for background and "
            "1, 2, ... for cells."
        )
    # Beyond the bits of its fraction a float skips whole numbers: two cells may have become one.
    exact = 2 ** (np.finfo(labels.dtype).nmant + 1)
    highest = float(np.abs(labels).max(initial=0))
    if highest > exact:
        raise LabelsError(
            f"{holder} numbers up to {highest:.0f} as {labels.dtype}, which tells whole numbers "
            f"apart up to {exact}; save them as integers."
        )
    return labels.astype(np.int32 if highest <= np.iinfo(np.int32).max else np.int64)


def smallest_label_dtype(labels: LabelImage) -> np.dtype[Any]:
    """Return the narrowest unsigned integer type that holds every label.

    Raises
    ------
    LabelsError
        If labels are negative, no integers, or above 2**32 - 1.
    """
    if labels.dtype.kind not in "bui":
        raise LabelsError(f"Labels have dtype {labels.dtype}; integers are needed.")
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if lowest < 0:
        raise LabelsError(f"Labels go down to {lowest}; 0 is background, cells are positive.")
    if highest > np.iinfo(np.uint32).max:
        raise LabelsError(f"Labels go up to {highest}, beyond 32 bits; number the cells afresh.")
    return np.min_scalar_type(highest)
