"""A state dict made a network again: from the shapes and the order of its weights, without code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from napari_unet.engine.annotation import CELL
from napari_unet.engine.channel_roles import likely_roles
from napari_unet.engine.conventions import Convention, convention_of
from napari_unet.engine.errors import CheckpointError, SettingsError
from napari_unet.engine.graph_choices import (
    ACTIVATION,
    ACTIVATION_PLACE,
    AFTER_NORM,
    AFTER_SUM,
    BEFORE_NORM,
    INSTANCE,
    LARGEST,
    LINEAR,
    NORM,
    OPTIONS,
    PADDING,
    POOLING,
    RAW_OUTPUT,
    SECOND_INPUT,
    SKIP_FIRST,
    SKIP_ORDER,
    SUM_ACTIVATION,
    UPSAMPLING,
    ZEROS,
    LayerList,
    chosen,
    open_choices,
)
from napari_unet.engine.graph_network import GraphNetwork
from napari_unet.engine.guess import Guess
from napari_unet.engine.guess_options import (
    FINAL,
    NORMALIZATION,
    ROLES,
    guess_of,
    normalization_text,
)
from napari_unet.engine.image import Normalization
from napari_unet.engine.layer_graph import (
    Activation,
    Convolution,
    GraphConfig,
    Join,
    Layer,
    Norm,
    Standardize,
)
from napari_unet.engine.layer_walk import LayerWalk, Step, Walk
from napari_unet.engine.network import Network, NetworkDescription
from napari_unet.engine.output_meaning import UNUSED, OutputMeaning
from napari_unet.engine.running_statistics import best_choice
from napari_unet.engine.stored_facts import StoredFacts
from napari_unet.engine.unet_graph import UNetGraph
from napari_unet.engine.unet_levels import Levels, find_levels
from napari_unet.engine.weight_layers import (
    Unit,
    Weights,
    natural_key,
    no_unet,
    read_weights,
    words,
)

_MOST_UNITS = 400
_FEWEST_UNITS = 4
_MOST_COLOURS = 4
_NATURAL = 3.0
"""Penalty of an order of computing that is hardly to be doubted."""
_FAR_FETCHED = 6.0
"""Penalty of one that is no U-Net's."""
_ATTEMPTS = (
    (False, True, 2500),
    (False, False, 1500),
    (True, True, 300),
    (True, False, 300),
)
"""Whether the order of the file is not trusted, whether as usual, and steps to look for."""

_COMMON = {
    ACTIVATION: ("ReLU", "most U-Nets have it"),
    ACTIVATION_PLACE: (AFTER_NORM, "most networks have it there"),
    SUM_ACTIVATION: (AFTER_SUM, "residual networks have it there"),
    SKIP_ORDER: (SKIP_FIRST, "most U-Nets join them in this order"),
    UPSAMPLING: (LINEAR, "most U-Nets without transposed convolutions enlarge so"),
    POOLING: (LARGEST, "the paper has it"),
    PADDING: (ZEROS, "most U-Nets keep the size of the image"),
    NORM: (INSTANCE, "there are no running means"),
    SECOND_INPUT: (RAW_OUTPUT, "the simplest way"),
}


def recognise(
    tensors: Mapping[str, Tensor], *, name: str, facts: Mapping[str, Any] | None = None
) -> Network:
    """Work out which U-Net a state dict belongs to.

    Layers are told by the shapes of their weights and put in the order in
    which they fit together; names and their order in the file decide between
    layers of equal shape. What weights do not tell is guessed, and each guess
    stands with its reason in the description.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        The state dict. Its tensors become the weights; they are not copied.
    name : str
        Of the network.
    facts : mapping, optional
        What else stood in the file: hyper-parameters, mean and deviation.

    Returns
    -------
    Network

    Raises
    ------
    CheckpointError
        If it is no U-Net that can be recognised.
    """
    weights = read_weights(tensors)
    convention = convention_of(layer.name for layer in weights.layers)
    stored = StoredFacts(facts or {})
    graph = _ended(_graph(weights, convention), convention)
    graph, guesses = _decided(graph, tensors, convention, stored)
    try:
        return _network(graph, tensors, name, convention, stored, guesses)
    except SettingsError as error:
        raise no_unet(f"its layers do not fit together ({error})", weights.layers) from error


# -- layers ---------------------------------------------------------------------------------------


def _graph(weights: Weights, convention: Convention | None) -> LayerList:
    """Layers in their order, as most networks have what weights do not tell."""
    units = weights.units
    if convention is not None and convention.layers is not None:
        return convention.layers({unit.name: unit.shape for unit in units})
    dimensions = {len(unit.kernel) for unit in units}
    if len(dimensions) > 1:
        raise no_unet("it has convolutions in two and in three dimensions", weights.layers)
    if not _FEWEST_UNITS <= len(units) <= _MOST_UNITS:
        raise no_unet(f"a U-Net has {_FEWEST_UNITS} to {_MOST_UNITS} convolutions", weights.layers)
    _check_paths(units, weights)
    graph = UNetGraph(dimensions.pop())
    if convention is not None:
        graph.skips_from_first = convention.skips_from_first
        graph.dense_activation = convention.dense_activation
        graph.silent = convention.silent
    outputs: tuple[int, ...] = (0,)
    given: list[int] = []
    for part in _unets_in_a_row(units):
        walk, levels = _best_walk(part, weights)
        walk = _in_order_of_outputs(walk, convention)
        wanted = walk.steps[0].in_channels
        given = given or [wanted]
        x = outputs[0]
        if x and wanted == sum(given):
            x = graph.add(Join((0, x)))
        elif wanted != given[-1] or len(outputs) > 1:
            raise no_unet("its second part does not read what its first gives", weights.layers)
        outputs = graph.add_unet(walk, levels, x)
        given = [given[0], walk.steps[-1].out_channels]
    return LayerList(tuple(graph.layers), outputs)


def _check_paths(units: Sequence[Unit], weights: Weights) -> None:
    """Raise at once if there is no way up, or nothing that could read a skip."""
    if all(unit.shape[1] <= unit.shape[0] for unit in units if not unit.is_pointwise):
        raise no_unet("no layer narrows what it reads, as the way up does", weights.layers)
    ordered = units if weights.is_registered else sorted(units, key=natural_key)
    first = ordered[0]
    reads_image = first.shape[1] <= _MOST_COLOURS and first.kernel[-1] % 2 == 1
    given = {first.shape[0]} if reads_image else set()
    for unit in ordered[1:]:
        ways = [(unit.shape[1], unit.shape[0])]
        ways += [(unit.shape[0], unit.shape[1])] if not unit.is_pointwise else []
        given = {out for read, out in ways if read in given and unit.can_give(out)}
    if given:
        raise no_unet("each layer reads what the one before gives, so no skips", weights.layers)


def _in_order_of_outputs(walk: Walk, convention: Convention | None) -> Walk:
    """The walk with its heads in the order in which the author's code gives them."""
    patterns = convention.heads if convention is not None else ()
    if not patterns or not walk.heads:
        return walk

    def place(head: tuple[Step, ...]) -> int:
        name = head[-1].unit.name
        return next((i for i, p in enumerate(patterns) if re.search(p, name)), len(patterns))

    return replace(walk, heads=tuple(sorted(walk.heads, key=place)))


def _unets_in_a_row(units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
    """Units of each U-Net, where a few of them stand under names of their own."""
    pieces = [unit.name.split(".") for unit in units]
    depth = 0
    while all(len(piece) > depth + 1 for piece in pieces) and (
        len({piece[depth] for piece in pieces}) == 1
    ):
        depth += 1
    parts: dict[str, list[Unit]] = {}
    for unit, piece in zip(units, pieces, strict=True):
        parts.setdefault(piece[depth], []).append(unit)
    inner = [sorted(u.name.split(".")[depth + 1 :] for u in part) for part in parts.values()]
    if len(parts) < 2 or len(inner[0]) < _FEWEST_UNITS or any(names != inner[0] for names in inner):
        return [tuple(units)]
    return [
        tuple(replace(unit, number=number) for number, unit in enumerate(part))
        for part in parts.values()
    ]


def _best_walk(units: Sequence[Unit], weights: Weights) -> tuple[Walk, Levels]:
    """The order of computing that reads most naturally, and its levels."""
    best: tuple[float, Walk, Levels] | None = None
    for turned, is_usual, steps in _ATTEMPTS:
        by_name = weights.is_registered if turned else not weights.is_registered
        search = LayerWalk(units, by_name=by_name, is_usual=is_usual, steps=steps)
        walk = search.best(_unevenness)
        levels = find_levels(walk) if walk is not None else None
        if walk is not None and levels is not None:
            penalty = walk.penalty + levels.penalty
            if best is None or penalty < best[0]:
                best = penalty, walk, levels
        if best is not None and best[0] < _NATURAL:
            break
    if best is not None and best[0] < _FAR_FETCHED:
        return best[1:]
    raise no_unet("its layers do not fit together as two paths with skips", weights.layers)


def _unevenness(walk: Walk) -> float | None:
    levels = find_levels(walk)
    return levels.penalty if levels is not None else None


def _ended(graph: LayerList, convention: Convention | None) -> LayerList:
    """The graph with the activations that the author's code has behind the output."""
    if convention is None or not convention.ends_with:
        return graph
    layers, outputs = list(graph.layers), []
    kinds = convention.ends_with
    for place, index in enumerate(graph.outputs):
        layers.append(Activation((index,), kinds[min(place, len(kinds) - 1)]))
        outputs.append(len(layers) - 1)
    return LayerList(tuple(layers), tuple(outputs))


# -- what weights do not tell ---------------------------------------------------------------------


def _decided(
    graph: LayerList,
    tensors: Mapping[str, Tensor],
    convention: Convention | None,
    stored: StoredFacts,
) -> tuple[LayerList, list[Guess]]:
    """Take the likeliest of each choice, and say why."""
    guesses = []
    for about in open_choices(graph):
        value, reason = _decision(graph, about, tensors, convention, stored)
        if value != _COMMON[about][0]:
            graph = chosen(graph, about, value)
        guesses.append(guess_of(about, value, reason))
    return graph, guesses


def _decision(
    graph: LayerList,
    about: str,
    tensors: Mapping[str, Tensor],
    convention: Convention | None,
    stored: StoredFacts,
) -> tuple[str, str]:
    said = stored.choice(about)
    if said is not None:
        return said[0], f"the file says {said[1]}"
    measured = _measured(graph, about, tensors)
    if measured is not None:
        return measured, "the running means in the file fit this best"
    if convention is not None and about in convention.choices:
        return convention.choices[about], f"its layers are named as in {convention.whose}"
    if about == ACTIVATION_PLACE and _first_norm_is_late(graph):
        return BEFORE_NORM, "the numbers of its layers leave room for it there"
    if about == NORM:
        return _named_norm(graph)
    value, reason = _COMMON[about]
    return value, f"the file does not tell; {reason}"


def _measured(graph: LayerList, about: str, tensors: Mapping[str, Tensor]) -> str | None:
    if about in (ACTIVATION, SKIP_ORDER):
        return best_choice(graph, tensors, about, OPTIONS[about])
    return None


def _first_norm_is_late(graph: LayerList) -> bool:
    """Whether numbering has put activations before norms already."""
    return any(
        isinstance(layer, Norm) and isinstance(graph.layers[layer.inputs[0]], Activation)
        for layer in graph.layers
    )


def _named_norm(graph: LayerList) -> tuple[str, str]:
    norms = [layer for layer in graph.layers if isinstance(layer, Norm) and not layer.tracks]
    named = {word.lower() for norm in norms for word in words(norm.name)}
    if named & {"in", "instance", "instancenorm", "inst"}:
        return INSTANCE, "its layers are named so"
    why = (
        "its layers are named so"
        if named & {"gn", "group", "groupnorm"}
        else ("there are no running means, and most networks without have it")
    )
    divided = [n for n in (8, 4, 2, 1) if all(x.channels % n == 0 or x.channels < n for x in norms)]
    return f"{divided[0]} group{'s' * (divided[0] > 1)}", why


# -- the network ----------------------------------------------------------------------------------


def _network(
    graph: LayerList,
    tensors: Mapping[str, Tensor],
    name: str,
    convention: Convention | None,
    stored: StoredFacts,
    guesses: list[Guess],
) -> Network:
    in_channels, ndim, channels = _ends(graph)
    graph, normalization, reason = _normalized(graph, in_channels, convention, stored)
    meaning, roles_reason, final_reason = _meaning(channels, convention)
    config = GraphConfig(
        ndim,
        in_channels,
        graph.layers,
        graph.outputs,
        meaning,
        origin=convention.whose if convention else "",
    )
    guesses += [
        guess_of(NORMALIZATION, normalization_text(normalization), reason),
        guess_of(FINAL, meaning.final, final_reason, channels=channels),
        guess_of(ROLES, ", ".join(meaning.channels), roles_reason, channels=channels),
    ]
    description = NetworkDescription(
        name,
        config,
        class_roles=meaning.class_roles,
        normalization=normalization,
        summary=f"Recognised from the shapes of its weights: {config.sentence}.",
        guesses=tuple(guesses),
    )
    return Network(_module(config, tensors), description)


def _ends(graph: LayerList) -> tuple[int, int, int]:
    """Channels of the image, spatial axes, channels of the output."""
    first = next(layer for layer in graph.layers if isinstance(layer, Convolution))
    ends = 0
    for index in graph.outputs:
        layer = graph.layers[index]
        while not isinstance(layer, Convolution):
            layer = graph.layers[layer.inputs[0]]
        ends += layer.out_channels
    return first.in_channels, len(first.kernel), ends


def _normalized(
    graph: LayerList, in_channels: int, convention: Convention | None, stored: StoredFacts
) -> tuple[LayerList, Normalization, str]:
    """The graph, how images are normalised before it, and why."""
    mean = stored.numbers("mean", "pixel_mean", "image_mean")
    deviation = stored.numbers("std", "pixel_std", "image_std")
    if mean and deviation and min(deviation) > 0:
        lengths = {len(mean), len(deviation)}
        if lengths <= {1, in_channels}:
            graph = _standardized(graph, in_channels, mean, deviation)
            kind: Literal["raw", "none"] = "raw" if max(mean) > 1 else "none"
            said = "the file names the mean and the deviation, which the network subtracts itself"
            return graph, Normalization(kind), said
    if convention is not None and convention.normalization is not None:
        said = f"its layers are named as in {convention.whose}"
        return graph, convention.normalization, said
    return graph, Normalization(), "the file does not tell; percentiles suit most images"


def _standardized(
    graph: LayerList, channels: int, mean: Sequence[float], deviation: Sequence[float]
) -> LayerList:
    """The graph behind a subtraction of the mean and a division by the deviation."""
    wide = [tuple(v) * (channels if len(v) == 1 else 1) for v in (mean, deviation)]
    layers: list[Layer] = [graph.layers[0], Standardize((0,), wide[0], wide[1])]
    for layer in graph.layers[1:]:
        # All that read the image read what was made of it, which is layer 1 now.
        layers.append(replace(layer, inputs=tuple(index + 1 for index in layer.inputs)))
    return LayerList(tuple(layers), tuple(index + 1 for index in graph.outputs))


def _meaning(channels: int, convention: Convention | None) -> tuple[OutputMeaning, str, str]:
    """What the output channels mean, and why they and what makes scores of them are so."""
    roles, final = likely_roles(channels), "sigmoid" if channels == 1 else "softmax"
    why = f"the file does not tell; {channels} channel{'s' * (channels > 1)} mean this most often"
    roles_why = final_why = why
    if convention is not None:
        said = f"its layers are named as in {convention.whose}"
        if convention.final is not None:
            final, final_why = convention.final, said
        if convention.roles:
            *others, last = convention.roles
            if len(convention.roles) == channels:
                roles, roles_why = convention.roles, said
            elif others == [UNUSED]:
                roles, roles_why = (UNUSED,) * (channels - 1) + (last,), said
    if channels > 1 and final in ("sigmoid", "probability") and roles == likely_roles(channels):
        roles = (CELL, *(f"class {number}" for number in range(2, channels + 1)))
    kind: Any = final
    return OutputMeaning(kind, roles), roles_why, final_why


def _module(config: GraphConfig, tensors: Mapping[str, Tensor]) -> GraphNetwork:
    """The network with these weights, which are not copied."""
    unet = GraphNetwork(config, device="meta")
    own = {}
    for key, place in unet.weights.state_dict().items():
        given = tensors.get(key)
        if given is None or given.shape != place.shape:
            found = "missing" if given is None else f"of the shape {tuple(given.shape)}"
            raise CheckpointError(
                f"The weights '{key}' are {found}; export or download the model again."
            )
        if given.is_floating_point() != place.is_floating_point():
            raise CheckpointError(
                f"The weights '{key}' are {given.dtype}, as quantised networks have them; save the "
                "network as it was before it was converted."
            )
        own[key] = _as_float32(given)
    unet.weights.load_state_dict(own, assign=True)
    unet.eval()
    return unet


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
