"""What the panel of guesses has done in a worker's thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.session import LoadedModel
from napari_unet.viewer.layers import LayerImage

if TYPE_CHECKING:
    from napari_unet.engine.foreign.dry_run import DryRun
    from napari_unet.engine.networks.network import Network

TRIED_PX = 256
"""Side of the part of an image on which guesses are tried."""

_TRIED_PLANES = 16


@dataclass(frozen=True, slots=True)
class Trial:
    """A guess whose values are tried out.

    Parameters
    ----------
    network : Network
    about : str
    values : tuple of str
        In the order in which they are tried.
    device : str
    """

    network: Network
    about: str
    values: tuple[str, ...]
    device: str


def change_guesses(model: LoadedModel, changes: Mapping[str, str]) -> LoadedModel:
    """Take other guesses for a model; its file stays as it is."""
    from napari_unet.engine.foreign.guesses import with_guess

    network = model.network
    for about, value in changes.items():
        network = with_guess(network, about, value)
    return replace(model, network=network, guesses={**model.guesses, **changes})


def try_guess(trial: Trial, image: LayerImage) -> Iterator[DryRun]:
    """Report what each value makes of the middle of what is in view."""
    from napari_unet.engine.foreign.dry_run import dry_runs

    pixels, channel_axis = image.pixels()
    yield from dry_runs(
        pixels,
        trial.network,
        trial.about,
        trial.values,
        region=tried_region(image),
        channel_axis=channel_axis,
        device=trial.device,
        intensity_reference=image.intensity_reference(),
    )


def tried_region(image: LayerImage) -> Sequence[int]:
    """Start and stop along each axis of the middle of what is in view."""
    sizes = [
        size
        for size, part in zip(image.labels_shape, image.plane, strict=True)
        if isinstance(part, slice)
    ]
    box = image.region or tuple(end for size in sizes for end in (0, size))
    region: list[int] = []
    for axis, (low, high) in enumerate(zip(box[::2], box[1::2], strict=True)):
        most = TRIED_PX if axis >= len(sizes) - 2 else _TRIED_PLANES
        length = min(most, high - low)
        start = (low + high - length) // 2
        region += [start, start + length]
    return region
