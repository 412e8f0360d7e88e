"""What a network makes of a small part of an image, as a picture for each guess about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.regions import Region, region_of, within
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.foreign.guesses import with_guess
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.networks.class_roles import BACKGROUND, BORDER, CELL
from napari_unet.engine.networks.network import Network
from napari_unet.engine.segmentation.instances import check_class_roles
from napari_unet.engine.segmentation.planes import PlaneScores
from napari_unet.engine.segmentation.segmentation import iterate_scores

_COLOURS = ((230, 159, 0), (86, 180, 233), (204, 121, 167), (0, 158, 115), (240, 228, 66))
_STRENGTH = 0.65
_DARKEST, _BRIGHTEST = 1.0, 99.8


@dataclass(frozen=True, slots=True, eq=False)
class DryRun:
    """One guess tried out."""

    value: str
    """Of the guess."""
    picture: NDArray[np.uint8] | None
    """(H, W, 3) uint8. The image in grey with the scores over it, each class in a colour of
    its own; None if the guess cannot be so."""
    cells: int | None = None
    """How many there are; None if the network tells no cells."""
    sentence: str = ""
    """Why there is no picture, or no number of cells."""


def dry_runs(
    image: AnyImage,
    network: Network,
    about: str,
    values: Sequence[str],
    *,
    region: Sequence[int],
    channel_axis: int | None = None,
    device: str = "auto",
    intensity_reference: AnyImage | None = None,
) -> Iterator[DryRun]:
    """Try out several values of one guess on a part of an image.

    Parameters
    ----------
    image, channel_axis, device, intensity_reference
        As `segment` takes them.
    values : sequence of str
        In the order in which they are tried.
    region : sequence of int
        Start and stop along each axis of the image, in pixels.

    Yields
    ------
    DryRun
        One for each value.
    """
    present = {guess.about: guess.value for guess in network.description.guesses}
    settings = SegmentationSettings(region=tuple(region), channel_axis=channel_axis)
    for value in values:
        try:
            tried = network if present.get(about) == value else with_guess(network, about, value)
            yield _tried(value, image, tried, settings, device, intensity_reference)
        except UNetError as error:
            yield DryRun(value, None, sentence=str(error))


def _tried(
    value: str,
    image: AnyImage,
    network: Network,
    settings: SegmentationSettings,
    device: str,
    intensity_reference: AnyImage | None,
) -> DryRun:
    *_, plane = iterate_scores(
        image, network, settings=settings, device=device, intensity_reference=intensity_reference
    )
    wanted = region_of(settings.region or ())
    picture = _picture(_grey(image, wanted, settings.channel_axis), plane, wanted)
    try:
        # Without cells it would give classes: what its channels mean is a guess here.
        check_class_roles(plane.class_roles)
        labels = plane.labels(network.description.instances)
    except UNetError as error:
        return DryRun(value, picture, sentence=str(error))
    return DryRun(value, picture, int(labels.max(initial=0)))


def _grey(image: AnyImage, wanted: Region, channel_axis: int | None) -> NDArray[np.float32]:
    """Cut the part out, with all channels together, of a stack its middle plane: 0 to 1."""
    parts: list[Any] = list(wanted)
    if channel_axis is not None:
        parts.insert(channel_axis % image.ndim, slice(None))
    cut = np.asarray(image[tuple(parts)], np.float32)
    if channel_axis is not None:
        cut = np.moveaxis(cut, channel_axis, 0)[:3].mean(axis=0)
    cut = cut[_middle(cut.shape)]
    low, high = np.percentile(cut, (_DARKEST, _BRIGHTEST))
    grey: NDArray[np.float32] = np.clip((cut - low) / max(float(high - low), 1e-12), 0, 1)
    return grey


def _middle(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length // 2 for length in shape[:-2])


def _picture(grey: NDArray[np.float32], plane: PlaneScores, wanted: Region) -> NDArray[np.uint8]:
    scores = plane.scores[(slice(None), *within(wanted, plane.box))]
    for index in _middle(scores.shape[1:]):
        scores = scores[:, index]
    picture = np.repeat(grey[..., np.newaxis] * 255, 3, axis=-1)
    for role, colour in role_colours(plane.class_roles).items():
        alpha = _STRENGTH * scores[plane.class_roles.index(role), ..., np.newaxis]
        picture = (1 - alpha) * picture + alpha * np.asarray(colour, np.float32)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def role_colours(class_roles: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Red, green and blue of each class but the background; a cell always has the same."""
    others = [role for role in class_roles if role not in (BACKGROUND, CELL, BORDER)]
    first = [role for role in (CELL, BORDER) if role in class_roles]
    free = [colour for role, colour in zip((CELL, BORDER), _COLOURS, strict=False) if role in first]
    rest = [colour for colour in _COLOURS if colour not in free]
    colours = [*free, *(rest[number % len(rest)] for number in range(len(others)))]
    return dict(zip([*first, *others], colours, strict=True))
