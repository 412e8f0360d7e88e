"""What torch's functions do to an image, as the layers that do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from napari_unet.engine.networks.layers import (
    Activation,
    Axes,
    Clip,
    Convolution,
    Join,
    Layer,
    Norm,
    Pool,
    TransposedConvolution,
    Upsample,
)


class UnknownCallError(Exception):
    """A call that no layer does."""


class TorchCall:
    """Reads one call as a layer, or as the number of one that it leaves as it is.

    The methods are called as torch's functions of the same names are, with the
    same defaults; each raises `UnknownCallError` for what no layer does.

    Parameters
    ----------
    inputs : dict
        From a tensor's identity to its layer's number and its shape.
    names : dict
        From a weight's identity to the name of its layer.
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
        return self._norm(x, "instance", weight, running_mean, eps)

    def group_norm(
        self,
        x: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Layer:
        _need(weight is not None)
        return self._norm(x, "group", weight, None, eps, groups=num_groups)

    def leaky_relu(self, x: Tensor, negative_slope: float = 0.01, inplace: Any = None) -> Layer:
        return Activation((self._number(x),), "leaky_relu", negative_slope)

    def elu(self, x: Tensor, alpha: float = 1.0, inplace: Any = None) -> Layer:
        return Activation((self._number(x),), "elu", alpha)

    def prelu(self, x: Tensor, weight: Tensor) -> Layer:
        name = self._name(weight)
        return Activation((self._number(x),), "prelu", name=name, channels=weight.numel())

    def gelu(self, x: Tensor, approximate: str = "none") -> Layer:
        _need(approximate == "none")
        return Activation((self._number(x),), "gelu")

    def softplus(self, x: Tensor, beta: float = 1, threshold: float = 20) -> Layer:
        _need(beta == 1 and threshold == 20)
        return Activation((self._number(x),), "softplus")

    def softmax(self, x: Tensor, dim: int | None = None, **_: Any) -> Layer:
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
        before, after = self._shape(x)[2:], self._result.shape[2:]
        _need(mode in ("nearest", "bilinear", "trilinear") and not antialias)
        _need(all(b % a == 0 for a, b in zip(before, after, strict=True)))
        factor = tuple(b // a for a, b in zip(before, after, strict=True))
        kind: Literal["nearest", "linear"] = "nearest" if mode == "nearest" else "linear"
        return Upsample((self._number(x),), factor, kind, bool(align_corners))

    def clamp(self, x: Tensor, min: Any = None, max: Any = None) -> Layer:  # noqa: A002
        _need(not isinstance(min, Tensor) and not isinstance(max, Tensor))
        return Clip((self._number(x),), min, max)

    def hardtanh(
        self, x: Tensor, min_val: float = -1, max_val: float = 1, inplace: Any = None
    ) -> Layer:
        return Clip((self._number(x),), min_val, max_val)

    def relu6(self, x: Tensor, inplace: Any = None) -> Layer:
        return Clip((self._number(x),), 0, 6)

    def cat(self, tensors: Sequence[Tensor], dim: int = 0) -> Layer:
        _need(dim in (1, -self._ndim - 1))
        return self._join("concatenate", tensors)

    concat = cat

    def add(self, x: Tensor, other: Tensor, *, alpha: float = 1) -> Layer:
        _need(alpha == 1)
        return self._join("add", (x, other))

    def mul(self, x: Tensor, other: Tensor) -> Layer:
        return self._join("multiply", (x, other))

    def pad(self, x: Tensor, pad: Sequence[int], *_: Any, **__: Any) -> int:
        _need(not any(pad))
        return self._number(x)

    def dropout(
        self,
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> int:
        _need(not training)
        return self._number(x)

    dropout1d = dropout2d = dropout3d = dropout

    def contiguous(self, x: Tensor, **_: Any) -> int:
        return self._number(x)

    # -- parts ----------------------------------------------------------------------------------

    def _number(self, x: Tensor) -> int:
        return self._known(x)[0]

    def _shape(self, x: Tensor) -> torch.Size:
        return self._known(x)[1]

    def _known(self, x: Tensor) -> tuple[int, torch.Size]:
        if id(x) not in self._inputs:
            raise UnknownCallError
        return self._inputs[id(x)]

    def _name(self, weight: Tensor) -> str:
        if id(weight) not in self._names:
            raise UnknownCallError
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
        raise UnknownCallError
