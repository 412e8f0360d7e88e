"""What decides about the labels of a run, for a script that does the same."""

from __future__ import annotations

from dataclasses import replace

from napari.layers import Image

from napari_unet.files.images import file_holds
from napari_unet.files.samples import sample_files
from napari_unet.script import SegmentRecipe
from napari_unet.viewer.commands import PLUGIN
from napari_unet.viewer.layers import LayerImage
from napari_unet.widgets.segment.runs import Recipe


def segment_recipe(layer: Image, image: LayerImage, recipe: Recipe) -> SegmentRecipe:
    """Collect what decides about the labels of a run.

    Parameters
    ----------
    layer : napari Image layer
    image : LayerImage
        What is read of it.
    recipe : Recipe
    """
    description = recipe.network.description
    shape = tuple(int(n) for n in image.array.shape)
    return SegmentRecipe(
        image_name=image.name,
        shape=shape,
        image_file=_own_file(layer, shape),
        model=recipe.source,
        guesses=recipe.guesses,
        device=recipe.device,
        plane=image.plane if image.has_slices and image.extent != "stack" else None,
        channel=None if image.channel is None else image.channel + 1,
        is_rgb=bool(layer.rgb),
        is_multiscale=bool(layer.multiscale),
        settings=replace(
            recipe.settings,
            pixel_size_um=image.pixel_size_um,
            every_slice=image.extent == "stack" and image.has_slices,
            channel_axis=None if layer.rgb else image.channel_axis,
            region=image.region,
        ),
        instances=recipe.instances,
        model_instances=description.instances,
        model_pixel_size_um=description.pixel_size_um,
        intensity_from_stack=not image.is_lazy,
        show_scores=recipe.shows_scores,
    )


def _own_file(layer: Image, shape: tuple[int, ...]) -> str | None:
    """Return the file that holds what the layer shows, as our own commands read it."""
    source = layer.source
    if source.sample is not None and source.sample[0] == PLUGIN:
        return str(sample_files(source.sample[1])[0])
    if source.path and source.reader_plugin == "napari" and file_holds(source.path, shape):
        return str(source.path)
    return None
