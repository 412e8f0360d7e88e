"""Layers of results: made on the grid of their image, found again, and how they came about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import DeviceError
from napari_unet.engine.images.image import AnyImage, LabelImage
from napari_unet.files.label_notes import segmentation_notes
from napari_unet.viewer.layers import LayerImage, place_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import Colormap

    from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
    from napari_unet.engine.labels.runs import LabelRuns
    from napari_unet.engine.weight_map.settings import WeightMapSettings

METADATA_KEY = "napari_unet"
"""Where a layer's metadata say how its labels came about."""

PREDICTIONS_KEY = "napari_unet_predictions"
"""Where a layer's metadata keep its labels as they were predicted, plane by plane."""

PREVIEW_KEY = "napari_unet_preview"
"""Marks a layer that shows what a network in training sees."""

SCORES_KEY = "napari_unet_scores"
"""Where a layer's metadata say whose scores it shows."""


def is_made_up(layer: Layer) -> bool:
    """Whether a layer shows scores or a preview, so that nobody wants to work on it."""
    return bool({SCORES_KEY, PREVIEW_KEY} & layer.metadata.keys())


def part_of_place(place: dict[str, Any], corner: Sequence[int]) -> dict[str, Any]:
    """Place of a part of a layer whose first pixel is at `corner`, from the place of the whole."""
    axes = len(corner)
    scaled = np.asarray(place["scale"]) * np.asarray(corner, float)
    turned = np.asarray(place["rotate"]) @ np.asarray(place["shear"]) @ scaled
    translate = np.asarray(place["translate"]) + turned
    return {**place, "translate": translate[:axes]}


def move_to(layer: Layer, place: dict[str, Any]) -> None:
    """Put a layer where `place_of` says, if it is not there."""
    now = place_of(layer, tuple(range(layer.ndim)))
    for name, value in place.items():
        is_there = now[name] == value if isinstance(value, tuple) else np.allclose(now[name], value)
        if not is_there:
            setattr(layer, name, value)


def find_result(
    viewer: ViewerModel, image: LayerImage, model: str, *, of_volume: bool = False
) -> Labels | None:
    """Find the layer of the last run on the same image layer and channel with the same model.

    Parameters
    ----------
    of_volume : bool
        Whether cells were found in the volume, from slices in three directions. What was edited
        is known plane by plane, or of the volume as a whole.
    """
    channel = None if image.channel is None else image.channel + 1
    for layer in reversed(viewer.layers):
        made = layer.metadata.get(METADATA_KEY, {})
        found = [made.get(key) for key in ("image_id", "model", "channel", "layer_id")]
        # A copy that a person made of the layer has all of its metadata, too.
        same = found == [image.layer_id, model, channel, str(layer.unique_id)]
        same &= (made.get("settings", {}).get("volume") == "three_planes") == of_volume
        if same and writable(layer) and layer.data.shape == image.labels_shape:
            return cast("Labels", layer)
    return None


def note_origin(
    layer: Layer, made: dict[str, Any], predictions: Mapping[str, LabelRuns] | None = None
) -> None:
    """Keep in a layer how its labels came about, for `find_result`.

    Parameters
    ----------
    predictions : mapping of str to LabelRuns, optional
        Planes that were just predicted, by their keys; beside those of before.
    """
    own = {**made, "layer_id": str(layer.unique_id)}
    kept = {**layer.metadata.get(PREDICTIONS_KEY, {}), **(predictions or {})}
    layer.metadata = {**layer.metadata, METADATA_KEY: own, PREDICTIONS_KEY: kept}


def predictions_of(layer: Layer) -> dict[str, LabelRuns]:
    """What was predicted in each plane of a layer that Segment filled; empty for others.

    A copy that a person made of the layer is one of the others: it may be
    another image's by now.
    """
    made = layer.metadata.get(METADATA_KEY, {})
    is_own = made.get("layer_id") == str(layer.unique_id)
    return dict(layer.metadata.get(PREDICTIONS_KEY, {})) if is_own else {}


def writable(layer: Layer) -> bool:
    """Whether labels can be written into a layer's own memory."""
    data = layer.data
    return isinstance(data, np.ndarray) and data.dtype == np.int32 and bool(data.flags.writeable)


def find_scores(viewer: ViewerModel, image: LayerImage, model: str, role: str) -> Image | None:
    """Find the layer that shows the scores of one class."""
    key = [image.layer_id, image.result_name(model), role]
    for layer in reversed(viewer.layers):
        if layer.metadata.get(SCORES_KEY) == key and layer.data.shape == image.labels_shape:
            return cast("Image", layer)
    return None


def zeros_on(image: LayerImage, dtype: type[np.generic]) -> NDArray[Any]:
    """Make room for a layer on the grid of an image.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    """
    shape = image.labels_shape
    try:
        return np.zeros(shape, dtype)
    except MemoryError as error:
        gib = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        raise DeviceError(
            f"A layer of the size of '{image.name}' needs {gib:.1f} GiB of memory, which is not "
            "free; segment it in blocks with Large images."
        ) from error


def new_labels_layer(array: LabelImage, image: LayerImage, model: str) -> Labels:
    """Make a layer around `array`, on the grid of the image; any thread may."""
    from napari.layers import Labels

    return Labels(array, name=f"{image.name}: {image.result_name(model)}", **image.place)


def new_preview_layer(array: LabelImage, image: LayerImage, corner: Sequence[int]) -> Labels:
    """Make a layer of outlines around the part of an image that begins at `corner`; any thread may.

    Its name is that of the image, and nobody is offered it where labels are asked for.
    """
    from napari.layers import Labels

    layer = Labels(
        array,
        name=f"{image.name}: preview of training",
        metadata={PREVIEW_KEY: True},
        **part_of_place(image.place, corner),
    )
    layer.contour, layer.editable = 2, False
    return layer


def add_below(viewer: ViewerModel, layer: Layer, labels: Layer) -> None:
    """Add a layer right under another one that must stay in sight; what is selected stays so."""
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(labels), layer)
    viewer.layers.selection.active = active


def add_in_parts(
    viewer: ViewerModel, layer: Layer, *, in_place_of: Iterable[Layer | None] = ()
) -> Iterator[None]:
    """Add a layer; the window is to answer at each `yield`, see `Job.start`.

    napari makes the controls of a layer and what draws it in one call. The pixels, which can take
    as long again, are sent by themselves, once it is visible.

    Parameters
    ----------
    in_place_of : iterable of layer
        Those that are hidden when it is shown, as far as they are there.
    """
    is_visible, layer.visible = layer.visible, False
    viewer.add_layer(layer)
    yield
    for other in in_place_of:
        if other is not None:
            other.visible = False
    layer.visible = is_visible


def score_layers(viewer: ViewerModel, image_id: str) -> list[Layer]:
    """Find the layers that show scores of an image, of whatever model and class."""
    kept = ((each, each.metadata.get(SCORES_KEY)) for each in viewer.layers)
    # Other made-up layers name no model.
    return [each for each, key in kept if key and key[0] == image_id and key[1]]


_SCORE_COLOURS = {"cell": ("#00c8a0",), "border": ("#ff9a00",)}
_WEIGHT_COLOURS = ("#7b2d8b", "#e8452c", "#ffb000")


def _veil(name: str, colours: Sequence[str]) -> Colormap:
    """Colours that are clear at 0 and cover at 1.

    Colours that add to the image, as is usual over dark fluorescence, vanish on
    the white of stained tissue.
    """
    from napari.utils.colormaps import Colormap
    from napari.utils.colormaps.standardize_color import transform_color

    rgba = transform_color([colours[0], *colours])
    rgba[:, 3] = np.linspace(0, 1, len(rgba))
    return Colormap(rgba, name=name)


def new_scores_layer(array: AnyImage, image: LayerImage, model: str, role: str) -> Image:
    """Make a layer for the scores of one class, 0 to 1, on the grid of the image."""
    from napari.layers import Image

    return Image(
        array,
        name=f"{image.name}: {image.result_name(model)}, {role} score",
        metadata={SCORES_KEY: [image.layer_id, image.result_name(model), role]},
        colormap=_veil(f"score of {role}", _SCORE_COLOURS.get(role, ("#4f8fe6",))),
        blending="translucent_no_depth",
        contrast_limits=(0, 1),
        opacity=0.6,
        **image.place,
    )


def weight_limits(settings: WeightMapSettings) -> tuple[float, float]:
    """Weights between which colours change: the same for every image with these settings."""
    return 0.0, settings.w0


def new_weight_layer(array: AnyImage, labels: Labels, settings: WeightMapSettings) -> Image:
    """Make a layer for a weight map on the grid of its labels, to be seen through."""
    from napari.layers import Image

    return Image(
        array,
        name=f"{labels.name}: weight map",
        metadata={SCORES_KEY: [str(labels.unique_id), "", "weight map"]},
        colormap=_veil("weights", _WEIGHT_COLOURS),
        blending="translucent_no_depth",
        contrast_limits=weight_limits(settings),
        **place_of(labels, tuple(range(labels.ndim))),
    )


def provenance(
    image: LayerImage,
    model: str,
    *,
    source: str,
    file_hash: str,
    guesses: Mapping[str, str],
    cells: int,
    settings: SegmentationSettings,
    instances: InstanceSettings,
    checksums: dict[str, list[int]],
    averaged_with: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """How a layer of labels came about, in plain values that can be written to a file."""
    return {
        **segmentation_notes(
            image=image.name,
            model=model,
            source=source,
            cells=cells,
            settings=settings,
            instances=instances,
            averaged_with=averaged_with,
        ),
        "image_id": image.layer_id,
        "extent": image.extent,
        "channel": None if image.channel is None else image.channel + 1,
        "model_sha256": file_hash,
        "model_guesses": dict(guesses),
        "checksums": checksums,
    }
