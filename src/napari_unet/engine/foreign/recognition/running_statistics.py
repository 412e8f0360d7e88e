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
from functools import singledispatchmethod
from typing import Any

import torch
from torch import Tensor

from napari_unet.engine.foreign.graph_choices import chosen
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import (
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
        tried = chosen(graph, about, value)
        errors[value] = _error(tried, _MomentsOfLayers(tried, tensors, sums), norms)
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
    convolutions = dict(graph.each(Convolution))
    passed = {number for kind in (Norm, Activation) for number, _ in graph.each(kind)}
    for number, norm in reversed(list(graph.each(Norm))):
        before = number
        while before in passed:
            before = graph.layers[before].inputs[0]
        if not norm.tracks or before not in convolutions or len(names) >= _MOST_NORMS:
            continue
        is_cheap = tensors[f"{convolutions[before].name}.weight"].numel() <= _MOST_WEIGHTS
        if is_cheap and norm.affine and tensors[f"{norm.name}.running_mean"].any():
            names.append(norm.name)
    return names


def _error(graph: LayerList, moments: _MomentsOfLayers, names: list[str]) -> float:
    """Share of the running means that does not follow from the layers before."""
    errors = []
    for _, norm in graph.each(Norm):
        found = moments.of(norm.inputs[0]) if norm.name in names else None
        if found is not None:
            errors.append(moments.difference(found, norm))
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
            self._found[number] = self._behind(self.layers[number])
        return self._found[number]

    def _given(self, layer: Layer) -> list[_Moments] | None:
        """Moments of what a layer reads; None if one of them is not known."""
        given = [self.of(index) for index in layer.inputs]
        known = [moments for moments in given if moments is not None]
        return known if known and len(known) == len(given) else None

    def _tensor(self, layer: Norm | Convolution | TransposedConvolution, part: str) -> Any:
        """One of a layer's tensors as float32; None if it has none."""
        found = self._tensors.get(f"{layer.name}.{part}")
        return None if found is None else found.float()

    def _summed(self, layer: Convolution | TransposedConvolution) -> Tensor | None:
        """Weights of a convolution, summed over its window; None if they are too many."""
        if layer.groups > 1 or self._tensors[f"{layer.name}.weight"].numel() > _MOST_WEIGHTS:
            return None
        if layer.name not in self._sums:
            self._sums[layer.name] = self._tensor(layer, "weight").flatten(2).sum(2)
        return self._sums[layer.name]

    @singledispatchmethod
    def _behind(self, layer: Layer) -> _Moments | None:  # noqa: ARG002
        """Moments behind a layer; behind most kinds they depend on the images."""
        return None

    @_behind.register
    def _(self, layer: Norm) -> _Moments | None:
        weight, bias = self._tensor(layer, "weight"), self._tensor(layer, "bias")
        return _Moments(bias, weight.abs()) if layer.affine else None

    @_behind.register
    def _(self, layer: Join) -> _Moments | None:
        given = self._given(layer)
        if given is None or layer.kind == "multiply":
            return None
        means = [moments.mean for moments in given]
        is_added = layer.kind == "add"
        return _Moments(torch.stack(means).sum(0) if is_added else torch.cat(means))

    @_behind.register
    def _(self, layer: Activation) -> _Moments | None:
        """Mean of an activation of numbers that are normally distributed."""
        given = self._given(layer)
        deviation = given[0].deviation if given else None
        if given is None or deviation is None or layer.kind in ("prelu", "softmax"):
            return None
        values = given[0].mean[:, None] + deviation[:, None] * _PLACES  # (C, places)
        return _Moments(layer.compute([values], None) @ _DENSITY)

    @_behind.register
    def _(self, layer: Convolution) -> _Moments | None:
        given, summed = self._given(layer), self._summed(layer)
        if given is None or summed is None:
            return None
        bias = self._tensor(layer, "bias")
        return _Moments(summed @ given[0].mean + (0 if bias is None else bias))

    @_behind.register
    def _(self, layer: TransposedConvolution) -> _Moments | None:
        given, summed = self._given(layer), self._summed(layer)
        if given is None or summed is None:
            return None
        bias = self._tensor(layer, "bias")
        # Of the weights in its window, one in so many reaches an output pixel.
        mean = given[0].mean @ summed / math.prod(layer.stride)
        return _Moments(mean + (0 if bias is None else bias))

    @_behind.register
    def _(self, layer: Upsample) -> _Moments | None:
        given = self._given(layer)
        return _Moments(given[0].mean) if given else None

    @_behind.register
    def _(self, layer: Pool) -> _Moments | None:
        given = self._given(layer) if layer.kind == "mean" else None
        return _Moments(given[0].mean) if given else None
