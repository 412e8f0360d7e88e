"""What the sizes of images become along one axis of a network, from its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from napari_unet.engine.base.errors import ImageShapeError, SettingsError
from napari_unet.engine.networks.layer_list import LayerList
from napari_unet.engine.networks.layers import NotWholeError
from napari_unet.engine.networks.layers.layer import Interval


# Without slots, so that it can keep what it worked out.
@dataclass(frozen=True)
class AxisSizes:
    """All that tiling asks of one axis."""

    graph: LayerList
    axis: int
    """Spatial axis."""
    size_multiple: int
    """Shift of the input, in pixels, that shifts the output alike."""

    @cached_property
    def size_loss_px(self) -> int:
        """Input size minus output size."""
        return self._least_size - self.output_size(self._least_size)

    def output_size(self, input_size: int) -> int:
        """Output pixels along an axis of `input_size` pixels.

        Raises
        ------
        ImageShapeError
            If no output is left or a pooled size would not be whole.
        """
        sizes = self.sizes(input_size)
        if sizes is None:
            least, multiple = self._least_size, self.size_multiple
            rest = f"{least} plus " if least != multiple else ""
            unpadded = "unpadded " if self.size_loss_px else ""
            raise ImageShapeError(
                f"An axis has {input_size} pixels; this {unpadded}network reads {rest}multiples of "
                f"{multiple}. Use segment(), which takes any size."
            )
        return sizes[self.graph.outputs[0]]

    def valid_input_size(self, output_at_least: int) -> int:
        """Smallest input size in pixels whose output covers `output_at_least` pixels."""
        # Sizes that fit are as far apart as the network shrinks the image, and so are outputs.
        more = output_at_least - (self._least_size - self.size_loss_px)
        return self._least_size + max(0, math.ceil(more / self.size_multiple)) * self.size_multiple

    @cached_property
    def _least_size(self) -> int:
        """Smallest input size that has an output."""
        # Unpadded layers lose at most so much; beyond it no size will do.
        lost = self.size_multiple * sum(layer.reach_px for layer in self.graph.layers)
        most = 1 + 2 * self.size_multiple + lost
        for size in range(1, most):
            if self.sizes(size):
                return size
        raise SettingsError(f"No input of up to {most} pixels fits the layers; this is no U-Net.")

    def sizes(self, input_size: int) -> tuple[int, ...] | None:
        """Size of each layer's output; None if the input does not fit."""
        found: list[int] = []
        try:
            for layer in self.graph.layers:
                given = [found[index] for index in layer.inputs] or [input_size]
                size = layer.output_size(given, self.axis)
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
    def halo_px(self) -> int:
        """Context that makes an aligned tile exact, in pixels on each side.

        For a tile that starts at a multiple of `size_multiple`, and itself a
        multiple of it; less than `margin_px` asks for, because only pixels
        within the tile's first pooling cell look furthest out.
        """
        multiple = self.size_multiple
        return math.ceil(self._beyond(0, multiple - 1) / multiple) * multiple

    @cached_property
    def tile_overlap_px(self) -> int:
        """Output that a tile must compute beyond its own to be exact, in pixels."""
        if any(layer.pads for layer in self.graph.layers):
            return self.halo_px
        # True context is read anyway; only interpolation sees the tile's end, where it has no
        # neighbour to read.
        return self.size_multiple if any(x.reads_beyond for x in self.graph.layers) else 0

    def _beyond(self, low: int, high: int) -> int:
        """How far beyond the output pixels `low` to `high`, at most, the input is read."""
        shift = self.size_loss_px // 2
        first, last = self._inputs_behind(low, high)
        return max(0, low + shift - first, last - high - shift)

    def _inputs_behind(self, low: int, high: int) -> Interval:
        """Input pixels, of an endless image, behind the output pixels `low` to `high`."""
        sizes = self.sizes(self._least_size) or ()
        wanted: dict[int, Interval] = dict.fromkeys(self.graph.outputs, (low, high))
        for number in range(len(self.graph.layers) - 1, 0, -1):
            if number not in wanted:
                continue
            layer, (first, last) = self.graph.layers[number], wanted[number]
            for index in layer.inputs:
                # What several layers are joined to is cropped at their centre.
                is_joined = len(layer.inputs) > 1
                cropped = (sizes[index] - sizes[number]) // 2 if is_joined else 0
                one, other = layer.reads(first + cropped, last + cropped, self.axis)
                known = wanted.get(index, (one, other))
                wanted[index] = min(one, known[0]), max(other, known[1])
        return wanted.get(0, (low, high))
