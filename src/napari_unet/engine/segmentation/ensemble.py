"""Networks whose scores are averaged: whether they fit, and the scale at which each reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import SegmentationSettings, slice_factor
from napari_unet.engine.networks.network import Network, NetworkDescription

Networks: TypeAlias = Network | Sequence[Network]
"""One network, or several whose scores are averaged; the first one's thresholds hold."""

_MOST_ZOOM = 20.0

_SAME_SIZE = 1.1
"""Sizes of trained cells so near to each other are one: networks learn on more than that."""


def ensemble(networks: Networks) -> tuple[Network, ...]:
    """Return one network or several as a tuple.

    Raises
    ------
    SettingsError
        If there is none, or if their scores cannot be averaged.
    """
    if isinstance(networks, Network):
        return (networks,)
    if not networks:
        raise SettingsError("There is no model in the list; give one or more.")
    first, *others = networks
    for other in others:
        check_fits(other.description, first.description)
    return (first, *others)


def ensemble_name(names: Sequence[str]) -> str:
    """What networks together are called, by the names of each."""
    return " + ".join(names)


def check_fits(other: NetworkDescription, first: NetworkDescription) -> None:
    """Raise if the scores of two networks cannot be averaged.

    Raises
    ------
    SettingsError
        If they read other axes, or tell other classes apart.
    """
    axes, other_axes = first.architecture.ndim, other.architecture.ndim
    if axes != other_axes:
        raise SettingsError(
            f"Model '{other.name}' reads {other_axes}-D images and '{first.name}' {axes}-D ones, "
            f"so they cannot be averaged; choose another model for {axes}-D images."
        )
    if first.class_roles != other.class_roles:
        raise SettingsError(
            f"Model '{other.name}' tells apart {', '.join(other.class_roles)} and '{first.name}' "
            f"{', '.join(first.class_roles)}, so they cannot be averaged; choose another model "
            "with the same classes in the same order."
        )


def zoom_of(description: NetworkDescription, settings: SegmentationSettings) -> float:
    """Factor that brings the image to the scale the model was trained at.

    Raises
    ------
    SettingsError
        If there is none, or it is beyond reason.
    """
    zoom, reason = 1.0, ""
    if settings.diameter_px is not None:
        if description.object_diameter_px is None:
            raise SettingsError(
                f"Model {description.name!r} does not say how large the cells were that it was "
                "trained on, so a diameter cannot be used; leave it out and resize the image."
            )
        zoom = description.object_diameter_px / settings.diameter_px
        reason = f"A diameter of {settings.diameter_px:g} pixels"
    elif settings.pixel_size_um is not None and description.pixel_size_um is not None:
        zoom = settings.pixel_size_um / description.pixel_size_um
        reason = f"A pixel size of {settings.pixel_size_um:g} um"
    return _checked(zoom, reason)


def zooms_of(
    descriptions: Sequence[NetworkDescription], settings: SegmentationSettings
) -> tuple[float, ...]:
    """Factor for each network of an ensemble, as `zoom_of` has it.

    Where neither a diameter nor pixel sizes say how large the cells are, the
    first network is given the image as it is, and another one that was trained
    on much smaller or larger cells sees them at the size that it learned.
    """
    first, *others = descriptions
    zoom = zoom_of(first, settings)
    return (zoom, *(_zoom_beside(each, first, zoom, settings) for each in others))


def _zoom_beside(
    description: NetworkDescription,
    first: NetworkDescription,
    zoom: float,
    settings: SegmentationSettings,
) -> float:
    knows_scale = settings.pixel_size_um is not None and description.pixel_size_um is not None
    if settings.diameter_px is not None or knows_scale:
        return zoom_of(description, settings)
    size, usual = description.object_diameter_px, first.object_diameter_px
    if size is None or usual is None or 1 / _SAME_SIZE <= size / usual <= _SAME_SIZE:
        return zoom
    return _checked(zoom * size / usual, f"Model '{description.name}'")


def _axis_zooms(
    description: NetworkDescription, settings: SegmentationSettings, zoom: float
) -> tuple[float, ...]:
    """Factor for each axis that a network reads.

    Parameters
    ----------
    zoom : float
        In the plane, as of `zooms_of`.

    Returns
    -------
    tuple of float
        `zoom` for all, and another one along Z for a volume whose slices are not as
        far apart as those that the network learned on, measured in pixel sizes.

    Raises
    ------
    SettingsError
        If that is beyond reason.
    """
    ndim = description.architecture.ndim
    apart = settings.anisotropy or 1.0
    reason = f"A distance of {apart:.3g} pixels between slices"
    if ndim == 2:
        if settings.volume == "three_planes":  # of which two hold z
            _checked(zoom * apart, reason)
        return (zoom, zoom)
    factor = slice_factor(settings.anisotropy, description.anisotropy)
    return (_checked(zoom * factor, reason), zoom, zoom)


def axis_zooms_of(
    descriptions: Sequence[NetworkDescription], settings: SegmentationSettings
) -> list[tuple[float, ...]]:
    """Factor of each network for each axis that it reads."""
    zooms = zip(descriptions, zooms_of(descriptions, settings), strict=True)
    return [_axis_zooms(each, settings, zoom) for each, zoom in zooms]


def mean_zooms_of(
    descriptions: Sequence[NetworkDescription], settings: SegmentationSettings
) -> tuple[float, ...]:
    """Factor for each network, the same for all axes, with which it reads as many pixels."""
    axes = axis_zooms_of(descriptions, settings)
    return tuple(math.prod(each) ** (1 / len(each)) for each in axes)


def _checked(zoom: float, reason: str) -> float:
    if not 1 / _MOST_ZOOM <= zoom <= _MOST_ZOOM:
        raise SettingsError(
            f"{reason} would resize the image {zoom:.3g} times; check the number, "
            f"between 1/{_MOST_ZOOM:g} and {_MOST_ZOOM:g} times are possible."
        )
    return zoom
