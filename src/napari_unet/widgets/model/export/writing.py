"""Writes a model for other programs, in a worker's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.model.guesses.jobs import tried_region

if TYPE_CHECKING:
    from napari_unet.engine.export.export import ExportFormat, ExportReport
    from napari_unet.engine.networks.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class ExportRequest:
    """What is written, and where.

    Parameters
    ----------
    network : Network
    file : Path
    format : str
    settings : ExportSettings
    image : LayerImage, optional
        A part of it goes into a package.
    """

    network: Network
    file: Path
    format: str
    settings: ExportSettings
    image: LayerImage | None = None


def list_formats() -> tuple[ExportFormat, ...]:
    """Every format that models are written in."""
    from napari_unet.engine.export.export import export_formats

    return export_formats()


def export(request: ExportRequest) -> Iterator[ExportReport]:
    """Write the file; the dialog has asked about the one that is replaced."""
    from napari_unet.engine.export.export import export_format, iterate_export

    # The dialog asked about the name that it was given, and only that.
    overwrites = export_format(request.format).path(request.file) == request.file
    yield from iterate_export(
        request.network,
        request.file,
        format=request.format,
        settings=request.settings,
        image=None if request.image is None else _part(request.image),
        overwrite=overwrites,
    )


def _part(image: LayerImage) -> AnyImage:
    """Cut the middle out, with the channels in front."""
    pixels, channel_axis = image.pixels()
    region = tried_region(image)
    parts: list[slice] = [slice(a, b) for a, b in zip(region[::2], region[1::2], strict=True)]
    parts.insert(channel_axis, slice(None))
    return np.moveaxis(np.asarray(pixels[tuple(parts)]), channel_axis, 0)
