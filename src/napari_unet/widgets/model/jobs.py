"""What the Model form has done in a worker's thread: guesses changed and tried, files written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.session import LoadedModel
from napari_unet.viewer.layers import LayerImage

if TYPE_CHECKING:
    from napari_unet.engine.export.export import ExportFormat, ExportReport
    from napari_unet.engine.foreign.dry_run import DryRun
    from napari_unet.engine.networks.network import Guess, Network

TRIED_PX = 256
"""Side of the part of an image on which guesses are tried."""

_TRIED_PLANES = 16


def change_guesses(model: LoadedModel, changes: Mapping[str, str]) -> LoadedModel:
    """Take other guesses for a model; its file stays as it is."""
    from napari_unet.engine.foreign.guesses import with_guess

    network = model.network
    for about, value in changes.items():
        network = with_guess(network, about, value)
    return replace(model, network=network, guesses={**model.guesses, **changes})


def try_guess(
    network: Network, guess: Guess, values: Sequence[str], image: LayerImage, device: str
) -> Iterator[DryRun]:
    """Report what each value makes of the middle of what is in view."""
    from napari_unet.engine.foreign.dry_run import dry_runs

    pixels, channel_axis = image.pixels()
    yield from dry_runs(
        pixels,
        network,
        guess.about,
        values,
        region=tried_region(image),
        channel_axis=channel_axis,
        device=device,
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


def list_formats() -> tuple[ExportFormat, ...]:
    """Every format that models are written in."""
    from napari_unet.engine.export.export import export_formats

    return export_formats()


def export(
    network: Network,
    file: Path,
    settings: ExportSettings,
    image: LayerImage | None,
    *,
    format: str,  # noqa: A002 - as the engine calls it
) -> Iterator[ExportReport]:
    """Write the file, with a part of the image; the dialog has asked about the one replaced."""
    from napari_unet.engine.export.export import export_format, iterate_export

    # The dialog asked about the name that it was given, and only that.
    overwrites = export_format(format).path(file) == file
    yield from iterate_export(
        network,
        file,
        format=format,
        settings=settings,
        image=None if image is None else _part(image),
        overwrite=overwrites,
    )


def _part(image: LayerImage) -> AnyImage:
    """Cut the middle out, with the channels in front."""
    pixels, channel_axis = image.pixels()
    region = tried_region(image)
    parts: list[slice] = [slice(a, b) for a, b in zip(region[::2], region[1::2], strict=True)]
    parts.insert(channel_axis, slice(None))
    return np.moveaxis(np.asarray(pixels[tuple(parts)]), channel_axis, 0)


def save_model(network: Network, path: Path, *, overwrite: bool) -> Path:
    """Write a model file and say where it is."""
    from napari_unet.engine.models.checkpoint import save_checkpoint

    return save_checkpoint(network, path, overwrite=overwrite)
