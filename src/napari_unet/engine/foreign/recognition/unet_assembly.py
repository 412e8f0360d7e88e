"""The layers of a U-Net put together from its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_unet.engine.foreign.recognition.conventions import Convention, patterns
from napari_unet.engine.foreign.recognition.unet_graph import UNetGraph
from napari_unet.engine.foreign.recognition.unet_levels import JudgedWalk, Step, Walk
from napari_unet.engine.foreign.recognition.walk_search import WalkSearch
from napari_unet.engine.foreign.recognition.weight_layers import Unit, natural_key, no_unet
from napari_unet.engine.foreign.recognition.weights import Weights
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Activation, Join

_MOST_UNITS = 400
_FEWEST_UNITS = 4
_MOST_COLOURS = 4
_NATURAL = 3.0
"""Penalty of an order of computing that is hardly to be doubted."""
_FAR_FETCHED = 6.0
"""Penalty of one that is no U-Net's."""
_ATTEMPTS = ((True, 2500), (False, 1500))
"""Whether as usual, and steps to look for."""


def assembled(weights: Weights, convention: Convention | None) -> LayerList:
    """Layers in their order, as most networks have what weights do not tell.

    Raises
    ------
    CheckpointError
        If they do not fit together as a U-Net.
    """
    units = weights.units
    if convention is not None and convention.layers is not None:
        graph = convention.layers({unit.name: unit.shape for unit in units})
        return _ended(graph, convention)
    dimensions = {len(unit.kernel) for unit in units}
    if len(dimensions) > 1:
        raise no_unet("it has convolutions in two and in three dimensions", weights.layers)
    if not _FEWEST_UNITS <= len(units) <= _MOST_UNITS:
        raise no_unet(f"a U-Net has {_FEWEST_UNITS} to {_MOST_UNITS} convolutions", weights.layers)
    _check_paths(units, weights)
    unet = UNetGraph(dimensions.pop())
    if convention is not None:
        unet.skips_from_first = convention.skips_from_first
        unet.dense_activation = convention.dense_activation
        unet.silent = tuple(patterns(convention.silent))
    outputs: tuple[int, ...] = (0,)
    given: list[int] = []
    for part in _unets_in_a_row(units):
        judged = _best_walk(part, weights)
        walk = _in_order_of_outputs(judged.walk, convention)
        wanted = walk.steps[0].in_channels
        given = given or [wanted]
        x = outputs[0]
        if x and wanted == sum(given):
            x = unet.add(Join((0, x)))
        elif wanted != given[-1] or len(outputs) > 1:
            raise no_unet("its second part does not read what its first gives", weights.layers)
        outputs = unet.add_unet(walk, judged.levels, x)
        given = [given[0], walk.steps[-1].out_channels]
    return _ended(LayerList(tuple(unet.layers), outputs), convention)


def _check_paths(units: Sequence[Unit], weights: Weights) -> None:
    """Raise at once if there is no way up, or nothing that could read a skip."""
    # Depthwise convolutions leave the channels to those that read no neighbours.
    is_depthwise = sum(unit.shape[1] == 1 and not unit.is_pointwise for unit in units) > 1
    looked_at = [unit for unit in units if is_depthwise or not unit.is_pointwise]
    if all(unit.shape[1] <= unit.shape[0] for unit in looked_at):
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
    heads = convention.heads if convention is not None else ()
    if not heads or not walk.heads:
        return walk

    def place(head: tuple[Step, ...]) -> int:
        name = head[-1].unit.name
        return next((i for i, part in enumerate(heads) if part in name), len(heads))

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


def _best_walk(units: Sequence[Unit], weights: Weights) -> JudgedWalk:
    """The order of computing that reads most naturally."""
    best: JudgedWalk | None = None
    for is_usual, steps in _ATTEMPTS:
        by_name = not weights.is_registered
        found = WalkSearch(units, by_name=by_name, is_usual=is_usual, steps=steps).best()
        if found is not None and (best is None or found.penalty < best.penalty):
            best = found
        if best is not None and best.penalty < _NATURAL:
            break
    if best is not None and best.penalty < _FAR_FETCHED:
        return best
    raise no_unet("its layers do not fit together as two paths with skips", weights.layers)


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
