"""What the classes of a network mean, and which of them are types of cells.

A network that tells types of cells apart has a class for each, named
"cell: mitotic". Wherever cells are found or outlined, these count as one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.images.image import LabelImage, Scores

BACKGROUND, CELL, BORDER = "background", "cell", "border"

Types: TypeAlias = Mapping[int, str]
"""Type of cells by their label; cells without one are of any."""

_TYPE = f"{CELL}: "

MOST_TYPES = 100
"""That a network tells apart; more are rather names of cells."""


def is_cell(role: str) -> bool:
    """Whether a class is cells, or a type of them."""
    return role == CELL or role.startswith(_TYPE)


def types_of(class_roles: Sequence[str]) -> tuple[str, ...]:
    """Types of cells that these classes tell apart, in their order; () if they do not."""
    return tuple(role.removeprefix(_TYPE) for role in class_roles if role.startswith(_TYPE))


def typed_roles(class_roles: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
    """Class roles with a class for each type in the place of "cell".

    Raises
    ------
    SettingsError
        If these are no types to be told apart.

    Examples
    --------
    >>> typed_roles(("background", "cell", "border"), ("mitotic", "other"))
    ('background', 'cell: mitotic', 'cell: other', 'border')
    """
    names = [name.strip() for name in types]
    if not all(names) or len(set(names)) < len(names):
        raise SettingsError(
            f"The types of cells are {', '.join(map(repr, types))}; give each a name of its own."
        )
    if len(names) == 1:
        raise SettingsError(
            f"All cells with a type are '{names[0]}'; a network learns to tell types apart from "
            "cells of two or more, so give some cells another type, or leave the types out."
        )
    if len(names) > MOST_TYPES:
        raise SettingsError(
            f"The cells have {len(names)} types, and a network tells {MOST_TYPES} apart at most; "
            "give cells of a kind the same name."
        )
    typed: list[str] = []
    for role in class_roles:
        typed += [_TYPE + name for name in names] if role == CELL else [role]
    return tuple(typed)


def cell_groups(class_roles: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Class roles with all types of cells as one "cell", and the channels of each.

    Examples
    --------
    >>> cell_groups(("background", "cell: a", "cell: b", "border"))
    [('background', [0]), ('cell', [1, 2]), ('border', [3])]
    """
    numbered = [(CELL if is_cell(role) else role, index) for index, role in enumerate(class_roles)]
    groups = [
        (role, [index for _, index in group]) for role, group in groupby(numbered, lambda n: n[0])
    ]
    if len({role for role, _ in groups}) < len(groups):
        raise SettingsError(
            f"The network's classes are {', '.join(class_roles)}; its types of cells must follow "
            "each other."
        )
    return groups


def roles_as_cells(class_roles: Sequence[str]) -> tuple[str, ...]:
    """Class roles with all types of cells as one "cell"."""
    return tuple(role for role, _ in cell_groups(class_roles))


def as_cells(scores: Scores, class_roles: Sequence[str]) -> tuple[Scores, tuple[str, ...]]:
    """Scores in which a cell is a cell, whatever its type: the types' scores are summed.

    Parameters
    ----------
    scores : (C, *S) float array
    class_roles : sequence of str

    Returns
    -------
    scores : (C', *S) float array
        The same if there are no types.
    class_roles : tuple of str
    """
    if not types_of(class_roles):
        return scores, tuple(class_roles)
    groups = cell_groups(class_roles)
    summed = np.empty((len(groups), *scores.shape[1:]), scores.dtype)
    for each, (_, channels) in zip(summed, groups, strict=True):
        np.sum(scores[channels[0] : channels[-1] + 1], axis=0, out=each)
    return summed, tuple(role for role, _ in groups)


def some_cell(class_roles: Sequence[str]) -> int:
    """Class index, above all others, of a cell of which nobody knows the type."""
    return len(class_roles)


def typed_target(
    target: NDArray[np.int64], labels: LabelImage, class_roles: Sequence[str], types: Types
) -> NDArray[np.int64]:
    """Class index of each pixel of a network that knows types, from that of one that does not.

    Parameters
    ----------
    target : int64 array
        Index among `roles_as_cells(class_roles)`.
    labels : integer array of the same shape
        Cells.
    types : mapping of int to str

    Returns
    -------
    int64 array of the same shape
        Index among `class_roles`, or `some_cell` in cells without a type.
    """
    groups = cell_groups(class_roles)
    cell = next(index for index, (role, _) in enumerate(groups) if role == CELL)
    firsts = np.array([channels[0] for _, channels in groups])
    firsts[cell] = some_cell(class_roles)
    found = firsts[target]
    if not types:
        return found
    known = list(types_of(class_roles))
    numbers = np.array(sorted(types), np.int64)
    classes = np.array([groups[cell][1][known.index(types[number])] for number in numbers.tolist()])
    inside = target == cell
    own = labels[inside]
    places = np.minimum(np.searchsorted(numbers, own), numbers.size - 1)
    found[inside] = np.where(numbers[places] == own, classes[places], some_cell(class_roles))
    return found
