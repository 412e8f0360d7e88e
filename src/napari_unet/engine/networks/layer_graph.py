"""A network as a graph of layers: what a file can say of any U-Net without carrying code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Required

from typing_extensions import TypedDict

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.typed_values import typed
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layer_sizes import LayerSizes
from napari_unet.engine.networks.layers import Axes, Layer, made_layer
from napari_unet.engine.networks.output_meaning import OutputMeaning

_MOST_LAYERS = 2000
_MOST_CHANNELS = 1 << 16
_MOST_MULTIPLE = 512


# Without slots, so that it can keep what it worked out.
@dataclass(frozen=True)
class GraphConfig(LayerSizes):
    """Shape of a network that somebody else designed.

    Raises
    ------
    SettingsError
        If the layers do not fit together.
    """

    ndim: int
    """2 or 3 spatial axes."""
    in_channels: int
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    """`layers`, `outputs`: as of `LayerList`."""
    meaning: OutputMeaning
    """Of the channels of the output."""
    origin: str = ""
    """Whose network it is, for people."""

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
                sizes = self.along(axis).sizes(size)
                ends |= {sizes[index] for index in self.outputs} if sizes else {size + 1}
            lost = size - max(ends)
            if len(ends) != 1 or lost < 0 or lost % 2 or lost != self.size_loss_px:
                raise SettingsError(
                    "The layers do not bring the output to the size of the input; this is no U-Net."
                )

    # -- what the engine asks -------------------------------------------------------------------

    @cached_property
    def graph(self) -> LayerList:
        """The layers and which of them are the output."""
        return LayerList(self.layers, self.outputs)

    def with_graph(self, graph: LayerList) -> GraphConfig:
        """Return the shape with other layers."""
        return replace(self, layers=graph.layers, outputs=graph.outputs)

    def read_as(self, meaning: OutputMeaning) -> GraphConfig:
        return replace(self, meaning=meaning)

    @property
    def classes(self) -> int:
        return len(self.meaning.class_roles)

    @property
    def widths(self) -> tuple[int, ...]:
        """Most features at each level, full resolution first."""
        most: dict[Axes, int] = {}
        for layer, scale, channels in zip(self.layers, self.scales, self.channels, strict=True):
            if layer.kernel_px:
                most[scale] = max(most.get(scale, 0), channels)
        return tuple(most[scale] for scale in sorted(most, key=math.prod))

    @property
    def sentence(self) -> str:
        levels = ", ".join(map(str, self.widths))
        whose = f" ({self.origin})" if self.origin else ""
        return f"U-Net with levels of {levels} features{whose}"

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
