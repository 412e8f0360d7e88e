"""Rules for labels that cannot be looked at, and for what does not fit them in their image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.checks.finding import Finding, error, note, warning
from napari_unet.engine.checks.label_facts import LabelCase, LabelRule
from napari_unet.engine.checks.likeness import other_brightness, other_ground

_LEAST_FLAT = 0.75
"""Share of neighbours within cells that have the same number.

In label images of the bundled samples, shrunk to a third too, it is 0.97 or more, in the images
themselves at most 0.55; cells of 3 pixels that fill the image come to 0.67.
"""


# -- no labels at all ----------------------------------------------------------------------------


def not_integer(case: LabelCase) -> Finding | None:
    """Numbers between the whole ones are no names of cells."""
    labels = case.given.labels
    if labels.dtype.kind in "bui":
        return None
    is_whole = (
        labels.dtype.kind == "f"
        and bool(np.isfinite(labels).all())
        and bool((np.trunc(labels) == labels).all())
        and float(np.abs(labels).max(initial=0)) <= np.iinfo(np.int32).max
    )
    return error(
        f"{case.name} holds numbers of type {labels.dtype}; labels are whole numbers, 0 for "
        "background and 1, 2, ... for cells.",
        "Store them as whole numbers" if is_whole else "",
    )


def numbers(case: LabelCase) -> Finding | None:
    """Numbers are counted with 64 bits and a sign."""
    highest = int(case.given.labels.max(initial=0))
    if highest <= np.iinfo(np.int64).max:
        return None
    return error(
        f"{case.name} holds the number {highest}, which is too large; number the cells afresh."
    )


def axes(case: LabelCase) -> Finding | None:
    """A picture in colours, or a series of stacks, has no one number for each pixel."""
    labels = case.given.labels
    is_picture = labels.ndim == 3 and labels.shape[-1] in (3, 4) and min(labels.shape[:2]) > 4
    if labels.ndim in (2, 3) and labels.size and not (labels.dtype == np.uint8 and is_picture):
        return None
    return error(
        f"{case.name} has shape {labels.shape}; labels have one number for each pixel of (H, W) or "
        "(Z, H, W), so choose one plane of them."
    )


def dimensions(case: LabelCase) -> Finding | None:
    """A model of single images learns from the slices of a stack, not from it."""
    ndim = case.given.labels.ndim
    if case.description is None or ndim == case.description.unet.ndim:
        return None
    advice = "train on its slices." if ndim == 3 else "choose a model for 2-D images."
    return error(
        f"{case.name} has {ndim} axes and the model reads {case.description.unet.ndim}-D images; "
        + advice
    )


def shape(case: LabelCase) -> Finding | None:
    """Everything is laid over the labels pixel by pixel."""
    given = case.given
    size = _size(given.labels.shape)
    if given.reviewed is not None and given.reviewed.shape != given.labels.shape:
        return error(
            f"{case.name} has {size} pixels but the reviewed regions have "
            f"{_size(given.reviewed.shape)}; draw them on these labels."
        )
    if given.image is None:
        return None
    ndim, axis = given.labels.ndim, given.image_channel_axis
    if given.image.ndim != ndim + (axis is not None):
        return error(
            f"{case.name} has {ndim} axes and its image the shape {given.image.shape}; say which "
            "axis of the image counts channels, or choose the plane that the labels belong to.",
            code="axes",
        )
    of_image = tuple(int(n) for number, n in enumerate(given.image.shape) if number != axis)
    if of_image == given.labels.shape:
        return None
    return error(
        f"{case.name} has {size} pixels but its image has {_size(of_image)}; choose the labels of "
        "this image."
    )


def channels(case: LabelCase) -> Finding | None:
    """What is more than a model's channels can only be colours, for which there is a rule."""
    count = _channels(case)
    reads = count if case.description is None else case.description.unet.in_channels
    if count in (1, reads) or (count, reads) in ((3, 1), (4, 1), (4, 3)):
        return None
    return error(
        f"{case.name} belongs to an image with {count} channels and the model reads {reads}; "
        f"choose one channel, or a model that reads {count}."
    )


def not_labels(case: LabelCase) -> Finding | None:
    """Of an image each grey level would be a cell; mostly two folders were given the wrong way."""
    flat = case.facts.as_image.flat_inside
    if flat is None or flat >= _LEAST_FLAT:
        return None
    image = case.facts.image
    advice = "choose the labels of this image"
    if image is not None and image.few_values:
        advice = "and its image like labels, so give the two the other way round"
    return warning(
        f"{case.name} looks like an image rather than labels, as most pixels have another number "
        f"than their neighbours; {advice}.",
        is_senseless=True,
    )


KIND_RULES: tuple[LabelRule, ...] = (
    *(not_integer, numbers, axes, dimensions, shape, channels, not_labels),
)
"""Each looks at what those before it have let pass."""


# -- the image -----------------------------------------------------------------------------------


def grid(case: LabelCase) -> Finding | None:
    """Layers that lie in different places of the world may not belong together."""
    given = case.given
    if given.grid is None or given.image_grid is None:
        return None
    ndim = given.labels.ndim
    scale, image_scale = (np.array(each.scale[-ndim:]) for each in (given.grid, given.image_grid))
    place, image_place = (
        np.array(each.translate[-ndim:]) for each in (given.grid, given.image_grid)
    )
    differs = not np.allclose(scale, image_scale, rtol=1e-3, atol=0)
    if not differs and (np.abs(place - image_place) < 0.5 * np.abs(image_scale)).all():
        return None
    return warning(
        f"{case.name} lies on another grid than its image (a scale of {_numbers(scale)} at "
        f"{_numbers(place)}, the image {_numbers(image_scale)} at {_numbers(image_place)}); they "
        "are trained on pixel by pixel, so check that they belong together."
    )


def colours(case: LabelCase) -> Finding | None:
    """A model of one channel is given grey, in which blue hardly counts."""
    count = _channels(case)
    if case.description is None or count == 1 or case.description.unet.in_channels != 1:
        return None
    return note(
        f"The image of {case.name} has {count} colours and the model reads one channel, so they "
        "are mixed into grey."
    )


def not_finite(case: LabelCase) -> Finding | None:
    """One NaN makes the whole image and the loss NaN."""
    if case.facts.image is None or case.facts.image.is_finite:
        return None
    return error(
        f"The image of {case.name} holds pixels that are no numbers (NaN or infinite); replace "
        "them first."
    )


def flat(case: LabelCase) -> Finding | None:
    """Nothing is to be learnt from an image that shows nothing."""
    image = case.facts.image
    if image is None or not image.is_finite or not image.is_flat or image.range is None:
        return None
    return warning(
        f"The image of {case.name} is {image.range[1]:g} all over, so there is nothing to learn; "
        "choose the image that the labels belong to."
    )


def not_image(case: LabelCase) -> Finding | None:
    """From its labels a network learns to copy them, and finds nothing in an image."""
    if case.facts.image is None or not case.facts.image.few_values:
        return None
    return warning(
        f"The image of {case.name} looks like labels or a mask rather than an image of cells; "
        "choose the image that the labels were made from.",
        is_senseless=True,
    )


def inverted(case: LabelCase) -> Finding | None:
    """From dark cells a model of bright ones has to learn everything anew."""
    image, description = case.facts.image, case.description
    if image is None or description is None or not image.is_finite:
        return None
    other = other_ground(image, description)
    if other is None:
        return None
    return warning(
        f"The image of {case.name} is {other[0]} between its cells and those the model learnt on "
        f"were {other[1]} there; invert it, or train for longer."
    )


def intensity(case: LabelCase) -> Finding | None:
    """A model that takes intensities as they are needs the range that it learnt on."""
    image, description = case.facts.image, case.description
    if image is None or description is None or not image.is_finite or image.is_flat:
        return None
    other = other_brightness(image, description)
    if other is None:
        return None
    return warning(
        f"The image of {case.name} is {other[0]:.1f} times {other[1]} than those the model learnt "
        "on, which takes intensities as they are; bring it to their range."
    )


PAIR_RULES: tuple[LabelRule, ...] = (
    *(grid, colours, not_finite, flat, not_image, inverted, intensity),
)


def _channels(case: LabelCase) -> int:
    image, axis = case.given.image, case.given.image_channel_axis
    return 1 if image is None or axis is None else int(image.shape[axis])


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _numbers(values: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
