"""Pictures of the places with most errors: the image, both outlines, and errors in colour."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.base.regions import Region, clipped, shared, sizes
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.engine.labels.truth.cell_errors import VERDICTS, CellError, ErrorKind
from napari_unet.files.overlay import magnified, outlines, stretched
from napari_unet.files.report.verdicts import VERDICT_COLOURS

TRUE_COLOUR = "#ffffff"
"""Of the outlines of true cells."""

_SIDE_PX = 560
"""Of a picture, about."""
_SMALLEST_PART_PX, _LARGEST_PART_PX = 96, 1024
_CELLS_ACROSS = 8
_WHOLE = 1.5
"""Sides of a part up to which an image is shown whole."""
_MOST_OVERLAP = 1 / 3
_DIMMED, _TINT = 0.8, 0.4
_PLAIN = 38
"""Grey where there is no image."""
_COLOURS = 255


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """What a picture is drawn from, all on one grid.

    Parameters
    ----------
    truth, found : (..., H, W) integer array
    verdicts : (..., H, W) uint8 array
        `CellErrors.image`.
    image : (..., H, W) or (..., H, W, C) real array, optional
    """

    truth: LabelImage
    found: LabelImage
    verdicts: NDArray[np.uint8]
    image: AnyImage | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a plane with errors."""

    plane: tuple[int, ...]
    """Index along the axes before Y and X."""
    part: Region
    """Along Y and X."""
    counts: Counter[ErrorKind]
    """Errors by kind that reach into the plane, and whose middle lies in the part of it."""


def worst_places(
    errors: Sequence[CellError], shape: Sequence[int], *, most: int
) -> Iterator[Place]:
    """Find parts of planes that hold most errors, one after the other; they overlap little.

    Of the planes of a volume that hold as many it is one in the middle.

    Parameters
    ----------
    errors : sequence of CellError
    shape : sequence of int
        Of the label image.
    most : int
    """
    side = [
        size if size <= _WHOLE * wanted else wanted
        for size, wanted in zip(shape[-2:], [_part_side_px(errors)] * 2, strict=True)
    ]
    left = list(errors)
    shown: list[Place] = []
    while left and len(shown) < most:
        plane = _fullest_plane(left)
        centres = np.array([error.centre[-2:] for error in left if _is_cut(error, plane)])
        first = _fullest_part(centres, side, shape).tolist()
        part = tuple(slice(at, at + n) for at, n in zip(first, side, strict=True))
        held = [error for error in errors if _is_in(error, plane, part)]
        place = Place(plane, part, Counter(error.kind for error in held))
        left = [error for error in left if not _is_in(error, plane, part)]
        if not any(_overlap(place, other) > _MOST_OVERLAP for other in shown):
            shown.append(place)
            yield place


def draw_place(pixels: Pixels, place: Place) -> NDArray[np.uint8]:
    """Draw a place, (H, W, 3) uint8: true outlines over found ones, each error filled."""
    within: tuple[Any, ...] = (*place.plane, *place.part)
    sides = [part.stop - part.start for part in place.part]
    factor = max(1, round(_SIDE_PX / max(sides)))
    width_px = max(1, math.ceil(max(sides) / _SIDE_PX))
    truth, found, verdicts = (
        array[within].repeat(factor, axis=0).repeat(factor, axis=1)
        for array in (pixels.truth, pixels.found, pixels.verdicts)
    )
    picture = _ground(pixels, place, factor)
    colours = np.array([_rgb(VERDICT_COLOURS[verdict]) for verdict in VERDICTS], float)
    wrong = verdicts > 1
    picture[wrong] = (1 - _TINT) * picture[wrong] + _TINT * colours[verdicts[wrong] - 1]
    rim = outlines(found, width_px=2 * width_px) & (verdicts > 0)
    picture[rim] = colours[verdicts[rim] - 1]
    picture[outlines(truth, width_px=width_px)] = _rgb(TRUE_COLOUR)
    drawn = picture.round().astype(np.uint8)
    if max(sides) <= _SIDE_PX:
        return drawn
    small = Image.fromarray(drawn)
    small.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    return np.asarray(small)


def as_data_url(picture: NDArray[np.uint8]) -> str:
    """Pack a picture as PNG into an address that a page can show without a file."""
    stream = io.BytesIO()
    # Without k-means the colours of thin outlines go over to those of the image.
    packed = Image.fromarray(picture).quantize(_COLOURS, dither=Image.Dither.NONE, kmeans=2)
    packed.save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _part_side_px(errors: Sequence[CellError]) -> int:
    """Some cells across, of the sizes that errors have."""
    extents = [max(part.stop - part.start for part in error.box[-2:]) for error in errors]
    side = _CELLS_ACROSS * float(np.median(extents)) if extents else 0
    return int(np.clip(side, _SMALLEST_PART_PX, _LARGEST_PART_PX))


def _fullest_plane(errors: Sequence[CellError]) -> tuple[int, ...]:
    """Index along the axes before Y and X where most errors are."""
    counts = Counter(
        plane
        for error in errors
        for plane in product(*(range(part.start, part.stop) for part in error.box[:-2]))
    )
    most = max(counts.values())
    best = sorted(plane for plane, count in counts.items() if count == most)
    return best[len(best) // 2]


def _is_in(error: CellError, plane: tuple[int, ...], part: Region) -> bool:
    """Whether an error reaches into a plane, and its middle lies in a part of it."""
    sides = zip(part, error.centre[-2:], strict=True)
    return _is_cut(error, plane) and all(own.start <= at < own.stop for own, at in sides)


def _overlap(one: Place, other: Place) -> float:
    """Share of a place that another one shows, too."""
    if one.plane != other.plane:
        return 0.0
    return math.prod(sizes(shared(one.part, other.part))) / math.prod(sizes(one.part))


def _is_cut(error: CellError, plane: tuple[int, ...]) -> bool:
    """Whether the box of an error reaches into a plane."""
    parts = zip(error.box[:-2], plane, strict=True)
    return all(part.start <= at < part.stop for part, at in parts)


def _fullest_part(
    centres: NDArray[np.float64], side: Sequence[int], shape: Sequence[int]
) -> NDArray[np.int64]:
    """First pixel of a part of a plane around most of the (N, 2) centres."""
    # Two bins with a pixel to spare on either side, wherever the middle is rounded to.
    half = np.maximum(1, np.array(side) // 2 - 1)
    bins = (centres // half).astype(np.int64)
    counts = Counter[tuple[int, ...]]()
    # A part is two bins wide: each centre counts for the four parts that have it.
    for step in np.ndindex(2, 2):
        counts.update(map(tuple, (bins - step).tolist()))
    corner = np.array(max(counts, key=lambda at: (counts[at], at)))
    ends = centres[((bins >= corner) & (bins <= corner + 1)).all(axis=1)]
    # In the middle of what it shows.
    middle = (ends.min(axis=0) + ends.max(axis=0)) / 2
    first = np.floor(middle - np.array(side) / 2).astype(np.int64)
    within: NDArray[np.int64] = np.clip(first, 0, np.array(shape[-2:]) - side)
    return within


def _ground(pixels: Pixels, place: Place, factor: int) -> NDArray[np.float64]:
    """The image below the outlines, with the contrast of what is around the place."""
    sides = [part.stop - part.start for part in place.part]
    if pixels.image is None:
        return np.full((factor * sides[0], factor * sides[1], 3), _PLAIN, float)
    around = clipped(
        tuple(
            slice(max(0, part.start - side), part.stop + side)
            for part, side in zip(place.part, sides, strict=True)
        ),
        pixels.truth.shape[-2:],
    )
    within: tuple[Any, ...] = (*place.plane, *around)
    cut = np.asarray(pixels.image[within])
    channels = cut[np.newaxis] if cut.ndim == 2 else np.moveaxis(cut, -1, 0)
    own = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(place.part, around, strict=True)
    )
    return _DIMMED * magnified(stretched(channels)[own], factor).astype(float)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue
