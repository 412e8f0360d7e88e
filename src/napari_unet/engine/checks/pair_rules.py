"""Rules for labels that cannot be looked at, and for what does not fit them in their image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import LabelsError
from napari_unet.engine.checks.finding import Finding, Rule, error, note, warning
from napari_unet.engine.checks.image_case import other_brightness, other_ground
from napari_unet.engine.checks.label_facts import LabelCase
from napari_unet.engine.images.image import looks_like_picture
from napari_unet.engine.images.label_numbers import whole_numbers

_LEAST_FLAT = 0.75
"""Share of neighbours within cells that have the same number.

In label images of the bundled samples, shrunk to a third too, it is 0.97 or more, in the images
themselves at most 0.55; cells of 3 pixels that fill the image come to 0.67.
"""


# -- no labels at all ----------------------------------------------------------------------------


def not_integer(case: LabelCase) -> Iterator[Finding]:
    """Numbers between the whole ones are no names of cells."""
    try:
        whole_numbers(case.given.labels, holder=f"{case.name} holds")
    except LabelsError as refused:
        yield error(str(refused))


def numbers(case: LabelCase) -> Iterator[Finding]:
    """Numbers are counted with 64 bits and a sign."""
    highest = int(case.given.labels.max(initial=0))
    if highest > np.iinfo(np.int64).max:
        yield error(
            f"{case.name} holds the number {highest}, which is too large; number the cells afresh."
        )


def axes(case: LabelCase) -> Iterator[Finding]:
    """A picture in colours, or a series of stacks, has no one number for each pixel."""
    labels = case.given.labels
    if labels.ndim not in (2, 3) or not labels.size or looks_like_picture(labels):
        yield error(
            f"{case.name} has shape {labels.shape}; labels have one number for each pixel of "
            "(H, W) or (Z, H, W), so choose one plane of them."
        )


def dimensions(case: LabelCase) -> Iterator[Finding]:
    """A model of single images learns from the slices of a stack, not from it."""
    ndim = case.given.labels.ndim
    reads = ndim if case.description is None else case.description.architecture.ndim
    if ndim != reads:
        advice = "train on its slices" if ndim == 3 else "choose a model for 2-D images"
        yield error(f"{case.name} has {ndim} axes and the model reads {reads}-D images; {advice}.")


def shape(case: LabelCase) -> Iterator[Finding]:
    """Everything is laid over the labels pixel by pixel."""
    labels, image, reviewed = case.given.labels, case.given.image, case.given.reviewed
    size, axis = _size(labels.shape), case.given.image_channel_axis
    if reviewed is not None and reviewed.shape != labels.shape:
        yield error(
            f"{case.name} has {size} pixels but the reviewed regions have {_size(reviewed.shape)}; "
            "draw them on these labels."
        )
    elif image is not None and image.ndim != labels.ndim + (axis is not None):
        yield error(
            f"{case.name} has {labels.ndim} axes and its image the shape {image.shape}; say which "
            "axis of the image counts channels, or choose the plane that the labels belong to.",
            code="axes",
        )
    elif image is not None:
        of_image = tuple(int(n) for number, n in enumerate(image.shape) if number != axis)
        if of_image != labels.shape:
            yield error(
                f"{case.name} has {size} pixels but its image has {_size(of_image)}; choose the "
                "labels of this image."
            )


def channels(case: LabelCase) -> Iterator[Finding]:
    """What is more than a model's channels can only be colours, for which there is a rule."""
    count = _channels(case)
    reads = count if case.description is None else case.description.architecture.in_channels
    if count not in (1, reads) and (count, reads) not in ((3, 1), (4, 1), (4, 3)):
        yield error(
            f"{case.name} belongs to an image with {count} channels and the model reads {reads}; "
            f"choose one channel, or a model that reads {count}."
        )


def not_labels(case: LabelCase) -> Iterator[Finding]:
    """Of an image each grey level would be a cell; mostly two folders were given the wrong way."""
    flat, image = case.facts.as_image.flat_inside, case.facts.image
    if flat is None or flat >= _LEAST_FLAT:
        return
    advice = "choose the labels of this image"
    if image is not None and image.few_values:
        advice = "and its image like labels, so give the two the other way round"
    yield warning(
        f"{case.name} looks like an image rather than labels, as most pixels have another number "
        f"than their neighbours; {advice}.",
        is_senseless=True,
    )


KIND_RULES: tuple[Rule[LabelCase], ...] = (
    *(not_integer, numbers, axes, dimensions, shape, channels, not_labels),
)
"""Each looks at what those before it have let pass."""


# -- the image -----------------------------------------------------------------------------------


def grid(case: LabelCase) -> Iterator[Finding]:
    """Layers that lie in different places of the world may not belong together."""
    given, ndim = case.given, case.given.labels.ndim
    if given.grid is None or given.image_grid is None:
        return
    grids = (given.grid, given.image_grid)
    scale, image_scale = (np.array(each.scale[-ndim:]) for each in grids)
    place, image_place = (np.array(each.translate[-ndim:]) for each in grids)
    is_scaled = not np.allclose(scale, image_scale, rtol=1e-3, atol=0)
    if is_scaled or (np.abs(place - image_place) >= 0.5 * np.abs(image_scale)).any():
        yield warning(
            f"{case.name} lies on another grid than its image (a scale of {_numbers(scale)} at "
            f"{_numbers(place)}, the image {_numbers(image_scale)} at {_numbers(image_place)}); "
            "they are trained on pixel by pixel, so check that they belong together."
        )


def colours(case: LabelCase) -> Iterator[Finding]:
    """A model of one channel is given grey, in which blue hardly counts."""
    count, description = _channels(case), case.description
    if description is not None and count > 1 and description.architecture.in_channels == 1:
        yield note(
            f"The image of {case.name} has {count} colours and the model reads one channel, so "
            "they are mixed into grey."
        )


def not_finite(case: LabelCase) -> Iterator[Finding]:
    """One NaN makes the whole image and the loss NaN."""
    if case.facts.image is not None and not case.facts.image.is_finite:
        yield error(
            f"The image of {case.name} holds pixels that are no numbers (NaN or infinite); replace "
            "them first."
        )


def flat(case: LabelCase) -> Iterator[Finding]:
    """Nothing is to be learned from an image that shows nothing."""
    image = case.facts.image
    if image is not None and image.is_finite and image.is_flat and image.range is not None:
        yield warning(
            f"The image of {case.name} is {image.range[1]:g} all over, so there is nothing to "
            "learn; choose the image that the labels belong to."
        )


def not_image(case: LabelCase) -> Iterator[Finding]:
    """From its labels a network learns to copy them, and finds nothing in an image."""
    if case.facts.image is not None and case.facts.image.few_values:
        yield warning(
            f"The image of {case.name} looks like labels or a mask rather than an image of cells; "
            "choose the image that the labels were made from.",
            is_senseless=True,
        )


def other_intensity(case: LabelCase) -> Iterator[Finding]:
    """From another ground, or range where it is read as it is, a model learns everything anew."""
    image, description = case.facts.image, case.description
    if image is None or description is None or not image.is_finite or image.is_flat:
        return
    if ground := other_ground(image, description):
        yield warning(
            f"The image of {case.name} is {ground[0]} between its cells and those the model "
            f"learned on were {ground[1]} there; invert it, or train for longer.",
            code="inverted",
        )
    if brightness := other_brightness(image, description):
        yield warning(
            f"The image of {case.name} is {brightness[0]:.1f} times {brightness[1]} than those the "
            "model learned on, which takes intensities as they are; bring it to their range.",
            code="intensity",
        )


PAIR_RULES: tuple[Rule[LabelCase], ...] = (
    *(grid, colours, not_finite, flat, not_image, other_intensity),
)


def _channels(case: LabelCase) -> int:
    image, axis = case.given.image, case.given.image_channel_axis
    return 1 if image is None or axis is None else int(image.shape[axis])


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _numbers(values: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
