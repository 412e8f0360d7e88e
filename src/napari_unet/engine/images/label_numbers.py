"""Which numbers may stand in labels: whole ones, of which the positive ones are cells."""

from __future__ import annotations

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
        If a number is not whole, or beyond 64 bits.
    """
    if labels.dtype.kind in "ui":
        return labels
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind != "f":
        raise LabelsError(
            f"{holder} values of type {labels.dtype}; labels are whole numbers: 0 for background "
            "and 1, 2, ... for cells."
        )
    lowest, highest = float(labels.min(initial=0)), float(labels.max(initial=0))  # NaN if any is
    # 2**63 itself is a float and no int64 any more.
    fits = lowest >= -(2.0**63) and highest < 2.0**63
    if not (fits and (np.trunc(labels) == labels).all()):
        raise LabelsError(
            f"{holder} numbers that are not whole, as images do; labels are 0 for background and "
            "1, 2, ... for cells."
        )
    narrow = np.iinfo(np.int32)
    return labels.astype(np.int32 if narrow.min <= lowest and highest <= narrow.max else np.int64)
