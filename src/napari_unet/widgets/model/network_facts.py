"""What is worked out of a network in a worker's thread before it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.engine.networks.layer_sizes import Level, LevelSizes
    from napari_unet.engine.networks.network import NetworkDescription


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A network as it is drawn.

    Parameters
    ----------
    in_channels : int
    class_roles : tuple of str
    levels : tuple of Level
        () if the layers are not known.
    sizes : tuple of LevelSizes
        For the image; () without one.
    receptive_field_px : int
        Side of the square of the image on which a pixel's scores depend.
    is_trainable : bool
    """

    in_channels: int
    class_roles: tuple[str, ...]
    levels: tuple[Level, ...] = ()
    sizes: tuple[LevelSizes, ...] = ()
    receptive_field_px: int = 0
    is_trainable: bool = True


def network_facts(
    description: NetworkDescription, shape: tuple[int, ...] | None
) -> Iterator[NetworkFacts]:
    """Report the facts of a network, for an image of so many pixels along the axes it reads."""
    config = description.architecture
    yield NetworkFacts(
        config.in_channels,
        description.class_roles,
        config.levels,
        config.level_sizes(shape) if shape else (),
        2 * config.margin_px + 1,
        config.is_trainable,
    )
