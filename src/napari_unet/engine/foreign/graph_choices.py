"""What weights do not tell of a network, as choices that rewrite its graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layer_list import Emit, LayerList
from napari_unet.engine.networks.layers import (
    Activation,
    Convolution,
    Join,
    Layer,
    Norm,
    Pad,
    Pool,
    Standardize,
    Upsample,
)

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


def chosen(graph: LayerList, about: str, value: str) -> LayerList:
    """Rewrite a graph so that `value` is taken.

    Parameters
    ----------
    about : str
        A key of `OPTIONS`.

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
    tests: dict[str, bool] = {
        SKIP_ORDER: any(_is_skip_join(graph, join) for _, join in graph.each(Join)),
        ACTIVATION: any(_is_hidden(graph, *each) for each in graph.each(Activation)),
        UPSAMPLING: any(graph.each(Upsample)),
        POOLING: any(graph.each(Pool)),
        PADDING: any(_can_pad(layer) for _, layer in graph.each(Convolution)),
        NORM: any(not norm.tracks for _, norm in graph.each(Norm)),
        ACTIVATION_PLACE: bool(_pairs(graph)),
        SUM_ACTIVATION: bool(_sums(graph)),
        SECOND_INPUT: bool(_second_inputs(graph)),
    }
    return [about for about, is_open in tests.items() if is_open]


# -- single layers changed ------------------------------------------------------------------------


def _with_activation(graph: LayerList, value: str) -> LayerList:
    kind, slope = _ACTIVATIONS[value]

    def change(number: int, layer: Activation) -> Activation:
        is_hidden = _is_hidden(graph, number, layer)
        return replace(layer, kind=kind, slope=slope) if is_hidden else layer

    return graph.changed(Activation, change)


def _is_hidden(graph: LayerList, number: int, layer: Activation) -> bool:
    """Whether an activation stands between convolutions, as opposed to the last one."""
    return layer.kind not in ("prelu", "sigmoid", "softmax", "tanh") and number not in graph.outputs


def _with_skip_order(graph: LayerList, value: str) -> LayerList:
    def change(_: int, join: Join) -> Join:
        if not _is_skip_join(graph, join):
            return join
        # The skip was computed before what was enlarged.
        low, high = sorted(join.inputs)
        return replace(join, inputs=(low, high) if value == SKIP_FIRST else (high, low))

    return graph.changed(Join, change)


def _is_skip_join(graph: LayerList, join: Join) -> bool:
    return _joins_two(join) and not any(_is_image(graph, index) for index in join.inputs)


def _joins_two(join: Join) -> bool:
    return join.kind == "concatenate" and len(join.inputs) == 2


def _is_image(graph: LayerList, index: int) -> bool:
    """Whether a layer is the image, or the image with its constant mean taken off."""
    layer = graph.layers[index]
    return layer.is_image or (isinstance(layer, Standardize) and layer.inputs == (0,))


def _with_upsampling(graph: LayerList, value: str) -> LayerList:
    mode: Any = "nearest" if value == NEAREST else "linear"
    return graph.changed(
        Upsample, lambda _, layer: replace(layer, mode=mode, align_corners=value == ALIGNED)
    )


def _with_padding(graph: LayerList, value: str) -> LayerList:
    modes: Mapping[str, Any] = {ZEROS: "zeros", REFLECTED: "reflect", REPEATED: "replicate"}
    padded = int(value != UNPADDED)

    def change(_: int, layer: Convolution) -> Convolution:
        if not _can_pad(layer):
            return layer
        padding = tuple(
            padded * d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel, strict=True)
        )
        return replace(layer, padding=padding, padding_mode=modes.get(value, "zeros"))

    def change_pad(number: int, layer: Pad) -> Pad:
        taken = _taken_by_reader(graph, number)
        before = tuple(padded * (n // 2) for n in taken)
        return replace(layer, before=before, after=tuple(padded * ((n + 1) // 2) for n in taken))

    return graph.changed(Convolution, change).changed(Pad, change_pad)


def _taken_by_reader(graph: LayerList, number: int) -> list[int]:
    """What the convolution behind a padding takes off, along each axis."""
    for _, layer in graph.each(Convolution):
        if layer.inputs == (number,):
            return [k - 1 for k in layer.kernel]
    raise SettingsError("A padding stands before no convolution.")


def _can_pad(layer: Convolution) -> bool:
    return any(k > 1 and k % 2 for k in layer.kernel)


def _with_norm(graph: LayerList, value: str) -> LayerList:
    count = re.fullmatch(r"(\d+) groups?", value)
    size = re.fullmatch(r"groups of (\d+)", value)

    def change(_: int, norm: Norm) -> Norm:
        if norm.tracks:
            return norm
        if value == INSTANCE:
            return replace(norm, kind="instance", groups=1)
        wanted = int(count[1]) if count else norm.channels // int(size[1] if size else "1")
        # With fewer channels than groups, authors normalise them all together.
        fits = 0 < wanted <= norm.channels and norm.channels % wanted == 0
        if norm.channels >= wanted > 0 and not fits:
            raise SettingsError(
                f"'{norm.name}' has {norm.channels} channels, which are not {value}; "
                "choose another normalisation."
            )
        return replace(norm, kind="group", groups=wanted if fits else 1)

    return graph.changed(Norm, change)


# -- neighbours that change places ----------------------------------------------------------------


def _swapped(graph: LayerList, pairs: Mapping[tuple[int, int], str], order: str) -> LayerList:
    """The graph with all pairs, of neighbours of which the second alone reads the first, so."""
    layers = list(graph.layers)
    for first, second in (pair for pair, found in pairs.items() if found != order):
        one, other = layers[first], layers[second]
        # What else the two read, such as the other summand, is read by the same one as before.
        layers[first] = replace(other, inputs=(one.inputs[0], *other.inputs[1:]))
        layers[second] = replace(one, inputs=(first, *one.inputs[1:]))
    return LayerList(tuple(layers), graph.outputs)


def _neighbours(
    graph: LayerList, ones: Container[int], others: Container[int], orders: tuple[str, str]
) -> dict[tuple[int, int], str]:
    """Pairs of one and another kind that follow each other, and which of `orders` they are in.

    Of each pair only the second reads the first, and reads it first of all.
    """
    readers, found = graph.readers(), {}
    for number, after in enumerate(graph.layers[1:]):
        if after.inputs[:1] == (number,) and readers[number] == [number + 1]:
            if number in ones and number + 1 in others:
                found[number, number + 1] = orders[0]
            elif number in others and number + 1 in ones:
                found[number, number + 1] = orders[1]
    return found


def _pairs(graph: LayerList) -> dict[tuple[int, int], str]:
    """Norms and activations that follow each other behind a convolution, and their order."""
    kinds = dict(graph.each(Norm)), dict(graph.each(Activation))
    convolutions = dict(graph.each(Convolution))
    pairs = _neighbours(graph, *kinds, (AFTER_NORM, BEFORE_NORM))
    return {
        pair: order
        for pair, order in pairs.items()
        if graph.layers[pair[0]].inputs[0] in convolutions
    }


def _sums(graph: LayerList) -> dict[tuple[int, int], str]:
    """Sums and the activations of their own, and which of the two comes first."""
    sums = {number for number, join in graph.each(Join) if join.kind == "add"}
    return _neighbours(graph, sums, dict(graph.each(Activation)), (AFTER_SUM, BEFORE_SUM))


# -- layers added or left out ---------------------------------------------------------------------


def _with_pooling(graph: LayerList, value: str) -> LayerList:
    if value == STRIDED:
        return _with_strides(graph)
    kind: Any = "mean" if value == MEAN else "max"
    strided = {n: layer for n, layer in graph.each(Convolution) if _shrinks_at_its_centre(layer)}

    def change(number: int, layer: Layer, emit: Emit) -> int | None:
        if number not in strided:
            return None
        # What was once a pooling has become the stride of the convolution behind it.
        stride = strided[number].stride
        unstrided = replace(strided[number], stride=(1,) * len(stride))
        return emit(replace(unstrided, inputs=(emit(Pool(layer.inputs, stride, kind)),)))

    pooled = graph.changed(Pool, lambda _, pool: replace(pool, kind=kind))
    return pooled.rewritten(change)


def _shrinks_at_its_centre(layer: Convolution) -> bool:
    return any(s > 1 and k % 2 for s, k in zip(layer.stride, layer.kernel, strict=True))


def _with_strides(graph: LayerList) -> LayerList:
    """The graph with each pooling made the stride of the convolution behind it."""
    pools = dict(graph.each(Pool))
    readers, convolutions = graph.readers(), {number for number, _ in graph.each(Convolution)}
    if any(not convolutions.issuperset(readers.get(number, ())) for number in pools):
        raise SettingsError(
            "What shrinks the image is not followed by a convolution that could have a "
            "stride; choose another way of shrinking."
        )

    def change(_: int, layer: Convolution) -> Convolution:
        pool = pools.get(layer.inputs[0])
        return layer if pool is None else replace(layer, stride=pool.stride)

    return graph.changed(Convolution, change).without(pools)


def _second_inputs(graph: LayerList) -> dict[int, Join]:
    """Joins of the image and of what a first network made of it."""
    return {
        number: join
        for number, join in graph.each(Join)
        if _joins_two(join) and _is_image(graph, join.inputs[0])
    }


def _with_second_input(graph: LayerList, value: str) -> LayerList:
    joins = _second_inputs(graph)
    sigmoids = {number for number, layer in graph.each(Activation) if layer.kind == "sigmoid"}
    if value == RAW_OUTPUT:
        return graph.without(sigmoids.intersection(join.inputs[1] for join in joins.values()))

    def change(number: int, layer: Layer, emit: Emit) -> int | None:
        if number not in joins or joins[number].inputs[1] in sigmoids:
            return None
        image, output = layer.inputs
        return emit(replace(layer, inputs=(image, emit(Activation((output,), "sigmoid")))))

    return graph.rewritten(change)


_CHOICES: Mapping[str, Callable[[LayerList, str], LayerList]] = {
    ACTIVATION: _with_activation,
    ACTIVATION_PLACE: lambda graph, value: _swapped(graph, _pairs(graph), value),
    SUM_ACTIVATION: lambda graph, value: _swapped(graph, _sums(graph), value),
    SKIP_ORDER: _with_skip_order,
    UPSAMPLING: _with_upsampling,
    POOLING: _with_pooling,
    PADDING: _with_padding,
    NORM: _with_norm,
    SECOND_INPUT: _with_second_input,
}
