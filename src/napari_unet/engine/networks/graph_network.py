"""A network made from a graph of layers, with the names that its author gave to the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.networks.architecture import Architecture, NetworkModule
from napari_unet.engine.networks.layer_graph import (
    Activation,
    Clip,
    Convolution,
    GraphConfig,
    Join,
    Layer,
    Norm,
    Pad,
    Pool,
    Standardize,
    TransposedConvolution,
    Upsample,
    last_uses,
)
from napari_unet.engine.networks.unet import centre_crop


class GraphNetwork(NetworkModule):
    """Computes the layers of a graph one after the other.

    Parameters
    ----------
    config : GraphConfig
    device : torch.device or str, optional
        Where the weights are; on "meta" they are to be assigned later.
    """

    def __init__(self, config: GraphConfig, *, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.config: GraphConfig = config
        self.weights = nn.Module()
        for layer in config.layers:
            name = weights_name(layer)
            if name is not None and not _has(self.weights, name):
                _put(self.weights, name, _module(layer, config.ndim, device))
        self._folded: frozenset[int] = frozenset()
        self._last_use = last_uses(config)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits (N, classes, *S') of images (N, in_channels, *S)."""
        return self.config.meaning.class_logits(self.author_output(x))

    def author_output(self, x: Tensor) -> Tensor:
        """What the author's own network gives out: (N, channels, *S')."""
        found: dict[int, Tensor] = {}
        for number, layer in enumerate(self.config.layers):
            given = [found[index] for index in layer.inputs]
            found[number] = x if number == 0 else self._compute(number, layer, given)
            for index in set(layer.inputs):
                # Only what is still needed stays in memory.
                if self._last_use[index] == number:
                    del found[index]
        results = [found[index] for index in self.config.outputs]
        return results[0] if len(results) == 1 else torch.cat(results, dim=1)

    def author_weights(self) -> dict[str, Tensor]:
        """Weights under the names that the network's author gave them."""
        return self.weights.state_dict()

    def take_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Use these tensors, under their author's names, as the weights; none is copied.

        As `load_state_dict` with `assign`, and several times as fast.

        Raises
        ------
        CheckpointError
            If one is missing or does not fit.
        """
        for layer in self.config.layers:
            name = weights_name(layer)
            if name is None:
                continue
            module = _get(self.weights, name)
            for kind, place in list(module._parameters.items()):
                if place is not None:
                    module._parameters[kind] = nn.Parameter(_fitting(tensors, name, kind, place))
            for kind, held in list(module._buffers.items()):
                if held is not None:
                    module._buffers[kind] = _fitting(tensors, name, kind, held)

    def with_config(self, config: Architecture) -> GraphNetwork:
        """Return a network with the same weights, not copied, whose layers work another way."""
        assert isinstance(config, GraphConfig)  # noqa: S101
        if config == self.config:
            return self
        network = GraphNetwork(config, device="meta")
        network.weights.load_state_dict(self.weights.state_dict(keep_vars=True), assign=True)
        return network.train(self.training)

    def fused(self, device: torch.device, dtype: torch.dtype = torch.float32) -> GraphNetwork:
        """Return a copy for inference: batch norm folded into the convolutions, channels last."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network._fold_norms()
        network = network.to(device=device, dtype=dtype)
        return network.to(memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def _fold_norms(self) -> None:
        layers = self.config.layers
        names = list(map(weights_name, layers))
        users = [sum(number in layer.inputs for layer in layers) for number in range(len(layers))]
        folded = set()
        for number, layer in enumerate(layers):
            if not isinstance(layer, Norm) or layer.kind != "batch" or not layer.tracks:
                continue
            before = layers[layer.inputs[0]]
            if (
                isinstance(before, Convolution)
                and users[layer.inputs[0]] == 1
                and layer.inputs[0] not in self.config.outputs
                and names.count(before.name) == names.count(layer.name) == 1
            ):
                _fold(_get(self.weights, before.name), _get(self.weights, layer.name))
                folded.add(number)
        self._folded = frozenset(folded)

    def _compute(self, number: int, layer: Layer, given: Sequence[Tensor]) -> Tensor:
        x = given[0]
        if number in self._folded:
            return x
        name = weights_name(layer)
        if name is not None:
            y: Tensor = _get(self.weights, name)(x)
            return y
        if isinstance(layer, Norm):
            return functional.instance_norm(x, eps=layer.epsilon)
        if isinstance(layer, Activation):
            return activated(x, layer)
        if isinstance(layer, Join):
            return _joined(given, layer.kind)
        if isinstance(layer, Pool):
            return _pooled(x, layer)
        if isinstance(layer, Upsample):
            return _enlarged(x, layer)
        if isinstance(layer, Pad):
            ends = zip(layer.before, layer.after, strict=True)
            # torch counts the last axis first.
            return functional.pad(x, [n for pair in reversed(list(ends)) for n in pair])
        if isinstance(layer, Standardize | Clip):
            return in_range(x, layer)
        raise NotImplementedError(layer.op)


def weights_name(layer: Layer) -> str | None:
    """Where a layer has its weights; None if it has none."""
    if isinstance(layer, Convolution | TransposedConvolution):
        return layer.name
    if isinstance(layer, Norm) and (layer.affine or layer.tracks):
        return layer.name
    if isinstance(layer, Activation) and layer.kind == "prelu":
        return layer.name
    return None


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
        child = root._modules[part]
        assert child is not None  # noqa: S101
        root = child
    root._modules[last] = module


class _NoWeightsYet:
    """Leaves out random weights where there is no place for them yet, which takes long."""

    def reset_parameters(self) -> None:
        """Initialise the weights, if there are any."""
        weight: Tensor | None = getattr(self, "weight", None)
        if weight is None or not weight.is_meta:
            super().reset_parameters()  # type: ignore[misc]


class _Conv2d(_NoWeightsYet, nn.Conv2d):
    pass


class _Conv3d(_NoWeightsYet, nn.Conv3d):
    pass


class _ConvTranspose2d(_NoWeightsYet, nn.ConvTranspose2d):
    pass


class _ConvTranspose3d(_NoWeightsYet, nn.ConvTranspose3d):
    pass


class _BatchNorm2d(_NoWeightsYet, nn.BatchNorm2d):
    pass


class _BatchNorm3d(_NoWeightsYet, nn.BatchNorm3d):
    pass


def _module(layer: Layer, ndim: int, device: torch.device | str | None) -> nn.Module:
    """Make what holds a layer's weights."""
    flat = ndim == 2
    if isinstance(layer, Convolution):
        return (_Conv2d if flat else _Conv3d)(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            layer.bias,
            layer.padding_mode,
            device=device,
        )
    if isinstance(layer, TransposedConvolution):
        return (_ConvTranspose2d if flat else _ConvTranspose3d)(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.output_padding,  # type: ignore[arg-type]
            layer.groups,
            layer.bias,
            device=device,
        )
    if isinstance(layer, Norm):
        if layer.kind == "group":
            return nn.GroupNorm(layer.groups, layer.channels, layer.epsilon, layer.affine, device)
        batch = _BatchNorm2d if flat else _BatchNorm3d
        instance = nn.InstanceNorm2d if flat else nn.InstanceNorm3d
        return (batch if layer.kind == "batch" else instance)(
            layer.channels,
            eps=layer.epsilon,
            affine=layer.affine,
            track_running_stats=layer.tracks,
            device=device,
        )
    if isinstance(layer, Activation):
        return nn.PReLU(layer.channels, device=device)
    raise NotImplementedError(layer.op)


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


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    assert isinstance(convolution, nn.Conv2d | nn.Conv3d)  # noqa: S101
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)  # noqa: S101
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def activated(x: Tensor, layer: Activation) -> Tensor:
    """Apply an activation that has no weights."""
    if layer.kind == "leaky_relu":
        return functional.leaky_relu(x, layer.slope)
    if layer.kind == "elu":
        return functional.elu(x, layer.slope)
    if layer.kind == "softmax":
        return torch.softmax(x, dim=1)
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": functional.relu,
        "selu": functional.selu,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "mish": functional.mish,
        "softplus": functional.softplus,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    return functions[layer.kind](x)


def in_range(x: Tensor, layer: Standardize | Clip) -> Tensor:
    """Bring the numbers of (N, C, *S) to a range."""
    if isinstance(layer, Clip):
        return x.clamp(layer.low, layer.high)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    mean = torch.tensor(layer.mean, dtype=x.dtype, device=x.device).view(shape)
    deviation = torch.tensor(layer.deviation, dtype=x.dtype, device=x.device).view(shape)
    return (x - mean) / deviation


def _joined(given: Sequence[Tensor], kind: str) -> Tensor:
    size = tuple(map(min, zip(*(x.shape[2:] for x in given), strict=True)))
    given = [centre_crop(x, size) for x in given]
    if kind == "concatenate":
        return torch.cat(tuple(given), dim=1)
    result = given[0]
    for other in given[1:]:
        result = result + other if kind == "add" else result * other
    return result


def _pooled(x: Tensor, layer: Pool) -> Tensor:
    if len(layer.stride) == 2:
        pool = functional.max_pool2d if layer.kind == "max" else functional.avg_pool2d
    else:
        pool = functional.max_pool3d if layer.kind == "max" else functional.avg_pool3d
    y: Tensor = pool(x, layer.kernel or layer.stride, layer.stride, layer.padding or 0)
    return y


def _enlarged(x: Tensor, layer: Upsample) -> Tensor:
    factor = tuple(map(float, layer.factor))
    if layer.mode == "nearest":
        return functional.interpolate(x, scale_factor=factor, mode="nearest")
    mode = "bilinear" if len(factor) == 2 else "trilinear"
    return functional.interpolate(
        x, scale_factor=factor, mode=mode, align_corners=layer.align_corners
    )
