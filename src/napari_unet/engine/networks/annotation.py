"""What labels mean to the network: a class for each pixel, and its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import LabelsError, SettingsError
from napari_unet.engine.images.image import LabelImage
from napari_unet.engine.networks.class_roles import (
    BACKGROUND,
    BORDER,
    CELL,
    Types,
    is_cell,
    roles_as_cells,
    typed_target,
    types_of,
)
from napari_unet.engine.networks.contact_border import BorderKind, contact_border
from napari_unet.engine.weight_map.weight_map import IGNORED, separate_touching_cells

INSTANCE_ROLES: tuple[tuple[str, ...], ...] = (
    (BACKGROUND, CELL),
    (BACKGROUND, CELL, BORDER),
)
"""Class roles from which instances can be made, types of cells being one."""


def labels_are_classes(class_roles: Sequence[str]) -> bool:
    """Whether labels for these roles are numbers of classes rather than of cells."""
    return not any(map(is_cell, class_roles))


LabelKind: TypeAlias = Literal["cells", "classes"]
"""What the numbers of labels are."""


def label_kind(class_roles: Sequence[str]) -> LabelKind:
    """Kind of labels from which a network with these roles learns."""
    return "classes" if labels_are_classes(class_roles) else "cells"


MOST_CLASSES = 255
"""That a new network learns from numbers in labels; more are rather cells."""


def named_classes(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Class roles of a network for labels whose numbers are classes: "class 1", "class 2", ...

    Parameters
    ----------
    names : sequence of str
        Of the first classes, instead of these; an empty one is left as it is.
    count : int
        The highest number in the labels; more names make more classes.

    Raises
    ------
    SettingsError
        If two classes have the same name, one has that of cells, or there are
        too many.
    """
    if count > MOST_CLASSES:
        raise SettingsError(
            f"The labels hold the number {count}, and a network learns {MOST_CLASSES} classes at "
            "most; if the numbers are those of cells, say that the labels are cells."
        )
    given = [name.strip() for name in names]
    given += [""] * (count - len(given))
    roles = tuple(name or f"class {number}" for number, name in enumerate(given, start=1))
    of_cells = next(filter(is_cell, roles), None)
    if of_cells is not None:
        raise SettingsError(
            f"'{of_cells}' cannot be the name of a class, as it stands for cells that are told "
            "apart; use another, for example 'cells'."
        )
    twice = [name for index, name in enumerate(roles) if name in roles[:index]]
    if twice:
        raise SettingsError(f"Two classes are called '{twice[0]}'; name each class once.")
    return roles


def training_target(
    labels: LabelImage,
    class_roles: Sequence[str],
    *,
    border_kind: BorderKind = "rim",
    border_width_px: float = 2.0,
    types: Types | None = None,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.int64]:
    """Class index of each pixel, from instance labels.

    With the roles background and cell, the paper's two classes: touching cells
    are separated by one pixel of background. With a third role, border, it is
    what `border_kind` says. Of a small cell a rim leaves the inner half of its
    radius as cell, at least.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) integer array
        0 is background; each positive value is one cell. Negative pixels are
        ignored: a cell has no border towards them, as nobody knows where it
        ends.
    class_roles : sequence of str
        One of `INSTANCE_ROLES`, perhaps with types in the place of "cell".
    border_kind : {"rim", "even", "contact"}
        What the border class is, if there is one: the outermost
        `border_width_px` of each cell, and of two cells that touch also the gap,
        which lies in the one with the higher number; as much of both; or the
        pixels at which two cells meet alone, as `contact_border` finds them.
    border_width_px : float
        Of a rim.
    types : mapping of int to str, optional
        Types of cells by their label.
    spacing : sequence of float, optional
        Size of a pixel along each axis, in which `border_width_px` is measured; 1
        without it. The gap between cells that touch is one pixel whatever its size.

    Returns
    -------
    int64 array of the shape of `labels`
        0 at ignored pixels. Of a network that knows types, `some_cell` inside
        of cells without one.

    Raises
    ------
    SettingsError
        If no classes are defined for these roles.
    """
    roles = roles_as_cells(class_roles)
    if roles not in INSTANCE_ROLES:
        raise SettingsError(
            f"The network's classes are {', '.join(class_roles)}; instances can train "
            "'background, cell' or 'background, cell, border'."
        )
    if BORDER in roles:
        is_border = _border(labels, border_kind, border_width_px, spacing)
        target = np.where(is_border, roles.index(BORDER), labels > 0)
    else:
        target = (separate_touching_cells(labels) > 0).astype(np.int64)
    if not types_of(class_roles):
        return target
    return typed_target(target, labels, class_roles, types or {})


def _numbered(labels: LabelImage) -> NDArray[np.int64]:
    """Labels with 0 for what is ignored, and no number above that of the pixels."""
    cells = labels > 0
    numbers = np.zeros(labels.shape, np.int64)
    numbers[cells] = labels[cells]
    if labels.size and labels.max() > labels.size:
        numbers[cells] = np.unique(labels[cells], return_inverse=True)[1] + 1
    return numbers


def _border(
    labels: LabelImage,
    border_kind: BorderKind,
    border_width_px: float,
    spacing: Sequence[float] | None,
) -> NDArray[np.bool_]:
    """Pixels of cells that are border, of that kind."""
    if border_kind == "rim":
        separated = separate_touching_cells(labels)
        numbers = _numbered(separated)
        gap: NDArray[np.bool_] = (labels > 0) & (numbers == 0)
        return gap | _is_rim(numbers, _depth(separated != 0, spacing), border_width_px)
    numbers = _numbered(labels)
    contact = contact_border(numbers)
    if border_kind == "contact":
        return contact
    depth = _depth(labels != 0, spacing)
    if contact.any():
        # Of depth 1 are these themselves, like the outermost pixels beside background.
        depth = np.minimum(depth, 1 + _depth(~contact, spacing))
    return contact | _is_rim(numbers, depth, border_width_px)


def _is_rim(
    numbers: NDArray[np.int64], depth: NDArray[np.float64], border_width_px: float
) -> NDArray[np.bool_]:
    """Whether pixels of cells are not deeper than the border, half of a cell's radius at most."""
    cells = numbers > 0
    inside, depth = numbers[cells], depth[cells]
    radius = np.zeros(int(numbers.max(initial=0)) + 1)
    np.maximum.at(radius, inside, depth)
    rim = np.zeros(numbers.shape, bool)
    rim[cells] = depth <= np.minimum(border_width_px, radius / 2)[inside]
    return rim


def _depth(inside: NDArray[np.bool_], spacing: Sequence[float] | None) -> NDArray[np.float64]:
    """Distance of each pixel to the nearest one outside, infinite where there is none."""
    if inside.all():  # scipy would measure to a pixel outside of the image
        return np.full(inside.shape, np.inf)
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(inside, sampling=spacing)
    return depth


def class_target(
    labels: NDArray[np.int32], class_roles: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Class index of each pixel, from numbers of classes.

    Parameters
    ----------
    labels : (H, W) or (Z, H, W) int32 array
        1, 2, ... are the classes in their order. 0 is the class named
        "background", or ignored if there is none; negative pixels are ignored.

    Returns
    -------
    target : int64 array of the shape of `labels`
    known : bool array of the shape of `labels`
        Where a pixel counts.
    """
    roles = list(class_roles)
    target = np.maximum(labels, 1).astype(np.int64) - 1
    if BACKGROUND in roles:
        target[labels == 0] = roles.index(BACKGROUND)
        return target, labels != IGNORED
    return target, labels > 0


def check_classes(labels: NDArray[np.int32], class_roles: Sequence[str], *, name: str) -> None:
    """Raise unless each number in `labels` is that of a class.

    Raises
    ------
    LabelsError
    """
    highest = int(labels.max(initial=0))
    if highest > len(class_roles):
        classes = ", ".join(f"{number} {role}" for number, role in enumerate(class_roles, 1))
        raise LabelsError(
            f"'{name}' has the label {highest}, for which the network has no class; it learns "
            f"{classes}. Use these numbers, or a network with more classes."
        )


def are_single_slices(painted: NDArray[np.bool_]) -> bool:
    """Whether a slice of a volume is painted and those beside it are not, (Z, H, W) bool.

    Who paints whole cells of a volume paints slice after slice.
    """
    if painted.ndim != 3:
        return False
    is_painted = np.pad(painted.any(axis=(1, 2)), 1)
    return bool((is_painted[1:-1] & ~is_painted[:-2] & ~is_painted[2:]).any())
