"""Pairs that are learned from: their rows in the form, and their layers taken for a training."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QWidget

from napari_unet.engine.base.errors import TrainingError
from napari_unet.viewer.drawn_regions import drawn_regions
from napari_unet.viewer.layers import LayerImage, full_resolution, read_layer
from napari_unet.viewer.results import METADATA_KEY, predictions_of
from napari_unet.widgets.shared.choices import LayerChoice, keep_narrow
from napari_unet.widgets.shared.parts import in_row
from napari_unet.widgets.train.plan import PairSource

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Shapes

_NARROWEST = 5
"""Characters of a name that are always in sight: two boxes share a narrow dock."""


class RemovableRow(QWidget):
    """A row that can be taken away."""

    removed = Signal()
    """The row is not wanted any more."""

    def __init__(self, *parts: QWidget, tooltip: str) -> None:
        super().__init__()
        self.remove_button = QToolButton()
        self.remove_button.setText("✕")
        self.remove_button.setToolTip(tooltip)
        self.remove_button.clicked.connect(self.removed)
        layout = in_row(*parts, self.remove_button, within=self, spacing=4)
        for place in range(len(parts)):
            layout.setStretch(place, 1)


class PairRow(RemovableRow):
    """An image layer beside the labels layer that belongs to it."""

    changed = Signal()
    """Another layer was chosen."""
    listed = Signal()
    """Other layers are offered, or the same under other names."""

    def __init__(self, viewer: ViewerModel, *, follows_active: bool) -> None:
        image_choice, labels_choice = choices = [
            LayerChoice(viewer, kind, follows_active=follows_active) for kind in (Image, Labels)
        ]
        super().__init__(*choices, tooltip="Do not learn from this pair.")
        self._viewer = viewer
        self.image_choice, self.labels_choice = image_choice, labels_choice
        self.image_choice.setToolTip("Image layer to learn from.")
        self.labels_choice.setToolTip(
            "<qt>Labels layer with the cells of that image, as you would like to have them.</qt>"
        )
        for choice in choices:
            keep_narrow(choice, characters=_NARROWEST)
            choice.listed.connect(self.listed)
        self.image_choice.currentIndexChanged.connect(self._on_image_chosen)
        self.labels_choice.currentIndexChanged.connect(self.changed)
        self._on_image_chosen(0)

    @property
    def layers(self) -> tuple[Image | None, Labels | None]:
        """What is chosen."""
        return self.image_choice.layer, self.labels_choice.layer

    @property
    def subject(self) -> object:
        """What is chosen, and what it is called."""
        return self.image_choice.subject, self.labels_choice.subject

    def _on_image_chosen(self, _index: int) -> None:
        image, labels = self.layers
        if image is not None and not _belong_together(image, labels):
            labels_layers = [each for each in self._viewer.layers if isinstance(each, Labels)]
            fitting = [each for each in labels_layers if _belong_together(image, each)]
            if fitting:
                self.labels_choice.choose_layer(fitting[-1])
        self.changed.emit()


def _belong_together(image: Image, labels: Labels | None) -> bool:
    """Whether Segment made the labels of the image, or they at least have its size."""
    if labels is None:
        return False
    source = labels.metadata.get(METADATA_KEY, {}).get("image_id")
    if source is not None:
        return bool(source == str(image.unique_id))
    shape = full_resolution(image).shape
    return bool(np.shape(labels.data)[-2:] == shape[: image.ndim][-2:])


class FolderRow(RemovableRow):
    """A folder of images and one of label images with the same names."""

    def __init__(self, images: Path, labels: Path) -> None:
        text = QLabel(f"{images.name} / {labels.name}")
        text.setToolTip(
            f"<qt>Images in {escape(str(images))}, labels in {escape(str(labels))}</qt>"
        )
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        super().__init__(text, tooltip="Do not learn from these folders.")
        self.images, self.labels = images, labels


def read_pair(
    image: Image,
    labels: Labels,
    dims: Dims,
    *,
    network_ndim: int,
    regions: Shapes | None = None,
) -> PairSource:
    """Take an image layer and its labels layer, on the Qt thread; nothing is copied.

    Parameters
    ----------
    image : napari Image layer
        An axis that the labels lack counts channels.
    network_ndim : int
        Axes that the network reads at once.
    regions : napari Shapes layer, optional
        Where everything was reviewed.

    Raises
    ------
    TrainingError, ImageShapeError
        If the two do not lie on each other, pixel by pixel.
    """
    channel_axis = None
    if not image.rgb and image.ndim == labels.ndim + 1:
        shape = full_resolution(image).shape
        axes = [n for n in range(image.ndim) if shape[:n] + shape[n + 1 :] == labels.data.shape]
        channel_axis = axes[0] if axes else None
    read = read_layer(
        image, dims, network_ndim=network_ndim, extent="stack", channel_axis=channel_axis
    )
    _check_labels(read, labels)
    return PairSource(
        read,
        labels.data,
        str(image.name),
        str(labels.unique_id),
        predictions_of(labels),
        () if regions is None else drawn_regions(regions, labels),
    )


def _check_labels(image: LayerImage, labels: Labels) -> None:
    data = labels.data
    if labels.multiscale or not isinstance(data, np.ndarray):
        raise TrainingError(
            f"The labels of '{labels.name}' are not in memory; duplicate the layer as a NumPy "
            "array first."
        )
    if data.shape != image.labels_shape:
        raise TrainingError(
            f"Image '{image.name}' has {_size(image.labels_shape)} pixels, but the labels "
            f"'{labels.name}' have {_size(data.shape)}; choose the labels of this image."
        )
    place = image.place
    if not np.allclose(labels.scale, place["scale"]) or not np.allclose(
        labels.translate, place["translate"]
    ):
        raise TrainingError(
            f"'{labels.name}' does not lie on '{image.name}': its scale or place is another; "
            "give the labels the scale and translate of the image, or choose other labels."
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
