"""The network that a training with types of cells begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.networks.class_roles import CELL, typed_roles
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.pairs import TrainingPair, types_in
from napari_unet.engine.training.state import network_with


def network_for(network: Network, pairs: Sequence[TrainingPair]) -> Network:
    """Return a network that has a class for each type of cell that the pairs show.

    One that knows types, and any for pairs without types, is returned as it is.

    Raises
    ------
    TrainingError
        If it cannot be given types.
    SettingsError
        If there is one type only.
    """
    types = types_in(pairs)
    description = network.description
    if not types or description.cell_types:
        return network
    if CELL not in description.class_roles:
        raise TrainingError(
            f"The model '{description.name}' tells {', '.join(description.class_roles)} apart and "
            "finds no cells, so their types cannot be learned; begin with another model, or leave "
            "the types out."
        )
    if not isinstance(network.unet, UNet):
        raise TrainingError(
            f"The model '{description.name}' was made by another program, and its last layer "
            "cannot be widened by types of cells; begin with a bundled model, with a new one, or "
            "leave the types out."
        )
    return with_types(network, types)


def with_types(network: Network, types: Sequence[str]) -> Network:
    """Split the class of cells into one for each type, all equally likely at first.

    The types' scores sum to what the score of a cell was, so that it finds the
    same cells.

    Parameters
    ----------
    network : Network
        A U-Net of ours with the class "cell".
    types : sequence of str
        Two or more.
    """
    before = network.description
    roles = typed_roles(before.class_roles, types)
    cell = before.class_roles.index(CELL)
    sources = [*range(cell), *[cell] * len(types), *range(cell + 1, len(before.class_roles))]
    weights = dict(network.unet.state_dict())
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][sources].clone()
    weights["head.bias"][cell : cell + len(types)] -= math.log(len(types))
    config = replace(cast("UNetConfig", before.architecture), classes=len(roles))
    return network_with(weights, replace(before, architecture=config, class_roles=roles))


def note_of_types(pairs: Sequence[TrainingPair], description: NetworkDescription) -> str | None:
    """Say which types nothing is learned of, and of how many cells no type is known."""
    if not description.cell_types:
        return None
    there = types_in(pairs)
    missing = [name for name in description.cell_types if name not in there]
    if missing:
        return (
            f"No cell to learn from has the type {', '.join(map(repr, missing))}, so nothing is "
            "learned of it."
        )
    cells = untyped = 0
    for pair in pairs:
        labels, types = pair.checked_labels(), pair.checked_types()
        numbers = np.unique(labels[labels > 0]).tolist()
        cells += len(numbers)
        untyped += sum(number not in types for number in numbers)
    if not untyped:
        return None
    have = "has" if untyped == 1 else "have"
    return f"{untyped} of {cells} cells {have} no type, and count as cells of any type."
