"""A network as a graph of layers: what a file can say of any U-Net without carrying code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.networks.output_meaning import OutputMeaning

Axes: TypeAlias = tuple[int, ...]
"""One number for each spatial axis."""

Interval: TypeAlias = tuple[int, int]
"""First and last pixel along one axis."""

_MOST_LAYERS = 2000
_MOST_CHANNELS = 1 << 16
_MOST_MULTIPLE = 512


@dataclass(frozen=True, slots=True)
class Input:
    """The image."""

    op: ClassVar[str] = "input"
    inputs: tuple[int, ...] = ()

    def output_size(self, sizes: Sequence[int], axis: int) -> int:  # noqa: ARG002
        """Pixels along an axis."""
        return sizes[0]


@dataclass(frozen=True, slots=True)
class _Pointwise:
    """A layer whose output pixel reads the same pixel of its inputs."""

    inputs: tuple[int, ...]

    def output_size(self, sizes: Sequence[int], axis: int) -> int:  # noqa: ARG002
        """Pixels along an axis."""
        return sizes[0]

    def reads(self, low: int, high: int, axis: int) -> Interval:  # noqa: ARG002
        """Input pixels behind the output pixels `low` to `high`."""
        return low, high


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution.

    Parameters
    ----------
    inputs : tuple of int
        Number of the layer that it reads.
    name : str
        What its author called it; the weights are `name`.weight and `name`.bias.
    in_channels, out_channels : int
    kernel, stride, padding, dilation : tuple of int
        For each axis.
    groups : int
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    """

    op: ClassVar[str] = "convolution"
    inputs: tuple[int, ...]
    name: str
    in_channels: int
    out_channels: int
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    groups: int = 1
    bias: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        """Pixels along an axis; a stride must divide its input."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        stride = self.stride[axis]
        if sizes[0] % stride:
            raise _NotWholeError
        return (sizes[0] + 2 * self.padding[axis] - reach - 1) // stride + 1

    def reads(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels behind the output pixels `low` to `high`."""
        stride, padding = self.stride[axis], self.padding[axis]
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        return low * stride - padding, high * stride - padding + reach


@dataclass(frozen=True, slots=True)
class TransposedConvolution:
    """A convolution that enlarges its input.

    Parameters
    ----------
    inputs, name, in_channels, out_channels, kernel, stride, padding, groups, bias
        As of `Convolution`.
    output_padding : tuple of int
        Pixels added at the far end of each axis.
    """

    op: ClassVar[str] = "transposed"
    inputs: tuple[int, ...]
    name: str
    in_channels: int
    out_channels: int
    kernel: Axes
    stride: Axes
    padding: Axes
    output_padding: Axes
    groups: int = 1
    bias: bool = True

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        """Pixels along an axis."""
        grown = (sizes[0] - 1) * self.stride[axis] - 2 * self.padding[axis]
        return grown + self.kernel[axis] + self.output_padding[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels behind the output pixels `low` to `high`."""
        stride, padding = self.stride[axis], self.padding[axis]
        first = -((self.kernel[axis] - 1 - low - padding) // stride)
        return first, (high + padding) // stride


@dataclass(frozen=True, slots=True)
class Norm(_Pointwise):
    """A normalisation.

    Parameters
    ----------
    inputs, name
        As of `Convolution`.
    channels : int
    kind : {"batch", "instance", "group"}
    affine : bool
        Whether it has weight and bias.
    tracks : bool
        Whether it has a running mean and variance.
    groups : int
        Of "group".
    epsilon : float
    """

    op: ClassVar[str] = "norm"
    name: str
    channels: int
    kind: Literal["batch", "instance", "group"]
    affine: bool = True
    tracks: bool = True
    groups: int = 1
    epsilon: float = 1e-5


@dataclass(frozen=True, slots=True)
class Activation(_Pointwise):
    """A function of each number, or, "softmax", of each pixel's channels.

    Parameters
    ----------
    inputs : tuple of int
    kind : str
        One of `ACTIVATIONS`.
    slope : float
        Of "leaky_relu" below 0; alpha of "elu".
    name : str
        Where "prelu" has its weight.
    channels : int
        Numbers in that weight.
    """

    op: ClassVar[str] = "activation"
    kind: str
    slope: float = 0.01
    name: str = ""
    channels: int = 1


ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "sigmoid",
    "tanh",
    "softmax",
)


@dataclass(frozen=True, slots=True)
class Standardize(_Pointwise):
    """Subtract a constant from each channel and divide by another.

    Parameters
    ----------
    inputs : tuple of int
    mean, deviation : tuple of float
        For each channel.
    """

    op: ClassVar[str] = "standardize"
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pad:
    """Zeros around the image, which an even kernel needs more of at one end.

    Parameters
    ----------
    inputs : tuple of int
    before, after : tuple of int
        Pixels added at the near and at the far end of each axis.
    """

    op: ClassVar[str] = "pad"
    inputs: tuple[int, ...]
    before: Axes
    after: Axes

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        """Pixels along an axis."""
        return sizes[0] + self.before[axis] + self.after[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels behind the output pixels `low` to `high`."""
        return low - self.before[axis], high - self.before[axis]


@dataclass(frozen=True, slots=True)
class Clip(_Pointwise):
    """Bring each number into a range.

    Parameters
    ----------
    inputs : tuple of int
    low, high : float, optional
        None for no limit.
    """

    op: ClassVar[str] = "clip"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """The largest, or the mean, of each block of pixels.

    Parameters
    ----------
    inputs : tuple of int
    stride : tuple of int
        From one block to the next along each axis.
    kind : {"max", "mean"}
    kernel : tuple of int, optional
        Length of the blocks; `stride` if left out.
    padding : tuple of int, optional
        Pixels added at both ends of each axis; none if left out.
    """

    op: ClassVar[str] = "pool"
    inputs: tuple[int, ...]
    stride: Axes
    kind: Literal["max", "mean"] = "max"
    kernel: Axes | None = None
    padding: Axes | None = None

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        """Pixels along an axis, which the stride must divide."""
        kernel, stride, padding = self._along(axis)
        if sizes[0] % stride:
            raise _NotWholeError
        return (sizes[0] + 2 * padding - kernel) // stride + 1

    def reads(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels behind the output pixels `low` to `high`."""
        kernel, stride, padding = self._along(axis)
        return low * stride - padding, high * stride - padding + kernel - 1

    def _along(self, axis: int) -> tuple[int, int, int]:
        """Kernel, stride and padding along an axis."""
        kernel = self.stride if self.kernel is None else self.kernel
        padding = 0 if self.padding is None else self.padding[axis]
        return kernel[axis], self.stride[axis], padding


@dataclass(frozen=True, slots=True)
class Upsample:
    """Enlarge by interpolation.

    Parameters
    ----------
    inputs : tuple of int
    factor : tuple of int
        For each axis.
    mode : {"nearest", "linear"}
    align_corners : bool
        Of "linear": whether the outermost pixels keep their place.
    """

    op: ClassVar[str] = "upsample"
    inputs: tuple[int, ...]
    factor: Axes
    mode: Literal["nearest", "linear"] = "linear"
    align_corners: bool = False

    def output_size(self, sizes: Sequence[int], axis: int) -> int:
        """Pixels along an axis."""
        return sizes[0] * self.factor[axis]

    def reads(self, low: int, high: int, axis: int) -> Interval:
        """Input pixels behind the output pixels `low` to `high`."""
        factor = self.factor[axis]
        if self.mode == "nearest" or factor == 1:
            return low // factor, high // factor
        # Pixel centres: output pixel o lies at (o + 1/2) / factor - 1/2.
        first = math.floor((low + 0.5) / factor - 0.5)
        last = math.floor((high + 0.5) / factor - 0.5) + 1
        return (first - 1, last) if self.align_corners else (first, last)


@dataclass(frozen=True, slots=True)
class Join:
    """Several layers made one; a larger one is cropped at its centre.

    Parameters
    ----------
    inputs : tuple of int
        In their order.
    kind : {"concatenate", "add", "multiply"}
    """

    op: ClassVar[str] = "join"
    inputs: tuple[int, ...]
    kind: Literal["concatenate", "add", "multiply"] = "concatenate"

    def output_size(self, sizes: Sequence[int], axis: int) -> int:  # noqa: ARG002
        """Pixels along an axis: those of the smallest."""
        return min(sizes)


Layer: TypeAlias = (
    Input
    | Convolution
    | TransposedConvolution
    | Norm
    | Activation
    | Standardize
    | Pad
    | Clip
    | Pool
    | Upsample
    | Join
)

_OPS: dict[str, type[Layer]] = {
    kind.op: kind
    for kind in (
        Input,
        Convolution,
        TransposedConvolution,
        Norm,
        Activation,
        Standardize,
        Pad,
        Clip,
        Pool,
        Upsample,
        Join,
    )
}


_AT_LEAST_ONE = ("kernel", "stride", "dilation", "factor")
_LENGTHS = (*_AT_LEAST_ONE, "padding", "output_padding", "before", "after")
"""Attributes of layers that hold a number of pixels for each axis."""


class _NotWholeError(Exception):
    """A size that a stride does not divide."""


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """Shape of a network that somebody else designed.

    Parameters
    ----------
    ndim : int
        2 or 3 spatial axes.
    in_channels : int
    layers : tuple of Layer
        In the order of computing; the first is the `Input`.
    outputs : tuple of int
        Layers whose channels, one after the other, are the output.
    meaning : OutputMeaning
        Of these channels.
    origin : str
        Whose network it is, for people.

    Raises
    ------
    SettingsError
        If the layers do not fit together.
    """

    ndim: int
    in_channels: int
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    meaning: OutputMeaning
    origin: str = ""

    def __post_init__(self) -> None:
        if self.ndim not in (2, 3):
            raise SettingsError(f"The network has {self.ndim} axes; use 2 or 3.")
        if not 1 <= self.in_channels <= _MOST_CHANNELS:
            raise SettingsError(f"in_channels is {self.in_channels}; use 1 or more.")
        if not 2 <= len(self.layers) <= _MOST_LAYERS or not isinstance(self.layers[0], Input):
            raise SettingsError(
                f"The network has {len(self.layers)} layers; expected the input and up to "
                f"{_MOST_LAYERS} after it."
            )
        channels = self.channels
        if self.size_multiple > _MOST_MULTIPLE:
            raise SettingsError(
                f"The network shrinks images {self.size_multiple} times; expected up to "
                f"{_MOST_MULTIPLE}."
            )
        if any(not 0 <= index < len(self.layers) for index in self.outputs) or not self.outputs:
            raise SettingsError(f"There are no layers {self.outputs} to be the output.")
        found = sum(channels[index] for index in self.outputs)
        if found != len(self.meaning.channels):
            raise SettingsError(
                f"The network gives {found} channels but {len(self.meaning.channels)} are named; "
                "name each once."
            )
        _check_sizes(self)

    # -- what the engine asks -------------------------------------------------------------------

    @property
    def classes(self) -> int:
        """Classes that it scores."""
        return len(self.meaning.class_roles)

    @property
    def is_trainable(self) -> bool:
        """Whether it can learn."""
        return True

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each layer's output."""
        found: list[int] = []
        for number, layer in enumerate(self.layers):
            if any(not 0 <= index < number for index in layer.inputs):
                raise SettingsError(f"Layer {number} reads one that is not computed before it.")
            found.append(_channels(layer, [found[index] for index in layer.inputs], self))
        return tuple(found)

    @property
    def scales(self) -> tuple[Axes, ...]:
        """Pixels of the image in one pixel of each layer, for each axis."""
        found: list[Axes] = []
        for layer in self.layers:
            scale = found[layer.inputs[0]] if layer.inputs else (1,) * self.ndim
            if isinstance(layer, Convolution | Pool):
                scale = tuple(a * b for a, b in zip(scale, layer.stride, strict=True))
            elif isinstance(layer, TransposedConvolution | Upsample):
                by = layer.stride if isinstance(layer, TransposedConvolution) else layer.factor
                scale = tuple(max(1, a // b) for a, b in zip(scale, by, strict=True))
            found.append(scale)
        return tuple(found)

    @property
    def widths(self) -> tuple[int, ...]:
        """Most features at each level, full resolution first."""
        most: dict[Axes, int] = {}
        for layer, scale, channels in zip(self.layers, self.scales, self.channels, strict=True):
            if isinstance(layer, Convolution):
                most[scale] = max(most.get(scale, 0), channels)
        return tuple(most[scale] for scale in sorted(most, key=math.prod))

    @property
    def sentence(self) -> str:
        """What it is, in a few words for people."""
        levels = ", ".join(map(str, self.widths))
        whose = f" ({self.origin})" if self.origin else ""
        return f"U-Net with levels of {levels} features{whose}"

    @property
    def inexact_because(self) -> str:
        """Why tiles differ from the image as a whole; empty if they do not."""
        for layer in self.layers:
            if isinstance(layer, Norm) and not (layer.kind == "batch" and layer.tracks):
                return f"its {layer.kind} normalisation measures each tile on its own"
            if isinstance(layer, Upsample) and layer.mode == "linear" and layer.align_corners:
                return "its interpolation aligns the corners of each tile"
        return ""

    @property
    def size_multiple(self) -> int:
        """Shift of the input, in pixels, that shifts the output alike."""
        return math.lcm(*(length for scale in self.scales for length in scale))

    @property
    def size_loss_px(self) -> int:
        """Input size minus output size in pixels."""
        size = self.valid_input_size(1)
        return size - self.output_size(size)

    @property
    def margin_px(self) -> int:
        """Pixels beyond an output pixel, on each side, that can change its value."""
        return _margin(self)

    @property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own to be exact, in pixels."""
        return _overlap(self)

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If no output is left or a pooled size would not be whole.
        """
        size = _sizes(self, input_size)
        if size is None:
            raise ImageShapeError(
                f"An axis has {input_size} pixels; this network reads {self.valid_input_size(1)} "
                f"plus multiples of {self.size_multiple}. Use segment(), which takes any size."
            )
        return size[self.outputs[0]]

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels whose output covers `output_at_least` pixels."""
        return _valid_input_size(self, output_at_least)

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        """Most numbers that are kept at once while a tile of these sizes is computed."""
        pixels = math.prod(sizes)
        layers = zip(self.channels, self.scales, strict=True)
        numbers = [channels * pixels // math.prod(scale) for channels, scale in layers]
        last, alive, most = last_uses(self), 0, 0
        for number, layer in enumerate(self.layers):
            alive += numbers[number]
            most = max(most, alive)
            alive -= sum(numbers[index] for index in set(layer.inputs) if last[index] == number)
        return most

    # -- in files -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        values = {**asdict(self), "kind": "graph"}
        values["layers"] = [{"op": layer.op, **asdict(layer)} for layer in self.layers]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GraphConfig:
        """Read what `to_json` gave.

        Raises
        ------
        SettingsError, AttributeError, KeyError, TypeError
            If it is something else.
        """
        others = {key: value for key, value in values.items() if key not in _MADE_APART}
        return cls(
            **typed(_OtherValues, others),
            layers=tuple(_layer(entry) for entry in values["layers"]),
            meaning=typed(OutputMeaning, values["meaning"]),
        )


_MADE_APART = ("kind", "layers", "meaning")


class _OtherValues(TypedDict, total=False):
    """Fields of `GraphConfig` beside those of classes of their own."""

    ndim: Required[int]
    in_channels: Required[int]
    outputs: Required[tuple[int, ...]]
    origin: str


def _layer(values: dict[str, Any]) -> Layer:
    return typed(_OPS[values["op"]], {key: each for key, each in values.items() if key != "op"})


def _channels(layer: Layer, given: Sequence[int], config: GraphConfig) -> int:
    """Channels of a layer's output; checks that it can read its inputs."""
    if isinstance(layer, Input):
        return config.in_channels
    if not given:
        raise SettingsError(f"A {layer.op} reads nothing.")
    for name in _LENGTHS:
        values = getattr(layer, name, None)
        least = 1 if name in _AT_LEAST_ONE else 0
        if values is not None and (
            len(values) != config.ndim or any(not least <= value <= 64 for value in values)
        ):
            raise SettingsError(f"A {layer.op} has the {name} {values}.")
    if isinstance(layer, Convolution | TransposedConvolution):
        if (
            layer.groups < 1
            or layer.in_channels % layer.groups
            or layer.out_channels % layer.groups
        ):
            raise SettingsError(f"'{layer.name}' cannot have {layer.groups} groups.")
        if given[0] != layer.in_channels or not 1 <= layer.out_channels <= _MOST_CHANNELS:
            raise SettingsError(
                f"'{layer.name}' reads {layer.in_channels} channels but is given {given[0]}."
            )
        return layer.out_channels
    if isinstance(layer, Norm) and not (layer.affine or layer.tracks or layer.kind == "instance"):
        raise SettingsError(f"A {layer.kind} normalisation without weights is not known.")
    if isinstance(layer, Norm) and (layer.groups < 1 or layer.channels % layer.groups):
        raise SettingsError(f"'{layer.name}' cannot have {layer.groups} groups.")
    if isinstance(layer, Norm) and given[0] != layer.channels:
        raise SettingsError(
            f"'{layer.name}' normalises {layer.channels} channels but is given {given[0]}."
        )
    if isinstance(layer, Clip) and layer.low is layer.high is None:
        raise SettingsError("A clip has neither a lower nor an upper limit.")
    if (
        isinstance(layer, Activation)
        and layer.kind == "prelu"
        and layer.channels not in (1, given[0])
    ):
        raise SettingsError(
            f"'{layer.name}' bends {layer.channels} channels but is given {given[0]}."
        )
    if isinstance(layer, Activation) and layer.kind not in ACTIVATIONS:
        raise SettingsError(f"The activation is {layer.kind!r}; use one of {ACTIVATIONS}.")
    if isinstance(layer, Join):
        if layer.kind == "concatenate":
            return sum(given)
        if len(set(given) - {1}) > 1:
            found = ", ".join(map(str, given))
            raise SettingsError(f"Layers of {found} channels cannot be joined ({layer.kind}).")
        return max(given)
    return given[0]


def last_uses(config: GraphConfig) -> list[int]:
    """Number of the layer that reads each one last; beyond the last layer for outputs."""
    last = list(range(len(config.layers)))
    for number, layer in enumerate(config.layers):
        for index in layer.inputs:
            last[index] = number
    for index in config.outputs:
        last[index] = len(config.layers)
    return last


# Cached apart, because a frozen dataclass with slots cannot keep what it worked out.


@cache
def _sizes(config: GraphConfig, input_size: int, axis: int = 0) -> tuple[int, ...] | None:
    """Size of each layer's output along an axis; None if the input does not fit."""
    return _sizes_now(config, input_size, axis)


def _sizes_now(config: GraphConfig, input_size: int, axis: int) -> tuple[int, ...] | None:
    """Work out `_sizes`; looking it up takes longer where most sizes fail early."""
    found: list[int] = []
    try:
        for layer in config.layers:
            given = [found[index] for index in layer.inputs] or [input_size]
            size = layer.output_size(given, axis)
            if size < 1:
                return None
            found.append(size)
    except _NotWholeError:
        return None
    return tuple(found)


def _check_sizes(config: GraphConfig) -> None:
    """Raise unless outputs lose the same, even number of pixels along every axis."""
    multiple = config.size_multiple
    for size in (config.valid_input_size(1), config.valid_input_size(1) + multiple):
        ends = set()
        for axis in range(config.ndim):
            sizes = _sizes(config, size, axis)
            ends |= {sizes[index] for index in config.outputs} if sizes else {size + 1}
        lost = size - max(ends)
        if len(ends) != 1 or lost < 0 or lost % 2 or lost != config.size_loss_px:
            raise SettingsError(
                "The layers do not bring the output to the size of the input; this is no U-Net."
            )


@cache
def _valid_input_size(config: GraphConfig, output_at_least: int) -> int:
    multiple = config.size_multiple
    start = max(1, output_at_least)
    # Unpadded convolutions lose at most so much; beyond it no size will do.
    most = start + 2 * multiple + sum(_loss(layer, multiple) for layer in config.layers)
    for size in range(start, most):
        sizes = (_sizes_now(config, size, axis) for axis in range(config.ndim))
        if all(each and each[config.outputs[0]] >= output_at_least for each in sizes):
            return size
    raise SettingsError(f"No input of up to {most} pixels fits the layers; this is no U-Net.")


def _loss(layer: Layer, multiple: int) -> int:
    if isinstance(layer, Convolution):
        lost = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel, strict=True)]
        return max(lost) * multiple
    return 0


def _inputs_behind(config: GraphConfig, low: int, high: int, axis: int) -> Interval:
    """Input pixels, of an endless image, behind the output pixels `low` to `high`."""
    size = config.valid_input_size(1)
    sizes = _sizes(config, size, axis) or ()
    wanted: dict[int, Interval] = {}
    for index in config.outputs:
        _widen(wanted, index, (low, high))
    for number in range(len(config.layers) - 1, 0, -1):
        if number not in wanted:
            continue
        layer, (first, last) = config.layers[number], wanted[number]
        for index in layer.inputs:
            if isinstance(layer, Join):
                cropped = (sizes[index] - sizes[number]) // 2
                _widen(wanted, index, (first + cropped, last + cropped))
            elif not isinstance(layer, Input):
                _widen(wanted, index, layer.reads(first, last, axis))
    return wanted.get(0, (low, high))


def _widen(wanted: dict[int, Interval], index: int, interval: Interval) -> None:
    low, high = wanted.get(index, interval)
    wanted[index] = min(low, interval[0]), max(high, interval[1])


@cache
def _margin(config: GraphConfig) -> int:
    shift, most = config.size_loss_px // 2, 0
    for axis in range(config.ndim):
        # The interval depends on the pixel's place within a pooling cell: take the worst.
        for place in range(config.size_multiple):
            low, high = _inputs_behind(config, place, place, axis)
            most = max(most, place + shift - low, high - place - shift)
    return most


@cache
def _overlap(config: GraphConfig) -> int:
    multiple = config.size_multiple
    if not _pads(config.layers):
        # True context is read anyway; only interpolation sees the tile's end.
        return multiple if any(map(_reads_beyond, config.layers)) else 0
    shift, most = config.size_loss_px // 2, 0
    for axis in range(config.ndim):
        low, high = _inputs_behind(config, 0, multiple - 1, axis)
        most = max(most, shift - low, high - multiple + 1 - shift)
    return math.ceil(most / multiple) * multiple


def _reads_beyond(layer: Layer) -> bool:
    """Whether enlarging reads pixels beside the one that is enlarged."""
    if isinstance(layer, TransposedConvolution):
        return layer.kernel != layer.stride
    return isinstance(layer, Upsample) and layer.mode == "linear"


def _pads(layers: Iterable[Layer]) -> bool:
    return any(
        isinstance(layer, Pad)
        or (isinstance(layer, Convolution | Pool) and any(layer.padding or ()))
        for layer in layers
    )
