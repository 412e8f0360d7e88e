"""Rules for channels: easily taken for slices, and mixed or repeated without a word."""

from __future__ import annotations

from collections.abc import Iterator

from napari_unet.engine.checks.finding import Finding, note, warning
from napari_unet.engine.checks.image_case import ImageCase
from napari_unet.engine.checks.image_facts import ImageFacts
from napari_unet.engine.images.image import ends_in_channels

_CHANNEL_NAMES = ("c", "ch", "channel", "channels", "color", "colors", "colour", "colours")
_SLICE_NAMES = ("z", "t", "time", "depth", "slice", "slices", "frame", "frames", "plane", "planes")
_MOST_UNNAMED_CHANNELS = 4
_COLOURS = ("red", "green", "blue")


def channels(case: ImageCase) -> Iterator[Finding]:
    """Whether the network is given the channels that it learned on."""
    if case.facts.is_rgb:
        yield from _colours(case)
    elif case.facts.channel_axis is not None:
        yield from _chosen_channels(case)
    elif (
        axis := _possible_channel_axis(case.facts, case.description.architecture.ndim)
    ) is not None:
        yield from _unnamed_axis(case, axis)
    else:
        yield from _one_channel(case)


def _colours(case: ImageCase) -> Iterator[Finding]:
    facts, reads, strongest = case.facts, case.reads, case.facts.brightest_channel
    if facts.channel is not None or reads == 3 or (reads == 1 and facts.is_grey):
        return
    if reads != 1:
        yield warning(
            f"'{facts.name}' is in colour, which is 3 channels, and the model reads {reads}. "
            "Choose the colour that shows the cells.",
            f"Read only {_COLOURS[(strongest or 1) - 1]}",
            {"channel": strongest or 1},
        )
    else:
        yield note(
            f"'{facts.name}' is in colour and the model reads one channel, so its colours are "
            "mixed into grey, in which blue hardly counts. If the cells are in one colour, read "
            "only that.",
            f"Read only {_COLOURS[strongest - 1]}" if strongest else "",
            {"channel": strongest} if strongest else {},
        )


def _chosen_channels(case: ImageCase) -> Iterator[Finding]:
    facts, reads = case.facts, case.reads
    axis, count = facts.channel_axis, facts.channels
    label = _label(facts, axis)
    if label in _SLICE_NAMES and count > 1:
        yield warning(
            f"The axis of '{facts.name}' chosen as channels is called '{label}'; its {count} "
            "planes may be slices.",
            "Segment every one as a slice",
            {"channel_axis": None, "channel": None, "extent": "stack"},
        )
        return
    if facts.channel is not None or count in (1, reads):
        return
    choose = "Choose the one that shows the cells."
    if count in (3, 4) and reads == 1:
        text = (
            f"The {count} channels of '{facts.name}' are mixed into grey as if they were red, "
            f"green and blue. {choose}"
        )
    elif count == 4 and reads == 3:
        text = (
            f"The model reads 3 channels; the fourth of '{facts.name}' is left out, as if it were "
            "the transparency of a picture."
        )
    else:
        text = f"'{facts.name}' has {count} channels and the model reads {reads}. {choose}"
    one = facts.brightest_channel or 1
    yield warning(text, f"Read only channel {one}", {"channel_axis": axis, "channel": one})


def _unnamed_axis(case: ImageCase, axis: int) -> Iterator[Finding]:
    facts, reads, plane = case.facts, case.reads, case.choices.plane
    count = facts.shape[axis]
    is_last = axis == len(facts.shape) - 1
    is_named = is_last or _label(facts, axis) in _CHANNEL_NAMES
    finding = warning if is_named else note
    kind = "are channels" if is_named else "may be channels rather than slices"
    text = f"The {count} planes along axis {axis} of '{facts.name}' {kind}"
    if count == reads and count > 1:
        yield finding(
            f"{text}; the model reads {count} channels together.",
            f"Read the {count} planes as channels",
            {"channel_axis": axis, "channel": None},
        )
    else:
        shown = plane[axis] if axis < len(plane) else 0
        one = shown + 1 if isinstance(shown, int) else 1
        yield finding(
            f"{text}. Choose the one that shows the cells.",
            f"Read only channel {one}",
            {"channel_axis": axis, "channel": one},
        )


def _one_channel(case: ImageCase) -> Iterator[Finding]:
    """Say that one channel is repeated, where nobody knows that the network can do with that."""
    description, reads = case.description, case.reads
    if reads == 1 or description.history or description.intensity is not None:
        return
    meant = "colours (red, green, blue)" if reads == 3 else f"{reads} different channels"
    yield (note if reads == 3 else warning)(
        f"'{case.facts.name}' has one channel and the model reads {reads}, so it is given the same "
        f"one {reads} times. If the model learned on {meant}, it may find little."
    )


def _possible_channel_axis(facts: ImageFacts, network_ndim: int) -> int | None:
    """Axis that is called channels, or is short: before those of a plane, or the last one."""
    leading = range(len(facts.shape) - network_ndim)
    for axis in leading:
        if _label(facts, axis) in _CHANNEL_NAMES and facts.shape[axis] > 1:
            return axis
    if ends_in_channels(facts.shape, network_ndim):
        return len(facts.shape) - 1
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
