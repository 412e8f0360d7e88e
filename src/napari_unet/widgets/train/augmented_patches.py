"""What the network gets to see: deformed patches with their classes and weights, as layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.images.image import LabelImage, WeightMap
from napari_unet.viewer.layers import LayerImage
from napari_unet.viewer.results import PREVIEW_KEY, SCORES_KEY
from napari_unet.viewer.worker import Job
from napari_unet.widgets.train.annotation import annotation
from napari_unet.widgets.train.plan import Plan

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_SIDE = 3
"""Patches along each axis of the mosaic."""

_GAP_PX = 4
_NAMES = ("patches: image", "patches: classes", "patches: weights")


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """Nine patches, side by side.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) float32 array
        Grey values or colours, normalised.
    classes : (H, W) int32 array
        1 for the first class after background, and so on; 0 also where a pixel is ignored.
    weights : (H, W) float32 array
    w0 : float
        Of the weights.
    """

    image: NDArray[np.float32]
    classes: LabelImage
    weights: WeightMap
    w0: float


def draw_patches(plan: Plan) -> Mosaic:
    """Make the first patches of a training, for a worker's thread.

    Of stacks the middle slice is shown.
    """
    from napari_unet.engine.training.patches import Patches
    from napari_unet.engine.training.training import train

    pairs = annotation(plan)
    network = plan.network
    if network is None:
        network = train(pairs, settings=plan.settings, device="cpu").latest
    patches = Patches(pairs, network, plan.settings)
    images: list[NDArray[np.float32]] = []
    classes: list[LabelImage] = []
    weights: list[WeightMap] = []
    step = 0
    while len(images) < _SIDE**2:
        batch = patches.batch(step)
        step += 1
        for image, target, weight in zip(batch.images, batch.target, batch.weights, strict=False):
            shown = _plane(image.numpy(), target.ndim)
            images.append(np.moveaxis(shown, 0, -1) if len(shown) == 3 else shown[0])
            seen = np.where(weight.numpy() > 0, target.numpy(), 0).astype(np.int32)
            classes.append(_plane(seen, target.ndim))
            weights.append(_plane(weight.numpy(), target.ndim))
    return Mosaic(_mosaic(images), _mosaic(classes), _mosaic(weights), plan.settings.w0)


def _plane(patch: NDArray[Any], ndim: int) -> NDArray[Any]:
    return patch if ndim == 2 else patch[..., patch.shape[-3] // 2, :, :]


def _mosaic(patches: list[NDArray[Any]]) -> NDArray[Any]:
    """Put patches of one shape into a square; those beyond it are left out."""
    height, width = (max(patch.shape[axis] for patch in patches) + _GAP_PX for axis in (0, 1))
    whole = np.zeros((_SIDE * height, _SIDE * width, *patches[0].shape[2:]), patches[0].dtype)
    for number, patch in enumerate(patches[: _SIDE**2]):
        y, x = number // _SIDE * height, number % _SIDE * width
        whole[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
    return whole


def show_patches(viewer: ViewerModel, mosaic: Mosaic, beside: LayerImage | None) -> None:
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
    layers: tuple[Layer, ...] = (
        Image(
            np.clip(mosaic.image, 0, 1) if mosaic.image.ndim == 3 else mosaic.image,
            name=_NAMES[0],
            metadata={SCORES_KEY: ["", "", "patches"]},
            rgb=mosaic.image.ndim == 3,
            **({} if mosaic.image.ndim == 3 else {"contrast_limits": limits}),
            **place,
        ),
        Labels(mosaic.classes, name=_NAMES[1], metadata={PREVIEW_KEY: True}, opacity=0.4, **place),
        Image(
            mosaic.weights,
            name=_NAMES[2],
            metadata={SCORES_KEY: ["", "", "patches"]},
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


class PatchesButton(QPushButton):
    """A button that makes and shows the patches.

    Parameters
    ----------
    viewer : napari viewer
    read_plan : callable
        Returns what the form says; raises a `UNetError` if it is not complete.

    Attributes
    ----------
    failed : Signal
        Carries the exception.
    """

    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, read_plan: Callable[[], Plan]) -> None:
        super().__init__("Show what the network gets to see")
        self.setToolTip(
            "<qt>Add layers with some patches as the network learns from them: turned, deformed, "
            "with other grey values, each with its classes and its weights.</qt>"
        )
        self._viewer = viewer
        self._read_plan = read_plan
        self._job = Job(self)
        self.clicked.connect(self._on_clicked)

    def stop(self) -> None:
        """Let go of what is not finished."""
        self._job.stop()

    def _on_clicked(self) -> None:
        try:
            plan = self._read_plan()
        except UNetError as error:
            self.failed.emit(error)
            return
        self.setEnabled(False)
        self._job.start(
            partial(draw_patches, plan),
            on_result=partial(self._on_drawn, plan),
            on_error=self.failed.emit,
            on_end=partial(self.setEnabled, True),
        )

    def _on_drawn(self, plan: Plan, mosaic: Mosaic) -> None:
        show_patches(self._viewer, mosaic, plan.sources[0].image if plan.sources else None)
