"""What weights do not tell of a network, as choices that rewrite its graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layer_graph import (
    Activation,
    Convolution,
    Input,
    Join,
    Layer,
    Norm,
    Pad,
    Pool,
    Standardize,
    Upsample,
)


@dataclass(frozen=True, slots=True)
class LayerList:
    """The layers of a graph and which of them are the output.

    Parameters
    ----------
    layers : tuple of Layer
    outputs : tuple of int
    """

    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]


ACTIVATION, ACTIVATION_PLACE, SUM_ACTIVATION = "activation", "activation_place", "sum_activation"
SKIP_ORDER, UPSAMPLING, POOLING = "skip_order", "upsampling", "pooling"
PADDING, NORM, SECOND_INPUT = "padding", "norm", "second_input"

TITLES = {
    ACTIVATION: "Activation",
    ACTIVATION_PLACE: "Activation stands",
    SUM_ACTIVATION: "Activation of sums",
    SKIP_ORDER: "Order where paths meet",
    UPSAMPLING: "Enlarging",
    POOLING: "Shrinking",
    PADDING: "Padding",
    NORM: "Normalisation of features",
    SECOND_INPUT: "Second network reads",
}

_ACTIVATIONS: dict[str, tuple[str, float]] = {
    "ReLU": ("relu", 0.01),
    "leaky ReLU (0.01)": ("leaky_relu", 0.01),
    "leaky ReLU (0.1)": ("leaky_relu", 0.1),
    "leaky ReLU (0.2)": ("leaky_relu", 0.2),
    "ELU": ("elu", 1.0),
    "SELU": ("selu", 0.01),
    "GELU": ("gelu", 0.01),
    "SiLU": ("silu", 0.01),
    "Mish": ("mish", 0.01),
}
AFTER_NORM, BEFORE_NORM = "after the normalisation", "before the normalisation"
AFTER_SUM, BEFORE_SUM = "after the sum", "before the sum"
SKIP_FIRST, SKIP_LAST = "skip first", "enlarged first"
LINEAR, ALIGNED, NEAREST = "linear", "linear, corners aligned", "nearest"
LARGEST, MEAN, STRIDED = "largest of each block", "mean of each block", "strided convolution"
ZEROS, REFLECTED, REPEATED, UNPADDED = "zeros", "reflected", "repeated edge", "none"
INSTANCE = "instance"
RAW_OUTPUT, SIGMOID_OUTPUT = "image and output", "image and sigmoid of output"

OPTIONS: dict[str, tuple[str, ...]] = {
    ACTIVATION: tuple(_ACTIVATIONS),
    ACTIVATION_PLACE: (AFTER_NORM, BEFORE_NORM),
    SUM_ACTIVATION: (AFTER_SUM, BEFORE_SUM),
    SKIP_ORDER: (SKIP_FIRST, SKIP_LAST),
    UPSAMPLING: (LINEAR, ALIGNED, NEAREST),
    POOLING: (LARGEST, MEAN, STRIDED),
    PADDING: (ZEROS, REFLECTED, REPEATED, UNPADDED),
    NORM: (
        INSTANCE,
        "8 groups",
        "16 groups",
        "32 groups",
        "4 groups",
        "2 groups",
        "1 group",
        "groups of 4",
        "groups of 8",
        "groups of 16",
    ),
    SECOND_INPUT: (RAW_OUTPUT, SIGMOID_OUTPUT),
}


def activation(name: str) -> Activation:
    """Layer of an activation as it is named in `OPTIONS`."""
    kind, slope = _ACTIVATIONS[name]
    return Activation((0,), kind, slope)


def chosen(graph: LayerList, about: str, value: str) -> LayerList:
    """Rewrite a graph so that `value` is taken.

    Parameters
    ----------
    graph : LayerList
    about : str
        A key of `OPTIONS`.
    value : str
        One of its options.

    Raises
    ------
    SettingsError
        If there is no such choice.
    """
    if value not in OPTIONS.get(about, ()):
        raise SettingsError(
            f"'{about}' cannot be '{value}'; use one of {', '.join(OPTIONS.get(about, ()))}."
        )
    return _CHOICES[about](graph, value)


def open_choices(graph: LayerList) -> list[str]:
    """Choices that make a difference to a graph; what others depend on comes first."""
    kinds = {type(layer) for layer in graph.layers}
    tests: dict[str, bool] = {
        SKIP_ORDER: any(_is_skip_join(graph, layer) for layer in graph.layers),
        ACTIVATION: any(_is_hidden(graph, i) for i in range(len(graph.layers))),
        UPSAMPLING: Upsample in kinds,
        POOLING: Pool in kinds,
        PADDING: any(_can_pad(layer) for layer in graph.layers),
        NORM: any(isinstance(layer, Norm) and not layer.tracks for layer in graph.layers),
        ACTIVATION_PLACE: bool(_pairs(graph)),
        SUM_ACTIVATION: bool(_sums(graph)),
        SECOND_INPUT: bool(_second_inputs(graph)),
    }
    return [about for about, is_open in tests.items() if is_open]


# -- single layers changed ------------------------------------------------------------------------


def _changed(graph: LayerList, change: Callable[[Layer], Layer]) -> LayerList:
    return LayerList(tuple(map(change, graph.layers)), graph.outputs)


def _with_activation(graph: LayerList, value: str) -> LayerList:
    kind, slope = _ACTIVATIONS[value]
    layers = tuple(
        replace(layer, kind=kind, slope=slope)
        if isinstance(layer, Activation) and _is_hidden(graph, number)
        else layer
        for number, layer in enumerate(graph.layers)
    )
    return LayerList(layers, graph.outputs)


def _is_hidden(graph: LayerList, number: int) -> bool:
    """Whether a layer is an activation between convolutions, as opposed to the last one."""
    layer = graph.layers[number]
    return (
        isinstance(layer, Activation)
        and layer.kind not in ("prelu", "sigmoid", "softmax", "tanh")
        and number not in graph.outputs
    )


def _with_skip_order(graph: LayerList, value: str) -> LayerList:
    def change(layer: Layer) -> Layer:
        if not isinstance(layer, Join) or not _is_skip_join(graph, layer):
            return layer
        # The skip was computed before what was enlarged.
        low, high = sorted(layer.inputs)
        return replace(layer, inputs=(low, high) if value == SKIP_FIRST else (high, low))

    return _changed(graph, change)


def _is_skip_join(graph: LayerList, layer: Layer) -> bool:
    return (
        isinstance(layer, Join)
        and layer.kind == "concatenate"
        and len(layer.inputs) == 2
        and not any(_is_image(graph, index) for index in layer.inputs)
    )


def _is_image(graph: LayerList, index: int) -> bool:
    """Whether a layer is the image, or the image with its constant mean taken off."""
    layer = graph.layers[index]
    return isinstance(layer, Input) or (isinstance(layer, Standardize) and layer.inputs == (0,))


def _with_upsampling(graph: LayerList, value: str) -> LayerList:
    def change(layer: Layer) -> Layer:
        if not isinstance(layer, Upsample):
            return layer
        mode: Any = "nearest" if value == NEAREST else "linear"
        return replace(layer, mode=mode, align_corners=value == ALIGNED)

    return _changed(graph, change)


def _with_padding(graph: LayerList, value: str) -> LayerList:
    modes: Mapping[str, Any] = {ZEROS: "zeros", REFLECTED: "reflect", REPEATED: "replicate"}
    padded = int(value != UNPADDED)

    def change(layer: Layer) -> Layer:
        if isinstance(layer, Pad):
            taken = _taken_by_reader(graph, graph.layers.index(layer))
            before = tuple(padded * (n // 2) for n in taken)
            return replace(
                layer, before=before, after=tuple(padded * ((n + 1) // 2) for n in taken)
            )
        if not isinstance(layer, Convolution) or not _can_pad(layer):
            return layer
        padding = tuple(
            padded * d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel, strict=True)
        )
        return replace(layer, padding=padding, padding_mode=modes.get(value, "zeros"))

    return _changed(graph, change)


def _taken_by_reader(graph: LayerList, number: int) -> list[int]:
    """What the convolution behind a padding takes off, along each axis."""
    for layer in graph.layers:
        if isinstance(layer, Convolution) and layer.inputs == (number,):
            return [k - 1 for k in layer.kernel]
    raise SettingsError("A padding stands before no convolution.")


def _can_pad(layer: Layer) -> bool:
    return isinstance(layer, Convolution) and any(k > 1 and k % 2 for k in layer.kernel)


def _with_norm(graph: LayerList, value: str) -> LayerList:
    count = re.fullmatch(r"(\d+) groups?", value)
    size = re.fullmatch(r"groups of (\d+)", value)

    def change(layer: Layer) -> Layer:
        if not isinstance(layer, Norm) or layer.tracks:
            return layer
        if value == INSTANCE:
            return replace(layer, kind="instance", groups=1)
        wanted = int(count[1]) if count else layer.channels // int(size[1] if size else "1")
        # With fewer channels than groups, authors normalise them all together.
        fits = 0 < wanted <= layer.channels and layer.channels % wanted == 0
        if layer.channels >= wanted > 0 and not fits:
            raise SettingsError(
                f"'{layer.name}' has {layer.channels} channels, which are not {value}; "
                "choose another normalisation."
            )
        return replace(layer, kind="group", groups=wanted if fits else 1)

    return _changed(graph, change)


# -- neighbours that change places ----------------------------------------------------------------


def _users(graph: LayerList) -> dict[int, list[int]]:
    users: dict[int, list[int]] = {}
    for number, layer in enumerate(graph.layers):
        for index in layer.inputs:
            users.setdefault(index, []).append(number)
    return users


def _pairs(graph: LayerList) -> list[tuple[int, int]]:
    """Norms and activations that follow each other behind a convolution, in either order."""
    users, found = _users(graph), []
    for number, (one, other) in enumerate(zip(graph.layers, graph.layers[1:], strict=False)):
        kinds = {isinstance(one, Norm), isinstance(other, Norm)}
        if (
            other.inputs == (number,)
            and users[number] == [number + 1]
            and kinds == {True, False}
            and (isinstance(one, Activation) or isinstance(other, Activation))
            and isinstance(graph.layers[one.inputs[0]], Convolution)
        ):
            found.append((number, number + 1))
    return found


def _with_activation_place(graph: LayerList, value: str) -> LayerList:
    layers = list(graph.layers)
    for first, second in _pairs(graph):
        one, other = layers[first], layers[second]
        if isinstance(one, Norm) == (value == BEFORE_NORM):
            layers[first] = replace(other, inputs=one.inputs)
            layers[second] = replace(one, inputs=(first,))
    return LayerList(tuple(layers), graph.outputs)


def _sums(graph: LayerList) -> list[tuple[int, int]]:
    """Sums and the activations of their own: behind them, or of their first summand."""
    users, found = _users(graph), []
    for number, layer in enumerate(graph.layers[:-1]):
        after = graph.layers[number + 1]
        if isinstance(layer, Join) and layer.kind == "add":
            is_sum = isinstance(after, Activation) and after.inputs == (number,)
        else:
            is_sum = (
                isinstance(layer, Activation)
                and isinstance(after, Join)
                and after.kind == "add"
                and after.inputs[0] == number
            )
        if is_sum and users.get(number) == [number + 1]:
            found.append((number, number + 1))
    return found


def _with_sum_activation(graph: LayerList, value: str) -> LayerList:
    layers = list(graph.layers)
    for first, second in _sums(graph):
        one, other = layers[first], layers[second]
        if isinstance(one, Join) and value == BEFORE_SUM:
            layers[first] = replace(other, inputs=one.inputs[:1])
            layers[second] = replace(one, inputs=(first, *one.inputs[1:]))
        elif isinstance(other, Join) and value == AFTER_SUM:
            layers[first] = replace(other, inputs=(*one.inputs, *other.inputs[1:]))
            layers[second] = replace(one, inputs=(first,))
    return LayerList(tuple(layers), graph.outputs)


# -- layers added or left out ---------------------------------------------------------------------

_Emit: TypeAlias = Callable[[Layer], int]


def _rewritten(graph: LayerList, change: Callable[[int, Layer, _Emit], int | None]) -> LayerList:
    """Copy a graph layer by layer; `change` may emit others and return the number to use."""
    layers: list[Layer] = []
    places: dict[int, int] = {}

    def emit(layer: Layer) -> int:
        layers.append(layer)
        return len(layers) - 1

    for number, layer in enumerate(graph.layers):
        moved = layer
        if layer.inputs:
            moved = replace(layer, inputs=tuple(places[index] for index in layer.inputs))
        place = change(number, moved, emit)
        places[number] = emit(moved) if place is None else place
    return LayerList(tuple(layers), tuple(places[index] for index in graph.outputs))


def _with_pooling(graph: LayerList, value: str) -> LayerList:
    pools: dict[int, tuple[int, ...]] = {
        number: layer.stride for number, layer in enumerate(graph.layers) if isinstance(layer, Pool)
    }

    def change(number: int, layer: Layer, emit: _Emit) -> int | None:
        given = graph.layers[number].inputs
        if isinstance(layer, Pool):
            if value == STRIDED:
                return layer.inputs[0]
            return emit(replace(layer, kind="mean" if value == MEAN else "max"))
        if not isinstance(layer, Convolution):
            if value == STRIDED and any(index in pools for index in given):
                raise SettingsError(
                    "What shrinks the image is not followed by a convolution that could have a "
                    "stride; choose another way of shrinking."
                )
            return None
        if value == STRIDED and given[0] in pools:
            return emit(replace(layer, stride=pools[given[0]]))
        if value != STRIDED and any(
            s > 1 and k % 2 for s, k in zip(layer.stride, layer.kernel, strict=True)
        ):
            kind: Any = "mean" if value == MEAN else "max"
            pool = emit(Pool(layer.inputs, layer.stride, kind))
            return emit(replace(layer, inputs=(pool,), stride=(1,) * len(layer.stride)))
        return None

    return _rewritten(graph, change)


def _second_inputs(graph: LayerList) -> list[int]:
    """Joins of the image and of what a first network made of it."""
    return [
        number
        for number, layer in enumerate(graph.layers)
        if isinstance(layer, Join)
        and layer.kind == "concatenate"
        and len(layer.inputs) == 2
        and _is_image(graph, layer.inputs[0])
    ]


def _with_second_input(graph: LayerList, value: str) -> LayerList:
    read = {graph.layers[number].inputs[1] for number in _second_inputs(graph)}
    sigmoids = {index for index in read if _is_sigmoid(graph.layers[index])}
    if value == RAW_OUTPUT:
        return without(graph, sigmoids)
    joins = {n for n in _second_inputs(graph) if graph.layers[n].inputs[1] not in sigmoids}

    def change(number: int, layer: Layer, emit: _Emit) -> int | None:
        if number not in joins or not isinstance(layer, Join):
            return None
        return emit(
            replace(layer, inputs=(layer.inputs[0], emit(Activation(layer.inputs[1:], "sigmoid"))))
        )

    return _rewritten(graph, change)


def _is_sigmoid(layer: Layer) -> bool:
    return isinstance(layer, Activation) and layer.kind == "sigmoid"


def without(graph: LayerList, numbers: Iterable[int]) -> LayerList:
    """Leave out layers; what reads one of them reads what it read."""
    gone = set(numbers)

    def change(number: int, layer: Layer, _emit: _Emit) -> int | None:
        return layer.inputs[0] if number in gone else None

    return _rewritten(graph, change)


_CHOICES: Mapping[str, Callable[[LayerList, str], LayerList]] = {
    ACTIVATION: _with_activation,
    ACTIVATION_PLACE: _with_activation_place,
    SUM_ACTIVATION: _with_sum_activation,
    SKIP_ORDER: _with_skip_order,
    UPSAMPLING: _with_upsampling,
    POOLING: _with_pooling,
    PADDING: _with_padding,
    NORM: _with_norm,
    SECOND_INPUT: _with_second_input,
}
