"""A look at an image before it is segmented: what may go wrong, in plain words, with the remedy."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.images.image import AnyImage, PlaneIndex

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription

Severity: TypeAlias = Literal["note", "warning"]

MOST_CONCERNS = 3
"""Who reads a fourth?"""

_SAMPLED_PIXELS = 20_000
_BLOCK_PX = 256
"""Side of the block that is read of an image that is not in memory."""

_FULL_SCALES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of cameras and files with 8, 10, 12, 14 and 16 bits."""

_CHANNEL_NAMES = ("c", "ch", "channel", "channels", "color", "colors", "colour", "colours")
_SLICE_NAMES = ("z", "t", "time", "depth", "slice", "slices", "frame", "frames", "plane", "planes")
_MOST_UNNAMED_CHANNELS = 4

# The figures below were chosen on the 664 images and label images of the 2018 Data Science Bowl.
_FLAT_PAIRS = 0.9
_FLAT_PAIRS_INSIDE = 0.95
_JUMPS = 0.1
_SATURATED = 0.05
_FEWEST_LEVELS = 12
"""With 12 grey levels as many cells were found as with 256, with 8 fewer."""

_ENOUGH_PIXELS = 1000
_PADDED = 0.02
_PADDED_GROUND = 0.33
"""From here on, a frame of zeros cost the model cells."""

_NOISE_CORRELATION = 0.15
_NOISE_SIGMAS = 4.5
_SMALLEST_SIZE, _LARGEST_SIZE = 1 / 2.3, 2.65
"""Cells so much smaller and larger than those trained on were found as well as with a resize."""

_MOST_ZOOM = 20.0
_UNLIKELY_ZOOM = 5.0
_UNLIKE_INTENSITY = 3.0
_UNEQUAL_SIDES = 1.5
_COLOURS = ("red", "green", "blue")

_USUAL_HIGHEST = 2.0
"""Networks that take intensities as they are mostly learnt on values from 0 to 1."""

IN_MODEL_WIDGET: Mapping[str, Any] = {"widget": "Model"}
"""Change of a remedy that leads to the Model widget, where the user decides."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What can be known of an image at a glance.

    Parameters
    ----------
    name : str
        The layer's.
    shape : tuple of int
        In pixels, without the axis of channels or colours.
    dtype : str
    is_rgb : bool
        The last axis of the array, which `shape` leaves out, holds colours.
    channel_axis : int, optional
        Axis of the array that was chosen to count channels; None for RGB.
    channels : int
        How many channels or colours there are; 1 without such an axis.
    channel : int, optional
        The only one that is to be read, counted from 1; all without it.
    axis_labels : tuple of str
        Names of the layer's axes, that of the channels included, that of colours not.
    pixel_size_um : float, optional
        In the plane.
    pixel_aspect : float
        Height of a pixel over its width.
    range : tuple of three floats, optional
        Percentiles 1, 50 and 99.8 of a sample; None if nothing could be read.
    levels : int, optional
        Different values in the sample between the first and the last of these; None where these
        are equal although the image is not the same all over.
    few_values : bool
        It looks like labels or a mask: flat regions with sharp steps between them.
    saturated : float
        Share of pixels at the largest value that a camera or file can hold.
    padded : float
        Share of pixels that are 0 where all others are far above.
    is_noise : bool
        Neighbouring pixels have nothing in common, and none stands out.
    is_grey : bool
        All colours are the same everywhere.
    brightest_channel : int, optional
        The one with the most contrast, counted from 1; None if only one was seen.
    is_lazy : bool
        It is not in memory; only a small block in the middle was looked at.
    is_multiscale : bool
    other_images : tuple of str
        Names of the viewer's other image layers.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_rgb: bool = False
    channel_axis: int | None = None
    channels: int = 1
    channel: int | None = None
    axis_labels: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    pixel_aspect: float = 1.0
    range: tuple[float, float, float] | None = None
    levels: int | None = None
    few_values: bool = False
    saturated: float = 0.0
    padded: float = 0.0
    is_noise: bool = False
    is_grey: bool = False
    brightest_channel: int | None = None
    is_lazy: bool = False
    is_multiscale: bool = False
    other_images: tuple[str, ...] = ()

    @property
    def ground(self) -> float | None:
        """Where the median lies between the darkest (0) and the brightest (1)."""
        return None if self.range is None else _position(*self.range)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form says beside the image and the model.

    Parameters
    ----------
    extent : {"slice", "stack", "view"}
    plane : tuple of int or slice
        The slice that is shown, in the axes of the labels; () if unknown.
    diameter_px : float, optional
        Cell size that was asked for.
    size_in_um : bool
        The cell size was given in micrometres.
    needed_bytes, free_bytes : int, optional
        Memory that the segmentation takes, and that there is.
    keeps_scores : bool
        Whether the scores fit into memory, so that thresholds act at once.
    """

    extent: str = "slice"
    plane: PlaneIndex = ()
    diameter_px: float | None = None
    size_in_um: bool = False
    needed_bytes: int | None = None
    free_bytes: int | None = None
    keeps_scores: bool = True


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that may spoil the result.

    Parameters
    ----------
    text : str
        One or two plain sentences.
    remedy : str
        Caption of the button that puts it right; empty if no click can.
    changes : mapping of str to value
        Fields of the form that the button sets.
    severity : {"note", "warning"}
    """

    text: str
    remedy: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "warning"

    def without_remedy(self, changes: Mapping[str, Any]) -> Concern:
        """Leave the button out where it would only lead to where the user is."""
        return replace(self, remedy="", changes={}) if self.changes == changes else self


def image_facts(
    array: AnyImage,
    *,
    name: str,
    is_rgb: bool = False,
    channel_axis: int | None = None,
    channel: int | None = None,
    axis_labels: tuple[str, ...] = (),
    pixel_size_um: float | None = None,
    pixel_aspect: float = 1.0,
    is_multiscale: bool = False,
    other_images: tuple[str, ...] = (),
) -> ImageFacts:
    """Look at some pixels of an image.

    Of an array in memory it takes a sample from all over, in milliseconds
    however large it is. Of any other array it reads one small block in the
    middle, from a single chunk; how long that takes is up to the array.

    Parameters
    ----------
    array : array of any kind
        All of the layer at full resolution.
    name, is_rgb, channel_axis, channel, axis_labels
        As in `ImageFacts`; a negative `channel_axis` counts from the end.
    pixel_size_um, pixel_aspect, is_multiscale, other_images
        As in `ImageFacts`.
    """
    axis = array.ndim - 1 if is_rgb else channel_axis
    if axis is not None:
        axis %= array.ndim
    shape = tuple(int(n) for number, n in enumerate(array.shape) if number != axis)
    channels = 1 if axis is None else int(array.shape[axis])
    is_lazy = not _is_in_memory(array)
    dtype = np.dtype(array.dtype)
    measured: dict[str, Any] = {}
    if dtype.kind in "buif" and 0 not in array.shape:
        parts = [slice(0, int(n)) for n in array.shape]
        if axis is not None:
            parts[axis] = slice(0, 3 if is_rgb else None)
            if channel is not None and 1 <= channel <= channels:
                parts[axis] = slice(channel - 1, channel)
        block = _middle_block(array, parts, axis) if is_lazy else array[tuple(parts)]
        planes = np.moveaxis(block, axis, 0) if axis is not None else block[np.newaxis]
        seen_all = planes.shape[0] == (min(channels, 3) if is_rgb else channels)
        with np.errstate(over="ignore", invalid="ignore"):  # real numbers can be that large
            measured = _measured(planes, compares_channels=seen_all and planes.shape[0] > 1)
    return ImageFacts(
        name=name,
        shape=shape,
        dtype=str(dtype),
        is_rgb=is_rgb,
        channel_axis=None if is_rgb else axis,
        channels=channels,
        channel=channel,
        axis_labels=tuple(axis_labels),
        pixel_size_um=pixel_size_um,
        pixel_aspect=pixel_aspect,
        is_lazy=is_lazy,
        is_multiscale=is_multiscale,
        other_images=tuple(other_images),
        **measured,
    )


def _is_in_memory(array: Any) -> bool:
    """Whether reading pixels here and there costs nothing: a mapped file does not count."""
    if not isinstance(array, np.ndarray):
        return False
    memory: Any = array
    while isinstance(memory, np.ndarray):
        memory = memory.base
    return not isinstance(memory, mmap.mmap)


def _middle_block(array: Any, parts: list[slice], channel_axis: int | None) -> NDArray[Any]:
    """Read at most 256 x 256 pixels of one slice, from the chunk in the middle of `parts`."""
    chunks = getattr(array, "chunks", None) or [None] * array.ndim
    plane = [axis for axis in range(array.ndim) if axis != channel_axis][-2:]
    block = []
    for axis, (part, along) in enumerate(zip(parts, chunks, strict=True)):
        low, high, _ = part.indices(int(array.shape[axis]))
        start, stop = _chunk_at((low + high) // 2, int(array.shape[axis]), along)
        start, stop = max(start, low), min(stop, high)
        length = stop - start
        if axis != channel_axis:
            length = min(length, _BLOCK_PX if axis in plane else 1)
        first = min(max(start, (low + high - length) // 2), stop - length)
        block.append(slice(first, first + length))
    return np.asarray(array[tuple(block)])


def _chunk_at(index: int, size: int, chunks: Any) -> tuple[int, int]:
    """Start and stop of the chunk around an index; of dask's lengths or zarr's one length."""
    if isinstance(chunks, int | np.integer):
        start = index // int(chunks) * int(chunks)
        return start, min(size, start + int(chunks))
    stop = 0
    for length in chunks or ():
        start, stop = stop, stop + int(length)
        if start <= index < stop:
            return start, stop
    return 0, size


def _measured(planes: NDArray[Any], *, compares_channels: bool) -> dict[str, Any]:
    """Measure (C, *spatial) pixels, all channels together as for the network."""
    first, second = _neighbours(planes)
    measured: dict[str, Any] = {}
    if compares_channels:
        measured["brightest_channel"] = _brightest_channel(first)
        measured["is_grey"] = bool((first == first[:1]).all())
    first, second = first.reshape(-1), second.reshape(-1)
    good = np.isfinite(first)
    if not good.any():
        return measured
    values = first[good]
    low, median, high = (float(value) for value in np.percentile(values, (1, 50, 99.8)))
    different, counts = np.unique(values, return_counts=True)
    between = np.count_nonzero((different >= low) & (different <= high))
    measured |= {
        "range": (low, median, high),
        "levels": int(between) if high > low or different.size == 1 else None,
        "saturated": _saturated(different, counts),
        "padded": _padded(different, counts, high),
    }
    pairs = good & np.isfinite(second) if second.size else np.zeros(1, bool)
    if pairs.any():
        first, second = first[pairs], second[pairs]
        measured["few_values"] = _looks_like_labels(first, second)
        measured["is_noise"] = _looks_like_noise(first, second, median, high)
    return measured


def _brightest_channel(channels: NDArray[Any]) -> int:
    contrasts = []
    for channel in channels:
        good = channel[np.isfinite(channel)]
        low, high = np.percentile(good, (1, 99.8)) if good.size else (0, 0)
        contrasts.append(high - low)
    return int(np.argmax(contrasts)) + 1


def _neighbours(planes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sample (C, *spatial) from all over as (C, N), and beside each pixel the one to its right.

    Without a pixel to the right the second is empty.
    """
    shape = (*planes.shape[1:-1], max(1, planes.shape[-1] - 1))
    wanted = max(1, _SAMPLED_PIXELS // planes.shape[0])
    steps = [1] * len(shape)
    while math.prod(-(-n // step) for n, step in zip(shape, steps, strict=True)) > wanted:
        longest = int(np.argmax([n / step for n, step in zip(shape, steps, strict=True)]))
        steps[longest] += 1
    inner = [slice(min(n - 1, s // 2), None, s) for n, s in zip(shape, steps, strict=True)]
    cut = (slice(None), *inner)
    # As real numbers: differences of unsigned ones would turn over.
    first = planes[..., : shape[-1]][cut].astype(np.float64)
    second = planes[..., 1:][cut].astype(np.float64)
    count = planes.shape[0]
    return first.reshape(count, -1), second.reshape(count, -1)


def _position(low: float, value: float, high: float) -> float | None:
    return (value - low) / (high - low) if high > low else None


def _saturated(different: NDArray[Any], counts: NDArray[Any]) -> float:
    return float(counts[-1] / counts.sum()) if different[-1] in _FULL_SCALES else 0.0


def _padded(different: NDArray[Any], counts: NDArray[Any], high: float) -> float:
    """Share of zeros, if the rest begins far above them."""
    share = float(counts[0] / counts.sum())
    if different[0] != 0 or different.size < 3 or not _PADDED <= share < 0.5 or high <= 0:
        return 0.0
    reached = np.cumsum(counts[1:]) / counts[1:].sum()
    darkest = float(different[1:][np.searchsorted(reached, 0.01)])
    return share if darkest >= _PADDED_GROUND * high else 0.0


def _looks_like_labels(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether regions are flat and the values on both sides of their edges are unrelated.

    However few grey levels an image has, at an edge it goes from one to the next.
    """
    if (first == second).mean() < _FLAT_PAIRS:
        return False
    different, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
    if different.size < 2 or (different != np.trunc(different)).any():
        return False
    a, b = numbers[: first.size], numbers[first.size :]
    ground = int(np.bincount(a).argmax())
    inside = (a != ground) & (b != ground)
    if inside.any() and (a == b)[inside].mean() < _FLAT_PAIRS_INSIDE:
        return False
    steps = np.abs(a - b)
    return different.size == 2 or bool((steps > 1).sum() > _JUMPS * (steps > 0).sum())


def _looks_like_noise(
    first: NDArray[Any], second: NDArray[Any], median: float, high: float
) -> bool:
    spread = float(np.median(np.abs(first - median))) * 1.4826
    if spread == 0 or high > median + _NOISE_SIGMAS * spread:
        return False
    a, b = (np.clip((values - median) / spread, -10, 10) for values in (first, second))
    if a.std() == 0 or b.std() == 0:
        return False
    return bool(abs(np.corrcoef(a, b)[0, 1]) < _NOISE_CORRELATION)


def concerns(
    facts: ImageFacts, description: NetworkDescription, choices: Choices | None = None
) -> list[Concern]:
    """Say what may go wrong with an image, a model and the form's choices.

    Parameters
    ----------
    facts : ImageFacts
    description : NetworkDescription
        Of the model that is loaded.
    choices : Choices, optional

    Returns
    -------
    list of Concern
        At most three; what would spoil everything comes first.
    """
    choices = choices or Choices()
    # Where there is no image, nothing else about it matters.
    found = [*_about_kind(facts)] or [
        *_about_classes(description),
        *_about_axes(facts, description),
        *_about_settings(facts, choices),
        *_about_channels(facts, description, choices),
        *_about_memory(facts, choices),
        *_about_intensity(facts, description),
        *_about_size(facts, description, choices),
        *_about_slices(facts, description, choices),
    ]
    found.sort(key=lambda concern: concern.severity != "warning")
    return found[:MOST_CONCERNS]


def found_size_concern(
    median_diameter_px: float | None, description: NetworkDescription, zoom: float = 1.0
) -> Concern | None:
    """Compare cells that were found, or drawn, with those that the model learnt on.

    Parameters
    ----------
    median_diameter_px : float, optional
        In pixels of the image.
    description : NetworkDescription
    zoom : float
        Factor by which the image was resized for the model.

    Returns
    -------
    Concern or None
        None as well if one of the two sizes is not known.
    """
    learnt = description.object_diameter_px
    if not median_diameter_px or not learnt:
        return None
    seen = median_diameter_px * zoom
    if _SMALLEST_SIZE <= seen / learnt <= _LARGEST_SIZE:
        return None
    size = float(round(median_diameter_px, 1 if median_diameter_px < 10 else None))
    resized = "" if zoom == 1 else f" ({seen:.0f} as the model sees them)"
    return Concern(
        f"The cells found are about {size:g} pixels across{resized}; the model learnt on "
        f"{learnt:.0f}. With their size set, the image is resized for it.",
        f"Set the cell size to {size:g} pixels",
        {"diameter_px": size},
        "note",
    )


def _about_kind(facts: ImageFacts) -> Iterator[Concern]:
    """Whether it is an image of anything at all."""
    where = "the middle of " if facts.is_lazy else ""
    if facts.few_values:
        others = facts.other_images
        text = f"'{facts.name}' looks like labels or a mask rather than an image of cells."
        if len(others) == 1:
            yield Concern(text, f"Segment '{others[0]}' instead", {"layer": others[0]})
        else:
            yield Concern(f"{text} Choose the layer that it was made from.")
    elif facts.range is not None and facts.levels == 1:
        yield Concern(
            f"All pixels looked at in {where}'{facts.name}' are {facts.range[1]:g}; it seems to "
            "be empty. Choose another slice, channel or image.",
            severity="note" if facts.is_lazy else "warning",
        )


def _about_classes(description: NetworkDescription) -> Iterator[Concern]:
    """Whether cells can be made of what the network tells."""
    roles = description.class_roles
    if "cell" in roles and "background" in roles:
        return
    text = f"The model tells {_listed(roles)}, and not where cells are, so nothing can be segmented"
    if any(guess.about == "roles" for guess in description.guesses):
        yield Concern(
            f"{text} yet. Say in the Model widget what its channels mean.",
            "Say what its channels mean",
            IN_MODEL_WIDGET,
        )
    else:
        yield Concern(f"{text}. Choose another model.")


def _listed(words: tuple[str, ...]) -> str:
    *others, last = (f"'{word}'" for word in words)
    return f"{', '.join(others)} and {last}" if others else last


def _about_axes(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    axes, reads = len(facts.shape), description.unet.ndim
    if axes < reads:
        yield Concern(
            f"'{facts.name}' has {axes} axes and the model reads stacks of {reads}. Open a stack, "
            "or choose a model that reads single images."
        )


def _about_settings(facts: ImageFacts, choices: Choices) -> Iterator[Concern]:
    if choices.size_in_um and facts.pixel_size_um is None:
        yield Concern(
            f"The cell size is in micrometres, but '{facts.name}' does not say how large its "
            "pixels are. Set the layer's scale and units, or give the size in pixels.",
            "Take the image as it is",
            {"diameter_px": None},
        )


def _about_channels(
    facts: ImageFacts, description: NetworkDescription, choices: Choices
) -> Iterator[Concern]:
    if facts.is_rgb:
        yield from _about_colours(facts, description)
    elif facts.channel_axis is not None:
        yield from _about_chosen_channels(facts, description)
    else:
        yield from _about_unnamed_axes(facts, description, choices)


def _about_colours(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    reads = description.unet.in_channels
    if facts.channel is None and reads not in (1, 3):
        one = facts.brightest_channel or 1
        yield Concern(
            f"'{facts.name}' is in colour, which is 3 channels, and the model reads {reads}. "
            "Choose the colour that shows the cells.",
            f"Read only {_COLOURS[one - 1]}",
            {"channel": one},
        )
    if facts.channel is not None or facts.is_grey or reads != 1:
        return
    strongest = facts.brightest_channel
    remedy = f"Read only {_COLOURS[strongest - 1]}" if strongest else ""
    yield Concern(
        f"'{facts.name}' is in colour and the model reads one channel, so its colours are mixed "
        "into grey, in which blue hardly counts. If the cells are in one colour, read only that.",
        remedy,
        {"channel": strongest} if strongest else {},
        "note",
    )


def _about_chosen_channels(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    axis, count, reads = facts.channel_axis, facts.channels, description.unet.in_channels
    label = _label(facts, axis)
    if label in _SLICE_NAMES and count > 1:
        yield Concern(
            f"The axis of '{facts.name}' chosen as channels is called '{label}'; its {count} "
            "planes may be slices.",
            "Segment every one as a slice",
            {"channel_axis": None, "channel": None, "extent": "stack"},
        )
        return
    if facts.channel is not None or count in (1, reads):
        return
    one = facts.brightest_channel or 1
    remedy: tuple[str, dict[str, Any]] = (
        f"Read only channel {one}",
        {"channel_axis": axis, "channel": one},
    )
    if count in (3, 4) and reads == 1:
        text = "mixed into grey as if they were red, green and blue"
        yield Concern(
            f"The {count} channels of '{facts.name}' are {text}. Choose the one that shows the "
            "cells.",
            *remedy,
        )
    elif count == 4 and reads == 3:
        yield Concern(
            f"The model reads 3 channels; the fourth of '{facts.name}' is left out, as if it were "
            "the transparency of a picture.",
            *remedy,
        )
    else:
        yield Concern(
            f"'{facts.name}' has {count} channels and the model reads {reads}. Choose the one that "
            "shows the cells.",
            *remedy,
        )


def _about_unnamed_axes(
    facts: ImageFacts, description: NetworkDescription, choices: Choices
) -> Iterator[Concern]:
    axis = _possible_channel_axis(facts, description.unet.ndim)
    if axis is None:
        yield from _about_one_channel(facts, description)
        return
    count = facts.shape[axis]
    named = _label(facts, axis) in _CHANNEL_NAMES
    doubt = "are channels" if named else "may be channels rather than slices"
    text = f"The {count} planes along axis {axis} of '{facts.name}' {doubt}"
    if count == description.unet.in_channels and count > 1:
        yield Concern(
            f"{text}; the model reads {count} channels together.",
            f"Read the {count} planes as channels",
            {"channel_axis": axis, "channel": None},
            "warning" if named else "note",
        )
        return
    shown = choices.plane[axis] if axis < len(choices.plane) else 0
    one = shown + 1 if isinstance(shown, int) else 1
    yield Concern(
        f"{text}. Choose the one that shows the cells.",
        f"Read only channel {one}",
        {"channel_axis": axis, "channel": one},
        "warning" if named else "note",
    )


def _about_one_channel(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    """Say that one channel is repeated, where nobody knows that the network can do with that."""
    reads = description.unet.in_channels
    if reads == 1 or description.history or description.intensity is not None:
        return
    meant = "colours (red, green, blue)" if reads == 3 else f"{reads} different channels"
    yield Concern(
        f"'{facts.name}' has one channel and the model reads {reads}, so it is given the same one "
        f"{reads} times. If the model learnt on {meant}, it may find little.",
        severity="note" if reads == 3 else "warning",
    )


def _possible_channel_axis(facts: ImageFacts, network_ndim: int) -> int | None:
    """Axis before those of a plane that is called channels, or is unnamed and short."""
    leading = range(len(facts.shape) - network_ndim)
    for axis in leading:
        if _label(facts, axis) in _CHANNEL_NAMES and facts.shape[axis] > 1:
            return axis
    for axis in reversed(leading):
        is_short = 2 <= facts.shape[axis] <= _MOST_UNNAMED_CHANNELS
        if is_short and _label(facts, axis) == "" and min(facts.shape[-2:]) > facts.shape[axis]:
            return axis
    return None


def _label(facts: ImageFacts, axis: int | None) -> str:
    """Name of an axis in small letters; empty if it only has the one that napari gives."""
    if axis is None or axis >= len(facts.axis_labels):
        return ""
    label = facts.axis_labels[axis].strip().casefold()
    return "" if label.startswith("axis ") or label.lstrip("-").isdigit() else label


def _about_memory(facts: ImageFacts, choices: Choices) -> Iterator[Concern]:
    needed, free = choices.needed_bytes, choices.free_bytes
    if needed is not None and free is not None and needed > free:
        smaller, caption = (
            ("slice", "Segment this slice alone")
            if choices.extent == "stack"
            else ("view", "Segment the field of view alone")
        )
        yield Concern(
            f"This takes about {_size(needed)} of memory and {_size(free)} are free: it will be "
            "slow, or stop with a message. Close other programs, or segment it in parts.",
            "" if choices.extent == "view" else caption,
            {} if choices.extent == "view" else {"extent": smaller},
        )
    elif not choices.keeps_scores:
        yield Concern(
            f"There is no memory to keep the scores of '{facts.name}', so changed thresholds show "
            "only after another Run.",
            severity="note",
        )


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GB" if gib >= 1 else f"{count / 2**20:.0f} MB"


def _about_intensity(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    if facts.range is None:
        return
    if description.normalization.kind == "none":
        yield from _about_raw_intensity(facts, description)
    else:
        yield from _about_contrast(facts)
    yield from _about_inversion(facts, description)
    if facts.saturated >= _SATURATED and (facts.ground or 0) < 0.5:
        yield Concern(
            f"{100 * facts.saturated:.0f} % of the pixels of '{facts.name}' are as bright as its "
            "camera or file allows, so touching cells may run together. Less exposure keeps them "
            "apart.",
            severity="note",
        )


def _about_contrast(facts: ImageFacts) -> Iterator[Concern]:
    """Say what spoils the range to which intensities are stretched."""
    if facts.is_noise and _is_large(facts):
        yield Concern(
            f"'{facts.name}' looks like noise alone, which is stretched to full contrast here. "
            "Look whether there are cells in this slice and channel.",
            severity="note",
        )
    elif facts.padded:
        yield Concern(
            f"{100 * facts.padded:.0f} % of '{facts.name}' is exactly 0, as around a stitched or "
            "turned image, and that leaves little contrast for the rest. Crop it away first."
        )
    elif facts.levels is not None and facts.levels < _FEWEST_LEVELS and _is_large(facts):
        yield Concern(
            f"'{facts.name}' has only {facts.levels} grey levels between dark and bright, so dim "
            "cells may be missed. Export it again with its full depth, such as 16 bits.",
            severity="note",
        )


def _is_large(facts: ImageFacts) -> bool:
    """Whether there are enough pixels to judge them as a whole."""
    return math.prod(facts.shape) >= _ENOUGH_PIXELS


def _about_raw_intensity(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    """Compare brightness for a model that takes intensities as they are."""
    learnt = description.intensity
    if facts.range is None:
        return
    if learnt is None:
        yield from _about_unknown_intensity(facts, description)
        return
    here = _as_read(facts.range[2], facts.dtype)
    there = _as_read(learnt.high, learnt.dtype)
    if here <= 0 or there <= 0 or 1 / _UNLIKE_INTENSITY <= here / there <= _UNLIKE_INTENSITY:
        return
    darker = "darker" if here < there else "brighter"
    factor = max(here / there, there / here)
    yield Concern(
        f"To the model, which takes intensities as they are, '{facts.name}' is {factor:.0f} times "
        f"{darker} than the images it learnt on. Bring it to their range first ({learnt.low:g} to "
        f"{learnt.high:g}, {learnt.dtype})."
    )


def _about_unknown_intensity(
    facts: ImageFacts, description: NetworkDescription
) -> Iterator[Concern]:
    if facts.range is None or _as_read(facts.range[2], facts.dtype) <= _USUAL_HIGHEST:
        return
    guessed = any("normali" in guess.about for guess in description.guesses)
    yield Concern(
        f"The model takes intensities as they are, and '{facts.name}' goes up to "
        f"{facts.range[2]:g}; most such networks learnt on 0 to 1. "
        + ("Choose in the Model widget how" if guessed else "Bring it to that range before")
        + " it reads them.",
        "Choose how it reads them" if guessed else "",
        IN_MODEL_WIDGET if guessed else {},
        "note",
    )


def _as_read(value: float, dtype: str) -> float:
    kind = np.dtype(dtype)
    return value / float(np.iinfo(kind).max) if kind.kind in "ui" else value


def _about_inversion(facts: ImageFacts, description: NetworkDescription) -> Iterator[Concern]:
    learnt, ground = description.intensity, facts.ground
    # A model that reads colours has seen stained tissue, too: what its average image was, says
    # nothing of either kind.
    if learnt is None or ground is None or description.unet.in_channels != 1:
        return
    usual = _position(learnt.low, learnt.median, learnt.high)
    if usual is None or (usual < 0.5) == (ground < 0.5) or abs(usual - ground) < 0.4:
        return
    kind, other = ("bright", "dark") if ground > 0.5 else ("dark", "bright")
    yield Concern(
        f"'{facts.name}' is {kind} between its cells, the images the model learnt on were {other} "
        "there. Invert the image, or choose a model for such images."
    )


def _about_size(
    facts: ImageFacts, description: NetworkDescription, choices: Choices
) -> Iterator[Concern]:
    learnt = description.object_diameter_px
    height, width = facts.shape[-2:] if len(facts.shape) > 1 else (1, facts.shape[-1])
    cell = choices.diameter_px or learnt
    if cell is not None and min(height, width) < cell:
        yield Concern(
            f"'{facts.name}' is {height} x {width} pixels, less than one cell of {cell:.0f} "
            "pixels; what is found there says little. Check the cell size, or take a larger image."
        )
    else:
        block = description.unet.size_multiple
        if min(height, width) < block:
            yield Concern(
                f"'{facts.name}' is {height} x {width} pixels, less than the {block} that the "
                "network sums up in one value at its lowest level; it sees mostly mirror images. "
                "Take a larger image.",
                severity="note",
            )
        yield from _about_zoom(facts, description, choices)
    if not 1 / _UNEQUAL_SIDES < facts.pixel_aspect < _UNEQUAL_SIDES:
        ratio = facts.pixel_aspect
        taller, factor = ("high", ratio) if ratio > 1 else ("wide", 1 / ratio)
        yield Concern(
            f"The pixels of '{facts.name}' are {factor:.1f} times as {taller} as "
            f"{'wide' if ratio > 1 else 'high'}, so round cells look squeezed to the model. Resize "
            "the image to square pixels, or correct the layer's scale.",
            severity="note",
        )


def _about_zoom(
    facts: ImageFacts, description: NetworkDescription, choices: Choices
) -> Iterator[Concern]:
    learnt, of_model = description.object_diameter_px, description.pixel_size_um
    own: tuple[str, dict[str, Any]] = ("Take the image as it is", {"diameter_px": None})
    if choices.diameter_px is not None:
        if learnt is None:
            yield Concern(
                "The model does not say how large the cells were that it learnt on, so a cell size "
                "cannot be used. Resize the image instead.",
                *own,
            )
        else:
            reason = f"With cells of {choices.diameter_px:g} pixels"
            yield from _about_factor(learnt / choices.diameter_px, reason, own)
        return
    if of_model is None:
        return
    if facts.pixel_size_um is None:
        yield Concern(
            f"How large the pixels of '{facts.name}' are is not known, so it is taken to be as "
            f"magnified as the images the model learnt on ({of_model:.3g} µm per pixel). If it is "
            "not, set the cell size.",
            severity="note",
        )
        return
    reason = (
        f"By their pixel sizes ({facts.pixel_size_um:.3g} µm in '{facts.name}', {of_model:.3g} µm "
        "where the model learnt)"
    )
    remedy = (own[0], {"diameter_px": round(learnt, 1)}) if learnt else ("", {})
    yield from _about_factor(facts.pixel_size_um / of_model, reason, remedy)


def _about_factor(
    zoom: float, reason: str, remedy: tuple[str, dict[str, Any]]
) -> Iterator[Concern]:
    if 1 / _UNLIKELY_ZOOM <= zoom <= _UNLIKELY_ZOOM:
        return
    change = f"enlarged {zoom:.3g} times" if zoom > 1 else f"shrunk {1 / zoom:.3g} times"
    possible = 1 / _MOST_ZOOM <= zoom <= _MOST_ZOOM
    yield Concern(
        f"{reason} the image is {change} for the model. Check the number"
        + ("." if possible else f"; more than {_MOST_ZOOM:g} times is refused."),
        *remedy,
        "note" if possible else "warning",
    )


def _about_slices(
    facts: ImageFacts, description: NetworkDescription, choices: Choices
) -> Iterator[Concern]:
    front = facts.shape[: -description.unet.ndim]
    count = math.prod(front)
    if choices.extent == "stack" and count > 1:
        yield Concern(
            f"Each of the {count} slices is segmented by itself: a cell seen in several of them "
            "gets another number in each.",
            severity="note",
        )
