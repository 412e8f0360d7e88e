"""What the Large images form says, as a command line."""

from __future__ import annotations

from dataclasses import replace

from napari_unet.engine.base.errors import UNetError
from napari_unet.script import BlocksRecipe
from napari_unet.widgets.large.source import FileFacts
from napari_unet.widgets.large.work import Order


def blocks_recipe(order: Order, facts: FileFacts | None) -> BlocksRecipe:
    """Collect what decides about the labels of a run.

    Raises
    ------
    UNetError
        If the file has not been looked at yet, or the cells are measured in micrometres and it
        does not say how large its pixels are.
    """
    from napari_unet.engine.segmentation.volumes.ways import own_instances

    if facts is None:
        raise UNetError("The image is still being looked at; try again in a moment.")
    batch, description = order.batch, order.networks[0].description
    settings = batch.settings
    if batch.diameter_um is not None:
        if facts.pixel_size_um is None:
            raise UNetError(
                f"'{facts.path}' does not say how large its pixels are, and the cell size is in "
                "micrometres; give it in pixels."
            )
        settings = replace(settings, diameter_px=batch.diameter_um / facts.pixel_size_um[-1])
    has_slices = len(facts.shape) > description.architecture.ndim
    settings = replace(
        settings, every_slice=has_slices, volume=settings.volume if has_slices else "slices"
    )
    workers = order.workers
    return BlocksRecipe(
        str(order.file.path),
        str(order.out),
        [model.source for model in batch.models],
        settings,
        batch.instances_of(description.instances),
        own_instances(description.instances, settings),
        batch.guesses,
        device=order.device,
        channel=batch.part.channel,
        workers=workers.count if workers.place == "workers" else None,
        scheduler=workers.address if workers.place == "elsewhere" else "",
        overwrite=order.overwrite,
    )
