"""The network that a training with types of cells begins with.

References
----------
Kumar et al. (2022), Fine-tuning can distort pretrained features: the last layer is fitted before
all layers learn. https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_unet.engine.base.errors import TrainingError
from napari_unet.engine.networks.class_roles import CELL, typed_roles, types_of
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.pairs import TrainingPair, types_in
from napari_unet.engine.training.patches import Patches
from napari_unet.engine.training.state import network_with

_BATCHES, _MOST_PIXELS = 16, 2_000
"""From which the types are fitted, and pixels of each."""

_SHRINKS = 0.01
"""Ridge on the weights of features with unit spread."""


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


def with_fitted_types(
    network: Network,
    patches: Patches,
    *,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> Network:
    """Let the last layer of a network that was given types tell them apart as well as it can.

    All other layers stay. A logistic regression of the types on the features in their cells, in
    the first batches of a training: that of a few images at a time would take many steps to leave
    the middle.

    Parameters
    ----------
    should_stop : callable
        Asked after each batch; the network is returned as it is then.
    """
    unet, roles = cast("UNet", network.unet), network.description.class_roles
    first, count = roles.index(typed_roles((CELL,), types_of(roles))[0]), len(types_of(roles))
    looking = copy.deepcopy(unet).eval().to(device)
    seen: list[Tensor] = []
    looking.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features, types = [], []
    for step in range(_BATCHES):
        if should_stop():
            return network
        batch = patches.batch(step)
        with torch.inference_mode():
            looking(batch.images[: batch.new].to(device))
        own = (batch.target[: batch.new] - first).reshape(-1)
        is_typed = (own >= 0) & (own < count) & (batch.weights[: batch.new].reshape(-1) > 0)
        places = is_typed.nonzero()[:, 0]
        places = places[:: max(1, math.ceil(len(places) / _MOST_PIXELS))]
        columns = seen.pop().movedim(1, -1).flatten(0, -2).float().cpu()
        features.append(columns[places].clone())
        types.append(own[places])
    weight, bias = _logistic(torch.cat(features), torch.cat(types), patches.type_weights)
    weights = dict(unet.state_dict())
    rows = slice(first, first + count)
    for name, change in (("head.weight", weight), ("head.bias", bias)):
        weights[name] = weights[name].clone()
        weights[name][rows] += change.reshape(weights[name][rows].shape).to(weights[name])
    return network_with(weights, network.description)


def _logistic(
    features: Tensor, types: Tensor, type_weights: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Weights (types, features) and biases of a logistic regression; zeros of a single type."""
    count = len(type_weights)
    if int(types.bincount(minlength=count).count_nonzero()) < 2:
        return torch.zeros(count, features.shape[1]), torch.zeros(count)
    mean, spread = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / spread
    fitted = torch.zeros(count, features.shape[1] + 1, requires_grad=True)
    balance = torch.tensor(type_weights)
    solver = torch.optim.LBFGS([fitted], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> float:
        solver.zero_grad()
        logits = scaled @ fitted[:, 1:].T + fitted[:, 0]
        value = functional.cross_entropy(logits, types, balance)
        value = value + _SHRINKS * (fitted[:, 1:] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    solver.step(loss)  # type: ignore[no-untyped-call]
    weight = fitted.detach()[:, 1:] / spread
    bias = fitted.detach()[:, 0] - weight @ mean
    # Of all types together nothing changes.
    return weight - weight.mean(0), bias - bias.mean()


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
