"""Another library's network, taken over layer by layer as it computes a small image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.layer_graph import GraphConfig
from napari_unet.engine.networks.layers import (
    ACTIVATIONS,
    Activation,
    Axes,
    Clip,
    Convolution,
    Input,
    Join,
    Layer,
    Norm,
    Pool,
    TransposedConvolution,
    Upsample,
)
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
    module : torch module
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
        call = _Call(self._ndim, inputs, self._names, result)
        read = getattr(call, name, None)
        try:
            if read is None and name not in ACTIVATIONS:
                raise _UnknownError
            layer = read(*args, **kwargs) if read else Activation((numbers[0],), name)
        except (_UnknownError, TypeError) as error:
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


class _UnknownError(Exception):
    """A call that no layer does."""


class _Call:
    """Reads one call as a layer, or as the number of one that it leaves as it is.

    The methods are called as torch's functions of the same names are.

    Parameters
    ----------
    ndim : int
        Spatial axes.
    inputs : dict
        From a tensor's identity to its layer's number and its shape.
    names : dict
        From a weight's identity to the name of its layer.
    result : tensor
    """

    def __init__(
        self,
        ndim: int,
        inputs: Mapping[int, tuple[int, torch.Size]],
        names: Mapping[int, str],
        result: Any,
    ) -> None:
        self._ndim, self._inputs, self._names, self._result = ndim, inputs, names, result

    def conv2d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Layer:
        """Read a convolution."""
        outs, ins, *kernel = weight.shape
        dilation = self._axes(dilation)
        if padding == "same":
            reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            _need(not any(length % 2 for length in reach))
            padding = [length // 2 for length in reach]
        return Convolution(
            (self._number(x),),
            self._name(weight),
            ins * groups,
            outs,
            tuple(kernel),
            self._axes(stride),
            self._axes(0 if padding == "valid" else padding),
            dilation,
            groups,
            bias is not None,
        )

    conv3d = conv2d

    def conv_transpose2d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Layer:
        """Read a transposed convolution."""
        _need(set(self._axes(dilation)) == {1})
        ins, outs, *kernel = weight.shape
        return TransposedConvolution(
            (self._number(x),),
            self._name(weight),
            ins,
            outs * groups,
            tuple(kernel),
            self._axes(stride),
            self._axes(padding),
            self._axes(output_padding),
            groups,
            bias is not None,
        )

    conv_transpose3d = conv_transpose2d

    def batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Layer:
        """Read a batch normalisation."""
        _need(not training and running_mean is not None)
        return self._norm(x, "batch", weight, running_mean, eps)

    def instance_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Layer:
        """Read an instance normalisation."""
        return self._norm(x, "instance", weight, running_mean, eps)

    def group_norm(
        self,
        x: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Layer:
        """Read a group normalisation."""
        _need(weight is not None)
        return self._norm(x, "group", weight, None, eps, groups=num_groups)

    def leaky_relu(self, x: Tensor, negative_slope: float = 0.01, inplace: Any = None) -> Layer:
        """Read a leaky ReLU."""
        return Activation((self._number(x),), "leaky_relu", negative_slope)

    def elu(self, x: Tensor, alpha: float = 1.0, inplace: Any = None) -> Layer:
        """Read an ELU."""
        return Activation((self._number(x),), "elu", alpha)

    def prelu(self, x: Tensor, weight: Tensor) -> Layer:
        """Read a leaky ReLU whose slope is learned."""
        name = self._name(weight)
        return Activation((self._number(x),), "prelu", name=name, channels=weight.numel())

    def gelu(self, x: Tensor, approximate: str = "none") -> Layer:
        """Read a GELU."""
        _need(approximate == "none")
        return Activation((self._number(x),), "gelu")

    def softplus(self, x: Tensor, beta: float = 1, threshold: float = 20) -> Layer:
        """Read a softplus."""
        _need(beta == 1 and threshold == 20)
        return Activation((self._number(x),), "softplus")

    def softmax(self, x: Tensor, dim: int | None = None, **_: Any) -> Layer:
        """Read a softmax over the channels."""
        _need(dim == 1)
        return Activation((self._number(x),), "softmax")

    def max_pool2d(
        self,
        x: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Layer:
        """Read a max pooling."""
        _need(set(self._axes(dilation)) == {1} and not ceil_mode and not return_indices)
        return self._pool(x, "max", kernel_size, stride, padding)

    max_pool3d = max_pool2d

    def avg_pool2d(
        self,
        x: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Layer:
        """Read a mean pooling."""
        _need(not ceil_mode and count_include_pad and divisor_override is None)
        return self._pool(x, "mean", kernel_size, stride, padding)

    avg_pool3d = avg_pool2d

    def interpolate(
        self,
        x: Tensor,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: Any = None,
        antialias: bool = False,
    ) -> Layer:
        """Read an enlargement by whole factors."""
        before, after = self._shape(x)[2:], self._result.shape[2:]
        _need(mode in ("nearest", "bilinear", "trilinear") and not antialias)
        _need(all(b % a == 0 for a, b in zip(before, after, strict=True)))
        factor = tuple(b // a for a, b in zip(before, after, strict=True))
        kind: Literal["nearest", "linear"] = "nearest" if mode == "nearest" else "linear"
        return Upsample((self._number(x),), factor, kind, bool(align_corners))

    def clamp(self, x: Tensor, min: Any = None, max: Any = None) -> Layer:  # noqa: A002
        """Read a limit, or two."""
        _need(not isinstance(min, Tensor) and not isinstance(max, Tensor))
        return Clip((self._number(x),), min, max)

    def hardtanh(
        self, x: Tensor, min_val: float = -1, max_val: float = 1, inplace: Any = None
    ) -> Layer:
        """Read a limit on both sides."""
        return Clip((self._number(x),), min_val, max_val)

    def relu6(self, x: Tensor, inplace: Any = None) -> Layer:
        """Read a ReLU that ends at 6."""
        return Clip((self._number(x),), 0, 6)

    def cat(self, tensors: Sequence[Tensor], dim: int = 0) -> Layer:
        """Read a joining of channels."""
        _need(dim in (1, -self._ndim - 1))
        return self._join("concatenate", tensors)

    concat = cat

    def add(self, x: Tensor, other: Tensor, *, alpha: float = 1) -> Layer:
        """Read a sum."""
        _need(alpha == 1)
        return self._join("add", (x, other))

    def mul(self, x: Tensor, other: Tensor) -> Layer:
        """Read a product."""
        return self._join("multiply", (x, other))

    def pad(self, x: Tensor, pad: Sequence[int], *_: Any, **__: Any) -> int:
        """Read a padding by nothing."""
        _need(not any(pad))
        return self._number(x)

    def dropout(
        self,
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> int:
        """Read a dropout, which rests outside of training."""
        _need(not training)
        return self._number(x)

    dropout1d = dropout2d = dropout3d = dropout

    def contiguous(self, x: Tensor, **_: Any) -> int:
        """Read a change of memory layout."""
        return self._number(x)

    # -- parts ----------------------------------------------------------------------------------

    def _number(self, x: Tensor) -> int:
        return self._known(x)[0]

    def _shape(self, x: Tensor) -> torch.Size:
        return self._known(x)[1]

    def _known(self, x: Tensor) -> tuple[int, torch.Size]:
        if id(x) not in self._inputs:
            raise _UnknownError
        return self._inputs[id(x)]

    def _name(self, weight: Tensor) -> str:
        if id(weight) not in self._names:
            raise _UnknownError
        return self._names[id(weight)]

    def _axes(self, value: Any) -> Axes:
        if isinstance(value, int):
            return (value,) * self._ndim
        values = tuple(map(int, value))
        return values * self._ndim if len(values) == 1 else values

    def _norm(
        self,
        x: Tensor,
        kind: Literal["batch", "instance", "group"],
        weight: Tensor | None,
        running_mean: Tensor | None,
        epsilon: float,
        *,
        groups: int = 1,
    ) -> Layer:
        holder = weight if weight is not None else running_mean
        return Norm(
            (self._number(x),),
            "" if holder is None else self._name(holder),
            self._shape(x)[1],
            kind,
            affine=weight is not None,
            tracks=running_mean is not None,
            groups=groups,
            epsilon=epsilon,
        )

    def _pool(
        self, x: Tensor, kind: Literal["max", "mean"], kernel: Any, stride: Any, padding: Any
    ) -> Layer:
        lengths = self._axes(kernel)
        steps = self._axes(stride) if stride else lengths
        return Pool((self._number(x),), steps, kind, lengths, self._axes(padding))

    def _join(
        self, kind: Literal["concatenate", "add", "multiply"], tensors: Sequence[Tensor]
    ) -> Layer:
        # A `Join` crops where sizes differ; torch would broadcast or refuse.
        _need(len({self._shape(x)[2:] for x in tensors}) == 1)
        return Join(tuple(map(self._number, tensors)), kind)


def _need(condition: bool) -> None:
    if not condition:
        raise _UnknownError


def _tensors(values: Any) -> list[Tensor]:
    """All tensors in nested containers."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        return _tensors(tuple(values.values()))
    if isinstance(values, tuple | list):
        return [x for value in values for x in _tensors(value)]
    return []
