"""Boxes that say which part of an image is segmented: how much of it, and which channels."""

from __future__ import annotations

from typing import TypeAlias

from napari.layers import Image

from napari_unet.engine.base.settings import Volume
from napari_unet.engine.images.image import ends_in_channels
from napari_unet.viewer.layers import Extent, full_resolution, spatial_ndim
from napari_unet.widgets.shared.choices import OfferBox

Channels: TypeAlias = tuple[int | None, int | None]
"""Axis of a layer that counts channels, if one does, and the only channel that is read, if any."""

_MOST_CHANNELS = 16


class ExtentChoice(OfferBox):
    """How much of the image is segmented: what is offered depends on its axes."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>How much is segmented. 'Field of view' takes what the canvas shows: quick to try "
            "settings out, and the cells are those of the whole image. In a stack or a time "
            "series, each slice is segmented by itself.</qt>"
        )
        self.show_for(has_slices=False)

    @property
    def extent(self) -> Extent:
        """What `read_layer` takes."""
        extent: Extent = self.chosen
        return extent

    def choose(self, extent: str) -> None:
        """Choose, as far as it is offered."""
        self.choose_value(extent)

    def show_for(self, *, has_slices: bool) -> None:
        """Offer what makes sense for an image; the choice stays if it still does."""
        whole = [("This slice", "slice"), ("Every slice", "stack")]
        entries = whole if has_slices else [("Whole image", "slice")]
        if self.offer([*entries, ("Field of view", "view")]):
            self.currentIndexChanged.emit(self.currentIndex())


class VolumeChoice(OfferBox):
    """What becomes of the cells of a stack (Z, Y, X)."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>What a cell is that reaches into several slices. <b>A disc in each slice</b>: it "
            "has another number in each. <b>Linked discs</b>: discs that overlap from slice to "
            "slice are one cell; as quick as discs. <b>From three directions</b>: the stack is cut "
            "along z, y and x, the scores are averaged, and cells are found in the volume; takes "
            "three times as long or more, and is better where slices are close.</qt>"
        )
        self.show_for(has_depth=False)

    @property
    def volume(self) -> Volume:
        """What `SegmentationSettings` takes."""
        volume: Volume = self.chosen or "slices"
        return volume

    @property
    def has_choice(self) -> bool:
        """Whether there is more than one entry."""
        return self.count() > 1

    def choose(self, volume: str) -> None:
        """Choose, as far as it is offered."""
        self.choose_value(volume)

    def show_for(self, *, has_depth: bool) -> None:
        """Offer whole cells where slices lie above each other; the choice stays if it can."""
        entries = [
            ("A disc in each slice", "slices"),
            ("Linked discs", "linked"),
            ("From three directions", "three_planes"),
        ]
        if self.offer(entries if has_depth else []):
            self.currentIndexChanged.emit(self.currentIndex())


class ChannelChoice(OfferBox):
    """Which axis of a layer counts channels, and which of them are read."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<qt>What the network looks at: all colours or channels together, or one of them. A "
            "nuclear stain alone in one colour is often found best by itself. For a stack whose "
            "slices are channels, say so here.</qt>"
        )

    @property
    def channel_axis(self) -> int | None:
        """Axis of a layer without colours that counts channels."""
        return self.chosen[0] if self.chosen else None

    @property
    def channel(self) -> int | None:
        """The only channel that is read, counted from 0; None for all."""
        return self.chosen[1] if self.chosen else None

    @property
    def has_choice(self) -> bool:
        """Whether there is more than one entry."""
        return self.count() > 1

    def choose(self, channel_axis: int | None, channel: int | None) -> None:
        """Choose an entry, if there is such a one."""
        self.choose_value((channel_axis, channel))

    def show_for(self, layer: Image | None, *, network_ndim: int = 2) -> None:
        """Offer what a layer has; the choice stays if it still makes sense."""
        if self.offer([] if layer is None else _channels_of(layer, network_ndim)):
            self.currentIndexChanged.emit(self.currentIndex())


def _channels_of(layer: Image, network_ndim: int) -> list[tuple[str, Channels]]:
    if layer.rgb:
        colours = [(name, (None, n)) for n, name in enumerate(("Red", "Green", "Blue"))]
        return [("All colours", (None, None)), *colours]
    entries: list[tuple[str, Channels]] = [("One channel", (None, None))]
    shape = full_resolution(layer).shape
    leading = [*range(spatial_ndim(layer, None) - network_ndim)]
    last = [len(shape) - 1] if ends_in_channels(shape, network_ndim) else []
    for axis in leading + last:
        size = int(shape[axis])
        if not 2 <= size <= _MOST_CHANNELS:
            continue
        where = f"axis {axis}"
        entries.append((f"All {size} of {where}", (axis, None)))
        entries += [(f"Channel {n + 1} of {where}", (axis, n)) for n in range(size)]
    return entries
