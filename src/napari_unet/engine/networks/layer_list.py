"""Layers that read one another, and ways to change what a network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.layers import Layer

_Kind = TypeVar("_Kind", bound=Layer)

Emit: TypeAlias = Callable[[Layer], int]
"""Adds a layer to a graph and returns its number."""


@dataclass(frozen=True, slots=True)
class LayerList:
    """The layers of a graph and which of them are the output."""

    layers: tuple[Layer, ...]
    """In the order of computing; the first is the `Input`."""
    outputs: tuple[int, ...]
    """Layers whose channels, one after the other, are the output."""

    def each(self, kind: type[_Kind]) -> Iterator[tuple[int, _Kind]]:
        """Number and layer of all that are of a kind."""
        for number, layer in enumerate(self.layers):
            if isinstance(layer, kind):
                yield number, layer

    def changed(self, kind: type[_Kind], change: Callable[[int, _Kind], Layer]) -> LayerList:
        """The graph with each layer of a kind replaced by what `change` makes of it."""
        layers = list(self.layers)
        for number, layer in self.each(kind):
            layers[number] = change(number, layer)
        return LayerList(tuple(layers), self.outputs)

    def weights_names(self) -> list[str]:
        """Where the layers have their weights, each once; several layers may share them."""
        names = (layer.weights_name for layer in self.layers)
        return list(dict.fromkeys(name for name in names if name is not None))

    def readers(self) -> dict[int, list[int]]:
        """Numbers of the layers that read each one."""
        found: dict[int, list[int]] = {}
        for number, layer in enumerate(self.layers):
            for index in layer.inputs:
                found.setdefault(index, []).append(number)
        return found

    def channels(self, in_channels: int) -> tuple[int, ...]:
        """Channels of each layer's output, for an image of so many.

        Raises
        ------
        SettingsError
            If a layer cannot read what it is given.
        """
        found: list[int] = []
        for number, layer in enumerate(self.layers):
            if any(not 0 <= index < number for index in layer.inputs):
                raise SettingsError(f"Layer {number} reads one that is not computed before it.")
            if not layer.inputs and not layer.is_image:
                raise SettingsError(f"A {layer.op} reads nothing.")
            found.append(layer.channels_out([found[i] for i in layer.inputs] or [in_channels]))
        return tuple(found)

    def rewritten(self, change: Callable[[int, Layer, Emit], int | None]) -> LayerList:
        """Copy the graph layer by layer.

        Parameters
        ----------
        change : callable
            Takes a layer's number, the layer with its inputs renumbered, and
            `Emit`; returns the number of what stands for it, or None to keep it.
        """
        layers: list[Layer] = []
        places: dict[int, int] = {}

        def emit(layer: Layer) -> int:
            layers.append(layer)
            return len(layers) - 1

        for number, layer in enumerate(self.layers):
            moved = replace(layer, inputs=tuple(places[index] for index in layer.inputs))
            place = change(number, moved, emit)
            places[number] = emit(moved) if place is None else place
        return LayerList(tuple(layers), tuple(places[index] for index in self.outputs))

    def without(self, numbers: Iterable[int]) -> LayerList:
        """Leave out layers; what reads one of them reads what it read."""
        gone = set(numbers)
        return self.rewritten(lambda n, layer, _: layer.inputs[0] if n in gone else None)

    def begun_with(self, steps: Sequence[Layer]) -> LayerList:
        """The graph behind further steps, each of which reads the one before it."""

        def change(number: int, layer: Layer, emit: Emit) -> int | None:
            if number:
                return None
            place = emit(layer)
            for step in steps:
                place = emit(replace(step, inputs=(place,)))
            return place

        return self.rewritten(change)

    def last_uses(self) -> list[int]:
        """Number of the layer that reads each one last; beyond the last layer for outputs."""
        last = list(range(len(self.layers)))
        for number, layer in enumerate(self.layers):
            for index in layer.inputs:
                last[index] = number
        for index in self.outputs:
            last[index] = len(self.layers)
        return last
