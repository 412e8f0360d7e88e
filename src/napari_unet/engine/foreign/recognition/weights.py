"""A state dict put together to layers, and these to convolutions with their norms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Literal, TypeAlias

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError

Kind: TypeAlias = Literal["convolution", "norm", "prelu"]

_WORD = re.compile(r"\d+|[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")


@dataclass(frozen=True, slots=True)
class WeightLayer:
    """One layer that has weights."""

    name: str
    """Path of its tensors, without the last part."""
    kind: Kind
    shape: tuple[int, ...]
    """Of its weight; of the running mean, where there is no weight."""
    bias: int
    """Numbers in its bias; 0 without one."""
    affine: bool
    tracks: bool
    """`affine`, `tracks`: whether it has a weight, a running mean and variance."""
    place: int
    """Where it stands in the file."""

    @property
    def gives(self) -> tuple[int, ...]:
        """Channels that a convolution may give."""
        # Even kernels may belong to transposed convolutions, whose axes are the other way round.
        is_even = self.shape[2] > 1 and not self.shape[2] % 2
        return self.shape[:2] if is_even else self.shape[:1]


@dataclass(frozen=True, slots=True)
class Unit:
    """A convolution and what belongs to it."""

    number: int
    """Of the unit, counted in the order of the file."""
    name: str
    """Of the convolution."""
    words: tuple[str, ...]
    """Words and numbers in its name."""
    shape: tuple[int, ...]
    """Of the weight of the convolution."""
    bias: int
    """Numbers in its bias; 0 without one."""
    norm_before: WeightLayer | None = None
    norm_after: WeightLayer | None = None
    prelu: WeightLayer | None = None

    @property
    def pattern(self) -> tuple[str, ...]:
        """Words of its name without the numbers, which units of other levels share."""
        return tuple(word for word in self.words if not is_number(word))

    @property
    def kernel(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.shape[2:]

    @property
    def container(self) -> str:
        """Path of what it lies in."""
        return self.name.rpartition(".")[0]

    def can_give(self, channels: int) -> bool:
        """Whether its bias and its norm are for so many channels."""
        norm = self.norm_after
        return self.bias in (0, channels) and (norm is None or norm.shape[0] == channels)

    @property
    def is_even(self) -> bool:
        """Whether its kernel has no centre, as those that change the size often have."""
        return self.kernel[-1] % 2 == 0

    @property
    def is_pointwise(self) -> bool:
        """Whether it reads no neighbours."""
        return all(length == 1 for length in self.kernel)


def words(name: str) -> tuple[str, ...]:
    """Words and numbers that a name is made of; a dot marks the numbers of a list."""
    found: list[str] = []
    for piece in name.split("."):
        found += [f".{piece}"] if piece.isdigit() else _WORD.findall(piece) or [piece]
    return tuple(found)


def is_number(word: str) -> bool:
    """Whether a part of a name is a number."""
    return word.lstrip(".").isdigit()


def natural_key(unit: Unit) -> tuple[tuple[int, str], ...]:
    """Sort key by which numbers in names are numbers."""
    return tuple(
        (int(word.lstrip(".")), "") if is_number(word) else (-1, word) for word in unit.words
    )


def places_apart(before: str, after: str) -> int | None:
    """How many places apart two names stand in one sequence; None if they are in none."""
    one, _, first = before.rpartition(".")
    other, _, second = after.rpartition(".")
    if one != other or not (first.isdigit() and second.isdigit()):
        return None
    return int(second) - int(first)


def shared_beginning(one: Sequence[object], other: Sequence[object]) -> int:
    """How many entries, such as words of names, two sequences begin with in common."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def no_unet(why: str, layers: Sequence[WeightLayer]) -> CheckpointError:
    """Say what was found instead of a U-Net."""
    convolutions = [layer.shape for layer in layers if layer.kind == "convolution"]
    found = ""
    if convolutions:
        most = max(max(shape[:2]) for shape in convolutions)
        found = f"; found were {len(convolutions)} convolutions of up to {most} channels"
    return CheckpointError(
        f"The architecture of this network is unknown: {why}{found}. Expected a U-Net, whose "
        "convolutions shrink the image and enlarge it again, with skips between; open the file "
        "with the program that made it, and export the network from there as ONNX."
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
