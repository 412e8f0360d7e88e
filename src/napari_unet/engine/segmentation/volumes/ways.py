"""What a network that reads planes can make of a stack, and what suits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.labels.linking.discs import DiscCount

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import NetworkDescription


def own_instances(own: InstanceSettings, settings: SegmentationSettings) -> InstanceSettings:
    """How a model tells cells apart in what is asked for, where nobody says more.

    Parameters
    ----------
    own : InstanceSettings
        The model's, for planes.
    settings : SegmentationSettings
    """
    return own.for_three_planes() if settings.volume == "three_planes" else own


def disc_count(
    stack: tuple[int, ...], description: NetworkDescription, settings: SegmentationSettings
) -> DiscCount | None:
    """Count discs where a stack of such axes is segmented slice by slice; None elsewhere."""
    has_discs = description.architecture.ndim == 2 and not description.gives_classes
    if settings.volume != "slices" or not has_discs or not stack or stack[-1] < 2:
        return None
    return DiscCount(settings, stack[-1])


def check_volume(
    description: NetworkDescription, settings: SegmentationSettings, stack: tuple[int, ...]
) -> None:
    """Raise unless cells of a stack can be whole in the way that is asked for.

    Parameters
    ----------
    stack : tuple of int
        Lengths of the axes of slices.

    Raises
    ------
    SettingsError
        If the model reads volumes itself, tells no cells, or there are no slices.
    """
    volume, name = settings.volume, description.name
    if volume == "slices":
        return
    asked = f"volume={volume!r}"
    if description.architecture.ndim != 2:
        raise SettingsError(
            f"Model '{name}' reads volumes and makes whole cells itself, but {asked} was asked "
            "for, which is for models that read planes; leave it out."
        )
    if volume == "linked" and description.gives_classes:
        raise SettingsError(
            f"Model '{name}' tells classes and no cells, so there is nothing to link; leave "
            f"{asked} out."
        )
    if volume == "three_planes" and settings.region is not None:
        raise SettingsError(
            f"A region was given, but with {asked} the whole volume is segmented; leave one of "
            "them out."
        )
    if volume == "three_planes" and not stack:
        raise SettingsError(
            f"The image has no slices, but {asked} was asked for; give a stack (Z, Y, X), or "
            "leave it out."
        )
