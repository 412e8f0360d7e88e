"""Annotated images set aside, so that a model is judged by cells it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.regions import Region
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.networks.annotation import LabelKind
from napari_unet.engine.training.pairs import TrainingPair

_ENOUGH_IMAGES = 4
"""Images with cells from which whole ones are held out."""

_AROUND_PX = 64
"""So that cells beside what was labelled are found as in the whole image."""

_LEAST_CELLS_OUT = 3
_LEAST_CELLS_LEFT = 6
_LEAST_SHARE_LEFT, _LEAST_SHARE_OF_SLICES = 0.6, 0.8
"""What a block may cost: fewer cells would teach much less, or say next to nothing. Of a volume of
which only slices are labelled, each of these shows much that the others do not."""

_MOST_GAP = 1 / 8
"""Of the length of a volume: as far as a network sees is half of many."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Annotated images in two parts.

    Parameters
    ----------
    training, validation : tuple of TrainingPair
        No pixel is in both. `validation` may be empty.
    sentence : str
        What was held out, or why nothing was.
    """

    training: tuple[TrainingPair, ...]
    validation: tuple[TrainingPair, ...]
    sentence: str


def hold_out(
    pairs: Sequence[TrainingPair],
    *,
    share: float = 0.2,
    seed: int = 0,
    gap_px: int = 96,
    label_kind: LabelKind = "cells",
) -> HeldOut:
    """Set annotated images aside, or part of one where there are few.

    Of four or more images with labelled cells, whole ones are held out. Of
    fewer, a block at the edge of one of them is, with a gap beside it from
    which nothing is learned either. Where that would leave too few cells,
    nothing is.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    share : float
        Of the images, or of the length of one, 0 to 1.
    seed : int
        Which images.
    gap_px : int
        At least as far as a network sees (`UNetConfig.margin_px`), so that
        what it learned does not reach into the block. In volumes it is no more
        than an eighth of their length, or little would be left.
    label_kind : {"cells", "classes"}
        What the numbers of the labels are. A block of classes is held out
        where both parts show every class.

    Returns
    -------
    HeldOut

    Raises
    ------
    SettingsError
        If `share` or `gap_px` make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import TrainingPair, hold_out
    >>> labels = np.zeros((64, 64), int)
    >>> labels[8:24, 8:24] = 1
    >>> hold_out([TrainingPair(100.0 * labels, labels)]).sentence
    'Nothing is held out, as 1 cell in 1 image is too little: how good the model is must be \
judged on other images.'
    """
    if not 0 <= share < 1:
        raise SettingsError(f"share is {share:g}; use 0 up to, not including, 1.")
    if gap_px < 0:
        raise SettingsError(f"gap_px is {gap_px}; use 0 or more pixels.")
    counts = [_numbers(pair) for pair in pairs]
    noun = "cell" if label_kind == "cells" else "label"
    if share == 0:
        return HeldOut(tuple(pairs), (), "Nothing is held out, as it was asked for.")
    if sum(count > 0 for count in counts) >= _ENOUGH_IMAGES:
        return _images_held_out(pairs, counts, share, seed, noun)
    blocks = (
        _block_held_out(pairs, index, share, gap_px, noun) for index in np.argsort(counts)[::-1]
    )
    found = next((block for block in blocks if block is not None), None)
    if found is not None:
        return found
    cells, images = _count(sum(counts), noun), _count(len(pairs), "image")
    return HeldOut(
        tuple(pairs),
        (),
        f"Nothing is held out, as {cells} in {images} {'is' if sum(counts) == 1 else 'are'} too "
        f"{'little' if sum(counts) == 1 else 'few'}: how good the model is must be judged on other "
        "images.",
    )


def _images_held_out(
    pairs: Sequence[TrainingPair], counts: Sequence[int], share: float, seed: int, noun: str
) -> HeldOut:
    usable = [index for index, count in enumerate(counts) if count]
    number = min(max(1, round(share * len(usable))), len(usable) - 1)
    order = np.random.default_rng(seed).permutation(usable)
    out = set(order[:number].tolist())
    validation = tuple(pair for index, pair in enumerate(pairs) if index in out)
    training = tuple(pair for index, pair in enumerate(pairs) if index not in out)
    cells = _count(sum(counts[index] for index in out), noun)
    names = ", ".join(pair.name for pair in validation)
    return HeldOut(
        training,
        validation,
        f"{_count(number, 'image')} with {cells} held out of {len(pairs)}: {names}.",
    )


def _block_held_out(
    pairs: Sequence[TrainingPair], index: int, share: float, gap_px: int, noun: str
) -> HeldOut | None:
    """Cut the best block off one image; None if every block would cost too much."""
    pair = pairs[index]
    whole = _numbers(pair)
    share_left = _LEAST_SHARE_OF_SLICES if pair.in_slices else _LEAST_SHARE_LEFT
    least_out, least_left = _LEAST_CELLS_OUT, max(_LEAST_CELLS_LEFT, share_left * whole)
    if noun != "cell":
        least_out = least_left = max(1, whole)
    best: tuple[int, HeldOut] | None = None
    for block, context, rest, side, gap in _blocks(np.shape(pair.labels), share, gap_px):
        seen = np.zeros(np.shape(pair.labels), bool)
        seen[block] = True
        if pair.reviewed is not None:
            seen &= pair.reviewed
        held = replace(cropped(pair, context), reviewed=seen[context])
        left = cropped(pair, rest)
        if noun == "cell":
            held, left = _without_cut_cells(held), _without_cut_cells(left)
        out, stay = _numbers(held), _numbers(left)
        if out < least_out or stay < least_left or (best and best[0] >= stay):
            continue
        training = (*pairs[:index], left, *pairs[index + 1 :])
        sentence = (
            f"The {side} of '{pair.name}', with {_count(out, noun)}, is held out, and a gap of "
            f"{gap} pixels beside it; as it is part of the same image, new images may be harder."
        )
        best = (stay, HeldOut(training, (held,), sentence))
    return best[1] if best else None


def _blocks(
    shape: tuple[int, ...], share: float, gap_px: int
) -> Iterator[tuple[Region, Region, Region, str, int]]:
    """Blocks at the ends of each axis: block, block with gap, rest, its name, and the gap."""
    names = {-1: ("left", "right"), -2: ("top", "bottom"), -3: ("beginning", "end")}
    for axis in range(-len(shape), 0):
        length = shape[axis]
        size = math.ceil(share * length)
        gap = gap_px if len(shape) == 2 else min(gap_px, math.ceil(_MOST_GAP * length))
        if size + gap >= length:
            continue
        first = (slice(0, size), slice(0, size + gap), slice(size + gap, length))
        last = tuple(slice(length - part.stop, length - part.start) for part in first)
        for parts, name in zip((first, last), names[axis], strict=True):
            block, context, rest = (_region(len(shape), axis, part) for part in parts)
            yield block, context, rest, name, gap


def _region(ndim: int, axis: int, part: slice) -> Region:
    region = [slice(None)] * ndim
    region[axis] = part
    return tuple(region)


def labelled_part(pair: TrainingPair) -> TrainingPair:
    """What of an image somebody has labelled, and as much around it as tells its cells."""
    if pair.reviewed is None or not pair.reviewed.any():
        return pair
    return cropped(pair, labelled_box(pair.reviewed, around_px=_AROUND_PX))


def labelled_box(reviewed: NDArray[np.bool_], *, around_px: int) -> Region:
    """Smallest box around what was reviewed, and so much around that as the image has."""
    (box,) = ndimage.find_objects(reviewed.astype(np.int8))
    return tuple(
        slice(max(0, part.start - around_px), min(n, part.stop + around_px))
        for part, n in zip(box, reviewed.shape, strict=True)
    )


def cropped(pair: TrainingPair, region: Region) -> TrainingPair:
    """Part of a pair, read with the intensities of the whole."""
    image = np.asarray(pair.image)
    reference = pair.intensity_reference
    if reference is None:
        # Alpha carries no intensity.
        is_rgba = pair.channel_axis is None and image.ndim > len(region) and image.shape[-1] == 4
        reference = image[..., :3] if is_rgba else image
    return replace(
        pair,
        image=_image_part(pair, image, region),
        labels=np.asarray(pair.labels)[region],
        reviewed=None if pair.reviewed is None else pair.reviewed[region],
        corrected=None if pair.corrected is None else pair.corrected[region],
        intensity_reference=reference,
    )


def _image_part(pair: TrainingPair, image: AnyImage, region: Region) -> AnyImage:
    if image.ndim == len(region):
        return image[region]
    channels = (-1 if pair.channel_axis is None else pair.channel_axis) % image.ndim
    return image[(*region[:channels], slice(None), *region[channels:])]


def _without_cut_cells(pair: TrainingPair) -> TrainingPair:
    """Ignore cells that a cut has left part of, as no outline of theirs is right."""
    labels = np.asarray(pair.labels)
    reviewed = np.ones(labels.shape, bool) if pair.reviewed is None else pair.reviewed
    unseen = ~reviewed
    if pair.in_slices:  # above and below nothing is known of any cell
        unseen &= reviewed.any(axis=(1, 2), keepdims=True)
    cut = np.unique(labels[unseen & (labels > 0)])
    if not cut.size:
        return pair
    return replace(pair, reviewed=reviewed & ~np.isin(labels, cut))


def _numbers(pair: TrainingPair) -> int:
    """How many numbers of cells or classes were reviewed in a pair, or in each slice of it."""
    labels = np.asarray(pair.labels)
    seen = labels if pair.reviewed is None else np.where(pair.reviewed, labels, 0)
    parts = seen if pair.in_slices else [seen]
    return sum(int(np.unique(part[part > 0]).size) for part in parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
