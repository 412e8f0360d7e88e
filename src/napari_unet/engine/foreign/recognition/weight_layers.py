"""The tensors of a state dict, put together to the layers that they are the weights of."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from napari_unet.engine.base.errors import CheckpointError

Kind: TypeAlias = Literal["convolution", "norm", "prelu"]

_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_COUNTS = ("total_ops", "total_params")
_NOT_OF_THE_NETWORK = re.compile(r"(?:.*[._])?(?:loss|criterion|metrics?)(?:[._].*)?")
_WORD = re.compile(r"\d+|[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")


@dataclass(frozen=True, slots=True)
class WeightLayer:
    """One layer that has weights.

    Parameters
    ----------
    name : str
        Path of its tensors, without the last part.
    kind : {"convolution", "norm", "prelu"}
    shape : tuple of int
        Of its weight; of the running mean, where there is no weight.
    bias : int
        Numbers in its bias; 0 without one.
    affine, tracks : bool
        Whether it has a weight, a running mean and variance.
    place : int
        Where it stands in the file.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    bias: int
    affine: bool
    tracks: bool
    place: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A convolution and what belongs to it.

    Parameters
    ----------
    number : int
        Of the unit, counted in the order of the file.
    name : str
        Of the convolution.
    words : tuple of str
        Words and numbers in its name.
    shape : tuple of int
        Of the weight of the convolution.
    bias : int
        Numbers in its bias; 0 without one.
    norm_before, norm_after, prelu : WeightLayer, optional
    """

    number: int
    name: str
    words: tuple[str, ...]
    shape: tuple[int, ...]
    bias: int
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
    def is_pointwise(self) -> bool:
        """Whether it reads no neighbours."""
        return all(length == 1 for length in self.kernel)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a state dict holds.

    Parameters
    ----------
    units : tuple of Unit
        Convolutions, in the order of the file.
    layers : tuple of WeightLayer
        All layers, in the order of the file.
    is_registered : bool
        Whether the file has them in the order in which the author made them,
        rather than sorted by name or in no order at all.
    """

    units: tuple[Unit, ...]
    layers: tuple[WeightLayer, ...]
    is_registered: bool


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
    containers = [key.rpartition(".")[0].rpartition(".")[0] for key in keys]
    runs = sum(one != other for one, other in itertools.pairwise(containers)) + 1
    return keys != sorted(keys) and runs == len(set(containers))


# -- which norm belongs to which convolution ------------------------------------------------------


def _units(layers: Sequence[WeightLayer], *, is_registered: bool) -> tuple[Unit, ...]:
    convolutions = [layer for layer in layers if layer.kind == "convolution"]
    before: dict[str, WeightLayer] = {}
    after: dict[str, WeightLayer] = {}
    owners = _neighbours(layers) if is_registered else None
    for norm, owner, is_before in owners or _owners(layers, convolutions):
        taken = before if is_before else after
        if owner.name in taken:
            raise no_unet(f"'{norm.name}' belongs to no convolution", layers)
        taken[owner.name] = norm
    prelus = _prelus(layers, convolutions)
    return tuple(
        Unit(
            number,
            layer.name,
            words(layer.name),
            layer.shape,
            layer.bias,
            before.get(layer.name),
            after.get(layer.name),
            prelus.get(layer.name),
        )
        for number, layer in enumerate(convolutions)
    )


_Owned: TypeAlias = tuple[WeightLayer, WeightLayer, bool]


def _neighbours(layers: Sequence[WeightLayer]) -> list[_Owned] | None:
    """Each norm with the convolution registered right before or after it, if that fits for all."""
    norms = [layer for layer in layers if layer.kind == "norm"]
    main = [layer for layer in layers if layer.kind != "prelu"]
    places = {layer.name: place for place, layer in enumerate(main)}
    for is_before, step in ((False, -1), (True, 1)):
        found = []
        for norm in norms:
            place = places[norm.name] + step
            if not 0 <= place < len(main) or main[place].kind != "convolution":
                break
            fits_in, fits_out = _fits(norm, main[place])
            if not (fits_in if is_before else fits_out):
                break
            found.append((norm, main[place], is_before))
        else:
            return found
    return None


def _owners(layers: Sequence[WeightLayer], convolutions: Sequence[WeightLayer]) -> Iterable[_Owned]:
    """Each norm with its convolution, and whether it comes before it."""
    norms = [layer for layer in layers if layer.kind == "norm"]
    neighbours = _neighbourhoods(convolutions)
    votes: dict[tuple[str, ...], int] = {}
    chosen: list[tuple[WeightLayer, list[WeightLayer]]] = []
    for norm in norms:
        fitting = _closest(norm, neighbours)
        chosen.append((norm, fitting))
        for layer in fitting[:1]:
            fits_in, fits_out = _fits(norm, layer)
            votes[_relation(norm, layer)] = votes.get(_relation(norm, layer), 0) + (
                fits_out - fits_in
            )
    taken: set[tuple[str, bool]] = set()
    for norm, fitting in chosen:
        for layer in fitting:
            fits_in, fits_out = _fits(norm, layer)
            is_before = not fits_out or (fits_in and votes.get(_relation(norm, layer), 0) < 0)
            if (layer.name, is_before) not in taken:
                taken.add((layer.name, is_before))
                yield norm, layer, is_before
                break
        else:
            raise no_unet(f"'{norm.name}' belongs to no convolution", layers)


def _neighbourhoods(convolutions: Sequence[WeightLayer]) -> dict[str, list[WeightLayer]]:
    """Convolutions below each path."""
    found: dict[str, list[WeightLayer]] = {}
    for layer in convolutions:
        path = layer.name
        while path:
            path = path.rpartition(".")[0]
            found.setdefault(path, []).append(layer)
    return found


def _closest(
    norm: WeightLayer, neighbours: Mapping[str, Sequence[WeightLayer]]
) -> list[WeightLayer]:
    """Convolutions that a norm may belong to, the likeliest first."""
    path = norm.name
    while path:
        path = path.rpartition(".")[0]
        fitting = [layer for layer in neighbours.get(path, ()) if any(_fits(norm, layer))]
        if fitting:
            return sorted(fitting, key=lambda layer: _distance(norm, layer))
    return []


def _distance(norm: WeightLayer, layer: WeightLayer) -> tuple[bool, bool, bool, int]:
    """Sorts by: numbers in the names differ; enlarges; stands behind it; how far away."""
    last, other = norm.name.rpartition(".")[2], layer.name.rpartition(".")[2]
    if last.isdigit() and other.isdigit():
        away = int(last) - int(other)
        return False, False, away < 0, abs(away)
    numbers = [word for word in words(norm.name) if is_number(word)]
    others = [word for word in words(layer.name) if is_number(word)]
    away = norm.place - layer.place
    return numbers != others, len(_outputs(layer)) > 1, away < 0, abs(away)


def _fits(norm: WeightLayer, layer: WeightLayer) -> tuple[bool, bool]:
    """Whether a norm has the channels that a convolution reads, and those that it gives."""
    channels = norm.shape[0]
    return channels == layer.shape[1], channels in _outputs(layer)


def _outputs(layer: WeightLayer) -> tuple[int, ...]:
    # Even kernels may belong to transposed convolutions, whose axes are the other way round.
    return layer.shape[:2] if layer.shape[2] > 1 and not layer.shape[2] % 2 else layer.shape[:1]


def _relation(norm: WeightLayer, layer: WeightLayer) -> tuple[str, ...]:
    """How their names differ, numbers left out: the same for all blocks of a network."""
    ours, theirs = words(norm.name), words(layer.name)
    shared = 0
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            break
        shared += 1
    rest = (*ours[shared:], "|", *theirs[shared:])
    last, other = norm.name.rpartition(".")[2], layer.name.rpartition(".")[2]
    if last.isdigit() and other.isdigit() and len(ours) == len(theirs) == shared + 1:
        return ("behind" if int(last) > int(other) else "before",)
    return tuple(word for word in rest if not is_number(word))


def _prelus(
    layers: Sequence[WeightLayer], convolutions: Sequence[WeightLayer]
) -> dict[str, WeightLayer]:
    """Name of each convolution to the PReLU that follows it."""
    prelus = [layer for layer in layers if layer.kind == "prelu"]
    neighbours = _neighbourhoods(convolutions)
    found: dict[str, WeightLayer] = {}
    for prelu in prelus:
        path = prelu.name
        while path:
            path = path.rpartition(".")[0]
            near = [c for c in neighbours.get(path, ()) if prelu.shape[0] in (1, c.shape[0])]
            if near:
                break
        free = [layer for layer in near if layer.name not in found] if path or near else []
        if not free:
            raise no_unet(f"'{prelu.name}' belongs to no convolution", layers)
        found[min(free, key=lambda layer: _distance(prelu, layer)).name] = prelu
    return found
