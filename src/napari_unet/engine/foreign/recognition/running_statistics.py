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

from napari_unet.engine.foreign.graph_choices import LayerList, chosen
from napari_unet.engine.networks.graph_network import activated
from napari_unet.engine.networks.layer_graph import (
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
_MOST_NORMS = 4
_CLOSE = 0.2
"""Share of the running means' own size that a choice may leave unexplained to be believed.

A right one leaves up to 0.05 in the trained networks that were looked at; a wrong order leaves 0.5
to 4, and so does any choice where the numbers in the norms were never learned together.
"""
_USUAL_FITS = 0.1
"""Share that the usual choice may leave unexplained and is still kept.

What comes out of a norm is only about normally distributed, so that in real networks with ReLU it
leaves up to 0.05; by so little leaky ReLU and GELU cannot be told from it. With ELU it leaves more.
"""
_BETTER = 2.0
_NOISE = 0.01
"""How many times, and by how much, further off any other choice must be."""


_PLACES = torch.linspace(-4, 4, 33)
_DENSITY = torch.exp(-(_PLACES**2) / 2) / torch.exp(-(_PLACES**2) / 2).sum()


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
        Its options that are to be compared, the likeliest first.

    Returns
    -------
    str, optional
        None if the running means do not tell.
    """
    norms = _told(graph, tensors)
    sums: dict[str, Tensor] = {}
    errors: dict[str, float] = {}
    for value in values if norms else ():
        moments = _MomentsOfLayers(chosen(graph, about, value), tensors, sums)
        errors[value] = _error(moments, norms)
    return _clearly_best(errors)


def _clearly_best(errors: Mapping[str, float]) -> str | None:
    """The value that fits best, if the likeliest, which comes first, does not fit as well."""
    if not errors:
        return None
    likeliest, best = next(iter(errors)), min(errors, key=errors.__getitem__)
    bound = _BETTER * errors[best] + _NOISE
    worse = [value for value, error in errors.items() if error > bound]
    if errors[best] > _CLOSE or (likeliest not in worse and len(worse) < len(errors) - 1):
        return None
    if best != likeliest and errors[likeliest] <= _USUAL_FITS:
        return None
    return best


def _told(graph: LayerList, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of norms that have learned something and are cheap to look at, the last first."""
    names: list[str] = []
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


def _error(moments: _MomentsOfLayers, names: list[str]) -> float:
    """Share of the running means that does not follow from the layers before."""
    errors = []
    for layer in moments.layers:
        if isinstance(layer, Norm) and layer.name in names:
            found = moments.of(layer.inputs[0])
            if found is not None:
                errors.append(moments.difference(found, layer))
    return statistics.median(errors) if errors else math.inf


class _MomentsOfLayers:
    """Works out the moments of layers on demand.

    `sums` keeps what was added up of the weights, which all choices share.
    """

    def __init__(
        self, graph: LayerList, tensors: Mapping[str, Tensor], sums: dict[str, Tensor]
    ) -> None:
        self.layers = graph.layers
        self._tensors = tensors
        self._sums = sums
        self._found: dict[int, _Moments | None] = {}

    def difference(self, found: _Moments, norm: Norm) -> float:
        """Mean square difference to the running mean, by its own mean square."""
        wanted = self._tensors[f"{norm.name}.running_mean"].float()
        variance = self._tensors[f"{norm.name}.running_var"].float() + norm.epsilon
        return float(((found.mean - wanted) ** 2 / variance).sum() / (wanted**2 / variance).sum())

    def of(self, number: int) -> _Moments | None:
        """Moments of a layer's output; None if they depend on the images."""
        if number not in self._found:
            self._found[number] = None
            self._found[number] = self._computed(self.layers[number])
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
        summed = self._sums.get(layer.name)
        if summed is None:
            summed = self._sums[layer.name] = weight.float().flatten(2).sum(2)
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
    values = given.mean[:, None] + given.deviation[:, None] * _PLACES  # (C, places)
    return _Moments(activated(values, layer) @ _DENSITY)
