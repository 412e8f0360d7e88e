"""A state dict put together to layers, and these to convolutions with their norms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor

from napari_unet.engine.foreign.recognition.weight_layers import (
    Kind,
    Unit,
    WeightLayer,
    is_number,
    no_unet,
    places_apart,
    shared_beginning,
    words,
)

_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_COUNTS = ("total_ops", "total_params")
_NOT_OF_THE_NETWORK = re.compile(r"(?:.*[._])?(?:loss|criterion|metrics?)(?:[._].*)?")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a state dict holds."""

    units: tuple[Unit, ...]
    """Convolutions, in the order of the file."""
    layers: tuple[WeightLayer, ...]
    """All layers, in the order of the file."""
    is_registered: bool
    """Whether the file has them in the order in which the author made them, rather than
    sorted by name or in no order at all."""


def read_weights(tensors: Mapping[str, Tensor]) -> Weights:
    """Put tensors together to layers, and these to convolutions with their norms.

    Raises
    ------
    CheckpointError
        If there are layers that no U-Net has.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition(".")
        if not _is_beside_the_network(name, part, tensor):
            parts.setdefault(name, {})[part] = tensor
    layers = tuple(_layer(name, found, i) for i, (name, found) in enumerate(parts.items()))
    if not any(layer.kind == "convolution" for layer in layers):
        raise no_unet("it has no convolution", layers)
    is_registered = _is_registered(tensors)
    return Weights(_units(layers, is_registered=is_registered), layers, is_registered)


def _is_beside_the_network(name: str, part: str, tensor: Tensor) -> bool:
    """Whether a tensor belongs to a loss, to a count of operations, or to no layer at all."""
    if part in _COUNTS or _NOT_OF_THE_NETWORK.fullmatch(name):
        return True
    return not name and part not in _PARTS and tensor.ndim < 2


def _layer(name: str, parts: Mapping[str, Tensor], place: int) -> WeightLayer:
    shapes = {part: tuple(tensor.shape) for part, tensor in parts.items()}
    unknown = [part for part in parts if part not in _PARTS]
    shape = shapes.get("weight", shapes.get("running_mean", ()))
    if unknown or not shape or len(shape) in (2, 3) or len(shape) > 5:
        part = (unknown or [p for p in _PARTS if p in parts])[0]
        full = f"{name}.{part}" if name else part
        what = "a fully connected layer" if len(shape) == 2 else "a layer of another kind"
        raise no_unet(f"'{full}' of shape {_text(shapes[part])} belongs to {what}", ())
    kind: Kind = "convolution"
    if len(shape) == 1:
        kind = "norm" if "bias" in parts or "running_mean" in parts else "prelu"
    _check(name, kind, parts)
    return WeightLayer(
        name,
        kind,
        shape,
        (shapes.get("bias") or (0,))[0],
        "weight" in parts,
        "running_mean" in parts,
        place,
    )


def _check(name: str, kind: Kind, parts: Mapping[str, Tensor]) -> None:
    """Raise unless the tensors of a layer go together."""
    numbers = {part: tensor for part, tensor in parts.items() if part != "num_batches_tracked"}
    if any(tensor.is_complex() or not tensor.is_floating_point() for tensor in numbers.values()):
        raise no_unet(f"the numbers of '{name}' are no floats", ())
    lengths = {tuple(t.shape) for part, t in numbers.items() if kind == "norm" or part != "weight"}
    extra = numbers.keys() - ({"weight", "bias"} if kind == "convolution" else set(_PARTS))
    if (
        len(lengths) > 1
        or any(len(length) != 1 for length in lengths)
        or any(tensor.numel() == 0 for tensor in numbers.values())
        or ("running_mean" in parts) != ("running_var" in parts)
        or extra
    ):
        raise no_unet(f"the tensors of '{name}' do not go together", ())


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _is_registered(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the order of the keys is that in which an author made the layers."""
    keys = list(tensors)
    biases = [index for index, key in enumerate(keys) if key.endswith(".bias")]
    if biases:
        # Sorting puts the bias before the weight.
        return all(i > 0 and keys[i - 1] == f"{keys[i][:-5]}.weight" for i in biases)
    return keys != sorted(keys)


# -- which norm belongs to which convolution ------------------------------------------------------

_Owned: TypeAlias = tuple[WeightLayer, WeightLayer, bool]
"""A norm, its convolution, and whether it stands before that."""


def _units(layers: Sequence[WeightLayer], *, is_registered: bool) -> tuple[Unit, ...]:
    convolutions = [layer for layer in layers if layer.kind == "convolution"]
    near = _Neighbours(convolutions)
    owned = (_registered_owners(layers) if is_registered else None) or _owners(layers, near)
    norms: dict[tuple[str, bool], WeightLayer] = {}
    for norm, owner, is_before in owned:
        if (owner.name, is_before) in norms:
            raise no_unet(f"'{norm.name}' belongs to no convolution", layers)
        norms[owner.name, is_before] = norm
    prelus = _prelus(layers, near)
    return tuple(
        Unit(
            number,
            layer.name,
            words(layer.name),
            layer.shape,
            layer.bias,
            norms.get((layer.name, True)),
            norms.get((layer.name, False)),
            prelus.get(layer.name),
        )
        for number, layer in enumerate(convolutions)
    )


def _registered_owners(layers: Sequence[WeightLayer]) -> list[_Owned] | None:
    """Each norm with the convolution registered right before or after it, if that fits for all."""
    main = [layer for layer in layers if layer.kind != "prelu"]
    for is_before, step in ((False, -1), (True, 1)):
        found: list[_Owned] = []
        for place, norm in enumerate(main):
            if norm.kind != "norm":
                continue
            beside = main[place + step] if 0 <= place + step < len(main) else norm
            if beside.kind != "convolution" or not _fits(norm, beside)[not is_before]:
                break
            found.append((norm, beside, is_before))
        else:
            return found
    return None


def _owners(layers: Sequence[WeightLayer], near: _Neighbours) -> list[_Owned]:
    """Each norm with its convolution, going by their names and channels."""
    norms = [layer for layer in layers if layer.kind == "norm"]
    fitting = [near.to(norm, partial(_fits_either_side, norm)) for norm in norms]
    # Where channels fit on both sides, it is as for others whose names differ alike.
    votes: Counter[tuple[str, ...]] = Counter()
    for norm, found in zip(norms, fitting, strict=True):
        for layer in found[:1]:
            fits_in, fits_out = _fits(norm, layer)
            votes[_relation(norm, layer)] += fits_out - fits_in
    taken: dict[tuple[str, bool], _Owned] = {}
    for norm, found in zip(norms, fitting, strict=True):
        for layer in found:
            fits_in, fits_out = _fits(norm, layer)
            is_before = not fits_out or (fits_in and votes[_relation(norm, layer)] < 0)
            if (layer.name, is_before) not in taken:
                taken[layer.name, is_before] = norm, layer, is_before
                break
        else:
            raise no_unet(f"'{norm.name}' belongs to no convolution", layers)
    return list(taken.values())


class _Neighbours:
    """Convolutions below each path."""

    def __init__(self, convolutions: Sequence[WeightLayer]) -> None:
        self._below: dict[str, list[WeightLayer]] = {}
        for layer in convolutions:
            for path in _paths(layer.name):
                self._below.setdefault(path, []).append(layer)

    def to(self, layer: WeightLayer, fits: Callable[[WeightLayer], bool]) -> list[WeightLayer]:
        """Convolutions below the innermost path around a layer that has any that fit, sorted."""
        for path in _paths(layer.name):
            fitting = list(filter(fits, self._below.get(path, ())))
            if fitting:
                return sorted(fitting, key=lambda other: _distance(layer, other))
        return []


def _paths(name: str) -> list[str]:
    """Paths around a name, the innermost first; the last is empty."""
    pieces = name.split(".")
    return [".".join(pieces[:depth]) for depth in reversed(range(len(pieces)))]


def _distance(norm: WeightLayer, layer: WeightLayer) -> tuple[bool, bool, bool, int]:
    """Sorts by: numbers in the names differ; enlarges; stands behind it; how far away."""
    last, other = norm.name.rpartition(".")[2], layer.name.rpartition(".")[2]
    if last.isdigit() and other.isdigit():
        away = int(last) - int(other)
        return False, False, away < 0, abs(away)
    numbers, others = (list(filter(is_number, words(each.name))) for each in (norm, layer))
    away = norm.place - layer.place
    return numbers != others, len(layer.gives) > 1, away < 0, abs(away)


def _fits(norm: WeightLayer, layer: WeightLayer) -> tuple[bool, bool]:
    """Whether a norm has the channels that a convolution reads, and those that it gives."""
    channels = norm.shape[0]
    return channels == layer.shape[1], channels in layer.gives


def _fits_either_side(norm: WeightLayer, layer: WeightLayer) -> bool:
    return any(_fits(norm, layer))


def _can_bend(prelu: WeightLayer, layer: WeightLayer) -> bool:
    return prelu.shape[0] in (1, layer.shape[0])


def _relation(norm: WeightLayer, layer: WeightLayer) -> tuple[str, ...]:
    """How their names differ, numbers left out: the same for all blocks of a network."""
    away = places_apart(layer.name, norm.name)
    if away is not None:
        return ("behind" if away > 0 else "before",)
    ours, theirs = words(norm.name), words(layer.name)
    shared = shared_beginning(ours, theirs)
    return tuple(w for w in (*ours[shared:], "|", *theirs[shared:]) if not is_number(w))


def _prelus(layers: Sequence[WeightLayer], near: _Neighbours) -> dict[str, WeightLayer]:
    """Name of each convolution to the PReLU that follows it."""
    found: dict[str, WeightLayer] = {}
    for prelu in (layer for layer in layers if layer.kind == "prelu"):
        fitting = near.to(prelu, partial(_can_bend, prelu))
        free = [layer.name for layer in fitting if layer.name not in found]
        if not free:
            raise no_unet(f"'{prelu.name}' belongs to no convolution", layers)
        found[free[0]] = prelu
    return found
