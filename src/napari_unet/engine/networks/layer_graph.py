"""A network as a graph of layers: what a file can say of any U-Net without carrying code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Required, TypeAlias

from typing_extensions import TypedDict

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import Axes, Layer, NotWholeError, made_layer
from napari_unet.engine.networks.levels import Level, LevelSizes, levels_of_graph, sizes_of_graph
from napari_unet.engine.networks.output_meaning import OutputMeaning

_Interval: TypeAlias = tuple[int, int]

_MOST_LAYERS = 2000
_MOST_CHANNELS = 1 << 16
_MOST_MULTIPLE = 512


# Without slots, so that it can keep what it worked out.
@dataclass(frozen=True)
class GraphConfig:
    """Shape of a network that somebody else designed.

    Parameters
    ----------
    ndim : int
        2 or 3 spatial axes.
    in_channels : int
    layers, outputs
        As of `LayerList`.
    meaning : OutputMeaning
        Of the channels of the output.
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
        if not 2 <= len(self.layers) <= _MOST_LAYERS or [
            number for number, layer in enumerate(self.layers) if layer.is_image
        ] != [0]:
            raise SettingsError(
                f"The network has {len(self.layers)} layers; expected the input and up to "
                f"{_MOST_LAYERS} after it."
            )
        for layer in self.layers:
            layer.check_lengths(self.ndim)
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
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Raise unless outputs lose the same, even number of pixels along every axis."""
        least = self.valid_input_size(1)
        for size in (least, least + self.size_multiple):
            ends = set()
            for axis in range(self.ndim):
                sizes = self.sizes(size, axis)
                ends |= {sizes[index] for index in self.outputs} if sizes else {size + 1}
            lost = size - max(ends)
            if len(ends) != 1 or lost < 0 or lost % 2 or lost != self.size_loss_px:
                raise SettingsError(
                    "The layers do not bring the output to the size of the input; this is no U-Net."
                )

    # -- what the engine asks -------------------------------------------------------------------

    @property
    def graph(self) -> LayerList:
        """The layers and which of them are the output."""
        return LayerList(self.layers, self.outputs)

    def with_graph(self, graph: LayerList) -> GraphConfig:
        """Return the shape with other layers."""
        return replace(self, layers=graph.layers, outputs=graph.outputs)

    def read_as(self, meaning: OutputMeaning) -> GraphConfig:
        """Return the shape with another meaning of its output."""
        return replace(self, meaning=meaning)

    @property
    def classes(self) -> int:
        """Classes that it scores."""
        return len(self.meaning.class_roles)

    @property
    def is_trainable(self) -> bool:
        """Whether it can learn."""
        return True

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Channels of each layer's output."""
        return self.graph.channels(self.in_channels)

    @cached_property
    def scales(self) -> tuple[Axes, ...]:
        """Pixels of the image in one pixel of each layer, for each axis."""
        found: list[Axes] = []
        for layer in self.layers:
            scale = found[layer.inputs[0]] if layer.inputs else (1,) * self.ndim
            shrinks, enlarges = layer.shrinks, layer.enlarges
            if shrinks is not None:
                scale = tuple(a * b for a, b in zip(scale, shrinks, strict=True))
            if enlarges is not None:
                scale = tuple(max(1, a // b) for a, b in zip(scale, enlarges, strict=True))
            found.append(scale)
        return tuple(found)

    @property
    def widths(self) -> tuple[int, ...]:
        """Most features at each level, full resolution first."""
        most: dict[Axes, int] = {}
        for layer, scale, channels in zip(self.layers, self.scales, self.channels, strict=True):
            if layer.in_picture == "convolution":
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
        return next(filter(None, (layer.inexact_because for layer in self.layers)), "")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the U, full resolution first."""
        return levels_of_graph(self)

    def level_sizes(self, shape: Sequence[int]) -> tuple[LevelSizes, ...]:
        """How large an image of a shape is at each level."""
        along = [self.sizes(self.valid_input_size(n), axis) for axis, n in enumerate(shape)]
        return sizes_of_graph(self, [sizes or () for sizes in along])

    @cached_property
    def size_multiple(self) -> int:
        """Shift of the input, in pixels, that shifts the output alike."""
        return math.lcm(*(length for scale in self.scales for length in scale))

    @cached_property
    def size_loss_px(self) -> int:
        """Input size minus output size in pixels."""
        size = self.valid_input_size(1)
        return size - self.output_size(size)

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If no output is left or a pooled size would not be whole.
        """
        sizes = self.sizes(input_size)
        if sizes is None:
            raise ImageShapeError(
                f"An axis has {input_size} pixels; this network reads {self.valid_input_size(1)} "
                f"plus multiples of {self.size_multiple}. Use segment(), which takes any size."
            )
        return sizes[self.outputs[0]]

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels whose output covers `output_at_least` pixels."""
        known = self._valid_input_sizes
        if output_at_least not in known:
            known[output_at_least] = self._searched_input_size(output_at_least)
        return known[output_at_least]

    @cached_property
    def _valid_input_sizes(self) -> dict[int, int]:
        return {}

    def _searched_input_size(self, output_at_least: int) -> int:
        start = max(1, output_at_least)
        # Unpadded layers lose at most so much; beyond it no size will do.
        lost = self.size_multiple * sum(layer.reach_px for layer in self.layers)
        most = start + 2 * self.size_multiple + lost
        for size in range(start, most):
            along = (self.sizes(size, axis) for axis in range(self.ndim))
            if all(sizes and sizes[self.outputs[0]] >= output_at_least for sizes in along):
                return size
        raise SettingsError(f"No input of up to {most} pixels fits the layers; this is no U-Net.")

    def sizes(self, input_size: int, axis: int = 0) -> tuple[int, ...] | None:
        """Size of each layer's output along an axis; None if the input does not fit."""
        found: list[int] = []
        try:
            for layer in self.layers:
                given = [found[index] for index in layer.inputs] or [input_size]
                size = layer.output_size(given, axis)
                if size < 1:
                    return None
                found.append(size)
        except NotWholeError:
            return None
        return tuple(found)

    @cached_property
    def margin_px(self) -> int:
        """Pixels beyond an output pixel, on each side, that can change its value."""
        # The interval depends on the pixel's place within a pooling cell: take the worst.
        return max(self._beyond(place, place) for place in range(self.size_multiple))

    @cached_property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own to be exact, in pixels."""
        multiple = self.size_multiple
        if not any(layer.pads for layer in self.layers):
            # True context is read anyway; only interpolation sees the tile's end.
            return multiple if any(layer.reads_beyond for layer in self.layers) else 0
        return math.ceil(self._beyond(0, multiple - 1) / multiple) * multiple

    def _beyond(self, low: int, high: int) -> int:
        """How far beyond the output pixels `low` to `high`, at most, the input is read."""
        shift, most = self.size_loss_px // 2, 0
        for axis in range(self.ndim):
            first, last = self._inputs_behind(low, high, axis)
            most = max(most, low + shift - first, last - high - shift)
        return most

    def _inputs_behind(self, low: int, high: int, axis: int) -> _Interval:
        """Input pixels, of an endless image, behind the output pixels `low` to `high`."""
        sizes = self.sizes(self.valid_input_size(1), axis) or ()
        wanted: dict[int, _Interval] = dict.fromkeys(self.outputs, (low, high))
        for number in range(len(self.layers) - 1, 0, -1):
            if number not in wanted:
                continue
            layer, (first, last) = self.layers[number], wanted[number]
            for index in layer.inputs:
                cropped = (sizes[index] - sizes[number]) // 2 if layer.crops else 0
                one, other = layer.reads(first + cropped, last + cropped, axis)
                known = wanted.get(index, (one, other))
                wanted[index] = min(one, known[0]), max(other, known[1])
        return wanted.get(0, (low, high))

    def numbers_at_once(self, sizes: Sequence[int]) -> int:
        """Most numbers that are kept at once while a tile of these sizes is computed."""
        pixels = math.prod(sizes)
        layers = zip(self.channels, self.scales, strict=True)
        numbers = [channels * pixels // math.prod(scale) for channels, scale in layers]
        last, alive, most = self.graph.last_uses(), 0, 0
        for number, layer in enumerate(self.layers):
            alive += numbers[number]
            most = max(most, alive)
            alive -= sum(numbers[index] for index in set(layer.inputs) if last[index] == number)
        return most

    # -- in files -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        layers = [layer.to_json() for layer in self.layers]
        return {**asdict(self), "kind": "graph", "layers": layers}

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
            layers=tuple(map(made_layer, values["layers"])),
            meaning=typed(OutputMeaning, values["meaning"]),
        )


_MADE_APART = ("kind", "layers", "meaning")


class _OtherValues(TypedDict, total=False):
    """Fields of `GraphConfig` beside those of classes of their own."""

    ndim: Required[int]
    in_channels: Required[int]
    outputs: Required[tuple[int, ...]]
    origin: str
