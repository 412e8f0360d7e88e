"""Another library's network, taken over layer by layer as it computes a small image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.foreign.libraries.torch_calls import TorchCall, UnknownCallError
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import ACTIVATIONS, Activation, Input, Layer
from napari_unet.engine.networks.output_meaning import OutputMeaning

_TOLERANCE = 1e-5
"""Of the largest number that the library's network gives out."""


def traced_network(
    module: nn.Module, image_shape: Sequence[int], *, meaning: OutputMeaning, origin: str
) -> GraphNetwork:
    """Take over a network from the library that built it, and prove that it is the same.

    The library's own network computes one small random image; each function
    that it calls on the way becomes a layer. The result needs the library no
    more.

    Parameters
    ----------
    module : torch module
        With its weights, on the CPU, in float32.
    image_shape : (C, *spatial)
        A size that the network reads and that no pooling shrinks to one pixel.
    meaning : OutputMeaning
        Of its output channels.
    origin : str
        Whose network it is, for people.

    Returns
    -------
    GraphNetwork
        In evaluation mode; its weights share the module's memory.

    Raises
    ------
    CheckpointError
        If the module computes something that no layer does, or the two
        networks disagree.
    """
    module.eval().requires_grad_(False)
    image = torch.randn(1, *image_shape, generator=torch.Generator().manual_seed(0))
    recorder = _Recorder(module, image)
    with recorder, torch.no_grad():
        expected = module(image)
    try:
        config = GraphConfig(
            ndim=len(image_shape) - 1,
            in_channels=image_shape[0],
            layers=tuple(recorder.layers),
            outputs=(recorder.number_of(expected),),
            meaning=meaning,
            origin=origin,
        )
    except SettingsError as error:
        raise CheckpointError(f"The network of this {origin} is not supported: {error}") from error
    network = GraphNetwork.of_weights(config, module.state_dict())
    with torch.no_grad():
        found = network.author_output(image)
    largest = max(1.0, float(expected.abs().max()))
    if not torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * largest):
        raise CheckpointError(
            f"Taken over layer by layer, this {origin} computes something else than the library "
            "that made it, so it was not opened. Export it as ONNX there and open that."
        )
    return network


class _Recorder(TorchFunctionMode):
    """Writes down, as layers, the functions that a network calls.

    Parameters
    ----------
    image : tensor
        What it is going to be called with.
    """

    def __init__(self, module: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.layers: list[Layer] = [Input()]
        self._ndim = image.ndim - 2
        # Tensors are known by their identity, so all of them are kept alive.
        self._alive: list[Tensor] = [image]
        self._numbers = {id(image): 0}
        self._names = {
            id(weight): name.rpartition(".")[0]
            for name, weight in (*module.named_parameters(), *module.named_buffers())
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        # An in-place function changes what its input is: ask first what that was.
        numbers = [self._numbers[id(x)] for x in given if id(x) in self._numbers]
        inputs = {id(x): (self._numbers[id(x)], x.shape) for x in given if id(x) in self._numbers}
        result = func(*args, **kwargs)
        if not numbers or not _tensors((result,)):
            return result
        # "relu_" and "__iadd__" compute what "relu" and "add" do.
        name = func.__name__.strip("_").replace("iadd", "add").replace("imul", "mul")
        call = TorchCall(self._ndim, inputs, self._names, result)
        read = getattr(call, name, None)
        try:
            if read is None and name not in ACTIVATIONS:
                raise UnknownCallError
            layer = read(*args, **kwargs) if read else Activation((numbers[0],), name)
        except (UnknownCallError, TypeError) as error:
            raise CheckpointError(
                f"The network computes '{func.__name__}' in a way that napari-unet-cells cannot "
                "take over. Export it as ONNX with the program that made it and open that."
            ) from error
        self._alive.append(result)
        if isinstance(layer, int):
            self._numbers[id(result)] = layer
        else:
            self._numbers[id(result)] = len(self.layers)
            self.layers.append(layer)
        return result

    def number_of(self, output: Any) -> int:
        """Layer that gave the network's output."""
        number = self._numbers.get(id(output))
        if number is None:
            raise CheckpointError("The network gives out several images; expected one.")
        return number


def _tensors(values: Any) -> list[Tensor]:
    """All tensors in nested containers."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        return _tensors(tuple(values.values()))
    if isinstance(values, tuple | list):
        return [x for value in values for x in _tensors(value)]
    return []
