"""What is said of image files whose slices belong to one volume."""

from __future__ import annotations

import math

from napari_unet.batch.images.part import ImagePart
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.checks.volume_rules import discs
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.segmentation.segmentation import Segmentation


def cell_axes(result: Segmentation, description: NetworkDescription) -> int:
    """Along how many of the last axes a cell extends."""
    is_whole = result.settings.volume != "slices" and result.labels.ndim > 2
    return 3 if is_whole else description.architecture.ndim


def volume_concerns(part: ImagePart, settings: SegmentationSettings) -> tuple[str, ...]:
    """Say what is taken for granted of a stack whose cells are to be whole.

    Raises
    ------
    SettingsError
        If its slices are frames of a movie.
    """
    if settings.volume == "slices":
        return ()
    if part.is_movie:
        raise SettingsError(
            f"'{part.image.path}' is a time series, whose frames volume={settings.volume!r} would "
            "take for slices of one volume; leave it out, and follow the cells with "
            "'napari-unet track'."
        )
    if settings.volume == "three_planes" and settings.anisotropy is None:
        sentence = (
            f"'{part.image.path}' does not say how far apart its slices are, so they are taken to "
            "be as far apart as its pixels are large; give the distance in pixels, such as "
            "anisotropy=2.5."
        )
        return (sentence,)
    return ()


def discs_in_blocks(
    part: ImagePart, description: NetworkDescription, settings: SegmentationSettings
) -> tuple[str, ...]:
    """Say that cells of a stack that is segmented in blocks are discs, and how they get whole."""
    axes = part.image.array.ndim - (part.channel_axis is not None)
    is_apart = settings.every_slice and settings.volume == "slices"
    if part.is_movie or not is_apart or axes < 3 or description.architecture.ndim != 2:
        return ()
    sentence = (
        f"A cell of '{part.image.path.name}' has another number in each slice that it reaches. For "
        "whole cells choose volume='three_planes'; slices are linked (volume='linked') outside of "
        "blocks alone, with an output that ends in .tif."
    )
    return (sentence,)


def offer_of_linking(part: ImagePart, result: Segmentation) -> str:
    """Say how many discs there are, and how they are linked; empty where there are none."""
    if result.linked_count is None or part.is_movie:
        return ""
    slices = math.prod(result.labels.shape[:-2])
    finding = discs(
        part.image.path.name, found=result.cell_count, linked=result.linked_count, slices=slices
    )
    return "" if finding is None else f"{finding.text} To link them: volume='linked'."
