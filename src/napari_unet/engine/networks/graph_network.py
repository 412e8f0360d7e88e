"""A network made from a graph of layers, with the names that its author gave to the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import Convolution, Layer, Norm
from napari_unet.engine.networks.output_meaning import OutputMeaning

_LONGEST_NAME = 40


class GraphNetwork(NetworkModule):
    """Computes the layers of a graph one after the other.

    Parameters
    ----------
    device : torch.device or str, optional
        Where the weights are; on "meta" they are to be assigned later.
    """

    def __init__(self, config: GraphConfig, *, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.config: GraphConfig = config
        self.weights = nn.Module()
        for layer in config.layers:
            name = layer.weights_name
            if name is not None and not _has(self.weights, name):
                _put(self.weights, name, layer.module(config.ndim, device))
        self._folded: frozenset[int] = frozenset()
        self._last_use = config.graph.last_uses()

    @classmethod
    def of_weights(cls, config: GraphConfig, tensors: Mapping[str, Tensor]) -> GraphNetwork:
        """Make a network with these weights, under their author's names; none is copied.

        It is in evaluation mode. As `load_state_dict` with `assign`, and
        several times as fast.

        Raises
        ------
        CheckpointError
            If one is missing or does not fit.
        """
        network = cls(config, device="meta")
        for name in config.graph.weights_names():
            module = _get(network.weights, name)
            for kind, place in list(module._parameters.items()):
                if place is not None:
                    module._parameters[kind] = nn.Parameter(_fitting(tensors, name, kind, place))
            for kind, held in list(module._buffers.items()):
                if held is not None:
                    module._buffers[kind] = _fitting(tensors, name, kind, held)
        return network.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.config.meaning.class_logits(self.author_output(x))

    def author_output(self, x: Tensor) -> Tensor:
        """What the author's own network gives out: (N, channels, *S')."""
        found: dict[int, Tensor] = {0: x}
        for number, layer in enumerate(self.config.layers[1:], start=1):
            found[number] = self._compute(number, layer, [found[index] for index in layer.inputs])
            for index in set(layer.inputs):
                # Only what is still needed stays in memory.
                if self._last_use[index] == number:
                    del found[index]
        results = [found[index] for index in self.config.outputs]
        return results[0] if len(results) == 1 else torch.cat(results, dim=1)

    def _compute(self, number: int, layer: Layer, given: Sequence[Tensor]) -> Tensor:
        if number in self._folded:
            return given[0]
        name = layer.weights_name
        return layer.compute(given, None if name is None else _get(self.weights, name))

    def author_weights(self) -> dict[str, Tensor]:
        return self.weights.state_dict()

    def with_config(self, config: Architecture) -> GraphNetwork:
        """Return a network with the same weights, not copied, whose layers work another way."""
        assert isinstance(config, GraphConfig)  # noqa: S101
        if config == self.config:
            return self
        network = GraphNetwork(config, device="meta")
        network.weights.load_state_dict(self.weights.state_dict(keep_vars=True), assign=True)
        return network.train(self.training)

    def begun_with(self, steps: Sequence[Layer]) -> GraphNetwork:
        """Return a network that begins with further steps; its weights are shared."""
        return self.with_config(self.config.with_graph(self.config.graph.begun_with(steps)))

    def read_as(self, meaning: OutputMeaning) -> GraphNetwork:
        """Return a network whose output means something else; its weights are shared."""
        return self.with_config(self.config.read_as(meaning))

    def with_plain_names(self) -> GraphNetwork:
        """Return a copy whose weights are named by words of ours, for code that is written of it.

        A layer called "in" stops an exporter that writes Python, and one with a
        quotation mark could make it do whatever the author of the file had in mind.
        """
        plain = {
            name: f"layer{number}_{re.sub('[^A-Za-z0-9]+', '_', name)[:_LONGEST_NAME]}"
            for number, name in enumerate(self.config.graph.weights_names())
        }
        layers = tuple(layer.with_weights_named(plain) for layer in self.config.layers)
        weights = {}
        for key, value in self.weights.state_dict().items():
            name, _, value_name = key.rpartition(".")
            weights[f"{plain[name]}.{value_name}"] = value
        renamed = GraphNetwork(replace(self.config, layers=layers))
        renamed.weights.load_state_dict(weights)
        return renamed.eval()

    def fold_norms(self) -> None:
        """Fold each norm of constant statistics that alone reads a convolution of its own."""
        graph = self.config.graph
        names = [layer.weights_name for layer in graph.layers]
        readers, convolutions = graph.readers(), dict(graph.each(Convolution))
        folded = set()
        for number, norm in graph.each(Norm):
            (read,) = norm.inputs
            if (
                norm.is_constant
                and read in convolutions
                and readers[read] == [number]
                and read not in graph.outputs
                and names.count(names[read]) == names.count(norm.name) == 1
            ):
                name = convolutions[read].name
                convolution: Any = _get(self.weights, name)
                batch_norm: Any = _get(self.weights, norm.name)
                _put(self.weights, name, fuse_conv_bn_eval(convolution, batch_norm))
                folded.add(number)
        self._folded = frozenset(folded)


# An author may call a layer anything, "forward" or "" too, so names go past `add_module`.


def _has(root: nn.Module, name: str) -> bool:
    module: nn.Module | None = root
    for part in name.split("."):
        module = module._modules.get(part) if module is not None else None
    return module is not None and type(module) is not nn.Module


def _get(root: nn.Module, name: str) -> nn.Module:
    for part in name.split("."):
        child = root._modules[part]
        assert child is not None  # noqa: S101
        root = child
    return root


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    *parents, last = name.split(".")
    for part in parents:
        if root._modules.get(part) is None:
            root._modules[part] = nn.Module()
        root = _get(root, part)
    root._modules[last] = module


def _fitting(tensors: Mapping[str, Tensor], name: str, kind: str, place: Tensor) -> Tensor:
    """Tensor for a place in the network, as float32 if it holds floats."""
    key = f"{name}.{kind}"
    given = tensors.get(key)
    if given is None and kind == "num_batches_tracked":
        return torch.zeros((), dtype=torch.long)  # files older than PyTorch 0.4.1 have none
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
    return given.float() if given.is_floating_point() else given
