"""What the network gets to see: deformed patches with their classes and weights, as layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.engine.images.image import LabelImage, WeightMap
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import PREVIEW_KEY, SCORES_KEY
from napari_unet.widgets.shared.buttons import JobButton
from napari_unet.widgets.train.plan import Plan, annotation

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_SIDE = 3
"""Patches along each axis of the mosaic."""

_GAP_PX = 4
_UNOFFERED = {SCORES_KEY: ["", "", "patches"]}
"""Metadata with which nobody is offered a layer where an image is asked for."""

_NAMES = ("patches: image", "patches: classes", "patches: weights")


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """Nine patches, side by side."""

    image: NDArray[np.float32]
    """(H, W) or (H, W, 3) float32; grey values or colours, normalised."""
    classes: LabelImage
    """(H, W) int32; 1 for the first class after background, and so on; 0 also where a pixel
    is ignored.
    """
    weights: WeightMap
    """(H, W) float32."""
    w0: float
    """Of the weights."""


def draw_patches(plan: Plan) -> Mosaic:
    """Make the first patches of a training, for a worker's thread.

    Of stacks the middle slice is shown.
    """
    from napari_unet.engine.networks.network import new_network
    from napari_unet.engine.training.pair_checks import check_pairs
    from napari_unet.engine.training.patches import Patches
    from napari_unet.engine.training.typed_start import network_for
    from napari_unet.engine.training.volumes.voxels import on_grid_of, with_anisotropy

    pairs = annotation(plan)
    network = plan.network
    if network is None:
        network = new_network(plan.new_description(pairs), plan.recipe.settings.seed)
    network = network_for(with_anisotropy(network, pairs), pairs)
    description = network.description
    check_pairs(pairs, (), ndim=description.architecture.ndim, class_roles=description.class_roles)
    pairs = [on_grid_of(pair, description) for pair in pairs]
    patches = Patches(pairs, network, plan.recipe.settings)
    batches = [
        patches.batch(step) for step in range(math.ceil(_SIDE**2 / plan.recipe.settings.batch_size))
    ]
    image, target, weights = (
        np.concatenate([getattr(batch, name).numpy() for batch in batches])
        for name in ("images", "target", "weights")
    )
    # (N, C, *P) to (N, *P, 3) or (N, *P)
    image = np.moveaxis(image, 1, -1) if image.shape[1] == 3 else image[:, 0]
    classes = np.where(weights > 0, target, 0).astype(np.int32)
    ndim = target.ndim - 1
    shown = [_mosaic(each, ndim) for each in (image, classes, weights)]
    return Mosaic(shown[0], shown[1], shown[2], plan.recipe.settings.w0)


def _mosaic(patches: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Put the first patches, (N, *P) or (N, *P, 3), into a square."""
    if ndim == 3:
        patches = patches[:, patches.shape[1] // 2]
    gaps = [(0, 0), (0, _GAP_PX), (0, _GAP_PX), (0, 0)]
    padded = np.pad(patches[: _SIDE**2], gaps[: patches.ndim])
    height, width, *colours = padded.shape[1:]
    rows = padded.reshape(_SIDE, _SIDE, height, width, *colours)
    return rows.swapaxes(1, 2).reshape(_SIDE * height, _SIDE * width, *colours)


def show_patches(viewer: ViewerModel, beside: LayerImage | None, mosaic: Mosaic) -> None:
    """Add the layers to the right of an image, instead of any that are there."""
    found = [layer for layer in viewer.layers if layer.name in _NAMES]
    for layer in found:
        viewer.layers.remove(layer)
    place: dict[str, Any] = {}
    if beside is not None:
        scale = tuple(float(n) for n in beside.place["scale"][-2:])
        corner = np.array(beside.place["translate"], float)[-2:]
        corner[-1] += (beside.labels_shape[-1] + 5 * _GAP_PX) * scale[-1]
        place = {"scale": scale, "translate": corner, "units": beside.place["units"][-2:]}
    limits = tuple(float(n) for n in np.percentile(mosaic.image, (0.5, 99.5)))
    is_coloured = mosaic.image.ndim == 3
    layers: tuple[Layer, ...] = (
        Image(
            np.clip(mosaic.image, 0, 1) if is_coloured else mosaic.image,
            name=_NAMES[0],
            metadata=_UNOFFERED,
            rgb=is_coloured,
            contrast_limits=None if is_coloured else limits,
            **place,
        ),
        Labels(mosaic.classes, name=_NAMES[1], metadata={PREVIEW_KEY: True}, opacity=0.4, **place),
        Image(
            mosaic.weights,
            name=_NAMES[2],
            metadata=_UNOFFERED,
            colormap="inferno",
            blending="additive",
            contrast_limits=(0.0, mosaic.w0),
            visible=False,
            **place,
        ),
    )
    active = viewer.layers.selection.active
    for layer in layers:
        viewer.add_layer(layer)
    viewer.layers.selection.active = active


def patches_button(viewer: ViewerModel, read_plan: Callable[[], Plan]) -> JobButton:
    """Make the button that shows the patches of what a form says."""

    def prepare() -> tuple[Callable[[], Mosaic], Callable[[Mosaic], None]]:
        plan = read_plan()
        beside = plan.sources[0].image if plan.sources else None
        return partial(draw_patches, plan), partial(show_patches, viewer, beside)

    return JobButton(
        "Show what the network gets to see",
        "Add layers with some patches as the network learns from them: turned, deformed, with "
        "other grey values, each with its classes and its weights.",
        prepare,
    )
