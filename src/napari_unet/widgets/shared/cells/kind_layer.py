"""A layer that shows of which kind each pixel is, in one colour for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_unet.engine.images.image import PlaneIndex
from napari_unet.viewer.layers import full_resolution, place_of
from napari_unet.viewer.results import SCORES_KEY, add_in_parts, move_to

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def show_kinds(
    viewer: ViewerModel,
    layer: Layer,
    kinds: NDArray[np.uint8],
    colours: Mapping[Any, str],
    *,
    subject: str,
    name: str | None = None,
    plane: PlaneIndex | None = None,
    in_place_of: Iterable[Layer] = (),
) -> Iterator[None]:
    """Show kinds over a layer, in the layer for this subject that it has or in a new one.

    The window may be drawn at each `yield`, see `Job.start`.

    Parameters
    ----------
    layer : napari layer
        Whose grid the kinds are on: an image without an axis of channels, or
        its labels.
    kinds : uint8 array
        1 is the first kind, of the layer's shape, or of that of a plane.
    colours : mapping of str to str
        Of each kind, by its name.
    subject : str
        What is shown, in the plural: "changes", "errors".
    name : str, optional
        Of the image; that of `layer` without it.
    plane : tuple of int or slice, optional
        Where the kinds lie in the layer; elsewhere what was shown stays.
    in_place_of : iterable of layer
        Those that are hidden then.
    """
    place = place_of(layer, tuple(range(layer.ndim)))
    shape = tuple(int(size) for size in full_resolution(layer).shape[: layer.ndim])
    shown = find_kinds(viewer, layer, subject, shape)
    if shown is None:
        array = np.zeros(shape, np.uint8)
        array[plane or ...] = kinds
        shown = _new_layer(array, layer, colours, subject, name or layer.name, place)
        yield
        active = viewer.layers.selection.active
        parts = add_in_parts(viewer, shown, in_place_of=in_place_of)
        next(parts)
        # Who looks at an image goes on looking at it.
        viewer.layers.selection.active = active
        yield
        yield from parts
        return
    shown.data[plane or ...] = kinds
    move_to(shown, place)
    yield
    for other in in_place_of:
        other.visible = False
    shown.visible = True
    shown.refresh()


def remove_kinds(viewer: ViewerModel, layer: Layer, subject: str) -> None:
    """Take the layer for this subject away, if `layer` has one."""
    shown = find_kinds(viewer, layer, subject)
    if shown is not None:
        viewer.layers.remove(shown)


def find_kinds(
    viewer: ViewerModel, layer: Layer, subject: str, shape: tuple[int, ...] | None = None
) -> Labels | None:
    """Find the layer that shows kinds over `layer`; of any shape without one."""
    key = _key(layer, subject)
    for each in viewer.layers:
        if each.metadata.get(SCORES_KEY) == key and shape in (None, each.data.shape):
            found: Labels = each
            return found
    return None


def _key(layer: Layer, subject: str) -> list[str]:
    # With it nobody is offered the layer where cells are asked for.
    return [str(layer.unique_id), "", subject]


def _new_layer(
    array: NDArray[np.uint8],
    layer: Layer,
    colours: Mapping[Any, str],
    subject: str,
    name: str,
    place: dict[str, Any],
) -> Labels:
    shown = Labels(
        array,
        name=f"{name}: {subject}",
        metadata={SCORES_KEY: _key(layer, subject)},
        # Not a `DirectLabelColormap`, which numba compiles for three seconds on the Qt thread.
        colormap=CyclicLabelColormap(colors=transform_color(["transparent", *colours.values()])),
        # napari's status bar says it of the pixel under the mouse.
        features={
            "index": list(range(len(colours) + 1)),
            subject.removesuffix("s"): ["none", *colours],
        },
        **place,
    )
    shown.editable = False
    return shown
