"""What labels mean to the network: a class for each pixel, and its weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.errors import SettingsError
from napari_unet.engine.image import LabelImage
from napari_unet.engine.weight_map import separate_touching_cells

BACKGROUND, CELL, BORDER = "background", "cell", "border"
INSTANCE_ROLES: tuple[tuple[str, ...], ...] = (
    (BACKGROUND, CELL),
    (BACKGROUND, CELL, BORDER),
)
"""Class roles from which instances can be made."""


def training_target(
    labels: LabelImage, class_roles: Sequence[str], *, border_width_px: float = 2.0
) -> NDArray[np.int64]:
    """Class index of each pixel, from instance labels.

    With the roles background and cell, the paper's two classes: touching cells
    are separated by one pixel of background. With a third role, border: the
    outermost `border_width_px` of each cell and the gap between touching cells.
    A small cell keeps at least the inner half of its radius as cell.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 is background; each positive value is one cell.
    class_roles : sequence of str
        One of `INSTANCE_ROLES`.
    border_width_px : float
        Width of the border class in pixels.

    Returns
    -------
    int64 array of the shape of `labels`

    Raises
    ------
    SettingsError
        If no classes are defined for these roles.
    """
    if tuple(class_roles) not in INSTANCE_ROLES:
        raise SettingsError(
            f"The network's classes are {', '.join(class_roles)}; instances can train "
            "'background, cell' or 'background, cell, border'."
        )
    separated = separate_touching_cells(labels)
    inside = separated > 0
    target = inside.astype(np.int64)
    if BORDER not in class_roles:
        return target
    border = list(class_roles).index(BORDER)
    depth = ndimage.distance_transform_edt(inside)[inside]
    cells = separated[inside]
    if cells.size and cells.max() > labels.size:
        cells = np.unique(cells, return_inverse=True)[1]
    radius = np.zeros(int(cells.max(initial=0)) + 1)
    np.maximum.at(radius, cells, depth)
    rim = np.minimum(border_width_px, radius / 2)[cells]
    target[inside] = np.where(depth <= rim, border, target[inside])
    target[(labels > 0) & ~inside] = border
    return target
