"""The look at an image before it is segmented, for what may spoil the result."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.batch.images.part import ImagePart
from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.checks.image_case import Choices
from napari_unet.engine.checks.image_facts import image_facts
from napari_unet.engine.checks.image_rules import image_findings
from napari_unet.engine.networks.network import NetworkDescription


def findings_before(
    part: ImagePart, description: NetworkDescription, settings: SegmentationSettings
) -> Sequence[Finding]:
    """Look at the part of an image that is to be segmented, with what is known of its scale."""
    image, axis = part.image, part.channel_axis
    is_rgb = axis == image.array.ndim - 1 and image.array.shape[axis] in (3, 4)
    facts = image_facts(
        image.array,
        name=str(image.path),
        is_rgb=is_rgb,
        channel_axis=None if is_rgb else axis,
        axis_labels=tuple(image.axes.removesuffix("C") if is_rgb else image.axes),
        pixel_size_um=settings.pixel_size_um,
        spacing=None if settings.anisotropy is None else (settings.anisotropy, 1.0, 1.0),
    )
    choices = Choices(
        "stack" if settings.every_slice else "slice",
        (),
        settings.diameter_px,
        volume=settings.volume,
        is_movie=part.is_movie,
    )
    return image_findings(facts, description, choices)


def concerns_before(
    part: ImagePart,
    description: NetworkDescription,
    settings: SegmentationSettings,
    *,
    refuses: bool,
) -> list[str]:
    """Say in sentences what may spoil the result.

    Parameters
    ----------
    part, description, settings
        As in `findings_before`.
    refuses : bool
        Raise where going on makes no sense.

    Raises
    ------
    UNetError
        If the image cannot be segmented, or is refused.
    """
    findings = findings_before(part, description, settings)
    for each in findings:
        if each.severity == "error" or (refuses and each.is_senseless):
            raise UNetError(each.text)
    return [each.text for each in findings if each.severity == "warning"]
