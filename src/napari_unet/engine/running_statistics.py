"""What the running means of batch norms tell of the layers before them.

Behind a batch norm, each channel has the mean and the deviation that the
norm's weights name, whatever the images were; from these the mean behind an
activation and behind the next convolution follows, and there the running
mean of the next norm says what it was while the network learned. With the
wrong activation, or the wrong order of what is joined, the two differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_unet.engine.graph_choices import LayerList, chosen
from napari_unet.engine.graph_network import activated
from napari_unet.engine.layer_graph import (
    Activation,
    Convolution,
    Join,
    Layer,
    Norm,
    Pool,
    TransposedConvolution,
    Upsample,
)

_MOST_WEIGHTS = 400_000
_MOST_NORMS = 8
_CLOSE = 0.1
"""Mean square difference, in variances of a channel, below which a choice is believed."""
_BETTER = 2.0
"""How many times further off any other choice must be."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean of each channel, and its deviation where it is about normally distributed."""

    mean: Tensor
    deviation: Tensor | None = None


def best_choice(
    graph: LayerList, tensors: Mapping[str, Tensor], about: str, values: Iterable[str]
) -> str | None:
    """Value of a choice that fits the running means clearly better than the others.

    Parameters
    ----------
    graph : LayerList
    tensors : mapping of str to Tensor
        The state dict.
    about : str
        A choice of `graph_choices`.
    values : iterable of str
        Its options that are to be compared.

    Returns
    -------
    str, optional
        None if the running means do not tell.
    """
    norms = _told(graph, tensors)
    if not norms:
        return None
    errors = {value: _error(chosen(graph, about, value), tensors, norms) for value in values}
    first, *others = sorted(errors, key=errors.__getitem__)
    if errors[first] > _CLOSE or not others:
        return None
    return first if errors[others[0]] > _BETTER * errors[first] + 0.01 else None


def _told(graph: LayerList, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of norms that have learned something and are cheap to look at, the last first."""
    names = []
    for layer in reversed(graph.layers):
        if not isinstance(layer, Norm) or not layer.tracks or len(names) >= _MOST_NORMS:
            continue
        before = _convolution_before(graph, layer)
        if before is None or tensors[f"{before.name}.weight"].numel() > _MOST_WEIGHTS:
            continue
        if layer.affine and tensors[f"{layer.name}.running_mean"].any():
            names.append(layer.name)
    return names


def _convolution_before(graph: LayerList, norm: Norm) -> Convolution | None:
    layer: Layer = norm
    while isinstance(layer, Norm | Activation):
        layer = graph.layers[layer.inputs[0]]
    return layer if isinstance(layer, Convolution) else None


def _error(graph: LayerList, tensors: Mapping[str, Tensor], names: list[str]) -> float:
    """How far the running means are from what follows from the layers before, in variances."""
    moments = _MomentsOfLayers(graph, tensors)
    errors = []
    for layer in graph.layers:
        if isinstance(layer, Norm) and layer.name in names:
            found = moments.of(layer.inputs[0])
            if found is None:
                continue
            wanted = tensors[f"{layer.name}.running_mean"].float()
            variance = tensors[f"{layer.name}.running_var"].float() + layer.epsilon
            errors.append(float(((found.mean - wanted) ** 2 / variance).mean()))
    return statistics.median(errors) if errors else math.inf


class _MomentsOfLayers:
    """Works out the moments of layers on demand."""

    def __init__(self, graph: LayerList, tensors: Mapping[str, Tensor]) -> None:
        self._layers = graph.layers
        self._tensors = tensors
        self._found: dict[int, _Moments | None] = {}

    def of(self, number: int) -> _Moments | None:
        """Moments of a layer's output; None if they depend on the images."""
        if number not in self._found:
            self._found[number] = None
            self._found[number] = self._computed(self._layers[number])
        return self._found[number]

    def _computed(self, layer: Layer) -> _Moments | None:
        if isinstance(layer, Norm):
            return self._norm(layer)
        if isinstance(layer, Join):
            return self._joined(layer)
        given = self.of(layer.inputs[0]) if layer.inputs else None
        if given is None:
            return None
        if isinstance(layer, Activation):
            return _behind_activation(given, layer)
        if isinstance(layer, Convolution | TransposedConvolution):
            return self._convolved(layer, given)
        if isinstance(layer, Upsample) or (isinstance(layer, Pool) and layer.kind == "mean"):
            return _Moments(given.mean)
        return None

    def _norm(self, layer: Norm) -> _Moments | None:
        if not layer.affine:
            return None
        weight, bias = (self._tensors.get(f"{layer.name}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None:
            return None
        return _Moments(bias.float(), weight.float().abs())

    def _joined(self, layer: Join) -> _Moments | None:
        given = [self.of(index) for index in layer.inputs]
        means = [moments.mean for moments in given if moments is not None]
        if len(means) < len(given) or layer.kind == "multiply":
            return None
        if layer.kind == "concatenate":
            return _Moments(torch.cat(means))
        return _Moments(torch.stack(means).sum(0))

    def _convolved(
        self, layer: Convolution | TransposedConvolution, given: _Moments
    ) -> _Moments | None:
        weight = self._tensors[f"{layer.name}.weight"]
        if layer.groups > 1 or weight.numel() > _MOST_WEIGHTS:
            return None
        summed = weight.float().flatten(2).sum(2)
        if isinstance(layer, TransposedConvolution):
            mean = given.mean @ summed / math.prod(layer.stride)
        else:
            mean = summed @ given.mean
        bias = self._tensors.get(f"{layer.name}.bias")
        return _Moments(mean if bias is None else mean + bias.float())


def _behind_activation(given: _Moments, layer: Activation) -> _Moments | None:
    """Mean of an activation of numbers that are normally distributed."""
    if given.deviation is None or layer.kind in ("prelu", "softmax"):
        return None
    places = torch.linspace(-4, 4, 33)
    density = torch.exp(-(places**2) / 2)
    values = given.mean[:, None] + given.deviation[:, None] * places  # (C, places)
    return _Moments(activated(values, layer) @ (density / density.sum()))


def means_are_never_negative(graph: LayerList, tensors: Mapping[str, Tensor]) -> bool | None:
    """Whether the running means say that activations stand before the norms.

    Returns
    -------
    bool, optional
        None if nothing was learned or the means are neither here nor there.
    """
    learned = [
        tensors[f"{layer.name}.running_mean"]
        for layer in graph.layers
        if isinstance(layer, Norm) and layer.tracks and layer.channels >= 4
    ]
    learned = [mean for mean in learned if mean.any()]
    if len(learned) < 2:
        return None
    positive = [float((mean > 0).float().mean()) for mean in learned]
    if min(positive) > 0.98:
        return True
    return False if statistics.mean(positive) < 0.8 else None
